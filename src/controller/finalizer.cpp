#include "controller/finalizer.h"

#include <algorithm>

#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using kube::ApiResult;
using nlohmann::json;

constexpr int conflicts_max = 10;

json finalizers_of(const json& migration) {
  const json* all = kube::value_at(migration, "/metadata/finalizers");
  return all == nullptr ? json::array() : *all;
}

// The list changes as a whole, so only if nobody has changed the object meanwhile.
ApiResult<json> set_finalizer(kube::Client& client, json migration, bool wanted, const kube::Call& call) {
  const kube::ObjectPath path{api::migrations, kube::namespace_of(migration), kube::name_of(migration), ""};
  for (int conflicts = 0;; ++conflicts) {
    if (has_finalizer(migration) == wanted) return migration;
    json all = finalizers_of(migration);
    if (wanted) {
      all.push_back(migration_finalizer);
    } else {
      all.erase(std::ranges::find(all, json(migration_finalizer)));
    }
    const json patch = {{"metadata",
                         {{"uid", kube::uid_of(migration)},
                          {"resourceVersion", kube::resource_version_of(migration)},
                          {"finalizers", std::move(all)}}}};
    auto written = client.patch(path, kube::PatchType::merge, patch, call);
    if (written || !written.error().conflict() || conflicts >= conflicts_max) return written;
    GODWIT_ASSIGN(migration, client.get(path, call));
  }
}

}  // namespace

bool has_finalizer(const json& migration) {
  const json all = finalizers_of(migration);
  return std::ranges::find(all, json(migration_finalizer)) != all.end();
}

bool is_deleted(const json& object) {
  return kube::value_at(object, "/metadata/deletionTimestamp") != nullptr;
}

ApiResult<json> add_finalizer(kube::Client& client, const json& migration, const kube::Call& call) {
  return set_finalizer(client, migration, true, call);
}

ApiResult<json> remove_finalizer(kube::Client& client, const json& migration, const kube::Call& call) {
  auto written = set_finalizer(client, migration, false, call);
  if (!written && written.error().not_found()) return json();
  return written;
}

}  // namespace godwit::controller
