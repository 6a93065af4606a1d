#include "install/node_files.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::install {
namespace {

using testing::HasSubstr;

constexpr const char* main_text = "# the node's\nversion = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\n";
constexpr const char* network_text = R"({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}]})";

class NodeFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / "godwit-node-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    for (const char* name :
         {"godwit", "godwit-agent", "godwit-criu", "godwit-runc", "godwit-cni", "libgodwit-shim.so"}) {
      write("image/" + std::string(name), "contents of " + std::string(name));
    }
    write("etc/containerd/config.toml", main_text);
    ASSERT_EQ(::chmod(path("etc/containerd/config.toml").c_str(), 0640), 0);
    write("cni/net.d/10-n.conflist", network_text);
    ASSERT_TRUE(os::make_directories(path("cni/bin")));
    before_ = tree();
  }
  void TearDown() override { EXPECT_TRUE(os::remove_tree(root_)); }

  [[nodiscard]] std::string path(const std::string& name) const { return root_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(os::make_directories(std::filesystem::path(path(name)).parent_path(), 0755));
    ASSERT_TRUE(os::write_file_atomic(path(name), text, 0644));
  }
  [[nodiscard]] std::string read(const std::string& name) const { return os::read_file(path(name)).value_or(""); }

  [[nodiscard]] NodePlaces places() const {
    return {.source = path("image"),
            .directory = path("opt/godwit"),
            .config_path = path("etc/containerd/config.toml"),
            .containerd = {.cni_configurations = path("cni/net.d"), .cni_programs = {path("cni/bin")}},
            .version = "1.2.3"};
  }
  // Every file with its mode and contents.
  [[nodiscard]] std::map<std::string, std::string> tree() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      if (!entry.is_regular_file()) continue;
      struct stat status{};
      EXPECT_EQ(::stat(entry.path().c_str(), &status), 0);
      files[entry.path()] = fmt::format("{:o} {}", status.st_mode, os::read_file(entry.path()).value_or(""));
    }
    return files;
  }
  void uninstall() const {
    ASSERT_TRUE(NodeFiles::take_back(path("opt/godwit")));
    const auto rest = NodeFiles::remove_rest(path("opt/godwit"), path("tasks"));
    ASSERT_TRUE(rest) << rest.error().message;
    EXPECT_FALSE(*rest);
  }

  std::string root_;
  std::map<std::string, std::string> before_;
};

TEST_F(NodeFilesTest, InstallsOnceAndLeavesNothingBehind) {
  NodeFiles node(places());
  const auto installed = node.install();
  ASSERT_TRUE(installed) << installed.error().message;
  EXPECT_TRUE(*installed) << "containerd must be restarted";
  EXPECT_EQ(read("opt/godwit/godwit-agent"), "contents of godwit-agent");
  EXPECT_EQ(read("cni/bin/godwit-cni"), "contents of godwit-cni");
  EXPECT_THAT(read("etc/containerd/config.toml"), HasSubstr(path("etc/containerd/godwit.toml")));
  EXPECT_THAT(read("cni/net.d/00-godwit.conflist"), HasSubstr("bridge"));
  EXPECT_EQ(read("cni/net.d/10-n.conflist"), network_text);
  struct stat status{};
  ASSERT_EQ(::stat(path("etc/containerd/config.toml").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);

  const auto once = tree();
  EXPECT_TRUE(NodeFiles(places()).install().value()) << "whoever installed it may have died before the restart";
  EXPECT_EQ(tree(), once);
  ASSERT_TRUE(node.told_restarted());
  EXPECT_FALSE(NodeFiles(places()).install().value());
  uninstall();
  EXPECT_EQ(tree(), before_);
  EXPECT_FALSE(os::exists(path("opt"))) << "which was not there either";
  EXPECT_FALSE(NodeFiles::take_back(path("opt/godwit")).value()) << "again: there is nothing";
}

TEST_F(NodeFilesTest, AnotherVersionTakesOver) {
  ASSERT_TRUE(NodeFiles(places()).install());
  NodePlaces newer = places();
  newer.version = "1.3.0";
  write("image/godwit-agent", "a newer agent");
  ASSERT_TRUE(NodeFiles(newer).install());
  EXPECT_EQ(read("opt/godwit/godwit-agent"), "a newer agent");
  EXPECT_THAT(read("opt/godwit/installed.json"), HasSubstr("1.3.0"));
  write("opt/godwit/installed.json", R"({"format": 7, "version": "9.0.0"})");
  const auto refused = NodeFiles(newer).install();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("version 9.0.0 of Godwit"));
}

