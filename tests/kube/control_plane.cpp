#include "control_plane.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "lab/layout.h"
#include "os/file.h"

namespace godwit::kube {
namespace {

using std::chrono::seconds;

constexpr const char* etcd_address = "http://127.0.0.1:2379";

std::string image_program(const std::string& name) {
  return lab::built("cluster-image/usr/bin/") + name;
}
std::string server_program() {
  return lab::built("kubernetes/kube-apiserver");
}

// Standard output and error go to `log`.
Result<os::Subprocess> start_program(std::vector<std::string> argv, const std::string& log) {
  GODWIT_ASSIGN(const UniqueFd output, os::open_file(log, O_WRONLY | O_CREAT | O_APPEND, 0600));
  os::Command command{.argv = std::move(argv)};
  command.descriptors = {{output.get(), STDOUT_FILENO}, {output.get(), STDERR_FILENO}};
  return os::Subprocess::start(command);
}

std::string last_lines(const std::string& path) {
  const std::string text = os::read_file(path).value_or("");
  return text.size() > 2000 ? text.substr(text.size() - 2000) : text;
}

}  // namespace

std::optional<std::string> ControlPlane::missing() {
  if (::geteuid() != 0) return "a network namespace needs root";
  for (const std::string& path : {server_program(), image_program("etcd"), image_program("etcdctl")}) {
    if (!os::exists(path)) return path + " is missing: make kubernetes cluster-image";
  }
  return std::nullopt;
}

Result<std::unique_ptr<ControlPlane>> ControlPlane::start() {
  std::unique_ptr<ControlPlane> plane(new ControlPlane);
  plane->directory_ = fmt::format("/run/godwit-kube-test-{}", ::getpid());
  GODWIT_TRY(os::make_directories(plane->directory_));
  GODWIT_TRY(plane->write_files());
  GODWIT_TRY(plane->start_etcd());
  GODWIT_TRY(plane->start_server());
  return plane;
}

ControlPlane::~ControlPlane() {
  server_.reset();
  etcd_.reset();
  (void)os::remove_tree(directory_);
}

Result<> ControlPlane::write_files() {
  const auto write = [&](const std::string& name, const std::string& text) {
    return os::write_file_atomic(directory_ + "/" + name, text);
  };
  GODWIT_TRY(write("tokens", fmt::format("{},admin,1,\"system:masters\"\n{},second,2,\"system:masters\"\n{},nobody,3\n",
                                         admin_token, second_token, powerless_token)));
  GODWIT_TRY(write("audit-policy",
                   "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"
                   "rules: [{level: Metadata}]\n"));
  GODWIT_ASSIGN(ca_, transfer::make_ca("kubernetes"));
  GODWIT_TRY(write("ca.crt", ca_.certificate_pem));
  GODWIT_TRY(write("client-ca.crt", ca_.certificate_pem));
  GODWIT_TRY(write_server_certificate(ca_));
  // Signs service accounts' tokens. Any key will do, but the server reads its public part only from a certificate.
  GODWIT_TRY(write("service-accounts.key", ca_.key_pem));
  return write("kubeconfig", fmt::format(R"(
apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: "https://127.0.0.1:{}", certificate-authority: ca.crt}}}}]
users: [{{name: admin, user: {{token: {}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
)",
                                         port, admin_token));
}

Result<> ControlPlane::write_server_certificate(const transfer::CertifiedKey& ca) {
  GODWIT_ASSIGN(const auto server,
                transfer::make_node_certificate(ca, {.dns = {"kubernetes", "localhost"}, .addresses = {"127.0.0.1"}}));
  return transfer::write_certified_key(server, directory_ + "/server.crt", directory_ + "/server.key");
}

Result<transfer::CertifiedKey> ControlPlane::change_ca() {
  GODWIT_ASSIGN(transfer::CertifiedKey ca, transfer::make_ca("another"));
  GODWIT_TRY(write_server_certificate(ca));
  return ca;
}

Result<> ControlPlane::start_etcd() {
  GODWIT_ASSIGN(etcd_, start_program({image_program("etcd"), "--data-dir", directory_ + "/etcd", "--unsafe-no-fsync",
                                      "--listen-client-urls", etcd_address, "--advertise-client-urls", etcd_address,
                                      "--listen-peer-urls", "http://127.0.0.1:2380"},
                                     directory_ + "/etcd.log"));
  return {};
}

void ControlPlane::kill_server() {
  server_.reset();
}

void ControlPlane::suspend_server() {
  ::kill(server_->pid(), SIGSTOP);
}

void ControlPlane::resume_server() {
  ::kill(server_->pid(), SIGCONT);
}

Result<> ControlPlane::start_server() {
  const std::string log = directory_ + "/apiserver.log";
  GODWIT_ASSIGN(
      server_,
      start_program(
          {server_program(), "--etcd-servers=" + std::string(etcd_address),
           "--tls-cert-file=" + directory_ + "/server.crt", "--tls-private-key-file=" + directory_ + "/server.key",
           "--client-ca-file=" + directory_ + "/client-ca.crt", "--token-auth-file=" + directory_ + "/tokens",
           "--authorization-mode=RBAC", "--service-account-key-file=" + directory_ + "/client-ca.crt",
           "--service-account-signing-key-file=" + directory_ + "/service-accounts.key",
           "--service-account-issuer=https://kubernetes", "--service-cluster-ip-range=10.201.0.0/16",
           "--bind-address=127.0.0.1", fmt::format("--secure-port={}", port),
           // There is no other address; nobody looks for the server by it.
           "--advertise-address=10.88.0.1", "--endpoint-reconciler-type=none",
           // No controller manager makes service accounts.
           "--disable-admission-plugins=ServiceAccount",
           // Secrets come from etcd itself, so that a compaction shows at once.
           "--watch-cache-sizes=secrets#0", "--audit-policy-file=" + directory_ + "/audit-policy",
           "--audit-log-path=" + directory_ + "/audit.log", "--audit-log-mode=blocking"},
          log));
  Client client(access());
  const Deadline deadline = Deadline::after(seconds(60));
  while (!client.get_raw("/readyz", within(seconds(2)))) {
    if (deadline.expired() || server_->wait(Deadline::after(milliseconds(20)))) {
      return fail("the API server does not start: {}", last_lines(log));
    }
  }
  return {};
}

ClusterAccess ControlPlane::access(uint16_t through_port) const {
  ClusterAccess access;
  access.server = fmt::format("https://127.0.0.1:{}", through_port);
  access.ca.path = ca_path();
  access.token.data = admin_token;
  return access;
}

Result<> ControlPlane::compact() {
  const auto ctl = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {image_program("etcdctl"), "--endpoints", etcd_address});
    return os::run_checked({.argv = std::move(arguments)}, Deadline::after(seconds(20)));
  };
  GODWIT_ASSIGN(const std::string status, ctl({"endpoint", "status", "--write-out", "json"}));
  const json parsed = json::parse(status, nullptr, false);
  const auto at = json::json_pointer("/0/Status/header/revision");
  if (!parsed.is_array() || !parsed.contains(at)) return fail("etcdctl says {}", status);
  GODWIT_TRY(ctl({"compact", std::to_string(parsed[at].get<int64_t>())}));
  return {};
}

