#include "controller/pod_owner.h"

#include <algorithm>
#include <cctype>

#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

kube::Resource resource_of(const json& owner) {
  const std::string api = owner.value("apiVersion", "");
  const size_t slash = api.find('/');
  const std::string kind = owner.value("kind", "");
  std::string plural = kind;
  std::ranges::transform(plural, plural.begin(), [](unsigned char c) { return std::tolower(c); });
  return {.group = slash == std::string::npos ? "" : api.substr(0, slash),
          .version = slash == std::string::npos ? api : api.substr(slash + 1),
          .plural = plural + "s",
          .kind = kind,
          .namespaced = true};
}

}  // namespace

Result<> PodOwner::check_same_revision(const json& pod) const {
  const std::string next = kube::text_at(object, "/status/updateRevision");
  const std::string now = kube::label_of(pod, "controller-revision-hash");
  if (next == now) return {};
  return fail(
      "pod {} cannot be migrated: its StatefulSet is being updated, and would make it anew as revision {}, not {}; "
      "wait "
      "until it is updated",
      kube::name_of(pod), next, now);
}

Result<PodOwner> find_owner(kube::Client& client, const json& pod, const kube::Call& call) {
  const json* references = kube::value_at(pod, "/metadata/ownerReferences");
  if (references == nullptr) return PodOwner{};
  for (const json& reference : *references) {
    if (!reference.value("controller", false)) continue;
    const kube::Resource resource = resource_of(reference);
    GODWIT_ASSIGN(json object, client.get({resource, kube::namespace_of(pod), reference.value("name", ""), ""}, call));
    return PodOwner{std::move(object)};
  }
  return PodOwner{};
}

}  // namespace godwit::controller
