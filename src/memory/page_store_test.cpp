#include "memory/page_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace godwit::memory {
namespace {

constexpr uint64_t page = page_size_bytes;
constexpr uint64_t leaf = 512 * page;
constexpr uint64_t base = 0x7f0000000000;

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

std::unique_ptr<PageStore> make_store(uint64_t limit_bytes = 0) {
  auto store = PageStore::create({.limit_bytes = limit_bytes});
  EXPECT_TRUE(store);
  return std::move(*store);
}

uint64_t anonymous_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Anonymous:")) return std::stoull(line.substr(10)) << 10;
  }
  ADD_FAILURE() << "smaps_rollup has no line Anonymous";
  return 0;
}

// The contents of a page are its tag repeated.
void fill(std::span<std::byte> memory, uint64_t tag) {
  for (size_t at = 0; at < memory.size(); at += sizeof tag) std::memcpy(memory.data() + at, &tag, sizeof tag);
}

bool holds(const std::byte* memory, uint64_t tag) {
  for (size_t at = 0; at < page; at += sizeof tag) {
    if (std::memcmp(memory + at, &tag, sizeof tag) != 0) return false;
  }
  return true;
}

// Places all of it, however many spans it takes, each page with the tag of `tag_of(address)`.
template <typename Tag>
Result<> place_all(PageStore& store, uint32_t process, uint64_t address, uint32_t pages, Tag tag_of) {
  while (pages > 0) {
    GODWIT_ASSIGN(auto memory, store.place(process, address, pages));
    for (size_t at = 0; at < memory.size(); at += page) fill(memory.subspan(at, page), tag_of(address + at));
    address += memory.size();
    pages -= static_cast<uint32_t>(memory.size() / page);
  }
  return {};
}

void place_tagged(PageStore& store, uint32_t process, uint64_t address, uint32_t pages, uint64_t tag) {
  const auto placed = place_all(store, process, address, pages, [tag](uint64_t) { return tag; });
  ASSERT_TRUE(placed) << placed.error().message;
}

TEST(PageStore, KeepsWhatWasPlacedAndOverwritesInPlace) {
  auto store = make_store();
  auto first = store->place(1, base + 5 * page, 3);
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_EQ(first->size(), 3 * page);
  fill(*first, 7);
  auto second = store->place(1, base + 6 * page, 1);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->data(), first->data() + page);
  fill(*second, 8);
  const StoredRun run = store->next_run(1, 0, UINT64_MAX);
  EXPECT_EQ(run.address, base + 5 * page);
  EXPECT_EQ(run.pages, 3U);
  EXPECT_EQ(run.state, PageState::data);
  EXPECT_TRUE(holds(run.data, 7));
  EXPECT_TRUE(holds(run.data + page, 8));
  EXPECT_TRUE(holds(run.data + 2 * page, 7));
  EXPECT_EQ(store->statistics().data_pages, 3U);
  EXPECT_EQ(store->next_run(1, run.address + 3 * page, UINT64_MAX).pages, 0U);
  EXPECT_EQ(store->next_run(2, 0, UINT64_MAX).pages, 0U);
}

TEST(PageStore, SpansEndWhereTheirChunkEnds) {
  auto store = make_store();
  auto memory = store->place(1, base + leaf - 2 * page, 10);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->size(), 2 * page);
  place_tagged(*store, 1, base + leaf - 2 * page, 10, 3);
  EXPECT_EQ(store->statistics().data_pages, 10U);
  EXPECT_EQ(store->next_run(1, base, UINT64_MAX).pages, 2U);
  EXPECT_EQ(store->next_run(1, base + leaf, UINT64_MAX).pages, 8U);
}

TEST(PageStore, TellsZeroFromAbsent) {
  auto store = make_store();
  place_tagged(*store, 1, base, 8, 1);
  ASSERT_TRUE(store->zero(1, base + 2 * page, 2));
  ASSERT_TRUE(store->drop(1, base + 5 * page, 1));
  ASSERT_TRUE(store->zero(1, base + 100 * leaf, 3));
  EXPECT_EQ(store->state(1, base + page), PageState::data);
  EXPECT_EQ(store->state(1, base + 3 * page), PageState::zero);
  EXPECT_EQ(store->state(1, base + 5 * page), PageState::absent);
  EXPECT_EQ(store->state(1, base + 8 * page), PageState::absent);
  EXPECT_EQ(store->state(1, base + 100 * leaf + page), PageState::zero);
  EXPECT_EQ(store->statistics().data_pages, 5U);
  EXPECT_EQ(store->statistics().zero_pages, 5U);
  EXPECT_EQ(store->stored_pages(1), 10U);
  const StoredRun zeros = store->next_run(1, base + 2 * page, UINT64_MAX);
  EXPECT_EQ(zeros.state, PageState::zero);
  EXPECT_EQ(zeros.pages, 2U);
  EXPECT_EQ(zeros.data, nullptr);
  // A page that was zero holds what is placed then, one that was dropped is not the old one.
  place_tagged(*store, 1, base + 2 * page, 1, 9);
  EXPECT_EQ(store->state(1, base + 2 * page), PageState::data);
  EXPECT_EQ(store->statistics().zero_pages, 4U);
  auto again = store->place(1, base + 5 * page, 1);
  ASSERT_TRUE(again);
  EXPECT_TRUE(holds(again->data(), 0)) << "memory that was given back must not keep its contents";
}

