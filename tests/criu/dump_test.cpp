#include "criu/dump.h"

#include <signal.h>
#include <unistd.h>

#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "criu/log_report.h"
#include "criu/tcp_repair.h"
#include "feeder.h"
#include "os/file.h"
#include "os/process_memory.h"
#include "os/procfs.h"
#include "place.h"

namespace godwit::criu {
namespace {

const CriuProgram& program() {
  static const CriuProgram found = [] {
    auto criu = CriuProgram::find(soon());
    if (!criu) {
      ADD_FAILURE() << criu.error().message;
      std::abort();
    }
    EXPECT_TRUE(criu->warm_up(soon()).has_value());
    return *criu;
  }();
  return found;
}

class DumpTest : public testing::Test {
 protected:
  Dump prepare() {
    shell("rm -rf " + place_.bundle() + "/images " + place_.bundle() + "/work-dump");
    auto dump =
        Dump::prepare(program(), place_.init_pid(), place_.directory("images"), place_.directory("work-dump"), soon());
    if (!dump) {
      ADD_FAILURE() << dump.error().message;
      std::abort();
    }
    return std::move(*dump);
  }
  DumpRequest request() const { return {.mounts = read_container_mounts(place_.init_pid(), place_.config()).value()}; }

  Place place_{"source", {"/workload", "server"}, true};
};

TEST_F(DumpTest, HoldsTheContainerAndItGoesOnWhenThawed) {
  place_.start();
  const Client client;
  EXPECT_EQ(client.ask("ping\n"), "pong 1\n");
  const os::CgroupFreezer freezer = place_.freezer();
  Dump dump = prepare();

  ASSERT_TRUE(freezer.freeze(soon()).has_value());
  const auto before = read_counters(freezer);
  ASSERT_EQ(before.size(), 4U);
  bool written = false;
  ASSERT_TRUE(dump.scanned(shared_objects(freezer)).has_value());
  const std::string work = place_.bundle() + "/work-dump";
  const auto report = dump.run(request(), freezer, soon(), [&] {
    written = true;
    EXPECT_FALSE(wait_until_dump_ended(work, Deadline::after(milliseconds(20)))) << "its criu still holds the tasks";
  });
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_TRUE(written);
  EXPECT_TRUE(wait_until_dump_ended(work, soon()));
  EXPECT_EQ(freezer.state().value(), os::CgroupFreezer::State::frozen);
  EXPECT_EQ(read_counters(freezer), before) << "not one instruction ran";
  EXPECT_LT(report->page_bytes, 64U << 10) << "contents of memory are none of criu's business";
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(read_counters(freezer), before) << "and it is held by its cgroup, criu being gone";

  ASSERT_TRUE(freezer.thaw(soon()).has_value());
  EXPECT_EQ(client.ask("ping\n"), "pong 2\n");
  EXPECT_EQ(client.ask("check\n"), "ok\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_GT(read_counters(freezer)[0], before[0]);
}

TEST_F(DumpTest, ACriuThatIsKilledLeavesWorkingConnections) {
  place_.start();
  const Client client;
  EXPECT_EQ(client.ask("ping\n"), "pong 1\n");
  const os::CgroupFreezer freezer = place_.freezer();
  Dump dump = prepare();
  ASSERT_TRUE(freezer.freeze(soon()).has_value());
  ASSERT_TRUE(dump.scanned(shared_objects(freezer)).has_value());
  const auto report = dump.run(request(), freezer, soon(), [] { shell("pkill -KILL -x criu"); });
  ASSERT_FALSE(report.has_value());
  ASSERT_TRUE(end_tcp_repair(freezer.directory()).has_value());
  ASSERT_TRUE(freezer.thaw(soon()).has_value());
  EXPECT_EQ(client.ask("ping\n"), "pong 2\n") << "the socket must not be left in repair mode";
  EXPECT_EQ(client.ask("check\n"), "ok\n");
}

TEST_F(DumpTest, ADeadlineEndsItAndTheContainerGoesOn) {
  place_.start();
  const Client client;
  const os::CgroupFreezer freezer = place_.freezer();
  Dump dump = prepare();
  ASSERT_TRUE(freezer.freeze(soon()).has_value());
  const auto report = dump.run(request(), freezer, Deadline::after(milliseconds(1)));
  ASSERT_FALSE(report.has_value());
  ASSERT_TRUE(freezer.thaw(soon()).has_value());
  EXPECT_EQ(client.ask("ping\n"), "pong 1\n");
  EXPECT_EQ(os::read_status(place_.init_pid())->tracer, 0);
}

// The executable memory of a process as it is mapped and as it reads.
std::string code_of(pid_t pid) {
  std::string code;
  for (const os::Vma& vma : os::read_mappings(pid).value()) {
    code += fmt::format("{:x}-{:x} ", vma.start, vma.end);
    if (!vma.execute || vma.from_kernel()) continue;
    std::string part(vma.size(), '\0');
    const auto got = os::read_process_memory(pid, vma.start, part.data(), part.size());
    EXPECT_TRUE(got.has_value());
    code += part;
  }
  return code;
}

TEST_F(DumpTest, TouchesNoMemoryBeforeTheLastScanIsDone) {
  place_.start();
  const os::CgroupFreezer freezer = place_.freezer();
  Dump dump = prepare();
  ASSERT_TRUE(freezer.freeze(soon()).has_value());
  const std::string code = code_of(place_.init_pid());
  auto report = std::async(std::launch::async, [&] { return dump.run(request(), freezer, soon()); });
  const Deadline deadline = soon();
  while (os::read_status(place_.init_pid())->tracer == 0 && !deadline.expired()) std::this_thread::yield();
  EXPECT_EQ(report.wait_for(milliseconds(200)), std::future_status::timeout);
  EXPECT_NE(os::read_status(place_.init_pid())->tracer, 0);
  EXPECT_TRUE(code_of(place_.init_pid()) == code);
  ASSERT_TRUE(dump.scanned(shared_objects(freezer)).has_value());
  const auto dumped = report.get();
  EXPECT_TRUE(dumped.has_value()) << dumped.error().message;
  ASSERT_TRUE(freezer.thaw(soon()).has_value());
}

TEST_F(DumpTest, FailsWhenTheLastScanDoesAndTheContainerGoesOn) {
  place_.start();
  const Client client;
  const os::CgroupFreezer freezer = place_.freezer();
  Dump dump = prepare();
  ASSERT_TRUE(freezer.freeze(soon()).has_value());
  dump.not_scanned();
  const auto report = dump.run(request(), freezer, soon());
  ASSERT_FALSE(report.has_value());
  ASSERT_TRUE(freezer.thaw(soon()).has_value());
  EXPECT_EQ(client.ask("ping\n"), "pong 1\n");
  EXPECT_EQ(os::read_status(place_.init_pid())->tracer, 0);
}

TEST_F(DumpTest, APreparedDumpThatIsNotRunEndsItsCriu) {
  place_.start();
  {
    const Dump dump = prepare();
  }
  shell("for i in $(seq 50); do pgrep -x criu >/dev/null || exit 0; sleep 0.05; done; exit 1");
}

}  // namespace
}  // namespace godwit::criu
