#include "memory/tracker.h"

#include "memory/tracker_none.h"
#include "memory/tracker_soft_dirty.h"
#include "memory/tracker_userfaultfd.h"

namespace godwit::memory {

const char* to_string(TrackerKind kind) {
  switch (kind) {
    case TrackerKind::userfaultfd:
      return "userfaultfd";
    case TrackerKind::soft_dirty:
      return "soft-dirty";
    case TrackerKind::none:
      return "none";
  }
  return "?";
}

std::unique_ptr<DirtyTracker> make_tracker(TrackerKind kind, pid_t pid, Pause pause) {
  switch (kind) {
    case TrackerKind::userfaultfd:
      return std::make_unique<UserfaultfdTracker>(pid);
    case TrackerKind::soft_dirty:
      return std::make_unique<SoftDirtyTracker>(pid, std::move(pause));
    case TrackerKind::none:
      break;
  }
  return std::make_unique<NoTracker>(pid);
}

TrackerKind best_tracker(const std::vector<TrackerProbe>& probes) {
  for (const TrackerProbe& probe : probes) {
    if (probe.works) return probe.kind;
  }
  return TrackerKind::none;
}

}  // namespace godwit::memory
