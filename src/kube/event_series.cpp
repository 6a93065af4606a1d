#include "kube/event_series.h"

#include <algorithm>

#include "kube/json_path.h"

namespace godwit::kube {
namespace {

using nlohmann::json;

// What the API server accepts (pkg/apis/core/validation/events.go).
constexpr size_t note_bytes_max = 1024;
constexpr size_t word_bytes_max = 128;  // reason, action, reportingInstance
constexpr size_t name_bytes_max = 253;

// Cut to `most` bytes, not within a UTF-8 character.
std::string cut(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

std::string key_of(const EventNote& note) {
  const json key = {note.regarding, note.related, note.warning, note.reason, note.action, note.distinction};
  return key.dump();
}

std::string event_name(const json& regarding, WallTime now) {
  const std::string suffix = fmt::format(".{:x}", now.time_since_epoch().count());
  std::string name = cut(text_at(regarding, "/name"), name_bytes_max - suffix.size());
  while (!name.empty() && (name.back() == '.' || name.back() == '-')) name.pop_back();
  return name + suffix;
}

json series_json(int count, WallTime last) {
  return {{"count", count}, {"lastObservedTime", format_micro_time(last)}};
}

}  // namespace

json reference_to(const json& object) {
  json reference = json::object();
  const auto put = [&](const char* member, std::string value) {
    if (!value.empty()) reference[member] = std::move(value);
  };
  put("apiVersion", text_at(object, "/apiVersion"));
  put("kind", text_at(object, "/kind"));
  put("name", name_of(object));
  put("namespace", namespace_of(object));
  put("uid", uid_of(object));
  put("resourceVersion", resource_version_of(object));
  return reference;
}

json EventSeries::make_event(const EventNote& note, WallTime now) const {
  const std::string regarding_namespace = text_at(note.regarding, "/namespace");
  json event = {
      {"apiVersion", "events.k8s.io/v1"},
      {"kind", "Event"},
      {"metadata",
       {{"name", event_name(note.regarding, now)},
        // Events of objects that have no namespace live there.
        {"namespace", regarding_namespace.empty() ? "default" : regarding_namespace}}},
      {"eventTime", format_micro_time(now)},
      {"reportingController", source_.controller},
      {"reportingInstance", cut(source_.instance, word_bytes_max)},
      {"action", cut(note.action, word_bytes_max)},
      {"reason", cut(note.reason, word_bytes_max)},
      {"note", cut(note.note, note_bytes_max)},
      {"type", note.warning ? "Warning" : "Normal"},
      {"regarding", note.regarding},
  };
  if (!note.related.is_null()) event["related"] = note.related;
  return event;
}

EventWrite EventSeries::patch_of(Series& series, Clock::time_point now) {
  series.written_count = series.count;
  series.written = now;
  EventWrite write{.namespace_name = namespace_of(series.event), .name = name_of(series.event)};
  write.body = {{"series", series_json(series.count, series.last)}};
  write.whole = series.event;
  write.whole["series"] = write.body["series"];
  return write;
}

std::vector<EventWrite> EventSeries::add(const EventNote& note, Clock::time_point now, WallTime wall_now) {
  std::vector<EventWrite> writes;
  // An object's later versions are the same object.
  EventNote same = note;
  if (same.regarding.is_object()) same.regarding.erase("resourceVersion");
  if (same.related.is_object()) same.related.erase("resourceVersion");
  const std::string key = key_of(same);
  auto known = series_.find(key);
  if (known != series_.end() && now - known->second.last_seen > limits_.quiet_max) {
    if (known->second.count > known->second.written_count) writes.push_back(patch_of(known->second, now));
    series_.erase(known);
    known = series_.end();
  }
  if (known != series_.end()) {
    Series& series = known->second;
    ++series.count;
    series.last = wall_now;
    series.last_seen = now;
    if (series.count == 2 || now - series.written >= limits_.refresh_interval) writes.push_back(patch_of(series, now));
    return writes;
  }
  if (series_.size() >= limits_.series_max) {
    if (auto last = evict_oldest(now)) writes.push_back(*std::move(last));
  }
  Series begun{.event = make_event(note, wall_now), .last = wall_now, .last_seen = now, .written = now};
  writes.push_back({true, namespace_of(begun.event), name_of(begun.event), begun.event, nullptr});
  series_.emplace(key, std::move(begun));
  return writes;
}

std::optional<EventWrite> EventSeries::evict_oldest(Clock::time_point now) {
  const auto oldest = std::ranges::min_element(
      series_, [](const auto& a, const auto& b) { return a.second.last_seen < b.second.last_seen; });
  std::optional<EventWrite> last;
  if (oldest->second.count > oldest->second.written_count) last = patch_of(oldest->second, now);
  series_.erase(oldest);
  return last;
}

std::vector<EventWrite> EventSeries::due(Clock::time_point now) {
  std::vector<EventWrite> writes;
  for (auto at = series_.begin(); at != series_.end();) {
    Series& series = at->second;
    const bool over = now - series.last_seen > limits_.quiet_max;
    const bool unwritten = series.count > series.written_count;
    if (unwritten && (over || now - series.written >= limits_.refresh_interval)) {
      writes.push_back(patch_of(series, now));
    }
    at = over ? series_.erase(at) : std::next(at);
  }
  return writes;
}

std::vector<EventWrite> EventSeries::finish() {
  std::vector<EventWrite> writes;
  for (auto& [key, series] : series_) {
    if (series.count > series.written_count) writes.push_back(patch_of(series, Clock::now()));
  }
  series_.clear();
  return writes;
}

}  // namespace godwit::kube
