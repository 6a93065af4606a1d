#include "install/withdrawal.h"

#include <algorithm>
#include <thread>
#include <vector>

#include <fmt/ranges.h>

#include "api/names.h"
#include "base/log.h"
#include "kube/json_path.h"

namespace godwit::install {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr auto call_time = seconds(30);
constexpr auto list_time = seconds(120);
constexpr auto poll_interval = milliseconds(500);
constexpr const char* ours = "app.kubernetes.io/name=godwit";
constexpr const char* lease_name = "godwit-controller";
const kube::Resource webhook_configurations{"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations",
                                            "MutatingWebhookConfiguration", false};

kube::Call call() {
  return kube::within(call_time);
}

template <typename T>
Result<> unless_gone(const kube::ApiResult<T>& done) {
  if (done || done.error().not_found()) return {};
  return std::unexpected(Error(done.error()));
}

// Without the resource definitions there are none.
Result<std::vector<json>> list(kube::Client& client, const kube::Resource& resource, const kube::ListOptions& options) {
  auto items = client.list_all(resource, options, kube::within(list_time));
  if (items) return std::move(*items);
  if (items.error().not_found()) return std::vector<json>{};
  return std::unexpected(Error(items.error()));
}

Result<> wait_for_migrations(kube::Client& client, Deadline deadline) {
  for (;;) {
    GODWIT_ASSIGN(const std::vector<json> all, list(client, api::migrations, {}));
    std::vector<std::string> running;
    for (const json& migration : all) {
      const std::string state = kube::text_at(migration, "/status/state");
      if (state != "Completed" && state != "Failed") running.push_back(kube::key_of(migration));
    }
    if (running.empty()) return {};
    if (deadline.expired()) {
      return fail("migrations are under way: {}; wait for them, or delete them, which cancels them",
                  fmt::join(running, ", "));
    }
    std::this_thread::sleep_for(poll_interval);
  }
}

Result<> end_controllers(kube::Client& client, const WithdrawalOptions& options) {
  const kube::ObjectPath path{kube::resources::deployments, options.namespace_name, api::installation::controller, ""};
  GODWIT_TRY(unless_gone(client.patch(path, kube::PatchType::merge, {{"spec", {{"replicas", 0}}}}, call())));
  for (const Deadline deadline = Deadline::after(options.nodes_patience); !deadline.expired();) {
    const auto deployment = client.get(path, call());
    if (!deployment) return unless_gone(deployment);
    const bool seen = kube::number_at(*deployment, "/status/observedGeneration") >=
                      kube::number_at(*deployment, "/metadata/generation");
    if (seen && kube::number_at(*deployment, "/status/replicas") == 0) return {};
    std::this_thread::sleep_for(poll_interval);
  }
  return fail("the controllers do not end");
}

Result<std::string> nodes_not_done(kube::Client& client, const WithdrawalOptions& options, const json& daemon_set) {
  GODWIT_ASSIGN(const std::vector<json> pods,
                list(client, kube::resources::pods,
                     {.namespace_name = options.namespace_name,
                      .label_selector = std::string(ours) + ",app.kubernetes.io/component=agent"}));
  const std::string generation = std::to_string(kube::number_at(daemon_set, "/metadata/generation"));
  std::string names;
  for (const json& pod : pods) {
    const json conditions = pod["status"].value("conditions", json::array());
    const bool ready = std::ranges::any_of(conditions, [](const json& condition) {
      return condition.value("type", "") == "Ready" && condition.value("status", "") == "True";
    });
    if (ready && kube::label_of(pod, "pod-template-generation") == generation) continue;
    names += (names.empty() ? "" : ", ") + kube::text_at(pod, "/spec/nodeName");
  }
  return names;
}

// The same pods with another order: they are the ones that may change nodes.
Result<> clear_nodes(kube::Client& client, const WithdrawalOptions& options) {
  const kube::ObjectPath path{kube::resources::daemon_sets, options.namespace_name, api::installation::agent, ""};
  const auto known = client.get(path, call());
  if (!known) return unless_gone(known);
  const json patch =
      json::array({{{"op", "replace"}, {"path", "/spec/template/spec/containers/0/args/0"}, {"value", "withdraw-node"}},
                   {{"op", "replace"},
                    {"path", "/spec/updateStrategy"},
                    {"value", {{"type", "RollingUpdate"}, {"rollingUpdate", {{"maxUnavailable", "100%"}}}}}}});
  GODWIT_TRY(client.patch(path, kube::PatchType::json, patch, call()));
  for (const Deadline deadline = Deadline::after(options.nodes_patience);;) {
    const auto daemon_set = client.get(path, call());
    if (!daemon_set) return unless_gone(daemon_set);
    const json status = daemon_set->value("status", json::object());
    const bool seen = status.value("observedGeneration", 0) >= kube::number_at(*daemon_set, "/metadata/generation");
    const auto wanted = status.value("desiredNumberScheduled", 0);
    if (seen && status.value("updatedNumberScheduled", 0) == wanted && status.value("numberReady", 0) == wanted) {
      return {};
    }
    if (deadline.expired()) {
      GODWIT_ASSIGN(const std::string names, nodes_not_done(client, options, *daemon_set));
      return fail("Godwit is still on these nodes: {}; the logs of their pods say why", names);
    }
    std::this_thread::sleep_for(poll_interval);
  }
}

Result<> remove_labels(kube::Client& client, const kube::Resource& resource, const char* label) {
  GODWIT_ASSIGN(const std::vector<json> objects, list(client, resource, {.label_selector = label}));
  for (const json& object : objects) {
    const json patch = {{"metadata", {{"labels", {{label, nullptr}}}}}};
    GODWIT_TRY(unless_gone(client.patch({resource, kube::namespace_of(object), kube::name_of(object), ""},
                                        kube::PatchType::merge, patch, call())));
  }
  if (!objects.empty()) log_info("removed the label {} of {} {}", label, objects.size(), resource.plural);
  return {};
}

// Nobody would take them away any more, and a Migration that is deleted would stay for ever.
Result<> remove_finalizers(kube::Client& client) {
  GODWIT_ASSIGN(const std::vector<json> all, list(client, api::migrations, {}));
  for (const json& migration : all) {
    const json* finalizers = kube::value_at(migration, "/metadata/finalizers");
    if (finalizers == nullptr) continue;
    json others = json::array();
    for (const json& one : *finalizers) {
      if (one != api::migration_finalizer) others.push_back(one);
    }
    if (others == *finalizers) continue;
    GODWIT_TRY(unless_gone(client.patch(
        {api::migrations, kube::namespace_of(migration), kube::name_of(migration), ""}, kube::PatchType::merge,
        {{"metadata", {{"resourceVersion", kube::resource_version_of(migration)}, {"finalizers", std::move(others)}}}},
        call())));
  }
  return {};
}

Result<> remove_made(kube::Client& client, const WithdrawalOptions& options) {
  const std::string& space = options.namespace_name;
  GODWIT_TRY(unless_gone(
      client.remove({kube::resources::secrets, space, api::installation::authority_secret, ""}, {}, call())));
  GODWIT_TRY(unless_gone(
      client.remove({kube::resources::config_maps, space, api::installation::trust_config_map, ""}, {}, call())));
  GODWIT_TRY(unless_gone(client.remove({kube::resources::leases, space, lease_name, ""}, {}, call())));
  GODWIT_ASSIGN(const std::vector<json> requests,
                list(client, kube::resources::signing_requests, {.label_selector = ours}));
  for (const json& request : requests) {
    if (kube::text_at(request, "/spec/signerName") != api::installation::signer) continue;
    GODWIT_TRY(
        unless_gone(client.remove({kube::resources::signing_requests, "", kube::name_of(request), ""}, {}, call())));
  }
  GODWIT_ASSIGN(const std::vector<json> webhooks, list(client, webhook_configurations, {.label_selector = ours}));
  for (const json& one : webhooks) {
    GODWIT_TRY(unless_gone(client.remove({webhook_configurations, "", kube::name_of(one), ""}, {}, call())));
  }
  return {};
}

}  // namespace

Result<> withdraw(kube::Client& client, const WithdrawalOptions& options) {
  log_info("waiting for migrations that are under way");
  GODWIT_TRY(wait_for_migrations(client, Deadline::after(options.migrations_patience)));
  log_info("ending the controllers");
  GODWIT_TRY(end_controllers(client, options));
  log_info("taking Godwit off the nodes");
  GODWIT_TRY(clear_nodes(client, options));
  for (const char* label : {api::labels::migration_enabled, api::labels::custom_network}) {
    GODWIT_TRY(remove_labels(client, kube::resources::nodes, label));
  }
  GODWIT_TRY(remove_labels(client, kube::resources::pods, api::labels::migration_enabled));
  GODWIT_TRY(remove_finalizers(client));
  GODWIT_TRY(remove_made(client, options));
  log_info("nothing is left but what the release itself holds");
  return {};
}

}  // namespace godwit::install
