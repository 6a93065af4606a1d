// However a cluster ends, nothing of it stays on the machine; and how it starts, or says why not.
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "../lab/traces.h"
#include "cluster/layout.h"
#include "fixture.h"

namespace godwit::cluster {
namespace {

using lab::children_of;
using lab::namespaces_of;
using lab::traces_after;
using lab::traces_of;
using testing::HasSubstr;
using testing::IsEmpty;

class Lifecycle : public testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_CLUSTER_PARTS(); }
};

std::string program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/godwit-cluster";
}

// Starts a pod of an image and waits until it runs.
Result<> run_pod(const Cluster& cluster, const std::string& image) {
  GODWIT_TRY(
      cluster.kubectl({"run", image, "--image=godwit.test/" + image + ":1", "--image-pull-policy=Never"}, soon()));
  GODWIT_TRY(cluster.kubectl({"wait", "--for=condition=Ready", "pod/" + image, "--timeout=30s"}, patient()));
  return {};
}

TEST_F(Lifecycle, TenTimesUpAndDownLeaveNothing) {
  const size_t descriptors_before = children_of("/proc/self/fd").size();
  const auto interfaces_before = children_of("/sys/class/net");
  const auto mounts_before = os::read_file("/proc/self/mountinfo").value_or("");
  for (int round = 0; round < 10; ++round) {
    const NetworkMode mode = round % 2 == 0 ? NetworkMode::flat : NetworkMode::routed;
    auto cluster = Cluster::start({.nodes = 2, .network = mode});
    ASSERT_TRUE(cluster) << "round " << round << ": " << cluster.error().message;
    const auto ran = run_pod(*cluster, "tiny");
    ASSERT_TRUE(ran) << "round " << round << ": " << ran.error().message;
    const std::string name = cluster->name();
    const auto namespaces = namespaces_of(cluster->lab());
    EXPECT_FALSE(traces_of(name, namespaces).empty()) << "this test must be able to see a cluster";
    const auto stopped = cluster->stop();
    ASSERT_TRUE(stopped) << stopped.error().message;
    EXPECT_THAT(traces_of(name, namespaces), IsEmpty()) << "round " << round;
  }
  EXPECT_EQ(children_of("/proc/self/fd").size(), descriptors_before);
  EXPECT_EQ(children_of("/sys/class/net"), interfaces_before);
  EXPECT_EQ(os::read_file("/proc/self/mountinfo").value_or("-"), mounts_before);
}

TEST_F(Lifecycle, EndsWithAKilledStarterWhereverItIs) {
  for (const seconds wait : {seconds(0), seconds(2), seconds(60)}) {
    const std::string name = fmt::format("test-{}-killed", ::getpid());
    auto starter = os::Subprocess::start({.argv = {program(), "up", "--foreground", "--name", name, "--nodes", "2"}});
    ASSERT_TRUE(starter) << starter.error().message;
    std::vector<std::string> namespaces;
    ASSERT_TRUE(eventually(soon(), [&] {
      const auto lab = lab::Lab::attach(name);
      if (lab && lab->state().places.back() > 0) namespaces = namespaces_of(*lab);
      return !namespaces.empty();
    }));
    // In the middle of the start, or when the node is Ready and pods may be there.
    (void)eventually(Deadline::after(wait), [&] {
      const auto cluster = Cluster::attach(name);
      return cluster && cluster->kubectl({"wait", "--for=condition=Ready", "node", "--all", "--timeout=1s"}, soon());
    });
    starter->kill_and_wait();
    EXPECT_THAT(traces_after(soon(), name, namespaces), IsEmpty()) << wait.count() << " s";
  }
}

TEST_F(Lifecycle, TwoClustersDoNotSeeEachOther) {
  auto one = Cluster::start({.nodes = 1, .network = NetworkMode::flat});
  ASSERT_TRUE(one) << one.error().message;
  auto two = Cluster::start({.nodes = 1, .network = NetworkMode::routed});
  ASSERT_TRUE(two) << two.error().message;
  const auto ran = run_pod(*one, "redis");
  EXPECT_TRUE(ran) << ran.error().message;
  EXPECT_THAT(two->kubectl({"get", "pods", "-o", "name"}, soon()).value_or("?"), IsEmpty());
  const std::string name = one->name();
  const auto namespaces = namespaces_of(one->lab());
  const auto stopped = one->stop();
  EXPECT_TRUE(stopped) << stopped.error().message;
  EXPECT_THAT(traces_of(name, namespaces), IsEmpty());
  const auto still = run_pod(*two, "redis");
  EXPECT_TRUE(still) << still.error().message;
}

