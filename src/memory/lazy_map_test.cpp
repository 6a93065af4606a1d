#include "memory/lazy_map.h"

#include <gtest/gtest.h>

#include <vector>

#include "memory/page_sink.h"

namespace godwit::memory {
namespace {

constexpr uint64_t page = page_size_bytes;
constexpr uint64_t chunk = PageArena::chunk_pages * page;
constexpr uint64_t a = 100 * chunk;
constexpr uint64_t b = 200 * chunk;
constexpr uint64_t c = 300 * chunk;

// `count` pending pages at the beginning of the 2 MiB at `start`.
LazyMap map_with(std::initializer_list<uint64_t> starts, uint64_t count = 10) {
  LazyMap map;
  ChunkPages pages;
  for (uint64_t i = 0; i < count; ++i) pages.set(i);
  for (const uint64_t start : starts) map.add(start, pages);
  return map;
}

// Where the store keeps what belongs at `address`; 0 if nothing is pending there.
uint64_t source_at(const LazyMap& map, uint64_t address) {
  const auto run = map.around(address, page);
  return run ? run->source : 0;
}

uint64_t reachable_pages(const LazyMap& map) {
  uint64_t pages = 0;
  for (uint64_t at = 0;;) {
    const auto run = map.next(at, 512);
    if (!run) return pages;
    pages += run->pages;
    at = run->address + run->pages * page;
  }
}

TEST(LazyMap, FindsRunsInOrderAndBounded) {
  LazyMap map = map_with({a, b});
  EXPECT_EQ(map.pending_pages(), 20U);
  auto run = map.next(0, 4);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->address, a);
  EXPECT_EQ(run->pages, 4U);
  run = map.next(a + 4 * page, 100);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->address, a + 4 * page);
  EXPECT_EQ(run->pages, 6U);
  run = map.next(a + 10 * page, 100);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->address, b);
  EXPECT_FALSE(map.next(b + 10 * page, 100));
}

TEST(LazyMap, FaultBringsNeighboursWithinItsWindow) {
  LazyMap map = map_with({a}, 100);
  map.placed(a + 20 * page, 1);
  const auto run = map.around(a + 24 * page, 16 * page);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->address, a + 21 * page);  // not 16: 20 is there already
  EXPECT_EQ(run->pages, 11U);              // to 31, where the window ends
  EXPECT_EQ(run->source, run->address);
  EXPECT_FALSE(map.around(a + 20 * page, 16 * page));
  EXPECT_FALSE(map.around(a + 100 * page, 16 * page));
}

TEST(LazyMap, PlacedPagesAreDrainedOnceAPieceIsComplete) {
  LazyMap map = map_with({a});
  map.placed(a, 9);
  EXPECT_TRUE(map.take_drained().empty());
  EXPECT_EQ(map.needed(a, 512).count(), 1U);
  map.placed(a + 9 * page, 1);
  const auto drained = map.take_drained();
  ASSERT_EQ(drained.size(), 1U);
  EXPECT_EQ(drained[0].address, a);
  EXPECT_TRUE(map.needed(a, 512).none());
  EXPECT_EQ(map.pending_pages(), 0U);
}

TEST(LazyMap, RemovedPagesAreNeverPlaced) {
  LazyMap map = map_with({a});
  map.removed(a + 2 * page, a + 5 * page);
  EXPECT_EQ(map.pending_pages(), 7U);
  EXPECT_FALSE(map.around(a + 3 * page, page));
  EXPECT_EQ(source_at(map, a + 5 * page), a + 5 * page);
  EXPECT_EQ(map.forked().pending_pages(), 7U);
}

