#include "agent/network_volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace godwit::agent {
namespace {

using testing::HasSubstr;

TEST(NetworkVolumes, AreFoundByTheirFileSystem) {
  for (const char* type : {"nfs4", "cifs", "ceph", "fuse.glusterfs", "fuse"}) {
    EXPECT_TRUE(is_network_file_system(type)) << type;
  }
  for (const char* type : {"ext4", "xfs", "tmpfs", "overlay", "nfsd", "fuseblk"}) {
    EXPECT_FALSE(is_network_file_system(type)) << type;
  }
}

TEST(NetworkVolumes, OneThatCannotBeWrittenOutIsAnError) {
  const auto write = [](const std::string& path) {
    return write_out({{.path = path, .init_pid = ::getpid()}}, Deadline::after(std::chrono::seconds(30)));
  };
  const auto written = write("/tmp");
  EXPECT_TRUE(written) << written.error().message;
  const auto failed = write("/tmp/godwit-no-such-volume");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("godwit-no-such-volume"));
}

TEST(NetworkVolumes, OneThatDoesNotAnswerIsGivenUp) {
  const auto failed = write_out({{.path = "/tmp", .init_pid = ::getpid()}}, Deadline::after(std::chrono::seconds(0)));
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("does not answer"));
}

}  // namespace
}  // namespace godwit::agent
