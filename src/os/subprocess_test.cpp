#include "os/subprocess.h"

#include <gtest/gtest.h>

#include "os/file.h"

namespace godwit::os {
namespace {

Deadline soon() {
  return Deadline::after(std::chrono::seconds(10));
}

TEST(Subprocess, OutputAndStatusComeBack) {
  const auto output = run({.argv = {"sh", "-c", "echo out; echo err >&2; exit 3"}}, soon());
  ASSERT_TRUE(output.has_value()) << output.error().message;
  EXPECT_EQ(output->status, 3);
  EXPECT_EQ(output->text, "out\nerr\n");
}

TEST(Subprocess, MissingProgramIsAnErrorThatNamesIt) {
  const auto output = run({.argv = {"no-such-program-here"}}, soon());
  ASSERT_FALSE(output.has_value());
  EXPECT_EQ(output.error().message, "start no-such-program-here: No such file or directory");
}

TEST(Subprocess, DeadlineKills) {
  const auto output = run({.argv = {"sleep", "100"}}, Deadline::after(milliseconds(100)));
  ASSERT_FALSE(output.has_value());
  EXPECT_NE(output.error().message.find("did not end in time"), std::string::npos);
}

TEST(Subprocess, ADaemonThatKeepsThePipeDoesNotHoldTheCaller) {
  const auto started = Clock::now();
  const auto output = run({.argv = {"sh", "-c", "sleep 5 & echo done"}}, soon());
  ASSERT_TRUE(output.has_value()) << output.error().message;
  EXPECT_EQ(output->text, "done\n");
  EXPECT_LT(elapsed_ms(started), 4000);
}

TEST(Subprocess, EnvironmentIsAddedAndReplaces) {
  ::setenv("GODWIT_TEST_VALUE", "old", 1);
  const auto text =
      run_checked({.argv = {"sh", "-c", "echo $GODWIT_TEST_VALUE"}, .environment = {"GODWIT_TEST_VALUE=new"}}, soon());
  ASSERT_TRUE(text.has_value()) << text.error().message;
  EXPECT_EQ(*text, "new\n");
}

TEST(File, AtomicWriteReplacesAndRemoveTreeRemoves) {
  const std::string folder = testing::TempDir() + "godwit_file_test/a/b";
  ASSERT_TRUE(make_directories(folder).has_value());
  ASSERT_TRUE(write_file_atomic(folder + "/x", "one").has_value());
  ASSERT_TRUE(write_file_atomic(folder + "/x", "two").has_value());
  EXPECT_EQ(read_file(folder + "/x").value(), "two");
  EXPECT_FALSE(read_file(folder + "/x", 2).has_value()) << "the limit must hold";
  const std::string top = testing::TempDir() + "godwit_file_test";
  ASSERT_TRUE(remove_tree(top).has_value());
  EXPECT_FALSE(exists(top));
  EXPECT_TRUE(remove_tree(top).has_value()) << "removing what is not there is success";
}

TEST(File, ResolvesLinksInsideARoot) {
  const std::string root = testing::TempDir() + "godwit_resolve_test";
  ASSERT_TRUE(remove_tree(root).has_value());
  ASSERT_TRUE(make_directories(root + "/run/secrets").has_value());
  ASSERT_TRUE(make_directories(root + "/var/lib").has_value());
  ASSERT_EQ(::symlink("/run", (root + "/var/run").c_str()), 0);
  ASSERT_EQ(::symlink("../../run/secrets", (root + "/var/lib/s").c_str()), 0);
  ASSERT_EQ(::symlink("loop", (root + "/loop").c_str()), 0);
  EXPECT_EQ(resolve_in_root(root, "/var/run/secrets/kubernetes.io"), "/run/secrets/kubernetes.io");
  EXPECT_EQ(resolve_in_root(root, "/var/lib/s/x"), "/run/secrets/x");
  EXPECT_EQ(resolve_in_root(root, "/var//./lib/../run"), "/run");
  EXPECT_EQ(resolve_in_root(root, "/../../x"), "/x");
  EXPECT_EQ(resolve_in_root(root, "/loop/x"), "/loop/x");
  EXPECT_EQ(resolve_in_root(root, "/"), "/");
  ASSERT_TRUE(remove_tree(root).has_value());
}

TEST(Subprocess, TheEndOfSomebodyElsesIsSeen) {
  auto child = Subprocess::start({.argv = {"sleep", "100"}});
  ASSERT_TRUE(child.has_value());
  {
    auto other = Subprocess::of_other(child->pid());
    ASSERT_TRUE(other.has_value());
    EXPECT_FALSE(other->wait(Deadline::after(milliseconds(20))).has_value());
  }
  const auto status = child->wait(Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(status.has_value()) << "destroying it ends it, and leaves its status to its parent";
  EXPECT_EQ(*status, 128 + SIGKILL);
}

}  // namespace
}  // namespace godwit::os
