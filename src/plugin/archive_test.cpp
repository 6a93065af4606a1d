#include "plugin/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "kube/scratch.h"
#include "os/subprocess.h"

namespace godwit::plugin {
namespace {

using testing::ElementsAre;

Result<std::string> tar(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "tar");
  return os::run_checked({.argv = std::move(arguments)}, Deadline::after(std::chrono::seconds(20)));
}

TEST(Archive, TarReadsWhatWasPutIn) {
  const kube::Scratch scratch;
  const std::string path = scratch.path() + "/a.tar.gz";
  const std::string large(300'000, 'x');
  {
    auto archive = ArchiveWriter::create(path);
    ASSERT_TRUE(archive) << archive.error().message;
    const auto now = std::chrono::system_clock::now();
    ASSERT_TRUE(archive->add("a/one.txt", "hello\n", now));
    ASSERT_TRUE(archive->add("a/large", large, now));
    ASSERT_TRUE(archive->add("a/empty", "", now));
    EXPECT_FALSE(os::exists(path)) << "before it is whole";
    ASSERT_TRUE(archive->finish());
  }
  EXPECT_EQ(tar({"-tzf", path}).value_or("?"), "a/one.txt\na/large\na/empty\n");
  EXPECT_EQ(tar({"-xzOf", path, "a/one.txt"}).value_or("?"), "hello\n");
  ASSERT_TRUE(tar({"-xzf", path, "-C", scratch.path()}));
  EXPECT_EQ(os::read_file(scratch.path() + "/a/large").value_or("?"), large);
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(Archive, AnUnfinishedOneLeavesNothing) {
  const kube::Scratch scratch;
  {
    auto archive = ArchiveWriter::create(scratch.path() + "/a.tar.gz");
    ASSERT_TRUE(archive);
    ASSERT_TRUE(archive->add("x", "y", std::chrono::system_clock::now()));
  }
  EXPECT_THAT(os::list_directory(scratch.path()).value(), ElementsAre());
}

TEST(Archive, DoesNotReplaceAFile) {
  const kube::Scratch scratch;
  const auto refused = ArchiveWriter::create(scratch.write("a.tar.gz", "mine"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("is there already"));
  EXPECT_FALSE(ArchiveWriter::create(scratch.path() + "/no/such/folder/a.tar.gz"));
}

}  // namespace
}  // namespace godwit::plugin