TEST(PageStore, ForgetsAProcess) {
  auto store = make_store();
  place_tagged(*store, 1, base, 700, 1);
  place_tagged(*store, 2, base, 700, 2);
  ASSERT_TRUE(store->zero(1, base + 3 * leaf, 9));
  EXPECT_THAT(store->processes(), testing::ElementsAre(1, 2));
  store->drop_process(1);
  EXPECT_THAT(store->processes(), testing::ElementsAre(2));
  EXPECT_EQ(store->stored_pages(1), 0U);
  const StoredRun run = store->next_run(2, 0, UINT64_MAX);
  ASSERT_EQ(run.pages, 512U);
  EXPECT_TRUE(holds(run.data + 511 * page, 2));
  store->drop_process(2);
  EXPECT_EQ(store->statistics().resident_bytes, 0U);
  EXPECT_EQ(store->statistics().index_bytes, 0U);
}

TEST(PageStore, KnowsTheRoundThatAPageCameIn) {
  auto store = make_store();
  store->begin_round(1);
  place_tagged(*store, 1, base, 600, 1);
  store->begin_round(2);
  place_tagged(*store, 1, base + 10 * page, 4, 2);
  store->begin_round(3);
  place_tagged(*store, 1, base + 12 * page, 1, 3);
  StoredRun run = store->next_run(1, 0, UINT64_MAX, 3);
  EXPECT_EQ(run.address, base + 12 * page);
  EXPECT_EQ(run.pages, 1U);
  EXPECT_EQ(store->next_run(1, base + 13 * page, UINT64_MAX, 3).pages, 0U);
  run = store->next_run(1, 0, UINT64_MAX, 2);
  EXPECT_EQ(run.address, base + 10 * page);
  EXPECT_EQ(run.pages, 4U);
  EXPECT_EQ(store->next_run(1, base + 11 * page, base + 12 * page, 2).pages, 1U);
  // Rounds are counted further than they are told apart.
  store->begin_round(400);
  place_tagged(*store, 1, base + 500 * page, 1, 4);
  EXPECT_EQ(store->next_run(1, 0, UINT64_MAX, 400).address, base + 500 * page);
}

TEST(PageStore, RefusesMoreThanItsLimitAndSaysSo) {
  auto store = make_store(100 * page);
  place_tagged(*store, 1, base, 60, 1);
  const auto refused = store->place(1, base + leaf, 41);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOSPC);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("raise the limit"));
  place_tagged(*store, 1, base, 60, 2);  // rewriting takes nothing
  place_tagged(*store, 1, base + leaf, 40, 2);
  EXPECT_FALSE(store->place(2, base, 1));
  ASSERT_TRUE(store->drop(1, base, 10));
  place_tagged(*store, 2, base, 10, 3);
  EXPECT_LE(store->statistics().resident_peak_bytes, 100 * page);
}

TEST(PageStore, AHugePageThatIsNotFilledCountsOnlyWhileThereIsRoom) {
  auto store = make_store(600 * page);
  place_tagged(*store, 1, base, 300, 1);  // takes a huge page
  EXPECT_EQ(store->statistics().resident_bytes, 512 * page);
  place_tagged(*store, 1, base + leaf, 300, 2);
  EXPECT_EQ(store->statistics().resident_bytes, 600 * page);
  EXPECT_FALSE(store->place(1, base + 2 * leaf, 1));
  for (uint64_t i = 0; i < 300; ++i) {
    const StoredRun run = store->next_run(1, base + i * page, UINT64_MAX);
    ASSERT_EQ(run.address, base + i * page);
    ASSERT_TRUE(holds(run.data, 1));
  }
}

