#include "controller/pod_trouble.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "controller/eligibility.h"
#include "controller/finalizer.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

// Set by an operator, who knows that the machine does not run: "Non-graceful node shutdown handling" of Kubernetes.
constexpr const char* out_of_service_taint = "node.kubernetes.io/out-of-service";
// What a kubelet says of a container that it will not be able to make, however often it tries.
constexpr std::array hopeless = {"CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull",
                                 "InvalidImageName", "RunContainerError"};

std::string words(const std::string& reason, const std::string& message) {
  return message.empty() ? reason : fmt::format("{}: {}", reason, message);
}

bool is_unwanted(const json& pod) {
  return pod.is_null() || is_deleted(pod);
}

// Of the first container that waits.
std::pair<std::string, std::string> waiting(const json& pod) {
  for (const char* list : {"/status/initContainerStatuses", "/status/containerStatuses"}) {
    const json* all = kube::value_at(pod, list);
    if (all == nullptr) continue;
    for (const json& container : *all) {
      if (kube::value_at(container, "/state/waiting") == nullptr) continue;
      return {kube::text_at(container, "/state/waiting/reason"), kube::text_at(container, "/state/waiting/message")};
    }
  }
  return {};
}

}  // namespace

std::optional<std::string> refusal_of(const json& pod) {
  if (is_unwanted(pod)) return "it was deleted there";
  if (kube::text_at(pod, "/status/phase") == "Failed") {
    return words(kube::text_at(pod, "/status/reason"), kube::text_at(pod, "/status/message"));
  }
  const auto [reason, message] = waiting(pod);
  if (std::ranges::find(hopeless, reason) == hopeless.end()) return std::nullopt;
  return words(reason, message);
}

std::string trouble_of(const json& pod) {
  if (auto refusal = refusal_of(pod)) return *refusal;
  const auto [reason, message] = waiting(pod);
  return reason.empty() ? "its kubelet has not taken it" : words(reason, message);
}

std::optional<std::string> loss_of(const json& pod, const json& node) {
  if (node.is_null()) return "its node is gone from the cluster";
  for (const json& taint : node.value("/spec/taints"_json_pointer, json::array())) {
    if (kube::text_at(taint, "/key") == out_of_service_taint) return "its node is said to be out of service";
  }
  if (is_ready(node) || !is_unwanted(pod)) return std::nullopt;
  return "its node does not report any more, and the pod was deleted for that";
}

}  // namespace godwit::controller
