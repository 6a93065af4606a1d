// What Services and disruption budgets see of a move: nothing.
#include <gmock/gmock.h>

#include <unistd.h>

#include <sstream>

#include "os/file.h"
#include "rows.h"

namespace godwit {
namespace {

// Follows objects of the test's namespace with `kubectl get --watch`.
class Watch {
 public:
  Watch(const lab::Node& place, const std::string& space, const std::string& what, const std::string& columns)
      : log_(testing::TempDir() + "godwit-watch-" + std::to_string(::getpid()) + "-" + what) {
    ::unlink(log_.c_str());
    auto started = place.spawn({"kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", space, "get", what, "-w",
                                "--no-headers", "-o", "custom-columns=" + columns},
                               {.log_path = log_});
    EXPECT_TRUE(started);
    if (started) process_.emplace(std::move(*started));
  }
  ~Watch() { ::unlink(log_.c_str()); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  [[nodiscard]] std::vector<std::string> lines() const {
    std::istringstream text(os::read_file(log_).value_or(""));
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);) all.push_back(line);
    return all;
  }

 private:
  std::string log_;
  std::optional<os::Subprocess> process_;
};

using testing::AllOf;
using testing::ContainsRegex;
using testing::StartsWith;

using ServicesTest = RowTest;

TEST_F(ServicesTest, TheAddressNeverLeavesItsServiceAndNoBudgetIsTouched) {
  start_redis();
  apply(R"({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "redis"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "redis"}}}})");
  EXPECT_TRUE(
      eventually(soon(), [&] { return get({"pdb", "redis"}).value("/status/currentHealthy"_json_pointer, 0) == 1; }));
  EXPECT_TRUE(eventually(soon(), [&] {
    const json all = get({"endpointslices"});
    return all.value("/items/0/endpoints/0/conditions/ready"_json_pointer, false);
  }));
  const std::string name = only_pod();
  const std::string address = address_of(name);
  const std::string service = get({"service", "redis"})["spec"].value("clusterIP", "");
  const Watch slices(node(0), space_, "endpointslices",
                     "A:.endpoints[*].addresses[0],R:.endpoints[*].conditions.ready,P:.endpoints[*].targetRef.name");
  const Watch budget(node(0), space_, "pdb", "H:.status.currentHealthy");
  EXPECT_TRUE(eventually(soon(), [&] { return !slices.lines().empty() && !budget.lines().empty(); }));
  // A node's own kube-proxy is the one that may be misled: the pod comes to the client's.
  const int there = other_node(name);
  NewConnections clients(node(there), service, 6379);
  const json status = migrate(name, node(there).name())["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  const std::string pod_name = only_pod();
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
  EXPECT_GT(report.value("requests", 0), 20);
  fmt::print("new connections: {}\n", report.dump());
  // The last change has been seen when only the last clone is left.
  EXPECT_TRUE(
      eventually(soon(), [&] { return !slices.lines().empty() && slices.lines().back().ends_with(" " + pod_name); }));
  for (const std::string& line : slices.lines()) {
    EXPECT_THAT(line, AllOf(StartsWith(address), ContainsRegex("[ ,]true")))
        << "at every moment it is there and ready\n"
        << testing::PrintToString(slices.lines());
  }
  for (const std::string& line : budget.lines()) EXPECT_GE(std::atoi(line.c_str()), 1) << line;
}

}  // namespace
}  // namespace godwit
