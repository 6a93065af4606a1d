#include "controller/arrivals.h"

#include <utility>

#include "api/names.h"
#include "base/log.h"
#include "controller/clone_pod.h"
#include "kube/base64.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto in_force_time = std::chrono::seconds(10);
constexpr auto in_force_poll = std::chrono::milliseconds(50);
constexpr const char* field_manager = "godwit-controller";

// Namespaces have no dots in their names, so no two pods share one of these.
std::string configuration_name(const std::string& namespace_name, const std::string& pod) {
  return fmt::format("godwit.{}.{}", namespace_name, pod);
}

// Only for that one pod: nothing else is made to depend on us.
json configuration(const std::string& namespace_name, const std::string& pod, const AdmissionServer& server) {
  const json rule = {{"apiGroups", {""}}, {"apiVersions", {"v1"}}, {"operations", {"CREATE"}}, {"resources", {"pods"}}};
  return {{"apiVersion", kube::resources::mutating_webhook_configurations.api_version()},
          {"kind", kube::resources::mutating_webhook_configurations.kind},
          {"metadata",
           {{"name", configuration_name(namespace_name, pod)}, {"labels", {{"app.kubernetes.io/name", "godwit"}}}}},
          {"webhooks",
           {{{"name", "arrivals.live.cast.ai"},
             {"clientConfig", {{"url", server.url()}, {"caBundle", kube::encode_base64(server.ca_pem())}}},
             {"rules", {rule}},
             {"namespaceSelector", {{"matchLabels", {{"kubernetes.io/metadata.name", namespace_name}}}}},
             {"objectSelector", {{"matchLabels", {{stateful_pod_label, pod}}}}},
             {"failurePolicy", "Fail"},
             {"sideEffects", "None"},
             {"timeoutSeconds", 5},
             {"admissionReviewVersions", {"v1"}}}}}};
}

}  // namespace

json as_arrival(const json& made, const Arrival& arrival) {
  json pod = made;
  for (const char* kind : {"labels", "annotations"}) {
    json& all = pod["metadata"][kind];
    if (!all.is_object()) all = json::object();
    for (const auto& [name, value] : arrival.metadata.value(kind, json::object()).items()) {
      if (!all.contains(name)) all[name] = value;
    }
  }
  pod["metadata"]["annotations"][api::annotations::restore] = arrival.session;
  pod["spec"]["nodeName"] = arrival.node;
  pod["spec"].erase("schedulingGates");
  skip_beginnings(pod);
  pin_images(pod, arrival.running);
  return pod;
}

json admission_of(const json& request, const Arrival* arrival) {
  const json pod = request.value("object", json::object());
  const std::string name = kube::label_of(pod, stateful_pod_label);
  if (arrival == nullptr) {
    return {
        {"allowed", false},
        {"status",
         {{"code", 503},
          {"message", fmt::format("pod {} is moving, and this replica of the live controller does not know where to:"
                                  " try again",
                                  name)}}}};
  }
  const json patch = json::diff(pod, as_arrival(pod, *arrival));
  return {{"allowed", true}, {"patchType", "JSONPatch"}, {"patch", kube::encode_base64(patch.dump())}};
}

Result<> Arrivals::serve(const std::string& address, uint16_t port) {
  GODWIT_ASSIGN(server_,
                AdmissionServer::start(address, port, [this](const json& request) { return answer(request); }));
  log_info("pods of StatefulSets are asked about at {}", server_->url());
  return {};
}

json Arrivals::answer(const json& request) {
  const std::string name = kube::label_of(request.value("object", json::object()), stateful_pod_label);
  const std::lock_guard lock(mutex_);
  const auto arrival = expected_.find(kube::key_of(request.value("namespace", ""), name));
  return admission_of(request, arrival == expected_.end() ? nullptr : &arrival->second);
}

Result<> Arrivals::expect(const std::string& namespace_name, const std::string& pod, Arrival arrival,
                          const kube::Call& call) {
  if (!can_be_expected()) {
    return fail("pods of StatefulSets can only be moved by a controller that is told its --admission-address");
  }
  const std::string session = arrival.session;
  {
    const std::lock_guard lock(mutex_);
    expected_.insert_or_assign(kube::key_of(namespace_name, pod), std::move(arrival));
  }
  GODWIT_TRY(client_.apply(
      {kube::resources::mutating_webhook_configurations, "", configuration_name(namespace_name, pod), ""},
      configuration(namespace_name, pod, *server_), {.field_manager = field_manager, .force = true}, call));
  return wait_in_force(namespace_name, pod, session, call);
}

// API servers learn of a webhook a moment after it was written. What they would make of such a pod is asked without
// making it.
Result<> Arrivals::wait_in_force(const std::string& namespace_name, const std::string& pod, const std::string& session,
                                 const kube::Call& call) {
  const json probe = {{"apiVersion", "v1"},
                      {"kind", "Pod"},
                      {"metadata", {{"generateName", "godwit-asks-"}, {"labels", {{stateful_pod_label, pod}}}}},
                      {"spec", {{"containers", {{{"name", "none"}, {"image", "none"}}}}}}};
  const Deadline deadline = call.deadline.sooner(Deadline::after(in_force_time));
  std::string answer;
  do {
    const auto made = client_.create({kube::resources::pods, namespace_name, "", ""}, probe, call, kube::DryRun::yes);
    if (made && kube::annotation_of(*made, api::annotations::restore) == session) return {};
    // Refused by somebody else, who was asked after us or before: it cannot be known then.
    if (!made && made.error().forbidden()) return {};
    answer = made ? "it was not asked" : made.error().message;
  } while (kube::sleep_unless_stopped(in_force_poll, deadline, call.stop));
  return fail("the API server does not ask the live controller at {} about pod {}: {}", server_->url(), pod, answer);
}

Result<> Arrivals::forget(const std::string& namespace_name, const std::string& pod, const kube::Call& call) {
  const auto removed = client_.remove(
      {kube::resources::mutating_webhook_configurations, "", configuration_name(namespace_name, pod), ""}, {}, call);
  if (!removed && !removed.error().not_found()) return std::unexpected(removed.error());
  const std::lock_guard lock(mutex_);
  expected_.erase(kube::key_of(namespace_name, pod));
  return {};
}

}  // namespace godwit::controller
