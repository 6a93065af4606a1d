#include "agent/volume_versions.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "os/file.h"

namespace godwit::agent {
namespace {

class VolumeVersions : public testing::Test {
 protected:
  ~VolumeVersions() override { EXPECT_TRUE(os::remove_tree(root)); }
  // As a kubelet leaves it.
  std::string make_volume(const std::string& kind, const std::string& version) const {
    const std::string volume = root + "/volumes/" + kind + "/settings";
    EXPECT_TRUE(os::make_directories(volume + "/" + version));
    EXPECT_TRUE(os::write_file_atomic(volume + "/" + version + "/greeting", "hello"));
    EXPECT_EQ(::symlink(version.c_str(), (volume + "/..data").c_str()), 0);
    return volume;
  }
  const std::string root = "/tmp/godwit-test-versions-" + std::to_string(::getpid());
};

TEST_F(VolumeVersions, AreNamedByTheirLinks) {
  const std::string volume = make_volume("kubernetes.io~configmap", "..2026_11_30");
  const std::string other = make_volume("kubernetes.io~csi", "..2026_11_30");
  const std::vector<PodMount> mounts{{.destination = "/etc/settings", .mount_point = volume, .carried = false},
                                     {.destination = "/data", .mount_point = other, .carried = false},
                                     {.destination = "/etc/hosts", .mount_point = root, .carried = false}};
  const nlohmann::json config = {{"mounts",
                                  {{{"destination", "/etc/settings"}, {"source", volume}},
                                   {{"destination", "/etc/hosts"}, {"source", root + "/etc-hosts"}},
                                   {{"destination", "/data"}, {"source", other}}}}};
  const auto versions = volume_versions(config, mounts, ::getpid(), 3);
  ASSERT_EQ(versions.size(), 1U);
  EXPECT_EQ(versions[0].member, 3U);
  EXPECT_EQ(versions[0].destination, "/etc/settings");
  EXPECT_EQ(versions[0].name, "..2026_11_30");
}

TEST_F(VolumeVersions, AnAliasLeadsToWhatIsThereNow) {
  const std::string volume = make_volume("kubernetes.io~configmap", "..2026_12_01");
  for (int time = 0; time < 2; ++time) {
    const auto named = alias_version(volume, "..2026_11_30");
    ASSERT_TRUE(named) << named.error().message;
  }
  EXPECT_EQ(os::read_file(volume + "/..2026_11_30/greeting").value_or(""), "hello");
  ASSERT_TRUE(alias_version(volume, "..2026_12_01")) << "it is its own name";
}

TEST_F(VolumeVersions, NothingIsWrittenIntoVolumesOfOthers) {
  const std::string volume = make_volume("kubernetes.io~csi", "..2026_12_01");
  ASSERT_TRUE(alias_version(volume, "..2026_11_30"));
  EXPECT_FALSE(os::read_link(volume + "/..2026_11_30"));
}

TEST(VersionName, IsNoPath) {
  EXPECT_TRUE(valid_version_name("..2026_11_30_10_00_00.123456789"));
  for (const char* wrong : {"", "..", "..data", "../x", "x", "..a/b"}) EXPECT_FALSE(valid_version_name(wrong)) << wrong;
}

}  // namespace
}  // namespace godwit::agent