Result<os::Output> ControlPlane::kubectl(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {image_program("kubectl"), "--kubeconfig", kubeconfig()});
  os::Command command{.argv = std::move(arguments)};
  command.environment = {"HOME=" + directory_};  // its cache of what the server offers
  return os::run(command, Deadline::after(seconds(30)));
}

size_t ControlPlane::requests(const RequestCount& what) const {
  const std::string log = os::read_file(directory_ + "/audit.log", size_t{1} << 30).value_or("");
  size_t count = 0;
  for (size_t at = 0; at < log.size();) {
    const size_t end = std::min(log.find('\n', at), log.size());
    const json entry = json::parse(log.begin() + static_cast<ptrdiff_t>(at), log.begin() + static_cast<ptrdiff_t>(end),
                                   nullptr, false);
    at = end + 1;
    if (!entry.is_object() || !entry.value("userAgent", "").starts_with("godwit")) continue;
    const std::string verb = entry.value("verb", "");
    // Each request has a line at its end; a watch has one when it begins, too.
    if (entry.value("stage", "") != (verb == "watch" ? "ResponseStarted" : "ResponseComplete")) continue;
    const std::string resource = entry.contains("objectRef") ? entry["objectRef"].value("resource", "") : "";
    if ((what.verb.empty() || what.verb == verb) && (what.resource.empty() || what.resource == resource)) ++count;
  }
  return count;
}

}  // namespace godwit::kube
