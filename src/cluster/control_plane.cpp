#include "cluster/control_plane.h"

#include "cluster/layout.h"

namespace godwit::cluster {
namespace {

std::string config(const char* file) {
  return fmt::format("{}/{}", config_folder, file);
}
std::string program(const char* name) {
  return fmt::format("{}/{}", kubernetes_in_node, name);
}
std::string ranges(const ClusterPlan& plan, const char* v4, const char* v6) {
  return plan.dual_stack ? fmt::format("{},{}", v4, v6) : v4;
}

Component etcd() {
  // What it holds need not survive a power cut.
  return {.name = "etcd",
          .argv = {"etcd", "--data-dir=/var/lib/etcd/data", "--unsafe-no-fsync",
                   "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                   "--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn"}};
}

Component api_server(const ClusterPlan& plan) {
  return {
      .name = "kube-apiserver",
      .argv = {program("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379",
               fmt::format("--secure-port={}", api_port), "--advertise-address=" + lab::place_address(control_plane),
               "--client-ca-file=" + config("ca.pem"), "--tls-cert-file=" + config("apiserver.pem"),
               "--tls-private-key-file=" + config("apiserver.key"),
               "--kubelet-certificate-authority=" + config("ca.pem"),
               "--kubelet-client-certificate=" + config("kubelet-client.pem"),
               "--kubelet-client-key=" + config("kubelet-client.key"), "--kubelet-preferred-address-types=InternalIP",
               "--service-account-issuer=https://kubernetes.default.svc",
               "--service-account-key-file=" + config("service-accounts.pem"),
               "--service-account-signing-key-file=" + config("service-accounts.key"), "--authorization-mode=Node,RBAC",
               "--enable-admission-plugins=NodeRestriction",
               "--service-cluster-ip-range=" + ranges(plan, service_range, service_range_v6), "--allow-privileged",
               // There is no kube-proxy here: webhooks' pods are called at their own addresses.
               "--enable-aggregator-routing", "--profiling=false"}};
}

Component controller_manager(const ClusterPlan& plan) {
  Component result = {
      .name = "kube-controller-manager",
      .argv = {program("kube-controller-manager"), "--kubeconfig=" + config("kube-controller-manager.conf"),
               "--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials",
               "--root-ca-file=" + config("ca.pem"),
               "--service-account-private-key-file=" + config("service-accounts.key"),
               "--service-cluster-ip-range=" + ranges(plan, service_range, service_range_v6),
               // Its own limit of 20 requests a second makes its start take 4 s.
               "--kube-api-qps=500", "--kube-api-burst=1000",
               // A test waits for a lost node to be noticed: four missed renewals, see the kubelets'.
               "--node-monitor-period=1s", "--node-monitor-grace-period=12s", "--profiling=false"}};
  if (plan.network == NetworkMode::routed) {
    result.argv.emplace_back("--allocate-node-cidrs");
    result.argv.push_back("--cluster-cidr=" + ranges(plan, routed_pod_range, routed_pod_range_v6));
    result.argv.emplace_back("--node-cidr-mask-size-ipv4=24");
  }
  return result;
}

Component scheduler() {
  return {.name = "kube-scheduler",
          .argv = {program("kube-scheduler"), "--kubeconfig=" + config("kube-scheduler.conf"),
                   "--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"}};
}

// Makes and attaches the volumes of the storage classes.
Component storage_controller() {
  return {.name = "storage-controller",
          .argv = {program("storage-driver"), "controller", lab::shared_in_node, admin_config}};
}

}  // namespace

std::vector<Component> control_plane_components(const ClusterPlan& plan) {
  return {etcd(), api_server(plan), controller_manager(plan), scheduler(), storage_controller()};
}

}  // namespace godwit::cluster
