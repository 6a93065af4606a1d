// Keeps the cluster's certificate authority in its Secret, what is to be trusted in a ConfigMap, and this controller's
// own certificate good. Each replica has one; they meet at the Secret, which changes only as it was read.
#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "base/deadline.h"
#include "controller/authority.h"
#include "kube/client.h"
#include "transfer/tls.h"

namespace godwit::controller {

struct AuthorityKeeperOptions {
  std::string namespace_name;
  std::string directory;  // for our own certificate, in memory: the key goes nowhere else
  AuthorityTerms terms;
  milliseconds interval = std::chrono::minutes(5);
};

// Owned by main(). Until its first step() there is no identity.
class AuthorityKeeper {
 public:
  AuthorityKeeper(kube::Client& client, AuthorityKeeperOptions options);
  ~AuthorityKeeper();
  AuthorityKeeper(const AuthorityKeeper&) = delete;
  AuthorityKeeper& operator=(const AuthorityKeeper&) = delete;

  // Looks after everything once. Error: the API server does not answer, or refuses.
  Result<> step(const std::stop_token& stop);
  // From now on, from time to time; `on_identity` is told of each new one, on the keeper's thread.
  void start(std::function<void(transfer::TlsIdentity)> on_identity);
  void stop();

  // The controller's, as the last step left it.
  [[nodiscard]] Result<transfer::TlsIdentity> identity() const;
  // For a request of an agent. Any thread.
  [[nodiscard]] Result<std::string> sign(const std::string& request_pem, const std::string& node) const;

 private:
  Result<Authority> keep_secret(const std::stop_token& stop);
  Result<> publish(const std::string& trusted, const std::stop_token& stop);
  Result<> renew_own(const Authority& authority);

  kube::Client& client_;
  const AuthorityKeeperOptions options_;
  mutable std::mutex mutex_;  // guards what follows
  std::optional<Authority> authority_;
  transfer::CertifiedKey own_;
  std::string trusted_;  // what the files in `directory` say
  bool own_changed_ = false;
  std::jthread thread_;
};

}  // namespace godwit::controller
