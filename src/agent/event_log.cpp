#include "agent/event_log.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "os/file.h"

namespace godwit::agent {

Result<std::unique_ptr<EventLog>> EventLog::open(const SessionDirectory& session, UniqueFd command_line,
                                                 Clock::time_point began) {
  GODWIT_ASSIGN(UniqueFd file, os::open_file(session.path("events.jsonl"), O_WRONLY | O_CREAT | O_APPEND, 0600));
  return std::unique_ptr<EventLog>(new EventLog(std::move(file), std::move(command_line), began));
}

void EventLog::emit(const Event& event) {
  const std::string line = encode_event(event) + "\n";
  const std::lock_guard lock(mutex_);
  // How far a round is, is only of use while it runs.
  if (!std::holds_alternative<ProgressEvent>(event) && file_bytes_ + line.size() <= file_bytes_max) {
    if (auto written = os::write_all(file_.get(), line.data(), line.size()); !written) {
      log_warning("event log: {}", written.error().message);
    }
    file_bytes_ += line.size();
  }
  if (!command_line_) return;
  const ssize_t sent = ::send(command_line_.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  const bool part = sent >= 0 && static_cast<size_t>(sent) != line.size();
  const bool full = sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  // A line that went out in part cannot be taken back, so nothing may follow it.
  if (part || (sent < 0 && !full)) command_line_.reset();
}

}  // namespace godwit::agent
