#include "runtime/arguments.h"

#include <gtest/gtest.h>

namespace godwit::runtime {
namespace {

TEST(Arguments, OfCreateAsContainerdGivesThem) {
  const Arguments parsed =
      parse_arguments({"--root", "/run/containerd/runc/k8s.io", "--log", "/b/log.json", "--log-format", "json",
                       "create", "--bundle", "/b", "--pid-file", "/b/init.pid", "abc"});
  EXPECT_EQ(parsed.command, "create");
  EXPECT_EQ(parsed.id, "abc");
  EXPECT_EQ(parsed.root, "/run/containerd/runc/k8s.io");
  EXPECT_EQ(parsed.bundle, "/b");
  EXPECT_EQ(parsed.pid_file, "/b/init.pid");
  EXPECT_EQ(parsed.log, "/b/log.json");
  EXPECT_TRUE(parsed.log_is_json);
}

TEST(Arguments, OfExecWhoseProcessIsAFile) {
  const Arguments parsed = parse_arguments(
      {"--root", "/r", "exec", "--process", "/tmp/runc-process1", "--detach", "--pid-file", "/b/1.pid", "abc"});
  EXPECT_EQ(parsed.command, "exec");
  EXPECT_EQ(parsed.id, "abc");
}

TEST(Arguments, TheSignalOfKillIsNotTheContainer) {
  const Arguments parsed = parse_arguments({"--root=/r", "--systemd-cgroup", "kill", "--all", "abc", "9"});
  EXPECT_EQ(parsed.command, "kill");
  EXPECT_EQ(parsed.id, "abc");
  EXPECT_EQ(parsed.root, "/r");
}

TEST(Arguments, AnOptionWithoutItsValueIsNoReasonToFail) {
  EXPECT_EQ(parse_arguments({"create", "--bundle"}).id, "");
  EXPECT_EQ(parse_arguments({}).command, "");
  EXPECT_EQ(parse_arguments({"--version"}).command, "");
}

}  // namespace
}  // namespace godwit::runtime
