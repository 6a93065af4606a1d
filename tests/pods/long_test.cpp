// A pod whose memory takes longer to copy than a kubelet waits for a container to be created.
#include <gmock/gmock.h>

#include "rows.h"

namespace godwit {
namespace {

class LongTest : public RowTest {};

// For its kubelet it is there before it has arrived, for nobody else.
TEST_F(LongTest, APodMovesThatTakesLongerThanAKubeletWaits) {
  constexpr int so_slow_kbit_s = 3'000;         // 96 MiB would take four minutes
  constexpr auto kubelets_time = seconds(120);  // runtimeRequestTimeout
  start_large_pod("cache");
  const std::string address = address_of("cache");
  const int destination = other_node("cache");
  Clients clients(node(0), address, 6379, "long");
  slow_links_down(so_slow_kbit_s);
  const Deadline given_up_by_kubelet = Deadline::after(kubelets_time + seconds(5));
  const std::string name = order("cache", {{"destination", node(destination).name()}});
  const auto believed_to_run = [&] {
    return pod("cache-clone-1").contains("/status/containerStatuses/0/state/running"_json_pointer);
  };
  EXPECT_TRUE(eventually(Deadline::after(seconds(90)), believed_to_run)) << kubectl({"get", "pods"});
  EXPECT_EQ(get({"endpointslices", "-l", "kubernetes.io/service-name=redis"})["items"][0]["endpoints"].size(), 1U);
  std::this_thread::sleep_until(given_up_by_kubelet.when());
  EXPECT_EQ(migration(name)["status"].value("phase", ""), "Pre-dump");
  slow_links_up();
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  EXPECT_EQ(pod_names(), std::vector<std::string>{"cache-clone-1"});
  EXPECT_EQ(restarts("cache-clone-1"), 0);
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
  fmt::print("clients: {}\n", report.dump());
}

}  // namespace
}  // namespace godwit
