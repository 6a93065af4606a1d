#include "install/cgroups.h"

#include <gmock/gmock.h>

namespace godwit::install {
namespace {

using testing::ElementsAre;

os::Mount mount(const std::string& line) {
  const auto parsed = os::parse_mount(line);
  EXPECT_TRUE(parsed) << line;
  return parsed.value_or(os::Mount{});
}

const os::Mount& unified() {
  static const os::Mount one = mount("30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate");
  return one;
}

TEST(Cgroups, OfVersion2) {
  EXPECT_THAT(cgroup_places("0::/system.slice/containerd.service\n", {unified()}),
              ElementsAre(CgroupPlace{"/sys/fs/cgroup", "/system.slice/containerd.service", true}));
}

TEST(Cgroups, OfVersion1WithVersion2Beside) {
  const std::vector<os::Mount> mounts = {
      mount("31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"),
      mount("32 20 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd"),
      mount("33 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"),
  };
  EXPECT_THAT(cgroup_places("4:cpu,cpuacct:/a\n3:memory:/not-mounted\n1:name=systemd:/b:c\n0::/\n", mounts),
              ElementsAre(CgroupPlace{"/sys/fs/cgroup/cpu,cpuacct", "/a", false},
                          CgroupPlace{"/sys/fs/cgroup/systemd", "/b:c", false},
                          CgroupPlace{"/sys/fs/cgroup/unified", "/", true}));
}

TEST(Cgroups, WhatIsNoLineIsLeftOut) {
  EXPECT_THAT(cgroup_places("", {unified()}), ElementsAre());
  EXPECT_THAT(cgroup_places("0:\nx\n", {unified()}), ElementsAre());
}

}  // namespace
}  // namespace godwit::install
