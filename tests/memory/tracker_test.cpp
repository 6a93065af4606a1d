// Trackers on real processes, one kind of change at a time. precopy_test.cpp mixes them all.
#include "memory/tracker.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>

#include "child.h"
#include "os/pagemap.h"

namespace godwit::memory {
namespace {

TEST(TrackerProbes, SaysWhatWorksAndWhyNot) {
  const auto start = Clock::now();
  const auto probes = probe_trackers();
  const double took_ms = elapsed_ms(start);
  ASSERT_EQ(probes.size(), 3U);
  for (const TrackerProbe& probe : probes) {
    std::printf("%s: %s (%s)\n", to_string(probe.kind), probe.works ? "works" : "does not work", probe.reason.c_str());
    EXPECT_FALSE(probe.reason.empty());
  }
  std::printf("probed in %.1f ms\n", took_ms);
  EXPECT_TRUE(probes.back().works);
  EXPECT_NE(best_tracker(probes), TrackerKind::none);
}

}  // namespace
}  // namespace godwit::memory