// Kernel memory and page cache that only they use are in the figure.
TEST_F(Lifecycle, ThreeNodesWithPodsFitInFourGigabytes) {
  auto cluster = Cluster::start({});
  ASSERT_TRUE(cluster) << cluster.error().message;
  for (const char* image : {"redis", "postgres", "nginx"}) {
    const auto ran = run_pod(*cluster, image);
    ASSERT_TRUE(ran) << ran.error().message;
  }
  const std::string group = lab::lab_cgroup(cluster->name());
  const std::string version_1 = "/sys/fs/cgroup/memory/" + group + "/memory.usage_in_bytes";
  const auto used = os::read_file(os::exists(version_1) ? version_1 : "/sys/fs/cgroup/" + group + "/memory.current");
  ASSERT_TRUE(used) << used.error().message;
  RecordProperty("bytes", *used);
  EXPECT_GT(std::stoul(*used), 100UL << 20) << "this is not the cluster's memory";
  EXPECT_LT(std::stoul(*used), 4UL << 30);
}

TEST_F(Lifecycle, WritesAKubeconfigWhereItIsToldAndTakesItAway) {
  const std::string path = fmt::format("/tmp/godwit-test-{}/kubeconfig", ::getpid());
  auto cluster = Cluster::start({.nodes = 1, .kubeconfig = path});
  ASSERT_TRUE(cluster) << cluster.error().message;
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 077, 0U) << "whoever can read it is the administrator";
  const auto stopped = cluster->stop();
  EXPECT_TRUE(stopped) << stopped.error().message;
  EXPECT_FALSE(os::exists(path));
  EXPECT_TRUE(os::remove_tree(std::filesystem::path(path).parent_path().string()));
}

// The real components, but for one that says "out of order" and ends.
class BrokenKubernetes {
 public:
  explicit BrokenKubernetes(const std::string& broken)
      : path_(fmt::format("/tmp/godwit-test-{}-{}", ::getpid(), broken)) {
    std::filesystem::create_directories(path_);
    std::filesystem::copy(std::filesystem::canonical(kubernetes_folder()), path_,
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks |
                              std::filesystem::copy_options::overwrite_existing);
    std::filesystem::remove(path_ + "/" + broken);
    EXPECT_TRUE(os::write_file_atomic(path_ + "/" + broken, "#!/bin/sh\necho out of order\nexit 1\n", 0755));
  }
  BrokenKubernetes(const BrokenKubernetes&) = delete;
  BrokenKubernetes& operator=(const BrokenKubernetes&) = delete;
  ~BrokenKubernetes() { (void)os::remove_tree(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_F(Lifecycle, AFailedStartNamesTheComponentAndShowsItsLog) {
  for (const auto& [component, place] : {std::pair{"kube-apiserver", "outside"}, {"kubelet", "node-1"}}) {
    const BrokenKubernetes kubernetes(component);
    const std::string name = fmt::format("test-{}-broken", ::getpid());
    const auto cluster = Cluster::start({.nodes = 1, .name = name, .kubernetes = kubernetes.path()});
    ASSERT_FALSE(cluster);
    EXPECT_THAT(cluster.error().message, HasSubstr(fmt::format("{} on {} ended", component, place)));
    EXPECT_THAT(cluster.error().message, HasSubstr("out of order"));
    EXPECT_THAT(traces_after(soon(), name, {}), IsEmpty());
  }
}

TEST_F(Lifecycle, SaysWhatIsMissing) {
  const auto cluster = Cluster::start({.nodes = 1, .kubernetes = "/nowhere/kubernetes"});
  ASSERT_FALSE(cluster);
  EXPECT_THAT(cluster.error().message, HasSubstr("make kubernetes"));
}

}  // namespace
}  // namespace godwit::cluster
