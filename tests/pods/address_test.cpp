// Addresses of pods that live on another node than the one that gave them out: nobody else gets them meanwhile, and
// they are free again when the pod has ended.
#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "cluster/layout.h"
#include "pods_cluster.h"

namespace godwit {
namespace {

using testing::Contains;
using testing::IsEmpty;
using testing::Not;

class AddressTest : public PodsOnAnyNetwork {
 protected:
  // Whether every other node sends what is for the address to that one, and it itself to its pod.
  [[nodiscard]] bool all_lead_to(const std::string& address, int number) const {
    for (int other = 1; other <= cluster().node_count(); ++other) {
      const auto route = node(other).exec({"ip", "route", "get", address}, soon());
      const std::string via = "via " + lab::place_address(number) + " ";
      if (!route || route->text.contains(" via ") != (other != number)) return false;
      if (other != number && !route->text.contains(via)) return false;
    }
    return true;
  }
  [[nodiscard]] std::string moved_routes() const {
    std::string all;
    for (int number = 1; number <= cluster().node_count(); ++number) {
      const auto routes = node(number).exec({"ip", "route", "show", "proto", "71"}, soon());
      all += routes ? routes->text : "?";
    }
    return all;
  }
  [[nodiscard]] bool keeps(int number, const std::string& address) const { return reserved(number).contains(address); }
  // Makes pods on a node until it has no address left. Their addresses.
  std::vector<std::string> fill(int number) const {
    const size_t free = addresses_per_node - reserved(number).size();
    std::string manifest;
    for (int i = 0; i <= addresses_per_node; ++i) {
      manifest += fmt::format(R"(
---
apiVersion: v1
kind: Pod
metadata: {{name: filler-{}, labels: {{app: filler}}}}
spec:
  nodeName: {}
  terminationGracePeriodSeconds: 0
  containers: [{{name: a, image: "godwit.test/tiny:1", imagePullPolicy: Never, command: [sleep, inf]}}]
)",
                              i, node(number).name());
    }
    apply(manifest);
    EXPECT_TRUE(eventually(patient(), [&] { return reserved(number).size() == addresses_per_node; }))
        << testing::PrintToString(reserved(number));
    // Whoever was given an address says so.
    std::vector<std::string> addresses;
    EXPECT_TRUE(eventually(patient(), [&] {
      std::istringstream words(kubectl({"get", "pods", "-l", "app=filler", "-o", "jsonpath={.items[*].status.podIP}"}));
      addresses.assign(std::istream_iterator<std::string>(words), {});
      return addresses.size() == free;
    })) << testing::PrintToString(addresses);
    return addresses;
  }
  void remove_fillers(int number) const {
    kubectl({"delete", "pods", "-l", "app=filler", "--grace-period=0", "--force"});
    EXPECT_TRUE(eventually(patient(), [&] { return reserved(number).size() <= 1; }))
        << testing::PrintToString(reserved(number));
  }
  void expect_nothing_left() const {
    for (int number = 1; number <= cluster().node_count(); ++number) {
      EXPECT_TRUE(eventually(patient(), [&] { return reserved(number).empty(); }))
          << node(number).name() << ": " << testing::PrintToString(reserved(number));
      // They go after what they are about.
      const auto records = [&] {
        const auto found =
            node(number).exec({"find", "/var/lib/cni/godwit/kept", "/var/lib/cni/godwit/guest", "-type", "f"}, soon());
        return found ? found->text : found.error().message;
      };
      EXPECT_TRUE(eventually(patient(), [&] { return records().empty(); })) << node(number).name() << ": " << records();
    }
    EXPECT_TRUE(eventually(patient(), [&] { return moved_routes().empty(); })) << moved_routes();
  }
};

INSTANTIATE_FOR_BOTH_NETWORKS(AddressTest);

TEST_P(AddressTest, NobodyElseGetsTheAddressOfAPodThatMoved) {
  start_redis();
  std::string name = only_pod();
  const std::string address = address_of(name);
  const int home = node_of(name);
  const int second = other_than({home});
  const int third = other_than({home, second});
  name = move(name, second);
  // The sandbox that it came from is gone, and the plugin was told, or would have been.
  ASSERT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].size() == 1; }));
  EXPECT_THAT(fill(home), AllOf(Not(IsEmpty()), Not(Contains(address))));
  EXPECT_EQ(address_of(name), address);
  remove_fillers(home);
  for (const int next : {third, home, second, home}) {
    name = move(name, next);
    EXPECT_EQ(address_of(name), address);
    EXPECT_TRUE(keeps(home, address));
  }
  kubectl({"delete", "deployment", "redis"});
  expect_nothing_left();
  EXPECT_THAT(fill(home), Contains(address)) << "it is as good as any other again";
  remove_fillers(home);
  expect_nothing_left();
}

TEST_P(AddressTest, AnAddressIsFreeWhenItsPodEndsElsewhereAlsoIfItsHomeHearsOfItLater) {
  start_redis();
  const std::string name = only_pod();
  const std::string address = address_of(name);
  const int home = node_of(name);
  const std::string moved = move(name, other_than({home}));
  ASSERT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].size() == 1; }));
  stop_agent(home);
  kubectl({"delete", "deployment", "redis"});
  ASSERT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].empty(); }));
  EXPECT_TRUE(keeps(home, address)) << "there is nobody who could free it";
  start_agent(home);
  expect_nothing_left();
}

TEST_P(AddressTest, EveryNodeKnowsTheWayToAPodThatMovedWhateverHappensToIt) {
  if (network() == cluster::NetworkMode::flat) GTEST_SKIP() << "all pods are in one segment: there are no routes";
  start_redis();
  std::string name = only_pod();
  const std::string address = address_of(name);
  const int home = node_of(name);
  const int second = other_than({home});
  const int third = other_than({home, second});
  name = move(name, second);
  EXPECT_TRUE(eventually(soon(), [&] { return all_lead_to(address, second); })) << moved_routes();
  // As after a restart of the machine, or a node that has joined.
  ASSERT_TRUE(node(third).exec_checked({"ip", "route", "flush", "proto", "71"}, soon()));
  EXPECT_TRUE(eventually(soon(), [&] { return all_lead_to(address, second); })) << moved_routes();
  stop_agent(home);
  EXPECT_TRUE(all_lead_to(address, second)) << "routes are the kernel's";
  name = move(name, third);
  start_agent(home);
  EXPECT_TRUE(eventually(soon(), [&] { return all_lead_to(address, third); })) << moved_routes();
  enable_all_nodes_but("");  // without its agent it is no destination
  name = move(name, home);
  EXPECT_TRUE(eventually(soon(), [&] { return all_lead_to(address, home); })) << moved_routes();
  kubectl({"delete", "deployment", "redis"});
  expect_nothing_left();
  enable_all_nodes_but("");
}

TEST_P(AddressTest, APodThatStaysHasItsAddressAsBefore) {
  start_redis();
  const std::string name = only_pod();
  const int home = node_of(name);
  const int other = other_than({home});
  stop_agent(other);
  EXPECT_EQ(migrate(name, node(other).name())["status"].value("state", ""), "Failed");
  start_agent(other);
  EXPECT_TRUE(keeps(home, address_of(name)));
  kubectl({"delete", "deployment", "redis"});
  expect_nothing_left();
  enable_all_nodes_but("");
}

}  // namespace
}  // namespace godwit
