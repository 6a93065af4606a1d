// Aggregation of events as events.k8s.io/v1 means it (KEP-383): the first event of its kind is created; from the second
// on the same object carries a series with a count and the time of the last one. Pure: time is given, writes are
// returned.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "kube/timestamp.h"

namespace godwit::kube {

// Something that happened to `regarding`.
struct EventNote {
  nlohmann::json regarding;          // an object reference: reference_to()
  nlohmann::json related = nullptr;  // another object that took part, or null
  bool warning = false;
  std::string reason;  // CamelCase, e.g. "PreDumpFinished"
  std::string action;  // CamelCase: what was being done
  std::string note;    // in words
  // Events of one kind whose notes must all be seen (each round of a copy) give a different text here: a series keeps
  // the note of its first event only, because the API does not let it change.
  std::string distinction;
};

// The object reference that an event carries.
nlohmann::json reference_to(const nlohmann::json& object);

struct EventSource {
  std::string controller;  // a qualified name, e.g. "live.cast.ai/controller"
  std::string instance;    // e.g. the pod's name
};

// What is to be written. `create`: the whole event; else a merge patch of the one named.
struct EventWrite {
  bool create = false;
  std::string namespace_name;
  std::string name;
  nlohmann::json body;
  // For a patch whose event is gone (events live an hour): the whole event with its series.
  nlohmann::json whole;
};

struct SeriesLimits {
  std::chrono::seconds quiet_max{360};          // after this long without another event a series is over
  std::chrono::seconds refresh_interval{1800};  // a series that goes on is written this often
  size_t series_max = 2000;
};

// Not thread-safe.
class EventSeries {
 public:
  explicit EventSeries(EventSource source, SeriesLimits limits = {}) : source_(std::move(source)), limits_(limits) {}

  std::vector<EventWrite> add(const EventNote& note, Clock::time_point now, WallTime wall_now);
  // What time alone makes due: series that are over or were not refreshed for long.
  std::vector<EventWrite> due(Clock::time_point now);
  // The counts that are not written yet; forgets all series.
  std::vector<EventWrite> finish();
  [[nodiscard]] size_t size() const { return series_.size(); }

 private:
  struct Series {
    nlohmann::json event;  // as it was created
    int count = 1;
    int written_count = 1;
    WallTime last;
    Clock::time_point last_seen;
    Clock::time_point written;
  };

  [[nodiscard]] nlohmann::json make_event(const EventNote& note, WallTime now) const;
  static EventWrite patch_of(Series& series, Clock::time_point now);
  std::optional<EventWrite> evict_oldest(Clock::time_point now);

  const EventSource source_;
  const SeriesLimits limits_;
  std::map<std::string, Series> series_;
};

}  // namespace godwit::kube
