#include "install/node_certificate.h"

#include <thread>

#include "api/names.h"
#include "base/log.h"
#include "kube/base64.h"
#include "kube/json_path.h"
#include "os/file.h"
#include "transfer/certificate_request.h"

namespace godwit::install {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr auto poll_interval = milliseconds(250);

bool good(const std::string& certificate) {
  const auto times = transfer::certificate_times(certificate);
  if (!times) return false;
  const auto now = system_clock::now();
  return now >= times->from && times->until - now > (times->until - times->from) / 3;
}

Result<std::string> read_trust(kube::Client& client, const CertificatePlaces& places, const kube::Call& call) {
  const auto map =
      client.get({kube::resources::config_maps, places.namespace_name, api::installation::trust_config_map, ""}, call);
  if (!map && map.error().not_found()) {
    return fail("no controller has made the certificate authority yet (ConfigMap {}/{})", places.namespace_name,
                api::installation::trust_config_map);
  }
  if (!map) return std::unexpected(Error(map.error()));
  std::string text = map->value("data", json::object()).value(api::installation::trust_key, "");
  if (text.empty()) return fail("ConfigMap {} is empty", api::installation::trust_config_map);
  return text;
}

std::string denial(const json& request) {
  for (const json& condition : request.value("status", json::object()).value("conditions", json::array())) {
    const std::string type = condition.value("type", "");
    if (type == "Denied" || type == "Failed") return condition.value("message", "(no reason was given)");
  }
  return "";
}

Result<std::string> wait_for_certificate(kube::Client& client, const std::string& name, const kube::Call& call) {
  for (;;) {
    const auto request = client.get({kube::resources::signing_requests, "", name, ""}, call);
    if (!request) return std::unexpected(Error(request.error()));
    if (const std::string why = denial(*request); !why.empty()) return fail("was denied: {}", why);
    const std::string encoded = kube::text_at(*request, "/status/certificate");
    if (!encoded.empty()) return kube::decode_base64(encoded);
    if (call.deadline.expired()) return fail("was not answered: does a controller lead, and may it sign?");
    std::this_thread::sleep_for(poll_interval);
  }
}

Result<> renew(kube::Client& client, const CertificatePlaces& places, const kube::Call& call) {
  GODWIT_ASSIGN(const transfer::CertificateRequest asked, transfer::make_certificate_request(places.node));
  const json body = {{"apiVersion", "certificates.k8s.io/v1"},
                     {"kind", "CertificateSigningRequest"},
                     {"metadata",
                      {{"generateName", fmt::format("{}-{}-", api::installation::agent, places.node)},
                       {"labels", {{"app.kubernetes.io/name", "godwit"}}}}},
                     {"spec",
                      {{"signerName", api::installation::signer},
                       {"request", kube::encode_base64(asked.request_pem)},
                       {"usages", {"digital signature", "server auth", "client auth"}}}}};
  const auto made = client.create({kube::resources::signing_requests, "", "", ""}, body, call);
  if (!made) return std::unexpected(Error(made.error()));
  const std::string name = kube::name_of(*made);
  auto certificate = wait_for_certificate(client, name, call);
  if (!certificate) return fail("certificate request {} {}", name, certificate.error().message);
  // A session that begins between the two finds a key of another certificate, and fails before it does anything.
  GODWIT_TRY(os::write_file_atomic(places.directory + "/node.key", asked.key_pem, 0600));
  GODWIT_TRY(os::write_file_atomic(places.directory + "/node.pem", *certificate, 0644));
  log_info("node {} has a new certificate", places.node);
  return {};
}

}  // namespace

Result<> keep_certificate(kube::Client& client, const CertificatePlaces& places, Deadline deadline) {
  const kube::Call call{.deadline = deadline};
  GODWIT_TRY(os::make_directories(places.directory));
  GODWIT_ASSIGN(const std::string trusted, read_trust(client, places, call));
  if (os::read_file(places.directory + "/ca.pem").value_or("") != trusted) {
    GODWIT_TRY(os::write_file_atomic(places.directory + "/ca.pem", trusted, 0644));
  }
  const auto own = os::read_file(places.directory + "/node.pem");
  const bool usable = own && os::exists(places.directory + "/node.key") && good(*own);
  if (usable && transfer::signed_by_one_of(*own, trusted)) return {};
  return renew(client, places, call);
}

}  // namespace godwit::install
