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

}  // namespace
}  // namespace godwit::os
