// Pre-copy of a family of processes that change their memory in every way (mutator.cpp), compared with the frozen
// originals byte by byte.
#include "memory/precopy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "cgroup.h"
#include "child.h"
#include "os/file.h"
#include "os/pagemap.h"
#include "os/process_memory.h"
#include "replica_sink.h"

namespace godwit::memory {
namespace {

using test::Child;
using test::ReplicaSink;
using test::TestCgroup;

Deadline soon() {
  return Deadline::after(std::chrono::seconds(10));
}

// A file with random contents for the program to map.
class ContentFile {
 public:
  explicit ContentFile(uint64_t seed) : path_("/tmp/godwit-mutator-" + std::to_string(::getpid())) {
    std::mt19937_64 random(seed);
    std::vector<uint64_t> words(size_t{4} << 17);
    for (uint64_t& word : words) word = random();
    const std::string_view bytes(reinterpret_cast<const char*>(words.data()), words.size() * 8);
    EXPECT_TRUE(os::write_file_atomic(path_, bytes).has_value());
  }
  ContentFile(const ContentFile&) = delete;
  ContentFile& operator=(const ContentFile&) = delete;
  ~ContentFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Totals {
  uint64_t rounds = 0;
  uint64_t processes = 0;
  uint64_t compared_pages = 0;
  uint64_t final_pages = 0;
  uint64_t sent_pages = 0;
  double frozen_us = 0;
};

class PrecopyMutator : public testing::TestWithParam<int> {};

void wait_until_it_runs(const TestCgroup& cgroup) {
  const Deadline deadline = soon();
  for (;;) {
    for (const pid_t pid : os::cgroup_processes(cgroup.directory()).value_or(std::vector<pid_t>{})) {
      // Before the exec it is still named like us.
      if (!os::read_file(fmt::format("/proc/{}/comm", pid)).value_or("memory_pre").starts_with("memory_pre")) return;
    }
    ASSERT_FALSE(deadline.expired()) << "the program did not start";
    std::this_thread::sleep_for(milliseconds(1));
  }
}

// What each process of a cgroup is doing, for the message of a failure.
std::string describe_processes(const std::string& directory) {
  std::string text;
  for (const pid_t pid : os::cgroup_processes(directory).value_or(std::vector<pid_t>{})) {
    for (const std::string& thread :
         os::list_directory(fmt::format("/proc/{}/task", pid)).value_or(std::vector<std::string>{})) {
      const std::string base = fmt::format("/proc/{}/task/{}/", pid, thread);
      text += fmt::format("{} of {}: {}\n{}\n", thread, pid, os::read_file(base + "stat").value_or("gone"),
                          os::read_file(base + "stack").value_or(""));
    }
  }
  return text;
}

void round(PrecopySource& source, ReplicaSink& sink, Totals& totals) {
  const auto report = source.run_round(sink, soon());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  totals.sent_pages += report->data_pages;
  ++totals.rounds;
  ASSERT_NO_FATAL_FAILURE(sink.barrier());
}

void freeze_and_compare(PrecopySource& source, const os::CgroupFreezer& freezer, ReplicaSink& sink, Totals& totals) {
  const auto frozen = freezer.freeze(soon());
  ASSERT_TRUE(frozen.has_value()) << frozen.error().message << "\n" << describe_processes(freezer.directory());
  sink.expect_all_readable(true);
  const auto report = source.final_pass(sink, soon());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  ASSERT_NO_FATAL_FAILURE(sink.barrier());
  sink.expect_all_readable(false);
  totals.processes += report->processes.size();
  totals.final_pages += report->totals.data_pages;
  ASSERT_NO_FATAL_FAILURE(sink.compare(*report, totals.compared_pages));
}

// Again and again: what is just being forked is not in the list yet.
void kill_all(const TestCgroup& cgroup) {
  for (const Deadline deadline = soon(); !deadline.expired();) {
    const auto pids = os::cgroup_processes(cgroup.directory());
    if (pids.has_value() && pids->empty()) return;
    for (const pid_t pid : pids.value_or(std::vector<pid_t>{})) ::kill(pid, SIGKILL);
    std::this_thread::sleep_for(milliseconds(1));
  }
  FAIL() << "processes outlive SIGKILL\n" << describe_processes(cgroup.directory());
}

TEST_P(PrecopyMutator, EndsByteIdentical) {
  const auto cgroup = TestCgroup::make(GetParam());
  if (!cgroup.has_value()) GTEST_SKIP() << "no freezer of version " << GetParam() << " is mounted here";
  const char* chosen = std::getenv("GODWIT_SEED");
  const uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const uint64_t count = chosen != nullptr ? 1 : GetParam() == 1 ? 50 : 15;
  const ContentFile file(first);
  Totals totals;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " (GODWIT_SEED repeats it)");
    std::mt19937_64 random(seed);
    const std::string text = std::to_string(seed);
    Child mutator([&](int) {
      if (!cgroup->add(::getpid()).has_value()) return 1;
      ::execl(GODWIT_MUTATOR, "mutator", text.c_str(), file.path().c_str(), nullptr);
      return 1;
    });
    ASSERT_NO_FATAL_FAILURE(wait_until_it_runs(*cgroup));
    std::this_thread::sleep_for(milliseconds(5 + random() % 30));
    ReplicaSink sink(seed);
    PrecopySource source(cgroup->freezer(), {});
    const auto act = [&] {
      const uint64_t rounds = 1 + random() % 5;
      for (uint64_t i = 0; i < rounds; ++i) {
        ASSERT_NO_FATAL_FAILURE(round(source, sink, totals));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 15000));
      }
      ASSERT_NO_FATAL_FAILURE(freeze_and_compare(source, cgroup->freezer(), sink, totals));
      // Aborted: it goes on, and is frozen once more.
      if (random() % 3 == 0) {
        ASSERT_TRUE(cgroup->freezer().thaw(soon()).has_value());
        std::this_thread::sleep_for(milliseconds(random() % 10));
        if (random() % 2 == 0) ASSERT_NO_FATAL_FAILURE(round(source, sink, totals));
        if (random() % 4 == 0) source.disarm();
        ASSERT_NO_FATAL_FAILURE(freeze_and_compare(source, cgroup->freezer(), sink, totals));
      }
    };
    act();
    totals.frozen_us += source.frozen_us();
    (void)cgroup->freezer().thaw(soon());
    EXPECT_EQ(mutator.wait(Deadline::after(milliseconds(2))), -1) << "the program ended by itself";
    ASSERT_NO_FATAL_FAILURE(kill_all(*cgroup));
    if (HasFatalFailure()) return;
  }
  std::printf(
      "%lu seeds: %lu rounds, %lu processes, %lu pages sent before and %lu in the freeze, %lu pages compared, "
      "%.0f us stopped in a pre-copy\n",
      count, totals.rounds, totals.processes, totals.sent_pages, totals.final_pages, totals.compared_pages,
      totals.frozen_us / static_cast<double>(count));
  EXPECT_GT(totals.processes, count);
}

INSTANTIATE_TEST_SUITE_P(Versions, PrecopyMutator, testing::Values(1, 2),
                         [](const auto& version) { return "v" + std::to_string(version.param); });

}  // namespace
}  // namespace godwit::memory