TEST(LazyMap, RemapMovesContentsAndUnmapDropsThem) {
  LazyMap map = map_with({a});
  map.remapped(a + 2 * page, b + 7 * page, 4 * page);
  EXPECT_EQ(map.pending_pages(), 10U);
  EXPECT_EQ(source_at(map, b + 7 * page), a + 2 * page);
  EXPECT_EQ(source_at(map, b + 10 * page), a + 5 * page);
  EXPECT_EQ(source_at(map, a + 2 * page), 0U);
  EXPECT_EQ(source_at(map, a + 6 * page), a + 6 * page);
  map.unmapped(b + 8 * page, b + 100 * page);
  EXPECT_EQ(map.pending_pages(), 7U);
  EXPECT_EQ(source_at(map, b + 7 * page), a + 2 * page);
  EXPECT_EQ(source_at(map, b + 8 * page), 0U);
  EXPECT_EQ(reachable_pages(map), 7U);
  map.settled();
  EXPECT_EQ(map.needed(a, 512).count(), 7U);
}

TEST(LazyMap, ChainOfRemapsKeepsTheSource) {
  LazyMap map = map_with({a});
  map.remapped(a, b, 10 * page);
  map.settled();
  map.remapped(b + page, c, 3 * page);
  map.settled();
  EXPECT_EQ(source_at(map, c + 2 * page), a + 3 * page);
  EXPECT_EQ(source_at(map, b), a);
  map.placed(c, 3);
  EXPECT_EQ(map.pending_pages(), 7U);
  EXPECT_EQ(map.needed(a, 512).to_ullong(), 0b1111110001U);
}

// mremap(a -> b), mremap(c -> a) by another thread, and only then the second event of the first.
TEST(LazyMap, EchoOfARemapTakesNothing) {
  LazyMap map = map_with({a, c});
  map.remapped(a, b, 10 * page);
  map.remapped(c, a, 10 * page);
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(source_at(map, a), c);
  EXPECT_EQ(source_at(map, b), a);
  map.unmapped(c, c + 10 * page);
  EXPECT_EQ(reachable_pages(map), 20U);
  // There is one echo for each.
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(source_at(map, a), 0U);
  EXPECT_EQ(map.pending_pages(), 10U);
}

TEST(LazyMap, NoEchoIsExpectedOnceNoEventIsOnItsWay) {
  LazyMap map = map_with({a, c});
  map.remapped(a, b, 10 * page);  // with MREMAP_DONTUNMAP, say
  map.settled();
  map.remapped(c, a, 10 * page);
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(source_at(map, a), 0U);
}

// Another thread's munmap(a) happened before mremap(b -> a), but its event was queued later.
TEST(LazyMap, UnmapThatComesAfterTheRangeWasTakenAgain) {
  LazyMap map = map_with({a, b});
  map.remapped(b, a, 10 * page);
  EXPECT_EQ(source_at(map, a), b);
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(source_at(map, a), b);
  EXPECT_EQ(map.pending_pages(), 10U);
  // The next one is meant for what is there now.
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(map.pending_pages(), 0U);
}

// mremap(a -> c) and then mremap(b -> a), the events the other way round.
TEST(LazyMap, RemapsThatAreReportedInTheWrongOrder) {
  LazyMap map = map_with({a, b});
  map.remapped(b, a, 10 * page);
  EXPECT_EQ(map.pending_pages(), 20U);
  map.remapped(a, c, 10 * page);
  EXPECT_EQ(source_at(map, a + page), b + page);
  EXPECT_EQ(source_at(map, c + page), a + page);
  EXPECT_EQ(reachable_pages(map), 20U);
}

// Also where what was there had been placed already: its going must not take the new contents along.
TEST(LazyMap, UnmapThatComesLateForPlacedPages) {
  LazyMap map = map_with({a, b});
  map.placed(a, 10);
  map.remapped(b, a, 10 * page);
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(source_at(map, a + 9 * page), b + 9 * page);
  EXPECT_EQ(map.pending_pages(), 10U);
}

TEST(LazyMap, LateUnmapOfMoreThanWasTakenAgain) {
  LazyMap map = map_with({a, b});
  map.remapped(b, a + 4 * page, 2 * page);
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(source_at(map, a + 4 * page), b);
  EXPECT_EQ(source_at(map, a + 5 * page), b + page);
  EXPECT_EQ(source_at(map, a + 3 * page), 0U);
  EXPECT_EQ(source_at(map, a + 6 * page), 0U);
  EXPECT_EQ(map.pending_pages(), 10U);
}

