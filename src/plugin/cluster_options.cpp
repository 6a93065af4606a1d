#include "plugin/cluster_options.h"

#include <algorithm>
#include <cctype>

namespace godwit::plugin {
namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

void add_cluster_options(CLI::App& verb, ClusterOptions& options) {
  const char* group = "Cluster";
  verb.add_option("-n,--namespace", options.namespace_name, "Instead of the context's")
      ->type_name("NAMESPACE")
      ->group(group);
  verb.add_option("--context", options.kubeconfig.context, "Instead of the current one")
      ->type_name("NAME")
      ->group(group);
  verb.add_option("--kubeconfig", options.kubeconfig.path, "Instead of $KUBECONFIG or ~/.kube/config")
      ->type_name("FILE")
      ->group(group);
  verb.add_option("--as", options.as, "Act as this user")->type_name("USER")->group(group);
  verb.add_option("--as-group", options.as_groups, "And as of this group; may be repeated")
      ->type_name("GROUP")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
}

Result<kube::ClusterAccess> find_access(const ClusterOptions& options) {
  auto access = kube::find_cluster_access(options.kubeconfig);
  if (!access) {
    return std::unexpected(std::move(access).error().context(
        "no cluster to talk to (--kubeconfig FILE, --context NAME or $KUBECONFIG choose one)"));
  }
  if (!options.namespace_name.empty()) access->namespace_name = options.namespace_name;
  if (!options.as.empty()) access->impersonate_user = options.as;
  if (!options.as_groups.empty()) access->impersonate_groups = options.as_groups;
  return access;
}

Result<std::string> name_of_argument(const std::string& argument, const kube::Resource& resource) {
  const std::string singular = lower(resource.kind);
  const size_t slash = argument.find('/');
  if (slash == std::string::npos) {
    if (argument.empty()) return fail("the name of a {} is missing", singular);
    return argument;
  }
  const std::string kind = lower(argument.substr(0, slash));
  std::string name = argument.substr(slash + 1);
  const bool short_name = (kind == "po" && singular == "pod") || (kind == "no" && singular == "node");
  if (kind != singular && kind != resource.plural && !short_name) {
    return fail("{} is no {}: name one, as NAME or {}/NAME; `kubectl get {}` lists them", argument, singular, singular,
                resource.plural);
  }
  if (name.empty() || name.find('/') != std::string::npos) {
    return fail("{} is not the name of a {}: write NAME or {}/NAME", argument, singular, singular);
  }
  return name;
}

bool unknown_resource(const kube::ApiError& error) {
  return error.not_found() && error.reason.empty();
}

std::string in_words(const kube::ApiError& error) {
  if (unknown_resource(error)) {
    return error.message + ": this cluster does not have Godwit's resource definitions; install Godwit first";
  }
  if (error.unauthorized()) return error.message + ": the kubeconfig's credentials are not valid (any more)";
  return error.message;
}

}  // namespace godwit::plugin
