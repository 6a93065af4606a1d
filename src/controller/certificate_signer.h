// Gives agents their certificates. An agent asks by a CertificateSigningRequest of our signer, with the token of its
// pod; the API server writes into it whose token that was, and of a pod on which node. So an agent gets its own node's
// certificate and no other, and its key never leaves the node.
#pragma once

#include <stop_token>
#include <string>

#include <nlohmann/json.hpp>

#include "controller/authority_keeper.h"
#include "controller/work_loop.h"
#include "kube/informer.h"

namespace godwit::controller {

// The node whose certificate is asked for. Error: why it must not be had; `agents` is the agents' user name.
Result<std::string> requested_node(const nlohmann::json& request, const std::string& agents);
// Whether it waits for an answer.
bool is_open(const nlohmann::json& request);

// Owned by whoever leads; all it uses outlives it.
class CertificateSigner {
 public:
  CertificateSigner(kube::Client& client, const AuthorityKeeper& authority, const std::string& namespace_name);
  ~CertificateSigner() { stop(); }
  CertificateSigner(const CertificateSigner&) = delete;
  CertificateSigner& operator=(const CertificateSigner&) = delete;

  void start();
  void stop() { loop_.stop(); }

 private:
  Result<> answer(const std::string& name, const std::stop_token& stop);
  Result<> set_condition(const nlohmann::json& request, const std::string& type, const std::string& message,
                         const std::stop_token& stop);

  kube::Client& client_;
  const AuthorityKeeper& authority_;
  const std::string agents_;
  WorkLoop loop_;
  kube::Informer requests_;  // its handler uses the loop
};

}  // namespace godwit::controller
