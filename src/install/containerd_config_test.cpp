#include "install/containerd_config.h"

#include <gmock/gmock.h>

namespace godwit::install {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* config_path = "/etc/containerd/config.toml";
constexpr const char* ours = "/etc/containerd/godwit.toml";

constexpr const char* version_2 = R"(# kept by hand
version = 2
root = '/data/containerd'

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.example/pause:3.10" # pinned
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
)";
constexpr const char* version_3 = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n  conf_dir = '/cni'\n";

// What was put in comes out, and nothing else changes.
void expect_round_trip(const std::string& text) {
  const auto insertion = import_file(text, config_path, ours);
  ASSERT_TRUE(insertion) << insertion.error().message;
  EXPECT_NE(insertion->text, text);
  const auto again = import_file(insertion->text, config_path, ours);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->text, insertion->text);
  EXPECT_EQ(again->inserted, "");
  EXPECT_EQ(without_insertion(insertion->text, insertion->inserted, ours).value_or(""), text);
  const std::string edited = insertion->text + "# a line that was added meanwhile\n";
  EXPECT_EQ(without_insertion(edited, insertion->inserted, ours).value_or(""),
            text + "# a line that was added meanwhile\n");
}

TEST(ContainerdConfig, AnImportIsPutInAndTakenOutAgain) {
  expect_round_trip(version_2);
  expect_round_trip(version_3);
  expect_round_trip("version = 2\nimports = []\n");
  expect_round_trip("  version = 2 # first\n  imports   =   [ # why\n  '/etc/containerd/other.toml' ]\n[grpc]\n");
  expect_round_trip("version = 3\r\nimports = [\"/a.toml\", \"/b/*.toml\"]\r\n");
}

TEST(ContainerdConfig, WhatIsImportedAlreadyNeedsNoChange) {
  for (const char* entry : {"/etc/containerd/*.toml", "*.toml", "godwit.toml", "/etc/containerd/godwit.toml"}) {
    const std::string text = fmt::format("version = 3\nimports = ['{}']\n", entry);
    const auto insertion = import_file(text, config_path, ours);
    ASSERT_TRUE(insertion) << entry;
    EXPECT_EQ(insertion->text, text) << entry;
    EXPECT_EQ(without_insertion(text, "", ours).value_or(""), text);
  }
  const auto elsewhere = import_file("version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n", config_path, ours);
  ASSERT_TRUE(elsewhere);
  EXPECT_NE(elsewhere->inserted, "");
}

TEST(ContainerdConfig, AnImportThatSomebodyRewroteIsLeftToThem) {
  const auto removed = without_insertion("version = 3\nimports = [ \"/etc/containerd/godwit.toml\" ]\n",
                                         "imports = [\"/etc/containerd/godwit.toml\"] # added by Godwit\n", ours);
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message, HasSubstr("by hand"));
  EXPECT_EQ(without_insertion("version = 3\n", "imports = [\"/etc/containerd/godwit.toml\"]\n", ours).value_or(""),
            "version = 3\n")
      << "taken out already";
}

TEST(ContainerdConfig, SaysWhichVersionsItCannotChange) {
  EXPECT_EQ(config_version(version_2).value_or(0), 2);
  EXPECT_EQ(config_version(version_3).value_or(0), 3);
  const auto none = config_version("root = '/x'\n");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("containerd config migrate"));
  const auto newer = config_version("version = 4\n");
  ASSERT_FALSE(newer);
  EXPECT_THAT(newer.error().message, HasSubstr("version 4"));
  const auto broken = config_version("version = 3\n[plugins\n");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("line 2"));
}

TEST(ContainerdConfig, TheHandlersFileIsOfTheMainFilesVersion) {
  const auto text = handler_file(version_3, "/opt/godwit/bin/godwit-runc");
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(config_version(*text).value_or(0), 3);
  EXPECT_THAT(*text, testing::Not(HasSubstr("/cni"))) << "containerd 2 merges, so nothing is repeated";
  const auto effective = read_effective(*text);
  ASSERT_TRUE(effective);
  EXPECT_EQ(effective->handler_program, "/opt/godwit/bin/godwit-runc");
}

TEST(ContainerdConfig, OfVersion2ItRepeatsThePluginsSettings) {
  const auto text = handler_file(version_2, "/opt/godwit/bin/godwit-runc");
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(config_version(*text).value_or(0), 2);
  EXPECT_THAT(*text, HasSubstr("registry.example/pause:3.10"));
  EXPECT_THAT(*text, testing::Not(HasSubstr("/data/containerd"))) << "not the plugin's";
  size_t cgroups = 0;
  for (size_t at = 0; (at = text->find("SystemdCgroup = true", at)) != std::string::npos; ++at) ++cgroups;
  EXPECT_EQ(cgroups, 2U) << "runc's own, and the handler's, which must agree with the kubelet";
}

TEST(ContainerdConfig, ReadsWhereTheNetworkPluginsAre) {
  const auto defaults = read_effective("version = 3\n");
  ASSERT_TRUE(defaults);
  EXPECT_EQ(defaults->cni_configurations, "/etc/cni/net.d");
  EXPECT_THAT(defaults->cni_programs, ElementsAre("/opt/cni/bin"));
  EXPECT_EQ(defaults->handler_program, "");
  const auto told = read_effective(
      "[grpc]\naddress = '/run/k3s/containerd.sock'\n"
      "[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dir = ''\nbin_dirs = ['/a', '/b']\nconf_dir = '/c'\n");
  ASSERT_TRUE(told);
  EXPECT_EQ(told->socket, "/run/k3s/containerd.sock");
  EXPECT_EQ(told->cni_configurations, "/c");
  EXPECT_THAT(told->cni_programs, ElementsAre("/a", "/b"));
  const auto older = read_effective("[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/usr/lib/cni'\n");
  ASSERT_TRUE(older);
  EXPECT_THAT(older->cni_programs, ElementsAre("/usr/lib/cni"));
}

}  // namespace
}  // namespace godwit::install
