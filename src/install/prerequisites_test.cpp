#include "install/prerequisites.h"

#include <gtest/gtest.h>

namespace godwit::install {
namespace {

TEST(Prerequisites, CriuMustBeNewEnough) {
  EXPECT_TRUE(check_criu_version("Version: 4.2\n"));
  EXPECT_TRUE(check_criu_version("Version: 4.2.1\nGitID: v4.2.1\n"));
  EXPECT_TRUE(check_criu_version("Version: 5.0\n"));
  EXPECT_TRUE(check_criu_version("Version: 4.10\n"));
  for (const char* text : {"Version: 3.17.1\n", "Version: 4.1\n", "Version: \n", "Version: 4", "", "criu: not found"}) {
    EXPECT_FALSE(check_criu_version(text)) << text;
  }
}

}  // namespace
}  // namespace godwit::install
