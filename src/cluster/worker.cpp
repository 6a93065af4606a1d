#include "cluster/worker.h"

#include <nlohmann/json.hpp>

#include "cluster/layout.h"
#include "cluster/network.h"

namespace godwit::cluster {
namespace {

using nlohmann::json;

std::string config(const char* file) {
  return fmt::format("{}/{}", config_folder, file);
}

std::string runtime_handler(const std::string& name, const std::string& program) {
  return fmt::format(R"(
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{0}]
  runtime_type = 'io.containerd.runc.v2'
  # Godwit's annotations reach the runtime and the network plugins.
  pod_annotations = ['cast.ai/*']
  container_annotations = ['cast.ai/*']
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{0}.options]
    BinaryName = '{1}'
)",
                     name, program);
}

std::string containerd_config(const ClusterPlan& plan) {
  std::string text = R"(version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'godwit.test/pause:1'
[plugins.'io.containerd.cri.v1.runtime']
  # Below the machine's own limit no process may lower its score.
  restrict_oom_score_adj = true
)";
  if (plan.network == NetworkMode::routed) {
    text +=
        fmt::format("  [plugins.'io.containerd.cri.v1.runtime'.cni]\n    conf_template = '{}'\n", cni_template_path);
  }
  text += runtime_handler("runc", "/usr/bin/runc");
  return plan.live_runtime.empty() ? text : text + runtime_handler("live", plan.live_runtime);
}

std::string kubelet_config(int index) {
  const json text = {{"apiVersion", "kubelet.config.k8s.io/v1beta1"},
                     {"kind", "KubeletConfiguration"},
                     {"address", "0.0.0.0"},
                     {"containerRuntimeEndpoint", "unix:///run/containerd/containerd.sock"},
                     {"cgroupDriver", "cgroupfs"},
                     {"failCgroupV1", false},
                     {"failSwapOn", false},
                     {"resolvConf", ""},
                     {"tlsCertFile", config("kubelet.pem")},
                     {"tlsPrivateKeyFile", config("kubelet.key")},
                     {"authentication",
                      {{"anonymous", {{"enabled", false}}},
                       {"webhook", {{"enabled", true}}},
                       {"x509", {{"clientCAFile", config("ca.pem")}}}}},
                     {"authorization", {{"mode", "Webhook"}}},
                     // The machine's memory is everybody's; the disk is the node's own.
                     {"evictionHard",
                      {{"memory.available", "0%"},
                       {"nodefs.available", "5%"},
                       {"imagefs.available", "5%"},
                       {"nodefs.inodesFree", "0%"},
                       {"imagefs.inodesFree", "0%"}}},
                     {"evictionPressureTransitionPeriod", "5s"},
                     {"imageGCHighThresholdPercent", 100},
                     // A test waits for a lost node to be noticed, so the kubelet says every 2 s that it lives.
                     {"nodeLeaseDurationSeconds", 8},
                     // A volume is mounted only after the node's status has named it: every 10 s, by default.
                     {"nodeStatusUpdateFrequency", "1s"},
                     {"providerID", fmt::format("godwit-lab://{}", lab::place_name(index))},
                     {"volumePluginDir", "/var/lib/kubelet/volume-plugins"}};
  return text.dump(2) + "\n";
}

std::string proxy_config(const ClusterPlan& plan) {
  const std::string v4 = plan.network == NetworkMode::flat ? flat_pod_range : routed_pod_range;
  const std::string v6 = plan.network == NetworkMode::flat ? flat_pod_range_v6 : routed_pod_range_v6;
  const json text = {
      {"apiVersion", "kubeproxy.config.k8s.io/v1alpha1"},
      {"kind", "KubeProxyConfiguration"},
      {"clientConnection", {{"kubeconfig", config("kube-proxy.conf")}}},
      {"clusterCIDR", plan.dual_stack ? v4 + "," + v6 : v4},
      {"mode", "iptables"},
      // Flat: a Service's pod would answer its client directly, by the bridge and past the node that has to
      // translate the answer back. So it is shown the node as its client.
      {"iptables", {{"masqueradeAll", plan.network == NetworkMode::flat}}},
      // 0: leave the machine's settings alone, they cannot be changed from a node.
      {"conntrack", {{"maxPerCore", 0}, {"min", 0}, {"tcpEstablishedTimeout", "0s"}, {"tcpCloseWaitTimeout", "0s"}}}};
  return text.dump(2) + "\n";
}

// The kubelet insists on these, and a node cannot set them: it is shown files that say what it wants to read.
constexpr const char* kernel_settings_script = R"(
set_aside() {
  mkdir -p /run/kernel-settings
  file=/run/kernel-settings/$(echo "$1" | tr / _)
  [ -e "$file" ] || { echo "$2" >"$file"; mount --bind "$file" "/proc/sys/$1"; }
}
set_aside vm/overcommit_memory 1
set_aside vm/panic_on_oom 0
set_aside kernel/panic 10
set_aside kernel/panic_on_oops 1
set_aside kernel/keys/root_maxkeys 1000000
set_aside kernel/keys/root_maxbytes 25000000
)";

}  // namespace

std::vector<Component> worker_components(const ClusterPlan& plan, int index) {
  const std::string node = lab::place_name(index);
  std::string address = lab::place_address(index);
  if (plan.dual_stack) address += "," + place_address_v6(index);
  return {{.name = "containerd", .argv = {"containerd", "--config", config("containerd.toml")}},
          {.name = "kubelet",
           .argv = {fmt::format("{}/kubelet", kubernetes_in_node), "--kubeconfig=" + config("kubelet.conf"),
                    "--config=" + config("kubelet.json"), "--hostname-override=" + node, "--node-ip=" + address}},
          {.name = "kube-proxy",
           .argv = {fmt::format("{}/kube-proxy", kubernetes_in_node), "--config=" + config("kube-proxy.json"),
                    "--hostname-override=" + node}},
          // The node's part of the storage classes.
          {.name = "storage-node",
           .argv = {fmt::format("{}/storage-driver", kubernetes_in_node), "node", lab::shared_in_node, node,
                    "/var/lib/kubelet"}}};
}

std::vector<File> worker_files(const ClusterPlan& plan, int index) {
  std::vector<File> files = {{config("containerd.toml"), containerd_config(plan)},
                             {config("kubelet.json"), kubelet_config(index)},
                             {config("kube-proxy.json"), proxy_config(plan)}};
  files.push_back(network_file(plan, index));
  return files;
}

std::string prepare_script(const ClusterPlan& plan, int index) {
  // Besides what runs, a place's disk keeps how it is configured, as a machine's would. It is a file system of its own
  // and no overlay: containerd needs that.
  std::string script = fmt::format(R"(set -eu
on_disk() {{
  mkdir -p "/var/lib/godwit/$1" "$2"
  mountpoint -q "$2" || mount --bind "/var/lib/godwit/$1" "$2"
}}
on_disk containerd /var/lib/containerd
on_disk kubelet /var/lib/kubelet
on_disk etcd /var/lib/etcd
on_disk log /var/log
on_disk cni /var/lib/cni
on_disk cni-config /etc/cni/net.d
on_disk config {}
mkdir -p {} {}
)",
                                   config_folder, log_folder, pid_folder);
  script += network_script(plan, index);
  if (index == control_plane) return script;
  script += fmt::format(
      "[ -e /var/lib/containerd/io.containerd.metadata.v1.bolt ] || cp -a {}/store/. /var/lib/containerd/\n",
      container_images_in_node);
  return script + kernel_settings_script;
}

}  // namespace godwit::cluster
