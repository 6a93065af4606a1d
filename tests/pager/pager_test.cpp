// The pager against real processes that live on their memory while it is being filled.
#include "memory/pager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>

#include "contents.h"
#include "guest_process.h"
#include "memory/eager_writer.h"
#include "memory/restored_mappings.h"

namespace godwit::pager_test {
namespace {

using memory::EagerWriter;
using memory::Pager;
using memory::PagerOptions;
using memory::PagerStatistics;
using memory::PageStore;
using std::chrono::seconds;

constexpr uint32_t process = 5;

// A store, a pager, and a guest that stands where criu's pre-resume stage is.
class PagerTest : public testing::Test {
 protected:
  void start(const GuestOptions& options, const PagerOptions& pager_options = {}) {
    auto made = PageStore::create({});
    ASSERT_TRUE(made) << made.error().message;
    store_ = std::move(*made);
    auto guest = GuestProcess::start(options);
    ASSERT_TRUE(guest) << guest.error().message;
    guest_.emplace(std::move(*guest));
    const auto stored = guest_->store(*store_, process);
    ASSERT_TRUE(stored) << stored.error().message;
    pager_ = std::make_unique<Pager>(*store_, pager_options);
    ASSERT_TRUE(pager_->start());
    ASSERT_TRUE(pager_->add(process, guest_->take_userfaultfd()));
  }
  void resume() {
    ASSERT_TRUE(pager_->store_complete());
    EagerWriter writer(*store_, *pager_);
    const auto written = writer.write_process(process, guest_->pid());
    ASSERT_TRUE(written) << written.error().message;
    const auto complete = writer.check_complete();
    ASSERT_TRUE(complete) << complete.error().message;
    EXPECT_EQ(writer.report().written_pages, 0U);
    ASSERT_TRUE(pager_->tasks_resume());
    ASSERT_TRUE(guest_->go());
  }
  PagerStatistics finish() {
    auto done = pager_->wait_done(Deadline::after(seconds(60)));
    EXPECT_TRUE(done) << done.error().message;
    if (!done) guest_->kill();
    return done ? *done : PagerStatistics{};
  }
  void expect_guest_content() {
    const auto status = guest_->wait(Deadline::after(seconds(60)));
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_EQ(*status, 0);
  }
  void TearDown() override {
    // The guest first: see the pager's header.
    if (guest_) guest_->kill();
  }

  std::unique_ptr<PageStore> store_;
  std::unique_ptr<Pager> pager_;
  std::optional<GuestProcess> guest_;
};

TEST_F(PagerTest, FillsAProcessThatOnlyWaits) {
  start({.seed = 3, .threads = 0, .pages = 5000});
  ASSERT_TRUE(pager_->store_complete());
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, guest_->pid()));
  ASSERT_TRUE(pager_->tasks_resume());
  const PagerStatistics done = finish();
  EXPECT_EQ(done.pushed_pages, guest_->data_pages());
  EXPECT_EQ(done.faults, 0U);
  EXPECT_EQ(done.pending_pages, 0U);
  EXPECT_EQ(store_->statistics().resident_bytes, 0U) << "the store gives up what it has handed over";
  EXPECT_EQ(store_->statistics().data_pages, 0U);
  const auto mappings = memory::read_restored_mappings(guest_->pid());
  ASSERT_TRUE(mappings);
  EXPECT_TRUE(std::ranges::none_of(*mappings, &memory::RestoredMapping::lazy)) << "nothing waits for a pager any more";
  ASSERT_TRUE(guest_->go());
  expect_guest_content();
}

TEST_F(PagerTest, ServesFaultsOfARunningProcess) {
  // It reads everything from the beginning on, at once.
  start({.seed = 4, .threads = 0, .pages = 40'000});
  resume();
  const PagerStatistics done = finish();
  expect_guest_content();
  EXPECT_EQ(done.pushed_pages + done.faulted_pages, guest_->data_pages());
  EXPECT_GT(done.faults, 0U);
  EXPECT_GT(done.faulted_pages, 0U);
  EXPECT_GT(done.fault_us_max, 0U);
  EXPECT_LE(done.fault_us_p99, done.fault_us_max);
}

// UFFDIO_COPY ends with EAGAIN and a part done where it meets a page that is there, and with EEXIST on it.
TEST_F(PagerTest, GoesOnBehindPagesThatAreThereAlready) {
  start({.seed = 5, .threads = 0, .pages = 5000, .touch = true});
  ASSERT_TRUE(pager_->store_complete());
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, guest_->pid()));
  ASSERT_TRUE(pager_->tasks_resume());
  const PagerStatistics done = finish();
  ASSERT_GT(guest_->touched_pages(), 100U);
  EXPECT_EQ(done.present_pages, guest_->touched_pages());
  EXPECT_GT(done.partial, guest_->touched_pages() / 2);
  EXPECT_EQ(done.pushed_pages, guest_->data_pages() - guest_->touched_pages());
  ASSERT_TRUE(guest_->go());
  expect_guest_content();
}

