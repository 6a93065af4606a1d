#include "cluster/faults.h"

#include <signal.h>

#include <algorithm>
#include <thread>

#include "cluster/control_plane.h"
#include "cluster/layout.h"
#include "cluster/network.h"
#include "cluster/worker.h"

namespace godwit::cluster {
namespace {

using std::chrono::seconds;

constexpr auto command_limit = seconds(15);

Deadline soon() {
  return Deadline::after(command_limit);
}

Result<> in_place(const Cluster& cluster, int place, const std::vector<std::string>& argv) {
  GODWIT_TRY(cluster.place(place).exec_checked(argv, soon()));
  return {};
}

// As a service manager would: a kubelet, for one, gives up if containerd is not ready yet.
Result<> start_to_stay(const Cluster& cluster, int node, const Component& component) {
  constexpr int attempts_max = 10;
  constexpr auto settled = milliseconds(400);
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    GODWIT_TRY(start_component(cluster.place(node), component));
    std::this_thread::sleep_for(settled);
    if (component_pid(cluster.place(node), component.name)) return {};
  }
  return fail("{} on {} does not stay up; the end of its log:\n{}", component.name, cluster.place(node).name(),
              log_end(cluster.place(node), component.name));
}

// One end of a cable: what is sent into it goes no faster than the rate, some of what comes out of it is lost.
std::string slow_end_script(const std::string& device, const SlowLink& how) {
  std::string script = fmt::format(
      "tc qdisc delete dev {0} root 2>/dev/null || :\nnft delete table netdev loss-{0} 2>/dev/null || :\n", device);
  if (how.rate_kbit_s > 0) {
    // A burst of at least one large packet; the queue is what a switch's port may hold.
    script += fmt::format("tc qdisc add dev {} root tbf rate {}kbit burst 64kb limit 256kb\n", device, how.rate_kbit_s);
  }
  if (how.loss_percent > 0) {
    constexpr int steps = 100'000;
    script += fmt::format(R"(nft -f - <<END
table netdev loss-{0} {{
  chain cable {{
    type filter hook ingress device "{0}" priority 10;
    numgen random mod {1} < {2} drop
  }}
}}
END
)",
                          device, steps, static_cast<int>(how.loss_percent / 100 * steps));
  }
  return script;
}

}  // namespace

std::vector<Component> components_of(const Cluster& cluster, int place) {
  return place == control_plane ? control_plane_components(cluster.plan()) : worker_components(cluster.plan(), place);
}

Result<> kill(const Cluster& cluster, int place, const std::string& component) {
  return kill_component(cluster.place(place), component, soon());
}

Result<> restart(const Cluster& cluster, int place, const std::string& component) {
  const std::vector<Component> all = components_of(cluster, place);
  const auto found = std::ranges::find(all, component, &Component::name);
  if (found == all.end()) return fail("there is no {} on {}", component, cluster.place(place).name());
  if (component_pid(cluster.place(place), component)) GODWIT_TRY(kill(cluster, place, component));
  return start_component(cluster.place(place), *found);
}

Result<> kill_node(Cluster& cluster, int node) {
  return cluster.lab().kill_node(node);
}

Result<> restart_node(Cluster& cluster, int node) {
  GODWIT_TRY(cluster.lab().restart_node(node));
  GODWIT_TRY(in_place(cluster, node, {"sh", "-c", prepare_script(cluster.plan(), node)}));
  if (cluster.plan().network == NetworkMode::routed) GODWIT_TRY(cluster.set_routes(node));
  for (const Component& component : components_of(cluster, node)) GODWIT_TRY(start_to_stay(cluster, node, component));
  return {};
}

Result<> cut_network(Cluster& cluster, int node) {
  return cluster.lab().cut_network(node);
}

Result<> heal_network(Cluster& cluster, int node) {
  return cluster.lab().restore_network(node);
}

Result<> slow_link(const Cluster& cluster, int node, const SlowLink& how) {
  GODWIT_TRY(in_place(cluster, node, {"sh", "-ec", slow_end_script("uplink", how)}));
  return in_place(cluster, control_plane, {"sh", "-ec", slow_end_script(lab::uplink_name(node), how)});
}

Result<> stall_api_server(const Cluster& cluster, milliseconds how_long) {
  const lab::Node& place = cluster.place(control_plane);
  GODWIT_TRY(signal_component(place, "kube-apiserver", SIGSTOP));
  std::this_thread::sleep_for(how_long);
  return signal_component(place, "kube-apiserver", SIGCONT);
}

Result<> fill_disk(const Cluster& cluster, int node) {
  // The limit counts whole pages, and something may be written between looking and limiting: a few attempts.
  return in_place(cluster, node,
                  {"sh", "-ec",
                   fmt::format(R"(
for attempt in 1 2 3 4 5; do
  used=$(df --block-size=1 --output=used {0} | tail -n 1)
  mount -o remount,size=$used {0} && exit
done
exit 1)",
                               lab::data_in_node)});
}

Result<> free_disk(const Cluster& cluster, int node) {
  const unsigned long size = cluster.lab().state().plan.data_limit_bytes;
  return in_place(cluster, node, {"mount", "-o", fmt::format("remount,size={}", size), lab::data_in_node});
}

}  // namespace godwit::cluster
