// Which cluster and namespace a verb works in, told as kubectl is told.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/result.h"
#include "kube/api_error.h"
#include "kube/cluster_access.h"
#include "kube/resource.h"

namespace godwit::plugin {

struct ClusterOptions {
  kube::KubeconfigChoice kubeconfig;
  std::string namespace_name;  // empty: the context's
  std::string as;
  std::vector<std::string> as_groups;
};

// --kubeconfig, --context, -n, --as, --as-group.
void add_cluster_options(CLI::App& verb, ClusterOptions& options);

// Its namespace_name is the one to work in.
Result<kube::ClusterAccess> find_access(const ClusterOptions& options);

// The name in "NAME", "pod/NAME" or "pods/NAME"; for another resource the same with its own words. Errors are for
// people.
Result<std::string> name_of_argument(const std::string& argument, const kube::Resource& resource);

// What the API server, or the way to it, said; and what to do where that is known.
std::string in_words(const kube::ApiError& error);
// The server does not know the resource at all, as opposed to the object.
bool unknown_resource(const kube::ApiError& error);

}  // namespace godwit::plugin
