// The coordination.k8s.io/v1 Lease that an election is held with, and what a candidate does about it: pure functions.
//
// Clocks of different machines are never compared: a candidate takes a Lease over only if it has itself seen it
// unchanged for as long as it is good for, by its own clock.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "kube/timestamp.h"

namespace godwit::kube {

struct LeaseRecord {
  std::string holder;  // empty: given up
  std::chrono::seconds duration{0};
  std::string acquire_time;
  std::string renew_time;
  int64_t transitions = 0;
  std::string resource_version;
  std::string created;

  bool operator==(const LeaseRecord&) const = default;
};

LeaseRecord decode_lease(const nlohmann::json& lease);

// What a candidate saw, and since when it has been so.
struct LeaseSighting {
  LeaseRecord record;
  Clock::time_point since;
};
// Keeps `since` where nothing has changed.
LeaseSighting sight(const std::optional<LeaseSighting>& before, LeaseRecord record, Clock::time_point now);

struct LeaseTerms {
  std::string identity;  // unique: host name and something random
  std::chrono::seconds duration{15};
};

// Whether `terms.identity` may write itself into the Lease; it holds it already or the holder is silent or has left.
bool may_acquire(const LeaseSighting& sighting, const LeaseTerms& terms, Clock::time_point now);

// The spec that makes `terms.identity` the holder, as of `now`. A new holder gets the next transition count.
nlohmann::json acquired_spec(const LeaseRecord& record, const LeaseTerms& terms, WallTime now);
// The spec that gives the Lease up, so that the next candidate need not wait.
nlohmann::json released_spec(const LeaseRecord& record, WallTime now);

}  // namespace godwit::kube
