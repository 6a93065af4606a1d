#include "kube/credentials.h"

#include <sys/stat.h>

#include "base/log.h"
#include "kube/base64.h"
#include "os/file.h"

namespace godwit::kube {
namespace {

constexpr size_t file_bytes_max = 1 << 20;
constexpr std::chrono::seconds plugin_time_max(30);
// Run the plugin this long before its credentials expire, for requests under way and for clocks that differ.
constexpr std::chrono::seconds expiry_margin(10);
// A server that refuses every credential must not make us run the plugin in a loop.
constexpr std::chrono::seconds plugin_interval_min(1);

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  const size_t end = text.find_last_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

Result<std::string> CachedFile::read() {
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0) {
    if (contents_) return *contents_;
    return fail_errno("read {}", path_);
  }
  const Signature now{info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size), info.st_mtim.tv_sec,
                      info.st_mtim.tv_nsec};
  if (signature_ == now) return *contents_;
  auto contents = os::read_file(path_, file_bytes_max);
  if (!contents || contents->empty()) {
    if (contents_) return *contents_;
    if (contents) return fail("{} is empty", path_);
    return contents;
  }
  if (contents_ && *contents_ != *contents) log_debug("{} has changed", path_);
  signature_ = now;
  contents_ = *std::move(contents);
  return *contents_;
}

CredentialSource::CredentialSource(ClusterAccess access)
    : access_(std::move(access)),
      ca_(access_.ca.path),
      certificate_(access_.client_certificate.path),
      key_(access_.client_key.path),
      token_(access_.token.path) {}

Result<std::string> CredentialSource::read(const Material& material, CachedFile& file) {
  if (!material.data.empty() || material.path.empty()) return material.data;
  return file.read();
}

Result<> CredentialSource::run_plugin_if_due(Deadline deadline) {
  if (!access_.exec) return {};
  const bool expired = from_plugin_ && from_plugin_->expires &&
                       std::chrono::system_clock::now() >= *from_plugin_->expires - expiry_margin;
  if (from_plugin_ && !expired) return {};
  if (from_plugin_ && Clock::now() < plugin_ran_ + plugin_interval_min) return {};
  GODWIT_ASSIGN(from_plugin_, run_exec_plugin(access_, deadline.sooner(Deadline::after(plugin_time_max))));
  plugin_ran_ = Clock::now();
  return {};
}

Result<Credentials> CredentialSource::current(Deadline deadline) {
  const std::unique_lock lock(mutex_, deadline.when());
  if (!lock.owns_lock()) return fail("the credential plugin did not end in time");
  Credentials credentials;
  Endpoint& endpoint = credentials.endpoint;
  endpoint.server = access_.server;
  endpoint.tls_server_name = access_.tls_server_name;
  endpoint.proxy_url = access_.proxy_url;
  endpoint.verify = access_.verify;
  GODWIT_ASSIGN(endpoint.ca_pem, read(access_.ca, ca_));
  GODWIT_ASSIGN(endpoint.certificate_pem, read(access_.client_certificate, certificate_));
  GODWIT_ASSIGN(endpoint.key_pem, read(access_.client_key, key_));
  GODWIT_ASSIGN(std::string token, read(access_.token, token_));
  GODWIT_TRY(run_plugin_if_due(deadline));
  if (from_plugin_) {
    token = from_plugin_->token;
    if (!from_plugin_->certificate_pem.empty()) {
      endpoint.certificate_pem = from_plugin_->certificate_pem;
      endpoint.key_pem = from_plugin_->key_pem;
    }
  }
  if (token = trimmed(token); !token.empty()) {
    credentials.headers.push_back("Authorization: Bearer " + token);
  } else if (!access_.username.empty()) {
    credentials.headers.push_back("Authorization: Basic " + encode_base64(access_.username + ":" + access_.password));
  }
  if (!access_.impersonate_user.empty()) {
    credentials.headers.push_back("Impersonate-User: " + access_.impersonate_user);
    for (const std::string& group : access_.impersonate_groups) {
      credentials.headers.push_back("Impersonate-Group: " + group);
    }
  }
  return credentials;
}

bool CredentialSource::renew() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return access_.exec.has_value();  // the plugin is just running
  for (CachedFile* file : {&ca_, &certificate_, &key_, &token_}) file->forget();
  if (access_.exec && Clock::now() >= plugin_ran_ + plugin_interval_min) from_plugin_.reset();
  return access_.exec.has_value() || !access_.token.path.empty() || !access_.client_certificate.path.empty();
}

}  // namespace godwit::kube
