#include "controller/authority_keeper.h"

#include "agent/remote_command.h"
#include "api/names.h"
#include "base/log.h"
#include "kube/json_path.h"
#include "os/file.h"
#include "transfer/certificate_request.h"

namespace godwit::controller {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto retry_interval = std::chrono::seconds(5);
constexpr int conflicts_max = 10;

json metadata(const std::string& space, const char* name) {
  return {{"namespace", space}, {"name", name}, {"labels", {{"app.kubernetes.io/name", "godwit"}}}};
}

}  // namespace

AuthorityKeeper::AuthorityKeeper(kube::Client& client, AuthorityKeeperOptions options)
    : client_(client), options_(std::move(options)) {}

AuthorityKeeper::~AuthorityKeeper() {
  stop();
}

// The Secret as it shall be now, whoever of the replicas has made it so.
Result<Authority> AuthorityKeeper::keep_secret(const std::stop_token& stop) {
  const kube::ObjectPath path{kube::resources::secrets, options_.namespace_name, api::installation::authority_secret,
                              ""};
  for (int conflicts = 0;; ++conflicts) {
    const auto call = kube::within(call_time, stop);
    auto secret = client_.get(path, call);
    if (!secret && !secret.error().not_found()) return std::unexpected(Error(secret.error()));
    std::optional<Authority> before;
    if (secret) {
      GODWIT_ASSIGN(before, decode_authority(secret->value("data", json::object())));
    }
    GODWIT_ASSIGN(Authority now, authority_at(before, options_.terms, system_clock::now()));
    const json data = encode_authority(now);
    if (before && encode_authority(*before) == data) return now;
    kube::ApiResult<json> written;
    if (secret) {
      written = client_.patch(path, kube::PatchType::merge,
                              {{"metadata", {{"resourceVersion", kube::resource_version_of(*secret)}}}, {"data", data}},
                              call);
    } else {
      written = client_.create({kube::resources::secrets, options_.namespace_name, "", ""},
                               {{"apiVersion", "v1"},
                                {"kind", "Secret"},
                                {"metadata", metadata(options_.namespace_name, api::installation::authority_secret)},
                                {"type", "Opaque"},
                                {"data", data}},
                               call);
    }
    if (written) {
      log_info("{} the certificate authority in Secret {}", secret ? "renewed" : "made",
               api::installation::authority_secret);
      return now;
    }
    const bool other_was_first = written.error().conflict() || written.error().already_exists();
    if (!other_was_first || conflicts >= conflicts_max) return std::unexpected(Error(written.error()));
  }
}

Result<> AuthorityKeeper::publish(const std::string& trusted, const std::stop_token& stop) {
  const kube::ObjectPath path{kube::resources::config_maps, options_.namespace_name,
                              api::installation::trust_config_map, ""};
  const auto call = kube::within(call_time, stop);
  const auto known = client_.get(path, call);
  if (known && known->value("data", json::object()).value(api::installation::trust_key, "") == trusted) return {};
  if (!known && !known.error().not_found()) return std::unexpected(Error(known.error()));
  GODWIT_TRY(client_.apply(path,
                           {{"apiVersion", "v1"},
                            {"kind", "ConfigMap"},
                            {"metadata", metadata(options_.namespace_name, api::installation::trust_config_map)},
                            {"data", {{api::installation::trust_key, trusted}}}},
                           {.field_manager = "godwit", .force = true}, call));
  return {};
}

Result<> AuthorityKeeper::renew_own(const Authority& authority) {
  const std::lock_guard lock(mutex_);
  const auto now = system_clock::now();
  const std::string trusted = authority.trusted();
  // Not of the authority any more: somebody has deleted it, so that nothing that it signed is good.
  bool due = own_.certificate_pem.empty() || !transfer::signed_by_one_of(own_.certificate_pem, trusted);
  if (!due) {
    GODWIT_ASSIGN(due, due_for_renewal(own_.certificate_pem, now));
  }
  if (due) {
    GODWIT_ASSIGN(own_, transfer::make_node_certificate(authority.current, {.dns = {agent::controller_name}},
                                                        {.until = options_.terms.certificate_life}));
  }
  authority_ = authority;
  if (!due && trusted == trusted_) return {};
  GODWIT_TRY(os::make_directories(options_.directory));
  GODWIT_TRY(os::write_file_atomic(options_.directory + "/ca.pem", trusted, 0644));
  GODWIT_TRY(transfer::write_certified_key(own_, options_.directory + "/controller.pem",
                                           options_.directory + "/controller.key"));
  trusted_ = trusted;
  own_changed_ = true;
  return {};
}

Result<> AuthorityKeeper::step(const std::stop_token& stop) {
  GODWIT_ASSIGN(const Authority authority, keep_secret(stop));
  GODWIT_TRY(publish(authority.trusted(), stop));
  return renew_own(authority);
}

Result<transfer::TlsIdentity> AuthorityKeeper::identity() const {
  return transfer::TlsIdentity::load(options_.directory + "/ca.pem", options_.directory + "/controller.pem",
                                     options_.directory + "/controller.key");
}

Result<std::string> AuthorityKeeper::sign(const std::string& request_pem, const std::string& node) const {
  const std::lock_guard lock(mutex_);
  if (!authority_) return fail("the certificate authority has not been read yet");
  return transfer::sign_certificate_request(authority_->current, request_pem, {.dns = {node}},
                                            {.until = options_.terms.certificate_life});
}

void AuthorityKeeper::start(std::function<void(transfer::TlsIdentity)> on_identity) {
  thread_ = std::jthread([this, on_identity = std::move(on_identity)](const std::stop_token& stop) {
    bool well = true;
    while (
        kube::sleep_unless_stopped(well ? options_.interval : milliseconds(retry_interval), Deadline::never(), stop)) {
      const auto done = step(stop);
      well = done.has_value();
      if (!well && !stop.stop_requested()) log_warning("certificate authority: {}", done.error().message);
      bool changed = false;
      {
        const std::lock_guard lock(mutex_);
        changed = std::exchange(own_changed_, false);
      }
      if (!changed) continue;
      if (auto fresh = identity()) {
        on_identity(std::move(*fresh));
      } else {
        log_warning("certificate: {}", fresh.error().message);
      }
    }
  });
}

void AuthorityKeeper::stop() {
  thread_ = {};
}

}  // namespace godwit::controller