// What confines the process and lets its tasks run waits for the pushing thread in the middle of a pause.
TEST_F(PagerTest, WhoeverWantsAProcessWaitsForOneStep) {
  start({.seed = solid_seed, .threads = 0, .pages = 100'000});
  ASSERT_TRUE(pager_->store_complete());
  std::vector<uint64_t> waited_for;  // pages that were pushed while statistics() waited
  for (const auto deadline = Deadline::after(seconds(20)); !deadline.expired();) {
    const PagerStatistics before = pager_->statistics();
    if (before.pushed_pages > 0 && before.pending_pages > 0) {
      waited_for.push_back(pager_->statistics().pushed_pages - before.pushed_pages);
    }
    if (before.pushed_pages == guest_->data_pages()) break;
    std::this_thread::sleep_for(milliseconds(1));
  }
  ASSERT_GT(waited_for.size(), 10U);
  std::ranges::nth_element(waited_for, waited_for.begin() + static_cast<ptrdiff_t>(waited_for.size() / 2));
  EXPECT_LE(waited_for[waited_for.size() / 2], 2 * PagerOptions{}.step_bytes_max / memory::page_size_bytes)
      << "the pushing thread takes its lock again while another sleeps for it";
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, guest_->pid()));
  ASSERT_TRUE(pager_->tasks_resume());
  ASSERT_TRUE(guest_->go());
  finish();
  expect_guest_content();
}

TEST_F(PagerTest, BeginsBeforeTheRestoreIsComplete) {
  start({.seed = 6, .threads = 0, .pages = 3000});
  ASSERT_TRUE(pager_->store_complete());
  const auto deadline = Deadline::after(seconds(20));
  while (pager_->statistics().pending_pages > 0 && !deadline.expired()) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(pager_->statistics().pushed_pages, guest_->data_pages());
  // Not done before the tasks may run: they have not been looked at.
  EXPECT_FALSE(pager_->wait_done(Deadline::after(milliseconds(50))));
  const auto refused = pager_->tasks_resume();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("lazy"));
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, guest_->pid()));
  ASSERT_TRUE(pager_->tasks_resume());
  ASSERT_TRUE(guest_->go());
  finish();
  expect_guest_content();
}

TEST_F(PagerTest, DescriptorsMayComeAfterTheStoreIsComplete) {
  auto made = PageStore::create({});
  ASSERT_TRUE(made);
  store_ = std::move(*made);
  pager_ = std::make_unique<Pager>(*store_, PagerOptions{});
  ASSERT_TRUE(pager_->start());
  std::vector<GuestProcess> guests;
  for (uint32_t i = 0; i < 3; ++i) {
    auto guest = GuestProcess::start({.seed = 60 + i, .threads = 1, .pages = 1500, .acts = 100});
    ASSERT_TRUE(guest);
    ASSERT_TRUE(guest->store(*store_, i));
    guests.push_back(std::move(*guest));
  }
  ASSERT_TRUE(pager_->store_complete());
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(pager_->add(i, guests[i].take_userfaultfd()));
  EXPECT_FALSE(pager_->add(1, UniqueFd(dup(0)))) << "a process has one address space";
  EagerWriter writer(*store_, *pager_);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(writer.write_process(i, guests[i].pid()));
  ASSERT_TRUE(pager_->tasks_resume());
  for (const GuestProcess& guest : guests) ASSERT_TRUE(guest.go());
  ASSERT_TRUE(pager_->wait_done(Deadline::after(seconds(60))));
  for (GuestProcess& guest : guests) {
    const auto status = guest.wait(Deadline::after(seconds(60)));
    ASSERT_TRUE(status);
    EXPECT_EQ(*status, 0);
  }
}

