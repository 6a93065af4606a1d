// A real kube-apiserver on a real etcd, for the tests of the client: in this process' own network namespace, so that
// nothing outside sees it and its ports are always free.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "kube/client.h"
#include "os/subprocess.h"
#include "transfer/certificates.h"

namespace godwit::kube {

// How often the server was asked, as its audit log says (a watch counts when it begins).
struct RequestCount {
  std::string verb;      // "list", "watch", "get", "create", "patch"; empty: any
  std::string resource;  // plural; empty: any
};

// Static tokens that the server knows; all but the last may do everything.
inline constexpr const char* admin_token = "admin-token";
inline constexpr const char* second_token = "second-token";
inline constexpr const char* powerless_token = "powerless-token";

class ControlPlane {
 public:
  static constexpr uint16_t port = 6443;

  // What it needs that is not there; tests are skipped then.
  static std::optional<std::string> missing();
  static Result<std::unique_ptr<ControlPlane>> start();
  ~ControlPlane();
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  // By the admin's token and the server's real CA; through another port for a proxy in between.
  [[nodiscard]] ClusterAccess access(uint16_t through_port = port) const;
  // A kubeconfig file that says the same.
  [[nodiscard]] std::string kubeconfig() const { return directory_ + "/kubeconfig"; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  // For client certificates.
  [[nodiscard]] const transfer::CertifiedKey& ca() const { return ca_; }
  [[nodiscard]] std::string ca_path() const { return directory_ + "/ca.crt"; }

  void kill_server();  // SIGKILL
  // It answers nobody, and keeps all connections, until it is let go on.
  void suspend_server();
  void resume_server();
  Result<> start_server();
  // The server's own certificate from another CA, as of the next start_server(); the CA's file is not replaced.
  Result<transfer::CertifiedKey> change_ca();
  // Compacts etcd up to its current revision: older resource versions are gone.
  Result<> compact();
  // Runs kubectl with the admin's rights; its output, whatever its status.
  [[nodiscard]] Result<os::Output> kubectl(std::vector<std::string> arguments) const;
  [[nodiscard]] size_t requests(const RequestCount& what) const;

 private:
  ControlPlane() = default;
  Result<> write_files();
  Result<> write_server_certificate(const transfer::CertifiedKey& ca);
  Result<> start_etcd();

  std::string directory_;
  transfer::CertifiedKey ca_;
  std::optional<os::Subprocess> etcd_;
  std::optional<os::Subprocess> server_;
};

// The one of this process; tests call it after the environment has started it.
ControlPlane& control_plane();

}  // namespace godwit::kube
