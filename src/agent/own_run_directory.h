// For tests: an agent's directory for the test alone.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "os/file.h"

namespace godwit::agent {

class OwnRunDirectory : public testing::Test {
 protected:
  void SetUp() override {
    run_ = std::filesystem::temp_directory_path() / "godwit-run-XXXXXX";
    ASSERT_NE(::mkdtemp(run_.data()), nullptr);
    ::setenv("GODWIT_RUN", run_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("GODWIT_RUN");
    EXPECT_TRUE(os::remove_tree(run_));
  }
  std::string run_;
};

}  // namespace godwit::agent
