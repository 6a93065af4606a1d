#pragma once

#include <mutex>

#include "agent/events.h"
#include "agent/session_directory.h"
#include "base/deadline.h"
#include "base/unique_fd.h"

namespace godwit::agent {

// Where a worker tells how its session goes: to the command line that asked for it, if one is connected, and to the
// session's events.jsonl for `inspect`. Any thread may emit. A reader that is slow or gone loses lines, never time: a
// migration does not wait for its audience.
class EventLog {
 public:
  static constexpr size_t file_bytes_max = size_t{4} << 20;  // then only the command line hears the rest

  // `command_line` may be empty. `began`: the moment that at_ms counts from.
  static Result<std::unique_ptr<EventLog>> open(const SessionDirectory& session, UniqueFd command_line,
                                                Clock::time_point began);

  void emit(const Event& event);
  void phase(Phase phase) { emit(PhaseEvent{.phase = phase, .at_ms = elapsed_ms(began_)}); }
  void note(std::string text) { emit(NoteEvent{.text = std::move(text)}); }
  [[nodiscard]] int command_line() const { return command_line_.get(); }

 private:
  EventLog(UniqueFd file, UniqueFd command_line, Clock::time_point began)
      : file_(std::move(file)), command_line_(std::move(command_line)), began_(began) {}

  std::mutex mutex_;
  UniqueFd file_;
  size_t file_bytes_ = 0;
  UniqueFd command_line_;
  Clock::time_point began_;
};

}  // namespace godwit::agent
