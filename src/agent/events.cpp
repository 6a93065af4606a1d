#include "agent/events.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/json_fields.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr size_t addresses_max = 65'536;  // of one kind in one answer

constexpr std::array<std::pair<Phase, std::string_view>, 6> phase_names{{{Phase::prepare, "prepare"},
                                                                         {Phase::pre_copy, "pre-copy"},
                                                                         {Phase::freeze, "freeze"},
                                                                         {Phase::restore, "restore"},
                                                                         {Phase::complete, "complete"},
                                                                         {Phase::failed, "failed"}}};

Phase read_phase(JsonFields& fields) {
  const std::string name = fields.text("phase");
  for (const auto& [phase, known] : phase_names) {
    if (name == known) return phase;
  }
  fields.blame(fmt::format("unknown phase '{}'", name));
  return Phase::failed;
}

// Cut at a character's start, so that what is left is UTF-8 if it was.
std::string cut(const std::string& text) {
  if (text.size() <= event_text_bytes_max) return text;
  size_t end = event_text_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

double finite(double value) {
  return std::isfinite(value) ? value : 0;
}

// Of quantities that cannot be negative: a clock that was read twice in the wrong order must not break the reader.
double positive(double value) {
  return std::max(0.0, finite(value));
}

// --- encoding: one overload an event -----------------------------------------------------------------------------

json to_json(const SessionEvent& event) {
  return {{"event", "session"},
          {"session", cut(event.session)},
          {"container", cut(event.container)},
          {"from", cut(event.from)},
          {"to", cut(event.to)}};
}

json to_json(const PhaseEvent& event) {
  return {{"event", "phase"}, {"phase", phase_name(event.phase)}, {"at_ms", positive(event.at_ms)}};
}

json to_json(const ProgressEvent& event) {
  return {{"event", "progress"},
          {"round", event.round},
          {"bytes_sent", event.bytes_sent},
          {"bytes_total", event.bytes_total}};
}

json to_json(const RoundEvent& event) {
  return {{"event", "round"},
          {"round", event.round},
          {"dirty_pages", event.dirty_pages},
          {"bytes", event.bytes},
          {"wire_bytes", event.wire_bytes},
          {"seconds", positive(event.seconds)},
          {"rate_bytes_per_s", positive(event.rate_bytes_per_s)},
          {"predicted_pause_ms", positive(event.predicted_pause_ms)}};
}

json to_json(const MissedRoundEvent& event) {
  return {{"event", "missed-round"}, {"round", event.round}, {"failed", event.failed}, {"reason", cut(event.reason)}};
}

json to_json(const NoteEvent& event) {
  return {{"event", "note"}, {"text", cut(event.text)}};
}

json to_json(const TimelineEvent& event) {
  json steps = json::array();
  for (const TimelineStep& step : event.steps) {
    if (steps.size() == timeline_steps_max) break;
    steps.push_back(
        {{"name", cut(step.name)}, {"start_ms", finite(step.start_ms)}, {"ms", positive(step.duration_ms)}});
  }
  return {{"event", "timeline"}, {"steps", std::move(steps)}};
}

json to_json(const ContainersEvent& event) {
  json list = json::array();
  for (const ContainerInfo& info : event.containers) {
    if (list.size() == list_entries_max) break;
    list.push_back({{"name", cut(info.name)},
                    {"state", cut(info.state)},
                    {"pid", std::max<int64_t>(0, info.pid)},
                    {"memory_bytes", info.memory_bytes},
                    {"address", cut(info.address)},
                    {"session", cut(info.session)}});
  }
  return {{"event", "containers"}, {"containers", std::move(list)}};
}

json to_json(const SessionsEvent& event) {
  json list = json::array();
  for (const SessionInfo& info : event.sessions) {
    if (list.size() == list_entries_max) break;
    list.push_back({{"session", cut(info.session)},
                    {"container", cut(info.container)},
                    {"role", cut(info.role)},
                    {"from", cut(info.from)},
                    {"to", cut(info.to)},
                    {"phase", phase_name(info.phase)},
                    {"age_s", positive(info.age_s)},
                    {"pause_ms", positive(info.pause_ms)},
                    {"reason", cut(info.reason)}});
  }
  return {{"event", "sessions"}, {"sessions", std::move(list)}};
}

json to_json(const AddressesEvent& event) {
  json kept = json::array();
  for (const KeptAddressInfo& info : event.kept) {
    kept.push_back({{"sandbox", cut(info.sandbox)}, {"addresses", info.addresses}});
  }
  json guests = json::array();
  for (const GuestAddressInfo& info : event.guests) {
    guests.push_back({{"address", cut(info.address)}, {"routed", info.routed}, {"state", cut(info.state)}});
  }
  json routes = json::array();
  for (const auto& route : event.routes) routes.push_back({{"address", cut(route.address)}, {"via", cut(route.via)}});
  return {
      {"event", "addresses"}, {"kept", std::move(kept)}, {"guests", std::move(guests)}, {"routes", std::move(routes)}};
}

json to_json(const ResultEvent& event) {
  return {{"event", "result"},
          {"ok", event.ok},
          {"unknown", event.unknown && !event.ok},
          {"session", cut(event.session)},
          {"container", cut(event.container)},
          {"from", cut(event.from)},
          {"to", cut(event.to)},
          {"pause_ms", positive(event.pause_ms)},
          {"client_gap_ms", positive(event.client_gap_ms)},
          {"memory_bytes", event.memory_bytes},
          {"bytes_on_wire", event.bytes_on_wire},
          {"rounds", event.rounds},
          {"frozen_during_precopy_ms", positive(event.frozen_during_precopy_ms)},
          {"rolled_back", event.rolled_back},
          {"lost", event.lost},
          {"network", cut(event.network)},
          {"reason", cut(event.reason)}};
}

// --- decoding: one function an event -----------------------------------------------------------------------------

using Decoder = Event (*)(JsonFields&);

Event read_session(JsonFields& fields) {
  return SessionEvent{fields.text("session"), fields.text("container"), fields.text("from"), fields.text("to")};
}

Event read_phase_event(JsonFields& fields) {
  return PhaseEvent{read_phase(fields), fields.number("at_ms")};
}

Event read_progress(JsonFields& fields) {
  return ProgressEvent{fields.count("round"), fields.count("bytes_sent"), fields.count("bytes_total")};
}

Event read_round(JsonFields& fields) {
  return RoundEvent{.round = fields.count("round"),
                    .dirty_pages = fields.count("dirty_pages"),
                    .bytes = fields.count("bytes"),
                    .wire_bytes = fields.count("wire_bytes"),
                    .seconds = fields.number("seconds"),
                    .rate_bytes_per_s = fields.number("rate_bytes_per_s"),
                    .predicted_pause_ms = fields.number("predicted_pause_ms")};
}

Event read_missed_round(JsonFields& fields) {
  return MissedRoundEvent{fields.count("round"), fields.flag("failed"), fields.text("reason")};
}

Event read_note(JsonFields& fields) {
  return NoteEvent{fields.text("text")};
}

// The array `name` of objects, each read by `read_one`, at most `limit` of them.
template <typename Entry, typename ReadOne>
std::vector<Entry> read_list(JsonFields& fields, const char* name, size_t limit, ReadOne read_one) {
  std::vector<Entry> entries;
  const json* list = fields.find(name);
  if (list == nullptr) return entries;
  if (!list->is_array() || list->size() > limit) {
    fields.blame_member(name, fmt::format("is not a list of at most {} entries", limit));
    return entries;
  }
  for (const json& object : *list) {
    JsonFields members(object, fmt::format("an entry of '{}'", name), event_text_bytes_max);
    entries.push_back(read_one(members));
    if (members.error()) fields.blame(members.error()->message);
  }
  return entries;
}

Event read_timeline(JsonFields& fields) {
  return TimelineEvent{
      read_list<TimelineStep>(fields, "steps", timeline_steps_max, [](JsonFields& step) -> TimelineStep {
        return {step.text("name"), step.number("start_ms", /*negative_too=*/true), step.number("ms")};
      })};
}

Event read_containers(JsonFields& fields) {
  return ContainersEvent{
      read_list<ContainerInfo>(fields, "containers", list_entries_max, [](JsonFields& info) -> ContainerInfo {
        return {.name = info.text("name"),
                .state = info.text("state"),
                .pid = static_cast<int64_t>(info.count("pid", 0, INT32_MAX)),
                .memory_bytes = info.count("memory_bytes"),
                .address = info.text("address"),
                .session = info.text("session")};
      })};
}

Event read_sessions(JsonFields& fields) {
  return SessionsEvent{
      read_list<SessionInfo>(fields, "sessions", list_entries_max, [](JsonFields& info) -> SessionInfo {
        return {.session = info.text("session"),
                .container = info.text("container"),
                .role = info.text("role"),
                .from = info.text("from"),
                .to = info.text("to"),
                .phase = read_phase(info),
                .age_s = info.number("age_s"),
                .pause_ms = info.number("pause_ms"),
                .reason = info.text("reason")};
      })};
}

Event read_addresses(JsonFields& fields) {
  return AddressesEvent{.kept = read_list<KeptAddressInfo>(fields, "kept", addresses_max,
                                                           [](JsonFields& info) -> KeptAddressInfo {
                                                             return {.sandbox = info.text("sandbox"),
                                                                     .addresses = info.texts("addresses")};
                                                           }),
                        .guests = read_list<GuestAddressInfo>(fields, "guests", addresses_max,
                                                              [](JsonFields& info) -> GuestAddressInfo {
                                                                return {.address = info.text("address"),
                                                                        .routed = info.flag("routed"),
                                                                        .state = info.text("state")};
                                                              }),
                        .routes = read_list<AddressesRequest::Route>(
                            fields, "routes", addresses_max, [](JsonFields& info) -> AddressesRequest::Route {
                              return {.address = info.text("address"), .via = info.text("via")};
                            })};
}

Event read_result(JsonFields& fields) {
  ResultEvent result{.ok = fields.flag("ok"),
                     .unknown = fields.flag("unknown"),
                     .session = fields.text("session"),
                     .container = fields.text("container"),
                     .from = fields.text("from"),
                     .to = fields.text("to"),
                     .pause_ms = fields.number("pause_ms"),
                     .client_gap_ms = fields.has("client_gap_ms") ? fields.number("client_gap_ms") : 0,
                     .memory_bytes = fields.count("memory_bytes"),
                     .bytes_on_wire = fields.count("bytes_on_wire"),
                     .rounds = fields.count("rounds"),
                     .frozen_during_precopy_ms = fields.number("frozen_during_precopy_ms"),
                     .rolled_back = fields.flag("rolled_back"),
                     .lost = fields.flag("lost"),
                     .network = fields.has("network") ? fields.text("network") : "",
                     .reason = fields.text("reason")};
  if (result.ok && (result.unknown || result.rolled_back || result.lost)) {
    fields.blame("'ok' contradicts 'unknown', 'rolled_back' or 'lost'");
  }
  return result;
}

constexpr std::array<std::pair<std::string_view, Decoder>, 11> decoders{{{"session", read_session},
                                                                         {"phase", read_phase_event},
                                                                         {"progress", read_progress},
                                                                         {"round", read_round},
                                                                         {"missed-round", read_missed_round},
                                                                         {"note", read_note},
                                                                         {"timeline", read_timeline},
                                                                         {"containers", read_containers},
                                                                         {"sessions", read_sessions},
                                                                         {"addresses", read_addresses},
                                                                         {"result", read_result}}};

}  // namespace

