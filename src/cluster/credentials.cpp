#include "cluster/credentials.h"

#include <openssl/evp.h>

#include <nlohmann/json.hpp>

#include "cluster/layout.h"
#include "lab/certificates.h"

namespace godwit::cluster {
namespace {

using lab::CertificateAuthority;
using lab::NodeCertificate;
using nlohmann::json;

constexpr unsigned secret = 0600;

std::string base64(const std::string& text) {
  std::string encoded((text.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  encoded.resize(static_cast<size_t>(size));
  return encoded;
}

// Kubeconfigs are YAML, of which JSON is a part.
std::string kubeconfig(const std::string& name, const std::string& server, const std::string& authority_pem,
                       const NodeCertificate& client) {
  const json cluster = {{"server", server}, {"certificate-authority-data", base64(authority_pem)}};
  const json user = {{"client-certificate-data", base64(client.certificate_pem)},
                     {"client-key-data", base64(client.key_pem)}};
  const json context = {{"cluster", name}, {"user", name}};
  const json text = {{"apiVersion", "v1"},
                     {"kind", "Config"},
                     {"current-context", name},
                     {"clusters", json::array({{{"name", name}, {"cluster", cluster}}})},
                     {"users", json::array({{{"name", name}, {"user", user}}})},
                     {"contexts", json::array({{{"name", name}, {"context", context}}})}};
  return text.dump(2) + "\n";
}

std::string in_config_folder(const std::string& file) {
  return std::string(config_folder) + "/" + file;
}

// Puts a client's kubeconfig into the files of a place.
Result<> add_client(std::vector<File>& files, const CertificateAuthority& authority, const std::string& file,
                    const lab::CertificateRequest& who) {
  GODWIT_ASSIGN(const NodeCertificate client, authority.issue(who));
  const std::string server = fmt::format("https://{}:{}", lab::place_address(control_plane), api_port);
  files.push_back({in_config_folder(file), kubeconfig("cluster", server, authority.certificate_pem(), client), secret});
  return {};
}

Result<> add_pair(std::vector<File>& files, const CertificateAuthority& authority, const std::string& name,
                  const lab::CertificateRequest& who) {
  GODWIT_ASSIGN(const NodeCertificate pair, authority.issue(who));
  files.push_back({in_config_folder(name + ".pem"), pair.certificate_pem});
  files.push_back({in_config_folder(name + ".key"), pair.key_pem, secret});
  return {};
}

Result<std::vector<File>> control_plane_files(const CertificateAuthority& authority) {
  std::vector<File> files = {{in_config_folder("ca.pem"), authority.certificate_pem()}};
  GODWIT_TRY(add_pair(files, authority, "apiserver",
                      {.common_name = "kube-apiserver",
                       .names = {"localhost", lab::place_name(control_plane), "kubernetes", "kubernetes.default",
                                 "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
                       .addresses = {"127.0.0.1", lab::place_address(control_plane), place_address_v6(control_plane),
                                     api_service_address}}));
  GODWIT_TRY(add_pair(files, authority, "kubelet-client",
                      {.common_name = "kube-apiserver-kubelet-client", .organization = "system:masters"}));
  // Tokens of service accounts are signed and checked with this one.
  GODWIT_TRY(add_pair(files, authority, "service-accounts", {.common_name = "service-accounts"}));
  for (const char* name : {"kube-controller-manager", "kube-scheduler"}) {
    GODWIT_TRY(
        add_client(files, authority, fmt::format("{}.conf", name), {.common_name = fmt::format("system:{}", name)}));
  }
  return files;
}

Result<std::vector<File>> node_files(const CertificateAuthority& authority, int index) {
  std::vector<File> files = {{in_config_folder("ca.pem"), authority.certificate_pem()}};
  const std::string node = lab::place_name(index);
  GODWIT_TRY(add_pair(
      files, authority, "kubelet",
      {.common_name = node, .names = {node}, .addresses = {lab::place_address(index), place_address_v6(index)}}));
  GODWIT_TRY(add_client(files, authority, "kubelet.conf",
                        {.common_name = "system:node:" + node, .organization = "system:nodes"}));
  GODWIT_TRY(add_client(files, authority, "kube-proxy.conf", {.common_name = "system:kube-proxy"}));
  return files;
}

}  // namespace

Result<Credentials> make_credentials(const ClusterPlan& plan, int nodes) {
  GODWIT_ASSIGN(const CertificateAuthority authority, CertificateAuthority::create("Godwit test cluster " + plan.name));
  const lab::CertificateRequest administrator = {.common_name = "kubernetes-admin", .organization = "system:masters"};
  Credentials made;
  for (int place = 0; place <= nodes; ++place) {
    GODWIT_ASSIGN(std::vector<File> files,
                  place == control_plane ? control_plane_files(authority) : node_files(authority, place));
    GODWIT_TRY(add_client(files, authority, "admin.conf", administrator));
    made.places.push_back(std::move(files));
  }
  GODWIT_ASSIGN(const NodeCertificate pair, authority.issue(administrator));
  made.machine_config =
      kubeconfig(plan.name, fmt::format("https://127.0.0.1:{}", plan.machine_port), authority.certificate_pem(), pair);
  return made;
}

}  // namespace godwit::cluster
