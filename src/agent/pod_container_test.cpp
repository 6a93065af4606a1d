#include "agent/pod_container.h"

#include <signal.h>

#include <fmt/core.h>

#include "agent/own_run_directory.h"
#include "agent/pod_marks.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

// A process that stands for a container's first one, and what runc says of it.
class HeldContainer : public OwnRunDirectory {
 protected:
  void SetUp() override {
    OwnRunDirectory::SetUp();
    auto started = os::Subprocess::start({.argv = {"sleep", "1000"}});
    ASSERT_TRUE(started) << started.error().message;
    process.emplace(std::move(*started));
    root = run_ + "/runc";
    ASSERT_TRUE(os::make_directories(root + "/abc"));
    ASSERT_TRUE(
        os::write_file_atomic(root + "/abc/state.json", fmt::format(R"({{"init_process_pid": {}}})", process->pid())));
  }
  [[nodiscard]] bool lives() { return !process->wait(Deadline::after(milliseconds(50))).has_value(); }

  std::optional<os::Subprocess> process;
  std::string root;
};

TEST(ImageRepository, IsWithoutTagAndDigest) {
  for (const char* image : {"redis", "redis:8", "library/redis", "docker.io/library/redis@sha256:00",
                            "docker.io/library/redis:8@sha256:00"}) {
    EXPECT_EQ(image_repository(image), "docker.io/library/redis") << image;
  }
  EXPECT_EQ(image_repository("localhost:5000/team/web:1"), "localhost:5000/team/web");
  EXPECT_EQ(image_repository("localhost/web"), "localhost/web");
  EXPECT_EQ(image_repository("team/web"), "docker.io/team/web");
}

// What is mounted of a pod's volumes, and goes along because nobody else has it.
TEST(PodMounts, EmptyDirsGoAlongAndPartsOfThem) {
  const std::string pod = "/tmp/godwit-test-pod-" + std::to_string(::getpid());
  ASSERT_TRUE(os::make_directories(pod + "/volumes/kubernetes.io~empty-dir/scratch"));
  ASSERT_TRUE(os::make_directories(pod + "/volumes/kubernetes.io~csi/data"));
  const auto bind = [&](const std::string& source) {
    return nlohmann::json{{"destination", "/x"}, {"type", "bind"}, {"source", pod + source}};
  };
  const nlohmann::json config = {
      {"mounts",
       {bind("/volumes/kubernetes.io~empty-dir/scratch"), bind("/volume-subpaths/scratch/main/0"),
        bind("/volumes/kubernetes.io~csi/data/mount"), bind("/volume-subpaths/data/main/1"), bind("/etc-hosts")}}};
  std::vector<bool> carried;
  for (const PodMount& mount : pod_mounts(config, ::getpid())) carried.push_back(mount.carried);
  EXPECT_TRUE(os::remove_tree(pod));
  EXPECT_EQ(carried, (std::vector<bool>{true, true, false, false, false}));
}

TEST_F(HeldContainer, IsMarkedAndCanBeHeldAgain) {
  ASSERT_TRUE(hold_container(root, "abc"));
  ASSERT_TRUE(hold_container(root, "abc"));
  const auto mark = container_mark("abc");
  ASSERT_TRUE(mark && *mark);
  EXPECT_EQ((*mark)->state, PodMark::State::held);
  EXPECT_EQ((*mark)->init_pid, process->pid());
}

TEST_F(HeldContainer, OneThatIsNotThereCannotBeHeld) {
  const auto held = hold_container(root, "other");
  ASSERT_FALSE(held);
  EXPECT_NE(held.error().message.find("no container other"), std::string::npos);
}

TEST_F(HeldContainer, OneThatHasMovedCannotBeHeld) {
  ASSERT_TRUE(mark_container("abc", {.state = PodMark::State::moved, .to = "node-2"}));
  const auto held = hold_container(root, "abc");
  ASSERT_FALSE(held);
  EXPECT_NE(held.error().message.find("node-2"), std::string::npos);
}

TEST_F(HeldContainer, LivesOnWhenItIsLetGoAndNobodyWantedItsEnd) {
  ASSERT_TRUE(hold_container(root, "abc"));
  ASSERT_TRUE(let_go_of_container("abc"));
  EXPECT_TRUE(lives());
  EXPECT_FALSE(container_mark("abc").value());
  EXPECT_TRUE(let_go_of_container("abc")) << "once more";
}

TEST_F(HeldContainer, EndsWhenItIsLetGoAndItsKubeletWantedItsEnd) {
  ASSERT_TRUE(hold_container(root, "abc"));
  ASSERT_TRUE(note_end_wanted("abc"));
  ASSERT_TRUE(let_go_of_container("abc"));
  EXPECT_FALSE(lives());
  EXPECT_FALSE(end_wanted("abc").value()) << "the wish is fulfilled";
}

}  // namespace
}  // namespace godwit::agent
