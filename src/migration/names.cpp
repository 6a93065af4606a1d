// What phases, events and messages are called in logs, records and traces.
#include <array>

#include "base/result.h"
#include "migration/destination_machine.h"
#include "migration/messages.h"
#include "migration/source_machine.h"

namespace godwit::migration {
namespace {

template <size_t N, typename Enum>
std::string_view name_in(const std::array<std::string_view, N>& names, Enum value) {
  const auto index = static_cast<size_t>(value);
  GODWIT_CHECK(index < N);
  return names[index];
}

}  // namespace

constexpr std::array<std::string_view, 14> message_names{
    "prepare", "prepared", "take_address", "address_taken", "release_address", "restore", "ready",
    "go",      "running",  "refused",      "undecided",     "abort",           "query",   "forget"};

std::string_view message_name(MessageKind kind) {
  return name_in(message_names, kind);
}

std::optional<MessageKind> message_by_name(std::string_view name) {
  for (size_t i = 0; i < message_names.size(); ++i) {
    if (message_names[i] == name) return static_cast<MessageKind>(i);
  }
  return std::nullopt;
}

std::string_view phase_name(SourcePhase phase) {
  static constexpr std::array<std::string_view, 13> names{
      "idle",      "preparing", "pre-copy",   "freezing", "yielding the address", "dumping", "resuming",
      "restoring", "recording", "given away", "killing",  "rolling back",         "done"};
  return name_in(names, phase);
}

std::string_view event_name(SourceEventKind kind) {
  static constexpr std::array<std::string_view, 22> names{
      "start",          "prepared",     "converged",   "frozen",    "address_taken",
      "dumped",         "ready",        "recorded",    "running",   "refused",
      "peer_rebooted",  "killed",       "rolled_back", "failed",    "failed_transient",
      "peer_lost",      "timer",        "cancel",      "restarted", "restarted_given_away",
      "abandoned_keep", "abandoned_end"};
  return name_in(names, kind);
}

std::string_view phase_name(DestinationPhase phase) {
  static constexpr std::array<std::string_view, 14> names{"idle",
                                                          "preparing",
                                                          "receiving",
                                                          "taking the address",
                                                          "parked",
                                                          "restoring",
                                                          "ready",
                                                          "recording GO",
                                                          "resuming",
                                                          "running",
                                                          "recording the refusal",
                                                          "discarding",
                                                          "done (running)",
                                                          "done (refused)"};
  return name_in(names, phase);
}

std::string_view event_name(DestinationEventKind kind) {
  static constexpr std::array<std::string_view, 20> names{
      "prepare",   "slot_made", "take_address", "address_taken", "release_address", "restore",          "restored",
      "go",        "query",     "recorded",     "resumed",       "pages_placed",    "discarded",        "failed",
      "peer_lost", "timer",     "abort",        "restarted",     "restarted_held",  "restarted_running"};
  return name_in(names, kind);
}

}  // namespace godwit::migration
