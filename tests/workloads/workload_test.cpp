// Programs as people run them, each moved there and back under load: no connection breaks, no reply is wrong, and what
// they check about themselves still holds.
#include "workload.h"

namespace godwit::workloads {
namespace {

// libuv uses io_uring wherever it may (UV_USE_IO_URING=0 does not keep it from all of it), and container engines deny
// it by default.
const std::vector<std::string> engine_denied_syscalls = {"io_uring_setup", "io_uring_enter", "io_uring_register"};

TEST_F(WorkloadTest, MemcachedKeepsItsKeysAndConnections) {
  start({.args = {"memcached", "-l", "0.0.0.0", "-p", "11211", "-m", "128", "-t", "4"}, .uid = 1000, .gid = 1000});
  ASSERT_NO_FATAL_FAILURE(start_load("memcached", 11211, 4));
  // It runs as another user than the agent, whose limits not everyone may ask for.
  const std::string limits = in_container("cat /proc/1/limits").value_or("?");
  EXPECT_THAT(limits, testing::HasSubstr("Max open files"));
  ASSERT_NO_FATAL_FAILURE(move_there_and_back());
  finish_load();
  EXPECT_EQ(in_container("cat /proc/1/limits").value_or(""), limits);
}

TEST_F(WorkloadTest, PythonThreadsAndChildrenGoOnTogether) {
  start({.args = {"python3", "-c", script("threads.py")}});
  ASSERT_NO_FATAL_FAILURE(start_load("hashes", service_port, 4));
  ASSERT_NO_FATAL_FAILURE(move_there_and_back());
  finish_load();
  EXPECT_EQ(in_container("cat /tmp/wrong 2>/dev/null; echo -n checked").value_or("?"), "checked");
}

TEST_F(WorkloadTest, NodejsKeepsItsHeapAndKeepAliveConnections) {
  start({.args = {"node", "-e", script("server.js")}, .denied_syscalls = engine_denied_syscalls});
  ASSERT_NO_FATAL_FAILURE(start_load("node", service_port, 4));
  ASSERT_NO_FATAL_FAILURE(move_there_and_back());
  finish_load();
  EXPECT_EQ(in_container("cat /tmp/wrong 2>/dev/null; echo -n checked").value_or("?"), "checked");
}

TEST_F(WorkloadTest, NginxFinishesADownloadThatWasUnderWayDuringBothMoves) {
  start({.args = {"sh", "-c", script("nginx.sh")}});
  ASSERT_NO_FATAL_FAILURE(start_load("nginx", service_port, 4));
  const auto hash = in_container("sha256sum /srv/www/large");
  ASSERT_TRUE(hash.has_value()) << hash.error().message;
  auto download = Load::start(nodes_->outside(), "download", service_port, 1);
  ASSERT_TRUE(download.has_value()) << download.error().message;
  ASSERT_NO_FATAL_FAILURE(move_there_and_back());
  finish_load();
  const auto finished = (*download)->finish();
  ASSERT_TRUE(finished.has_value()) << finished.error().message;
  EXPECT_EQ((*download)->said("sha256").value_or("?"), hash->substr(0, 64));
}

TEST_F(WorkloadTest, UdpEchoesComeBackOnceAndInOrder) {
  start({.args = {"python3", "-c", script("udp_echo.py")}});
  ASSERT_NO_FATAL_FAILURE(start_load("udp", service_port, 1));
  ASSERT_NO_FATAL_FAILURE(move_there_and_back());
  finish_load();
  // Only what waited unread in the socket at a freeze: at 500 a second that is one or two, or what a busy machine lets
  // wait, not the worth of two pauses.
  const int lost = std::stoi(load_->said("lost").value_or("-1"));
  RecordProperty("lost", lost);
  EXPECT_GE(lost, 0);
  EXPECT_LE(lost, 25);
}

TEST_F(WorkloadTest, ASelfCheckingProgramFindsItsMemoryUnchanged) {
  // It is put into the container when that is there.
  start({.args = {"sh", "-c", "until [ -x /memory_guest ]; do sleep 0.02; done; exec /memory_guest"}});
  const auto put =
      nodes_->node(1).exec_checked({"sh", "-c", "cp /opt/godwit/bin/memory_guest $0/new && mv $0/new $0/memory_guest",
                                    lab::bundle_path(container) + "/rootfs"},
                                   Deadline::after(std::chrono::seconds(10)));
  ASSERT_TRUE(put.has_value()) << put.error().message;
  // The file is empty for a moment each time that it is written, and says 0 at first.
  const auto steps = [&]() -> long {
    const auto text = in_container(
        "for i in $(seq 250); do read -r n </tmp/steps && [ \"$n\" -gt 0 ] && echo $n && exit; sleep 0.02; done");
    return std::strtol(text.value_or("").c_str(), nullptr, 10);
  };
  long before = steps();
  EXPECT_GT(before, 0);
  for (const int to : {2, 1}) {
    ASSERT_NO_FATAL_FAILURE(move(3 - to, to));
    std::this_thread::sleep_for(milliseconds(500));
    ASSERT_EQ(nodes_->state_of(container, to), "running");
    const long now = steps();
    EXPECT_GT(now, before) << "it stands still";
    before = now;
  }
  // It looks at every page of every process before it ends.
  const auto checked = in_container(
      "kill -TERM 1; for i in $(seq 500); do [ -s /tmp/verdict ] && exec cat /tmp/verdict; sleep 0.02; done; echo "
      "none");
  EXPECT_EQ(checked.value_or("?"), "unchanged\n") << in_container("cat /tmp/wrong").value_or("");
}

}  // namespace
}  // namespace godwit::workloads
