// A child of vfork() that lives through two freezes: it has its parent's memory, which the parent's tracker protects
// and looks at in the rounds, while no round looks at the child.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "cgroup.h"
#include "child.h"
#include "memory/precopy.h"
#include "replica_sink.h"

namespace godwit::memory {
namespace {

using test::Child;
using test::ReplicaSink;
using test::TestCgroup;

constexpr uint64_t pages = 256;
constexpr size_t page_bytes = 4096;

Deadline soon() {
  return Deadline::after(std::chrono::seconds(10));
}

// Writes one page after the other, so that most have not been written since any given moment.
[[noreturn]] void write_pages(volatile uint64_t* area) {
  const timespec pause{.tv_sec = 0, .tv_nsec = 200'000};
  for (uint64_t count = 1;; ++count) {
    area[count % pages * page_bytes / sizeof(uint64_t)] = count;
    ::syscall(SYS_nanosleep, &pause, nullptr);
  }
}

class VforkTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!cgroup_) GTEST_SKIP() << "no freezer of version " << GetParam() << " is mounted here";
  }
  void TearDown() override {
    if (!cgroup_) return;
    (void)cgroup_->freezer().thaw(soon());
    for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
    parent_.reset();
  }
  [[nodiscard]] std::vector<pid_t> processes() const {
    return os::cgroup_processes(cgroup_->directory()).value_or(std::vector<pid_t>{});
  }
  void freeze_and_compare(PrecopySource& source, ReplicaSink& sink) const {
    ASSERT_TRUE(cgroup_->freezer().freeze(soon()));
    const auto report = source.final_pass(sink, soon());
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->processes.size(), 2U);
    ASSERT_NO_FATAL_FAILURE(sink.barrier());
    uint64_t compared = 0;
    sink.compare(*report, compared);
    EXPECT_GT(compared, 2 * pages);
  }

  std::optional<Child> parent_;
  std::optional<TestCgroup> cgroup_ = TestCgroup::make(GetParam());
};

TEST_P(VforkTest, AChildThatIsFrozenTwiceIsCopiedAsItIsEachTime) {
  parent_.emplace([&](int wake_fd) {
    if (!cgroup_->add(::getpid())) return 1;
    void* area = ::mmap(nullptr, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char byte = 0;
    if (area == MAP_FAILED || ::read(wake_fd, &byte, 1) != 1) return 2;
    if (::vfork() == 0) write_pages(static_cast<volatile uint64_t*>(area));
    return 3;
  });
  ASSERT_TRUE(parent_->wait_asleep(soon()));
  ReplicaSink sink(1);
  PrecopySource source(cgroup_->freezer(), {});
  ASSERT_TRUE(source.run_round(sink, soon()));
  ASSERT_NO_FATAL_FAILURE(sink.barrier());
  parent_->wake();
  for (const Deadline deadline = soon(); processes().size() < 2;) {
    ASSERT_FALSE(deadline.expired()) << "the parent does not fork";
    std::this_thread::sleep_for(milliseconds(1));
  }
  const milliseconds all_written(pages / 2);
  std::this_thread::sleep_for(all_written);
  ASSERT_NO_FATAL_FAILURE(freeze_and_compare(source, sink));
  // Given up, and tried again.
  ASSERT_TRUE(cgroup_->freezer().thaw(soon()));
  std::this_thread::sleep_for(all_written);
  const auto round = source.run_round(sink, soon());
  ASSERT_TRUE(round) << round.error().message;
  ASSERT_NO_FATAL_FAILURE(sink.barrier());
  ASSERT_NO_FATAL_FAILURE(freeze_and_compare(source, sink));
}

INSTANTIATE_TEST_SUITE_P(Versions, VforkTest, testing::Values(1, 2),
                         [](const auto& version) { return "v" + std::to_string(version.param); });

}  // namespace
}  // namespace godwit::memory
