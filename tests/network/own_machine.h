// For tests that need a machine of their own: the test process is one, with its own network, mounts and /run.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <string>
#include <vector>

#include "base/deadline.h"
#include "os/subprocess.h"

namespace godwit::network {

inline Deadline soon() {
  return Deadline::after(std::chrono::seconds(10));
}

inline std::string run(const std::vector<std::string>& words, const std::string& netns = "") {
  const auto done = os::run_checked({.argv = words, .network_namespace = netns}, soon());
  EXPECT_TRUE(done) << done.error().message;
  return done.value_or("");
}

inline void become_own_machine() {
  ASSERT_EQ(unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << "needs root";
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  // /sys must show this namespace's interfaces.
  ASSERT_EQ(mount("sysfs", "/sys", "sysfs", 0, nullptr), 0);
  run({"ip", "link", "set", "lo", "up"});
}

}  // namespace godwit::network
