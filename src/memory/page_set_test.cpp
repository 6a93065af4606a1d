#include "memory/page_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace godwit::memory {
namespace {

using Runs = std::vector<std::pair<uint64_t, uint64_t>>;

Runs runs_of(const PageSet& set) {
  Runs runs;
  EXPECT_TRUE(set.for_each_run([&](uint64_t address, uint64_t pages) -> Result<> {
                   runs.emplace_back(address, pages);
                   return {};
                 })
                  .has_value());
  return runs;
}

TEST(PageSet, JoinsRunsOverBlocks) {
  PageSet set;
  set.insert(510 * 4096, 4);
  set.insert(514 * 4096, 1);
  set.insert(2000 * 4096, 1);
  EXPECT_EQ(runs_of(set), (Runs{{510 * 4096, 5}, {2000 * 4096, 1}}));
  EXPECT_EQ(set.count(), 6U);
}

TEST(PageSet, StopsAtTheFirstError) {
  PageSet set;
  set.insert(0, 1);
  set.insert(8192, 1);
  int calls = 0;
  const auto result = set.for_each_run([&](uint64_t, uint64_t) -> Result<> {
    ++calls;
    return fail("enough");
  });
  EXPECT_FALSE(result.has_value());
  EXPECT_EQ(calls, 1);
}

TEST(PageSet, TakesOfAnotherWhatLiesBetweenTwoAddresses) {
  PageSet other;
  other.insert(500 * 4096, 1100);  // of four blocks
  other.insert(5000 * 4096, 3);
  const auto between = [&](uint64_t first, uint64_t end) {
    PageSet part;
    part.insert(other, first * 4096, end * 4096);
    return runs_of(part);
  };
  EXPECT_EQ(between(0, 500), Runs{});
  EXPECT_EQ(between(0, 501), (Runs{{500 * 4096, 1}}));
  EXPECT_EQ(between(511, 513), (Runs{{511 * 4096, 2}})) << "over the edge of a block";
  EXPECT_EQ(between(512, 1024), (Runs{{512 * 4096, 512}})) << "exactly a block";
  EXPECT_EQ(between(563, 577), (Runs{{563 * 4096, 14}})) << "over the edge of a word";
  EXPECT_EQ(between(700, 700), Runs{});
  EXPECT_EQ(between(0, 1 << 20), runs_of(other));
  EXPECT_EQ(between(1600, 5000), Runs{}) << "a gap of whole blocks";
  PageSet part;
  part.insert(other, 0, 500 * 4096);
  EXPECT_TRUE(part.empty()) << "a block that is touched but holds nothing there";
  part.insert(0, 1);
  part.insert(other, 5001 * 4096, 6000 * 4096);
  EXPECT_EQ(runs_of(part), (Runs{{0, 1}, {5001 * 4096, 2}})) << "what was there stays";
}

TEST(PageSet, FindsTheFirstPageBetweenTwoAddresses) {
  PageSet set;
  EXPECT_EQ(set.first(0, 1 << 30), std::nullopt);
  set.insert(510 * 4096, 4);
  set.insert(3000 * 4096, 1);
  EXPECT_EQ(set.first(0, 510 * 4096), std::nullopt) << "the end does not belong to it";
  EXPECT_EQ(set.first(0, 511 * 4096), 510 * 4096U);
  EXPECT_EQ(set.first(512 * 4096, 1 << 30), 512 * 4096U) << "in the next block";
  EXPECT_EQ(set.first(513 * 4096, 513 * 4096), std::nullopt);
  EXPECT_EQ(set.first(514 * 4096, 3000 * 4096), std::nullopt) << "nothing for whole blocks";
  EXPECT_EQ(set.first(514 * 4096, 3001 * 4096), 3000 * 4096U);
  EXPECT_EQ(set.first(3001 * 4096, 1 << 30), std::nullopt);
}

// Against std::set, which cannot be wrong.
TEST(PageSet, AgreesWithAPlainSet) {
  std::mt19937 random(1);
  const auto fill = [&](PageSet& set, std::set<uint64_t>& plain) {
    for (int i = 0; i < 40; ++i) {
      const uint64_t page = random() % 5000;
      const uint64_t pages = 1 + random() % (i % 8 == 0 ? 1500 : 70);
      set.insert(page * 4096, pages);
      for (uint64_t n = 0; n < pages; ++n) plain.insert(page + n);
    }
  };
  const auto same = [](const PageSet& set, const std::set<uint64_t>& plain) {
    std::set<uint64_t> pages;
    for (const auto& [address, count] : runs_of(set)) {
      for (uint64_t n = 0; n < count; ++n) EXPECT_TRUE(pages.insert(address / 4096 + n).second);
    }
    return pages == plain && set.count() == plain.size() && set.empty() == plain.empty();
  };
  for (int round = 0; round < 50; ++round) {
    PageSet a;
    PageSet b;
    std::set<uint64_t> plain_a;
    std::set<uint64_t> plain_b;
    fill(a, plain_a);
    fill(b, plain_b);
    ASSERT_TRUE(same(a, plain_a));
    std::set<uint64_t> plain_difference;
    std::ranges::set_difference(plain_a, plain_b, std::inserter(plain_difference, plain_difference.end()));
    ASSERT_TRUE(same(PageSet::difference(a, b), plain_difference));
    PageSet both = a;
    both.intersect(b);
    std::set<uint64_t> plain_both;
    std::ranges::set_intersection(plain_a, plain_b, std::inserter(plain_both, plain_both.end()));
    ASSERT_TRUE(same(both, plain_both));
    a.insert(b);
    plain_a.insert(plain_b.begin(), plain_b.end());
    ASSERT_TRUE(same(a, plain_a));
    for (int i = 0; i < 20; ++i) {
      const uint64_t from = random() % 7000;
      const uint64_t to = from + random() % 1500;
      const auto in_range = std::pair(plain_b.lower_bound(from), plain_b.lower_bound(to));
      std::set<uint64_t> plain_part(plain_a);
      plain_part.insert(in_range.first, in_range.second);
      PageSet part = a;
      part.insert(b, from * 4096, to * 4096);
      ASSERT_TRUE(same(part, plain_part)) << from << " to " << to;
      const auto found = b.first(from * 4096, to * 4096);
      ASSERT_EQ(found.has_value(), in_range.first != in_range.second) << from << " to " << to;
      if (found) ASSERT_EQ(*found, *in_range.first * 4096);
    }
    for (uint64_t page = 0; page < 7000; ++page) ASSERT_EQ(a.contains(page * 4096), plain_a.contains(page));
  }
}

}  // namespace
}  // namespace godwit::memory