TEST(LazyMap, WhatWasSetAsideIsForgottenOnceNoEventIsOnItsWay) {
  LazyMap map = map_with({a, b});
  map.remapped(b, a, 10 * page);
  map.settled();
  EXPECT_EQ(map.pending_pages(), 10U);
  map.unmapped(a, a + 10 * page);
  EXPECT_EQ(map.pending_pages(), 0U);
}

TEST(LazyMap, ChildHasWhatTheParentLacked) {
  LazyMap parent = map_with({a, b});
  parent.placed(a, 5);
  LazyMap child = parent.forked();
  EXPECT_EQ(child.pending_pages(), 15U);
  parent.placed(a + 5 * page, 5);
  parent.unmapped(b, b + chunk);
  parent.settled();
  EXPECT_EQ(parent.pending_pages(), 0U);
  EXPECT_EQ(source_at(child, a + 5 * page), a + 5 * page);
  EXPECT_EQ(source_at(child, b), b);
  EXPECT_EQ(child.needed(b, 512).count(), 10U);
}

// fork(), then another thread's mremap(a -> b) or munmap(c); the fork's event comes last.
TEST(LazyMap, ChildHasWhatWentAfterTheForkButWasReportedBefore) {
  LazyMap parent = map_with({a, c});
  parent.remapped(a, b, 10 * page);
  parent.unmapped(c, c + chunk);
  const LazyMap child = parent.forked();
  EXPECT_EQ(source_at(child, a), a);
  EXPECT_EQ(source_at(child, b), a);
  EXPECT_EQ(source_at(child, c), c);
  EXPECT_EQ(parent.pending_pages(), 10U);
  EXPECT_EQ(child.needed(c, 512).count(), 10U);
  EXPECT_TRUE(parent.needed(c, 512).none());
  // Only within one batch: later the process may have something else there.
  parent.batch_ended();
  EXPECT_EQ(parent.forked().pending_pages(), 10U);
}

TEST(LazyMap, ConfineKeepsExactlyTheRanges) {
  LazyMap map = map_with({a, b}, 100);
  const std::vector<LazyRange> ranges = {{a + 10 * page, a + 20 * page}, {a + 50 * page, b + 5 * page}};
  map.confine(ranges);
  EXPECT_EQ(map.pending_pages(), 10U + 50U + 5U);
  EXPECT_EQ(source_at(map, a), 0U);
  EXPECT_EQ(source_at(map, a + 10 * page), a + 10 * page);
  EXPECT_EQ(source_at(map, a + 20 * page), 0U);
  EXPECT_EQ(source_at(map, b + 4 * page), b + 4 * page);
  EXPECT_EQ(source_at(map, b + 5 * page), 0U);
  EXPECT_TRUE(map.take_drained().empty());  // the rest is somebody else's, not given up
  // Ranges without contents are known too: see UnmapThatComesLate.
  map.remapped(a + 10 * page, b - 10 * page, 2 * page);
  map.unmapped(b - 10 * page, b - 8 * page);
  EXPECT_EQ(source_at(map, b - 10 * page), a + 10 * page);
}

TEST(LazyMap, WipeOnForkGivesTheChildNothing) {
  LazyMap map = map_with({a});
  const std::vector<LazyRange> ranges = {
      {a, a + 4 * page}, {a + 4 * page, a + 6 * page, true}, {a + 6 * page, a + chunk}};
  map.confine(ranges);
  const LazyMap child = map.forked();
  EXPECT_EQ(child.pending_pages(), 8U);
  EXPECT_EQ(source_at(child, a + 4 * page), 0U);
  EXPECT_EQ(source_at(child, a + 6 * page), a + 6 * page);
  EXPECT_EQ(map.pending_pages(), 10U);
}

TEST(LazyMap, ClearedMapNeedsNothing) {
  LazyMap map = map_with({a, b});
  map.remapped(a, c, page);
  map.clear();
  EXPECT_EQ(map.pending_pages(), 0U);
  EXPECT_FALSE(map.next(0, 1));
  EXPECT_TRUE(map.needed(a, 512).none());
  EXPECT_FALSE(map.take_drained().empty());
}

}  // namespace
}  // namespace godwit::memory
