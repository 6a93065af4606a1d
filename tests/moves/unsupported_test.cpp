// What is on the nodes or in the container cannot be moved: said before anything is touched.
#include <sys/stat.h>

#include "fault_fixture.h"
#include "os/file.h"

namespace godwit::moves {
namespace {

class UnsupportedTest : public FaultTest {
 protected:
  // In the place of a node's criu, one of version 3.17, as Debian 12 has it, that answers as far as being asked for
  // its version.
  void install_old_criu(int node) {
    const std::string path = nodes().node(node).root_path() + "/tmp/old-criu";
    const auto written = os::write_file_atomic(path,
                                               "#!/usr/bin/python3\n"
                                               "import socket\n"
                                               "peer = socket.socket(fileno=3)\n"
                                               "peer.recv(4096)\n"
                                               "version = bytes([0x08, 3, 0x10, 17, 0x20, 1])\n"
                                               "peer.send(bytes([0x08, 10, 0x10, 1, 0x52, len(version)]) + version)\n",
                                               0755);
    ASSERT_TRUE(written.has_value()) << written.error().message;
    run(node, "mount --bind /tmp/old-criu $(command -v criu)");
  }
};

TEST_F(UnsupportedTest, AnOldCriuAtTheSource) {
  make_counter(1);
  install_old_criu(1);
  expect_refused({"criu is version 3.17.1", "install criu 4.2 or newer", "on this node"});
  run(1, "umount $(command -v criu)");
  expect_stayed_and_can_move();
}

TEST_F(UnsupportedTest, AnOldCriuAtTheDestination) {
  make_counter(1);
  install_old_criu(2);
  expect_refused({"destination", "criu is version 3.17.1", "install criu 4.2 or newer"});
  run(2, "umount $(command -v criu)");
  expect_stayed_and_can_move();
}

TEST_F(UnsupportedTest, AProcessUsesIoUring) {
  make_counter(1, "import ctypes; assert ctypes.CDLL(None).syscall(425, 4, bytes(120)) >= 0");
  expect_refused({"'counter' cannot be migrated", "(python3) uses io_uring", "switch it off in the program"});
  expect_runs_only_on(1, 2);
}

TEST_F(UnsupportedTest, AProcessUsesUserfaultfdItself) {
  make_counter(1, "import ctypes; assert ctypes.CDLL(None).syscall(323, 1) >= 0");
  expect_refused({"'counter' cannot be migrated", "(python3) uses userfaultfd itself"});
  expect_runs_only_on(1, 2);
}

TEST_F(UnsupportedTest, TheContainerHasATerminal) {
  make_counter(1);
  // Made anew with a terminal, whose other end a program of the node keeps, as a container engine does.
  run(1, R"(runc delete --force counter
cd /var/lib/godwit/containers/counter
sed -i 's/"terminal": false/"terminal": true/' config.json)");
  auto engine = nodes().node(1).spawn({"/usr/bin/python3", "-c", R"(
import socket, time
listener = socket.socket(socket.AF_UNIX)
listener.bind("/tmp/terminal.sock")
listener.listen(1)
kept = socket.recv_fds(listener.accept()[0], 100, 1)
time.sleep(1000))"});
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  listener_->expect_new_container();
  run(1, R"(while ! test -S /tmp/terminal.sock; do sleep 0.02; done
runc run --detach --console-socket /tmp/terminal.sock --bundle /var/lib/godwit/containers/counter counter)");
  expect_refused({"'counter' cannot be migrated", "terminal (TTY)", "run it without -t"});
  expect_runs_only_on(1, 2);
}

// A file that is open in the container is made longer at the destination, over and over: criu refuses to open it. It
// is never made where it is not: that would be a failure of the copy.
TEST_F(UnsupportedTest, TheLogsOfARestoreThatFailsAreKept) {
  make_counter(1, "kept = open('/root/open', 'w'); kept.write('x' * 1000); kept.flush()");
  {
    auto spoiler = nodes().node(2).spawn({"/usr/bin/python3", "-c", R"(
import os
while True:
  try:
    file = os.open("/var/lib/godwit/containers/counter/upper/root/open", os.O_WRONLY | os.O_APPEND)
    os.write(file, b"x")
    os.close(file)
  except FileNotFoundError:
    pass)"});
    ASSERT_TRUE(spoiler.has_value()) << spoiler.error().message;
    expect_refused({"destination", "differs at the destination", "the logs are on node-2 in /run/godwit/failures/"});
  }
  run(2, R"(cd /run/godwit/failures/*
test $(stat -c %a .) = 700
test $(stat -c %a restore.log) = 600
grep -q 'root/open has bad size' restore.log)");
  expect_stayed_and_can_move();
}

}  // namespace
}  // namespace godwit::moves
