#include "kube/exec_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include <nlohmann/json.hpp>

#include "kube/base64.h"
#include "kube/json_path.h"
#include "kube/timestamp.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::kube {
namespace {

using nlohmann::json;

constexpr size_t output_bytes_max = 1 << 20;

// KUBERNETES_EXEC_INFO
Result<std::string> exec_info(const ClusterAccess& access) {
  json spec = {{"interactive", false}};
  if (access.exec->provide_cluster_info) {
    json cluster = {{"server", access.server}};
    std::string ca = access.ca.data;
    if (ca.empty() && !access.ca.path.empty()) {
      GODWIT_ASSIGN(ca, os::read_file(access.ca.path));
    }
    if (!ca.empty()) cluster["certificate-authority-data"] = encode_base64(ca);
    if (!access.tls_server_name.empty()) cluster["tls-server-name"] = access.tls_server_name;
    if (!access.proxy_url.empty()) cluster["proxy-url"] = access.proxy_url;
    if (!access.verify) cluster["insecure-skip-tls-verify"] = true;
    spec["cluster"] = std::move(cluster);
  }
  return json{{"apiVersion", access.exec->api_version}, {"kind", "ExecCredential"}, {"spec", std::move(spec)}}.dump();
}

// Reads until the end of the file.
Result<std::string> read_output(int fd, Deadline deadline) {
  std::string output;
  std::array<char, 8192> chunk;
  for (;;) {
    pollfd ready{fd, POLLIN, 0};
    const int count = ::poll(&ready, 1, deadline.poll_timeout_ms());
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return fail("it did not end in time and was killed");
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0) return fail_errno("read its output");
    if (got == 0) return output;
    output.append(chunk.data(), static_cast<size_t>(got));
    if (output.size() > output_bytes_max) return fail("it prints more than {} bytes", output_bytes_max);
  }
}

Result<std::string> output_of(const os::Command& plugin, Deadline deadline) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  os::Command command = plugin;
  command.descriptors = {{writer.get(), STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  GODWIT_ASSIGN(os::Subprocess child, os::Subprocess::start(command));
  writer.reset();
  GODWIT_ASSIGN(std::string output, read_output(reader.get(), deadline));
  GODWIT_ASSIGN(const int status, child.wait(deadline));
  if (status != 0) return fail("it ended with status {}", status);
  return output;
}

}  // namespace

Result<PluginCredentials> decode_exec_credential(const std::string& output, const std::string& api_version) {
  const json credential = json::parse(output, nullptr, false);
  if (!credential.is_object() || text_at(credential, "/kind") != "ExecCredential") return fail("no ExecCredential");
  if (const std::string version = text_at(credential, "/apiVersion"); version != api_version) {
    return fail("asked for {}, it answered {}", api_version, version.empty() ? "without a version" : version);
  }
  PluginCredentials found;
  found.token = text_at(credential, "/status/token");
  found.certificate_pem = text_at(credential, "/status/clientCertificateData");
  found.key_pem = text_at(credential, "/status/clientKeyData");
  if (found.certificate_pem.empty() != found.key_pem.empty()) return fail("a certificate without key, or the reverse");
  if (found.token.empty() && found.certificate_pem.empty()) return fail("neither a token nor a certificate in it");
  if (const std::string expires = text_at(credential, "/status/expirationTimestamp"); !expires.empty()) {
    GODWIT_ASSIGN(found.expires, parse_timestamp(expires));
  }
  return found;
}

Result<PluginCredentials> run_exec_plugin(const ClusterAccess& access, Deadline deadline) {
  GODWIT_CHECK(access.exec.has_value());
  const ExecPlugin& plugin = *access.exec;
  os::Command command{.argv = plugin.argv, .environment = plugin.environment};
  const std::string& program = plugin.argv[0];
  if (program.contains('/') && !program.starts_with('/')) command.argv[0] = plugin.directory + "/" + program;
  GODWIT_ASSIGN(const std::string info, exec_info(access));
  command.environment.push_back("KUBERNETES_EXEC_INFO=" + info);
  auto output = output_of(command, deadline);
  if (!output) {
    const std::string hint = plugin.install_hint.empty() ? "" : " (" + plugin.install_hint + ")";
    Error error = std::move(output).error().context("credential plugin " + program);
    error.message += hint;
    return std::unexpected(std::move(error));
  }
  auto decoded = decode_exec_credential(*output, plugin.api_version);
  if (!decoded) return std::unexpected(std::move(decoded).error().context("credential plugin " + program));
  return decoded;
}

}  // namespace godwit::kube
