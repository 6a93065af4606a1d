#include "os/mountinfo.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace godwit::os {
namespace {

TEST(Mountinfo, OverlayWithEscapedNames) {
  const auto mount = parse_mount(
      "36 35 98:0 / /root\\040fs rw,noatime master:1 shared:2 - overlay over\\040lay "
      "rw,lowerdir=/a:/b\\134,c,upperdir=/u p");
  ASSERT_TRUE(mount.has_value()) << mount.error().message;
  EXPECT_EQ(mount->mount_point, "/root fs");
  EXPECT_EQ(mount->type, "overlay");
  EXPECT_EQ(mount->source, "over lay");
  EXPECT_EQ(mount->super_options.at("lowerdir"), "/a:/b\\,c");
  EXPECT_EQ(mount->super_options.at("rw"), "");
}

TEST(Mountinfo, NoOptionalFieldsAndNoSuperOptions) {
  const auto mount = parse_mount("1 0 0:1 / / rw - rootfs rootfs");
  ASSERT_TRUE(mount.has_value());
  EXPECT_TRUE(mount->super_options.empty());
}

TEST(Mountinfo, DamagedLinesAreErrors) {
  EXPECT_FALSE(parse_mount("").has_value());
  EXPECT_FALSE(parse_mount("36 35 98:0 / /x rw no separator").has_value());
}

TEST(Mountinfo, ReadsThisProcess) {
  const auto mounts = read_mounts(getpid());
  ASSERT_TRUE(mounts.has_value()) << mounts.error().message;
  EXPECT_FALSE(mounts->empty());
}

}  // namespace
}  // namespace godwit::os
