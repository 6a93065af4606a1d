#include "controller/certificate_signer.h"

#include <algorithm>
#include <array>

#include "api/names.h"
#include "base/log.h"
#include "kube/base64.h"
#include "kube/json_path.h"
#include "kube/timestamp.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-authorization-claims
constexpr const char* node_claim = "authentication.kubernetes.io/node-name";
constexpr std::array usages{"digital signature", "server auth", "client auth"};

kube::InformerOptions of_our_signer() {
  kube::InformerOptions options;
  options.list.field_selector = fmt::format("spec.signerName={}", api::installation::signer);
  return options;
}

bool has_condition(const json& request, const char* type) {
  const json* conditions = kube::value_at(request, "/status/conditions");
  return conditions != nullptr &&
         std::ranges::any_of(*conditions, [&](const json& condition) { return condition.value("type", "") == type; });
}

}  // namespace

bool is_open(const json& request) {
  return kube::text_at(request, "/status/certificate").empty() && !has_condition(request, "Denied") &&
         !has_condition(request, "Failed");
}

Result<std::string> requested_node(const json& request, const std::string& agents) {
  if (kube::text_at(request, "/spec/signerName") != api::installation::signer) return fail("it is for another signer");
  const std::string user = kube::text_at(request, "/spec/username");
  if (user != agents) return fail("{} is not {}", user, agents);
  for (const json& usage : request["spec"].value("usages", json::array())) {
    const bool ours = std::ranges::any_of(usages, [&](const char* name) { return usage == name; });
    if (!ours) return fail("agents have no certificate for {}", usage.dump());
  }
  const json claims = request["spec"].value("extra", json::object()).value(node_claim, json::array());
  if (claims.size() != 1 || !claims[0].is_string() || claims[0].get<std::string>().empty()) {
    return fail("the token it was made with does not say on which node its pod is");
  }
  return claims[0].get<std::string>();
}

CertificateSigner::CertificateSigner(kube::Client& client, const AuthorityKeeper& authority,
                                     const std::string& namespace_name)
    : client_(client),
      authority_(authority),
      agents_(fmt::format("system:serviceaccount:{}:{}", namespace_name, api::installation::agent)),
      loop_("certificate request",
            [this](const std::string& name, const std::stop_token& stop) { return answer(name, stop); }),
      requests_(client, kube::resources::signing_requests, of_our_signer()) {
  requests_.add_handler([this](const kube::Change& change) {
    if (change.now != nullptr && is_open(*change.now)) loop_.queue().add(change.key);
  });
}

void CertificateSigner::start() {
  loop_.start(1);
  requests_.start();
}

Result<> CertificateSigner::answer(const std::string& name, const std::stop_token& stop) {
  auto request = client_.get({kube::resources::signing_requests, "", name, ""}, kube::within(call_time, stop));
  if (!request && request.error().not_found()) return {};
  if (!request) return std::unexpected(Error(request.error()));
  if (!is_open(*request)) return {};
  const auto node = requested_node(*request, agents_);
  if (!node) {
    log_warning("certificate request {} is denied: {}", name, node.error().message);
    return set_condition(*request, "Denied", node.error().message, stop);
  }
  GODWIT_ASSIGN(const std::string pem, kube::decode_base64(kube::text_at(*request, "/spec/request")));
  const auto certificate = authority_.sign(pem, *node);
  if (!certificate) return set_condition(*request, "Denied", certificate.error().message, stop);
  if (!has_condition(*request, "Approved")) {
    GODWIT_TRY(set_condition(*request, "Approved", "asked for by the agent of node " + *node, stop));
  }
  GODWIT_TRY(client_.patch({kube::resources::signing_requests, "", name, "status"}, kube::PatchType::merge,
                           {{"status", {{"certificate", kube::encode_base64(*certificate)}}}},
                           kube::within(call_time, stop)));
  log_info("signed a certificate for the agent of node {}", *node);
  return {};
}

Result<> CertificateSigner::set_condition(const json& request, const std::string& type, const std::string& message,
                                          const std::stop_token& stop) {
  json conditions = request.value("status", json::object()).value("conditions", json::array());
  conditions.push_back({{"type", type},
                        {"status", "True"},
                        {"reason", "Godwit"},
                        {"message", message},
                        {"lastUpdateTime", kube::format_time(std::chrono::system_clock::now())}});
  GODWIT_TRY(client_.patch({kube::resources::signing_requests, "", kube::name_of(request), "approval"},
                           kube::PatchType::merge,
                           {{"metadata", {{"resourceVersion", kube::resource_version_of(request)}}},
                            {"status", {{"conditions", conditions}}}},
                           kube::within(call_time, stop)));
  return {};
}

}  // namespace godwit::controller
