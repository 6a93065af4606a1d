// A Migration that runs has a finalizer, so that its deletion is first of all a wish to cancel it.
#pragma once

#include <nlohmann/json.hpp>

#include "api/names.h"
#include "base/result.h"
#include "kube/client.h"

namespace godwit::controller {

using api::migration_finalizer;

bool has_finalizer(const nlohmann::json& migration);
// Of any object.
bool is_deleted(const nlohmann::json& object);

// Both return the Migration as it is then. Error: it is gone, or the server does not answer.
kube::ApiResult<nlohmann::json> add_finalizer(kube::Client& client, const nlohmann::json& migration,
                                              const kube::Call& call);
// Null: it has gone, because it was deleted and this was the last that held it.
kube::ApiResult<nlohmann::json> remove_finalizer(kube::Client& client, const nlohmann::json& migration,
                                                 const kube::Call& call);

}  // namespace godwit::controller
