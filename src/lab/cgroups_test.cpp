#include "lab/cgroups.h"

#include <gmock/gmock.h>

namespace godwit::lab {
namespace {

TEST(ParseHierarchies, FindsEachVersion1HierarchyOnce) {
  const auto found = parse_hierarchies(
      "22 20 0:5 / /proc rw,relatime - proc proc rw\n"
      "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "31 29 0:27 / /sys/fs/cgroup/freezer rw,nosuid shared:10 master:3 - cgroup cgroup rw,freezer\n"
      "32 29 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd\n"
      "99 29 0:27 / /mnt/freezer-again rw,nosuid - cgroup cgroup rw,freezer\n"
      "33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n");
  ASSERT_EQ(found.size(), 4);
  EXPECT_EQ(found[0].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(found[0].mount_options, "cpu,cpuacct");
  EXPECT_EQ(found[1].mount_point, "/sys/fs/cgroup/freezer");
  EXPECT_EQ(found[1].mount_options, "freezer");
  EXPECT_EQ(found[2].mount_options, "none,name=systemd");
  EXPECT_TRUE(found[3].version_2);
  EXPECT_EQ(found[3].mount_options, "");
}

TEST(ParseHierarchies, FindsNothingInOtherMounts) {
  EXPECT_TRUE(parse_hierarchies("22 20 0:5 / /proc rw,relatime - proc proc rw\nnot a mount\n").empty());
}

TEST(FindHierarchies, FindsThoseOfThisMachine) {
  const auto found = find_hierarchies();
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_FALSE(found->empty());
}

}  // namespace
}  // namespace godwit::lab
