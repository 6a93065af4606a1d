#include "memory/replica.h"

namespace godwit::memory {

Result<> Replica::report(const RunFunction& emit, ScanReport& counts) {
  const PageSet dropped = PageSet::difference(held_, seen_);
  PageSet changed = PageSet::difference(seen_, held_);
  if (distrusted_) {
    changed = seen_;
  } else {
    unsent_.intersect(seen_);
    changed.insert(unsent_);
  }
  // Until all of it is out, both may be held: what was dropped, and what is new.
  held_.insert(seen_);
  distrusted_ = true;
  GODWIT_TRY(dropped.for_each_run([&](uint64_t address, uint64_t pages) {
    counts.absent_pages += pages;
    return emit({.address = address, .pages = pages, .kind = RunKind::absent});
  }));
  GODWIT_TRY(changed.for_each_run([&](uint64_t address, uint64_t pages) {
    counts.data_pages += pages;
    return emit({.address = address, .pages = pages, .kind = RunKind::data});
  }));
  counts.present_pages = seen_.count();
  held_.swap(seen_);
  seen_.clear();
  unsent_.clear();
  distrusted_ = false;
  return {};
}

}  // namespace godwit::memory