TEST_F(PagerTest, AProcessThatEndsLeavesNothingBehind) {
  start({.seed = 7, .threads = 0, .pages = 20'000});
  ASSERT_TRUE(pager_->store_complete());
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, guest_->pid()));
  guest_->kill();
  ASSERT_TRUE(pager_->tasks_resume());
  const PagerStatistics done = finish();
  EXPECT_LE(done.processes_gone, 1U);
  EXPECT_EQ(store_->statistics().resident_bytes, 0U);
}

TEST_F(PagerTest, SaysWhenTimeIsUpAndKeepsTheTasksWaiting) {
  start({.seed = 8, .threads = 0, .pages = 60'000});
  ASSERT_TRUE(pager_->store_complete());
  EagerWriter writer(*store_, *pager_);
  ASSERT_TRUE(writer.write_process(process, guest_->pid()));
  ASSERT_TRUE(pager_->tasks_resume());
  const auto late = pager_->wait_done(Deadline::after(milliseconds(0)));
  if (!late) {
    EXPECT_THAT(late.error().message, testing::HasSubstr("not placed in time"));
  }
  ASSERT_TRUE(guest_->go());
  finish();
  expect_guest_content();
}

TEST_F(PagerTest, TellsWhenThereIsNoDescriptorForAChild) {
  start({.seed = 9, .threads = 4, .pages = 3000, .acts = 400});
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  resume();
  const UniqueFd next(dup(0));
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(next.get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto done = pager_->wait_done(Deadline::after(seconds(30)));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  if (done) {
    EXPECT_EQ(done->forks, 0U) << "the guest forked, and its child's memory was not served";
  } else {
    EXPECT_THAT(done.error().message, testing::HasSubstr("open files"));
  }
}

// What the seeds together have brought about: each of these is a way to lose pages, and must really have been taken.
struct Seen {
  uint64_t forks = 0;
  uint64_t remaps = 0;
  uint64_t removes = 0;
  uint64_t unmaps = 0;
  uint64_t retries = 0;
  uint64_t partial = 0;
  uint64_t present_pages = 0;
  uint64_t zero_faults = 0;
  uint64_t processes_gone = 0;

  void operator+=(const PagerStatistics& done) {
    forks += done.forks;
    remaps += done.remaps;
    removes += done.removes;
    unmaps += done.unmaps;
    retries += done.retries;
    partial += done.partial;
    present_pages += done.present_pages;
    zero_faults += done.zero_faults;
    processes_gone += done.processes_gone;
  }
};

// An environment variable for long runs by hand.
uint64_t number_from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Threads that write, drop, unmap, move, split and fork memory at random while it is pushed, and check every byte.
TEST_F(PagerTest, EveryByteIsRightInTurmoil) {
  const uint64_t first = number_from_environment("PAGER_TEST_SEED", 100);
  const uint64_t seeds = number_from_environment("PAGER_TEST_SEEDS", 8);
  PagerOptions options;
  // Small steps, so that many fall between the guest's acts.
  options.step_bytes_max = 128 << 10;
  options.step_us = 50;
  Seen seen;
  for (uint64_t seed = first; seed < first + seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE("PAGER_TEST_SEED=" + std::to_string(seed));
    start({.seed = seed,
           .threads = static_cast<unsigned>(1 + seed % 4),
           .pages = 6000,
           .acts = 200,
           .touch = seed % 3 == 0},
          options);
    if (HasFatalFailure()) return;
    resume();
    const PagerStatistics done = finish();
    expect_guest_content();
    EXPECT_EQ(done.pending_pages, 0U);
    EXPECT_EQ(store_->statistics().resident_bytes, 0U);
    seen += done;
    pager_.reset();
  }
  if (seeds < 8) return;
  EXPECT_GT(seen.forks, 10U);
  EXPECT_GT(seen.remaps, 30U);
  EXPECT_GT(seen.removes, 20U);
  EXPECT_GT(seen.unmaps, 30U);
  EXPECT_GT(seen.retries, 20U);
  EXPECT_GT(seen.partial, 100U);
  EXPECT_GT(seen.present_pages, 100U);
  EXPECT_GT(seen.zero_faults, 100U);
  EXPECT_GT(seen.processes_gone, 1U);
}

}  // namespace
}  // namespace godwit::pager_test