TEST(PageStore, ReleasedPagesAreAbsentAndGivenBack) {
  auto store = make_store();
  const uint64_t before = anonymous_bytes();
  place_tagged(*store, 1, base, 20 * 512, 1);
  if (!sanitized) {
    EXPECT_GT(anonymous_bytes(), before + 19 * leaf);
  }
  store->release(1, base, 512);
  store->release(1, base + leaf + 3 * page, 100);
  EXPECT_EQ(store->state(1, base), PageState::absent);
  EXPECT_EQ(store->state(1, base + leaf + 2 * page), PageState::data);
  EXPECT_EQ(store->state(1, base + leaf + 3 * page), PageState::absent);
  EXPECT_EQ(store->statistics().data_pages, 19U * 512 - 100);
  EXPECT_LE(store->statistics().resident_bytes, 19 * leaf);
  store->release(1, base, 20 * 512);
  EXPECT_EQ(store->statistics().resident_bytes, 0U);
  if (!sanitized) {
    EXPECT_LT(anonymous_bytes(), before + leaf);
  }
}

TEST(PageStore, IndexIsSmall) {
  auto store = make_store();
  for (int i = 0; i < 20; ++i) place_tagged(*store, 1, base + i * leaf, 512, 1);
  const PageStoreStatistics statistics = store->statistics();
  EXPECT_LE(statistics.index_bytes, statistics.data_pages * 2);
}

// What a page must be: a tag, zero, or not there.
using Model = std::map<std::pair<uint32_t, uint64_t>, uint64_t>;

void expect_equal(const PageStore& store, const Model& model) {
  uint64_t found = 0;
  for (const uint32_t process : store.processes()) {
    for (uint64_t at = 0;;) {
      const StoredRun run = store.next_run(process, at, UINT64_MAX);
      if (run.pages == 0) break;
      for (uint64_t i = 0; i < run.pages; ++i) {
        const auto expected = model.find({process, run.address + i * page});
        ASSERT_NE(expected, model.end()) << process << " " << std::hex << run.address + i * page;
        if (run.state == PageState::zero) {
          EXPECT_EQ(expected->second, 0U);
        } else {
          ASSERT_TRUE(holds(run.data + i * page, expected->second));
        }
      }
      found += run.pages;
      at = run.address + run.pages * page;
    }
  }
  EXPECT_EQ(found, model.size());
}

// One lane's share of a round: ranges that are its own, as the barrier and the source's rounds have it.
void run_lane(PageStore& store, uint64_t seed, uint32_t lane, Model& model) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < 300; ++i) {
    const auto process = static_cast<uint32_t>(1 + random() % 3);
    // Lanes share every 2 MiB, a quarter each.
    const uint64_t slot = random() % 24;
    const uint64_t offset = random() % 128;
    const auto pages = static_cast<uint32_t>(1 + random() % (128 - offset));
    const uint64_t address = base + slot * leaf + lane * 128 * page + offset * page;
    const uint64_t tag = random() | 1;
    const uint64_t what = random() % 8;
    if (what < 5) {
      ASSERT_TRUE(place_all(store, process, address, pages, [&](uint64_t at) { return tag + at; }));
    } else if (what < 6) {
      ASSERT_TRUE(store.zero(process, address, pages));
    } else {
      ASSERT_TRUE(store.drop(process, address, pages));
    }
    for (uint64_t at = address; at < address + pages * page; at += page) {
      if (what < 6) {
        model[{process, at}] = what < 5 ? tag + at : 0;
      } else {
        model.erase({process, at});
      }
    }
  }
}

TEST(PageStore, LanesInParallelOverManyRounds) {
  constexpr uint32_t lanes = 4;
  auto store = make_store();
  const uint64_t before = anonymous_bytes();
  std::vector<Model> models(lanes);
  for (uint32_t round = 1; round <= 6; ++round) {
    store->begin_round(round);
    std::vector<std::thread> threads;
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      threads.emplace_back([&, lane] { run_lane(*store, round * 100 + lane, lane, models[lane]); });
    }
    for (auto& thread : threads) thread.join();
  }
  store->begin_round(7);
  Model all;
  for (const Model& model : models) all.insert(model.begin(), model.end());
  expect_equal(*store, all);
  const PageStoreStatistics statistics = store->statistics();
  EXPECT_EQ(statistics.data_pages + statistics.zero_pages, all.size());
  // After all that rewriting and dropping the store still holds hardly more than its contents.
  const auto contents = static_cast<double>(statistics.data_pages * page);
  EXPECT_LE(static_cast<double>(statistics.resident_bytes), contents * 1.05);
  if (!sanitized) {
    // The test's own model takes some.
    const double held = static_cast<double>(anonymous_bytes() - before) - static_cast<double>(all.size()) * 130;
    EXPECT_LE(held, contents * 1.05 + (4 << 20));
  }
}

}  // namespace
}  // namespace godwit::memory
