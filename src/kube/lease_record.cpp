#include "kube/lease_record.h"

#include <utility>

#include "kube/json_path.h"

namespace godwit::kube {

using nlohmann::json;

LeaseRecord decode_lease(const json& lease) {
  return {
      .holder = text_at(lease, "/spec/holderIdentity"),
      .duration = std::chrono::seconds(number_at(lease, "/spec/leaseDurationSeconds")),
      .acquire_time = text_at(lease, "/spec/acquireTime"),
      .renew_time = text_at(lease, "/spec/renewTime"),
      .transitions = number_at(lease, "/spec/leaseTransitions"),
      .resource_version = resource_version_of(lease),
      .created = text_at(lease, "/metadata/creationTimestamp"),
  };
}

LeaseSighting sight(const std::optional<LeaseSighting>& before, LeaseRecord record, Clock::time_point now) {
  if (before && before->record == record) return *before;
  return {std::move(record), now};
}

bool may_acquire(const LeaseSighting& sighting, const LeaseTerms& terms, Clock::time_point now) {
  const LeaseRecord& record = sighting.record;
  if (record.holder.empty() || record.holder == terms.identity) return true;
  // The holder may count on a longer time than we would.
  return now >= sighting.since + std::max(record.duration, terms.duration);
}

json acquired_spec(const LeaseRecord& record, const LeaseTerms& terms, WallTime now) {
  json spec = {{"holderIdentity", terms.identity},
               {"leaseDurationSeconds", terms.duration.count()},
               {"renewTime", format_micro_time(now)}};
  if (record.holder != terms.identity) {
    spec["acquireTime"] = format_micro_time(now);
    spec["leaseTransitions"] = record.transitions + 1;
  }
  return spec;
}

json released_spec(const LeaseRecord& record, WallTime now) {
  return {{"holderIdentity", ""},
          {"leaseDurationSeconds", 1},
          {"leaseTransitions", record.transitions},
          {"renewTime", format_micro_time(now)}};
}

}  // namespace godwit::kube