TEST_F(NodeFilesTest, FollowsWhatOthersWriteAnew) {
  NodeFiles node(places());
  ASSERT_TRUE(node.install());
  ASSERT_TRUE(node.told_restarted());
  EXPECT_FALSE(node.follow().value());
  write("cni/net.d/10-n.conflist", R"({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "ptp"}]})");
  EXPECT_TRUE(node.follow().value());
  EXPECT_THAT(read("cni/net.d/00-godwit.conflist"), HasSubstr("ptp"));
  const std::string rewritten = "version = 3\n# written anew, without the import\n";
  write("etc/containerd/config.toml", rewritten);
  EXPECT_TRUE(node.follow().value());
  EXPECT_THAT(read("etc/containerd/config.toml"), HasSubstr("godwit.toml"));
  EXPECT_TRUE(NodeFiles(places()).install().value()) << "containerd has not been restarted since";
  uninstall();
  EXPECT_EQ(read("etc/containerd/config.toml"), rewritten);
}

TEST_F(NodeFilesTest, SaysWhyItCannotAndChangesNothing) {
  const auto refusal = [&](const NodePlaces& where) {
    const auto done = NodeFiles(where).install();
    EXPECT_FALSE(done);
    return done ? "" : done.error().message;
  };
  NodePlaces wrong = places();
  wrong.config_path = path("etc/containerd/none.toml");
  EXPECT_THAT(refusal(wrong), HasSubstr("containerd has no configuration at"));
  wrong = places();
  wrong.containerd.handler_program = "/usr/bin/other";
  EXPECT_THAT(refusal(wrong), HasSubstr("/usr/bin/other"));
  wrong = places();
  wrong.containerd.cni_configurations = path("cni/nothing");
  EXPECT_THAT(refusal(wrong), HasSubstr("no network configuration in " + path("cni/nothing")));
  uninstall();
  EXPECT_EQ(tree(), before_);
  write("etc/containerd/config.toml", "version = 1\n");
  EXPECT_THAT(refusal(places()), HasSubstr("version 1"));
  EXPECT_EQ(read("etc/containerd/config.toml"), "version = 1\n");
  write("etc/containerd/config.toml", main_text);
  write("cni/net.d/10-n.conflist", R"({"name": "n", "plugins": [{"type": "godwit-cni"}]})");
  EXPECT_THAT(refusal(places()), HasSubstr("in it already"));
}

TEST_F(NodeFilesTest, AStandInStaysUntilTheLastContainerIsDeleted) {
  ASSERT_TRUE(NodeFiles(places()).install());
  const std::string runtime = path("opt/godwit/godwit-runc");
  const auto task = [&](const std::string& id, const std::string& program, const std::string& pid) {
    write("tasks/k8s.io/" + id + "/runtime", program);
    write("tasks/k8s.io/" + id + "/init.pid", pid);
  };
  task("one", runtime, std::to_string(::getpid()));
  task("two", runtime, std::to_string(::getpid()));
  task("other", "runc", std::to_string(::getpid()));
  task("remains", runtime, "4194305");  // beyond the greatest process id that there can be
  ASSERT_TRUE(NodeFiles::take_back(path("opt/godwit")));
  EXPECT_TRUE(NodeFiles::remove_rest(path("opt/godwit"), path("tasks")).value());
  EXPECT_EQ(os::list_directory(path("opt/godwit")).value(), std::vector<std::string>{"godwit-runc"});

  // In the place of runc stands one that says what it was called with.
  write("programs/runc", "#!/bin/sh\necho \"$@\"\n");
  ASSERT_EQ(::chmod(path("programs/runc").c_str(), 0755), 0);
  const auto call = [&](std::vector<std::string> words) {
    words.insert(words.begin(), runtime);
    const auto said = os::run_checked({.argv = words, .environment = {"PATH=" + path("programs") + ":/usr/bin:/bin"}},
                                      Deadline::after(std::chrono::seconds(20)));
    return said ? *said : said.error().message;
  };
  EXPECT_EQ(call({"--root", "/run/x", "state", "one"}), "--root /run/x state one\n");
  EXPECT_EQ(call({"--root", "/run/x", "delete", "one"}), "--root /run/x delete one\n");
  EXPECT_TRUE(os::exists(runtime)) << "there is another";
  ASSERT_TRUE(os::remove_tree(path("tasks/k8s.io/one")));
  EXPECT_EQ(call({"--root", "/run/x", "delete", "--force", "two"}), "--root /run/x delete --force two\n");
  EXPECT_FALSE(os::exists(path("opt")));
}

}  // namespace
}  // namespace godwit::install
