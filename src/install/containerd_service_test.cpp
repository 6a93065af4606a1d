#include "install/containerd_service.h"

#include <gtest/gtest.h>

namespace godwit::install {
namespace {

using namespace std::string_literals;

TEST(ContainerdService, ReadsTheConfigurationsPathFromTheCommandLine) {
  EXPECT_EQ(config_path_of("/usr/bin/containerd\0"s), "/etc/containerd/config.toml");
  EXPECT_EQ(config_path_of("containerd\0--log-level\0debug\0--config\0/a.toml\0"s), "/a.toml");
  EXPECT_EQ(config_path_of("containerd\0-c\0/b.toml\0-a\0/run/s\0"s), "/b.toml");
  EXPECT_EQ(config_path_of("containerd\0--config=/c.toml\0"s), "/c.toml");
}

TEST(ContainerdService, FindsTheUnitInAControlGroup) {
  EXPECT_EQ(unit_of("0::/system.slice/containerd.service\n"), "containerd.service");
  EXPECT_EQ(unit_of("12:cpu:/\n1:name=systemd:/system.slice/k3s.service/inner\n"), "k3s.service");
  EXPECT_EQ(unit_of("0::/kubepods/besteffort\n"), "");
}

}  // namespace
}  // namespace godwit::install
