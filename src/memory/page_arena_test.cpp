#include "memory/page_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "memory/page_sink.h"

namespace godwit::memory {
namespace {

TEST(PageArena, LearnsThePriceOfBothKindsAndKeepsLearningIt) {
  const auto arena = PageArena::create().value();
  std::vector<bool> huge;
  for (int i = 0; i < 200; ++i) {
    huge.push_back(arena->prefer_huge());
    const uint32_t chunk = arena->allocate(huge.back()).value();
    ASSERT_TRUE(arena->populate(chunk, 0, PageArena::chunk_pages));
    arena->free(chunk);
  }
  EXPECT_TRUE(huge[0]);
  EXPECT_FALSE(huge[1]);
  // After that, which is cheaper is the machine's to say, but neither is forgotten for long.
  EXPECT_GE(std::ranges::count(huge, true), 3);
  EXPECT_GE(std::ranges::count(huge, false), 3);
}

TEST(PageArena, PopulatesAHugeChunkFromSeveralThreads) {
  const auto arena = PageArena::create().value();
  const uint32_t chunk = arena->allocate(true).value();
  constexpr uint32_t pages = 64;
  std::vector<std::thread> threads;
  for (uint32_t first = 0; first < PageArena::chunk_pages; first += pages) {
    threads.emplace_back([&, first] {
      EXPECT_TRUE(arena->populate(chunk, first, pages));
      std::fill_n(arena->page(chunk, first), pages * page_size_bytes, static_cast<std::byte>(first / pages));
    });
  }
  for (auto& thread : threads) thread.join();
  for (uint32_t page = 0; page < PageArena::chunk_pages; ++page) {
    EXPECT_EQ(*arena->page(chunk, page), static_cast<std::byte>(page / pages));
  }
}

}  // namespace
}  // namespace godwit::memory
