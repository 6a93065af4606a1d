#include "os/cpu_limit.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "os/file.h"

namespace godwit::os {
namespace {

using testing::StartsWith;

class CpuLimits : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_directories(container_)); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const { ASSERT_TRUE(write_file_atomic(path, text)); }

  const std::string root_ = testing::TempDir() + "godwit-cpu-limits-" + std::to_string(::getpid());
  const std::string pod_ = root_ + "/pod";
  const std::string container_ = pod_ + "/container";
};

TEST_F(CpuLimits, OfAContainerAndItsPodAreLiftedAndPutBack) {
  write(root_ + "/cpu.cfs_quota_us", "70000\n");
  write(pod_ + "/cpu.cfs_quota_us", "30000\n");
  write(container_ + "/cpu.cfs_quota_us", "10000\n");
  const auto limits = cpu_limits(container_, 2);
  ASSERT_TRUE(limits);
  ASSERT_EQ(limits->size(), 2U) << "those above are nobody's business here";
  for (const CpuLimit& limit : *limits) ASSERT_TRUE(lift(limit));
  // The kernel takes what is written for the whole; a file of a disk keeps what stood behind it.
  EXPECT_THAT(read_file(container_ + "/cpu.cfs_quota_us").value(), StartsWith("-1"));
  EXPECT_THAT(read_file(pod_ + "/cpu.cfs_quota_us").value(), StartsWith("-1"));
  for (const CpuLimit& limit : *limits) ASSERT_TRUE(put_back(limit));
  EXPECT_EQ(read_file(container_ + "/cpu.cfs_quota_us"), "10000\n");
  EXPECT_EQ(read_file(pod_ + "/cpu.cfs_quota_us"), "30000\n");
}

TEST_F(CpuLimits, OfVersion2KeepTheirPeriod) {
  write(container_ + "/cpu.max", "5000 50000\n");
  const auto limits = cpu_limits(container_, 1);
  ASSERT_TRUE(limits);
  ASSERT_EQ(limits->size(), 1U);
  ASSERT_TRUE(lift(limits->front()));
  EXPECT_THAT(read_file(container_ + "/cpu.max").value(), StartsWith("max"));
  ASSERT_TRUE(put_back(limits->front()));
  EXPECT_EQ(read_file(container_ + "/cpu.max"), "5000 50000\n");
}

TEST_F(CpuLimits, WhatHasNoneIsLeftAlone) {
  write(container_ + "/cpu.cfs_quota_us", "-1\n");
  write(pod_ + "/cpu.max", "max 100000\n");
  const auto limits = cpu_limits(container_, 2);
  ASSERT_TRUE(limits);
  EXPECT_TRUE(limits->empty());
  EXPECT_TRUE(put_back({.path = root_ + "/gone/cpu.max", .value = "1 2"}));
}

}  // namespace
}  // namespace godwit::os