std::string_view phase_name(Phase phase) {
  for (const auto& [known, name] : phase_names) {
    if (known == phase) return name;
  }
  return "failed";
}

std::string encode_event(const Event& event) {
  json object = std::visit([](const auto& one) { return to_json(one); }, event);
  const auto dump = [&] { return object.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace); };
  std::string line = dump();
  // Only lists can come near the limit; half of one is better than a line that the reader refuses.
  for (const char* name : {"containers", "sessions", "steps", "routes"}) {
    while (line.size() > event_line_bytes_max && object.contains(name)) {
      json& list = object[name];
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(list.size() / 2), list.end());
      line = dump();
    }
  }
  return line;
}

Result<Event> decode_event(std::string_view line) {
  if (line.size() > event_line_bytes_max) return fail("event of {} bytes is too long", line.size());
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return fail("event is not JSON: {}", line.substr(0, 80));
  JsonFields fields(object, "event", event_text_bytes_max);
  const std::string name = fields.text("event");
  if (fields.error()) return std::unexpected(*fields.error());
  for (const auto& [known, decode] : decoders) {
    if (name != known) continue;
    JsonFields members(object, fmt::format("event '{}'", name), event_text_bytes_max);
    Event event = decode(members);
    if (members.error()) return std::unexpected(*members.error());
    return event;
  }
  return fail("unknown event '{}'", name);
}

}  // namespace godwit::agent
