// Reads kubeconfig files: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kube/base64.h"
#include "kube/cluster_access.h"
#include "kube/json_path.h"
#include "kube/yaml.h"
#include "os/file.h"

namespace godwit::kube {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t file_bytes_max = 4 << 20;

// One entry of clusters, users or contexts, and the folder that its relative paths start from.
struct Entry {
  json value;
  std::string directory;
};

// Files merged as kubectl merges them: the first that says something wins.
struct Merged {
  std::vector<std::pair<std::string, json>> files;  // path, contents

  [[nodiscard]] std::string current_context() const {
    for (const auto& [path, contents] : files) {
      if (std::string name = text_at(contents, "/current-context"); !name.empty()) return name;
    }
    return {};
  }

  // `list` is "clusters", `member` "cluster".
  [[nodiscard]] Result<Entry> find(const char* list, const char* member, const std::string& name) const {
    for (const auto& [path, contents] : files) {
      const auto entries = contents.find(list);
      if (entries == contents.end() || !entries->is_array()) continue;
      for (const json& entry : *entries) {
        if (text_at(entry, "/name") != name) continue;
        const auto value = entry.find(member);
        return Entry{value != entry.end() && value->is_object() ? *value : json::object(),
                     fs::path(path).parent_path().string()};
      }
    }
    return fail("no {} \"{}\"", member, name);
  }
};

std::vector<std::string> paths_of(const KubeconfigChoice& choice) {
  if (!choice.path.empty()) return {choice.path};
  std::vector<std::string> paths;
  if (const char* list = std::getenv("KUBECONFIG"); list != nullptr && *list != '\0') {
    std::string_view rest = list;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(':'), rest.size());
      if (end > 0) paths.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return paths;
  }
  const char* home = std::getenv("HOME");
  return {std::string(home == nullptr ? "/root" : home) + "/.kube/config"};
}

// Of several files, those that are missing are passed over.
Result<Merged> read_files(const std::vector<std::string>& paths) {
  Merged merged;
  for (const std::string& path : paths) {
    if (paths.size() > 1 && !os::exists(path)) continue;
    GODWIT_ASSIGN(const std::string text, os::read_file(path, file_bytes_max));
    auto parsed = parse_yaml_document(text);
    if (!parsed) return std::unexpected(std::move(parsed).error().context(path));
    if (!parsed->is_object()) return fail("{}: no kubeconfig", path);
    merged.files.emplace_back(fs::absolute(path).string(), *std::move(parsed));
  }
  if (merged.files.empty()) return fail("none of the kubeconfig files exists");
  return merged;
}

std::string resolve(const Entry& entry, const std::string& path) {
  return path.empty() || path.starts_with('/') ? path : entry.directory + "/" + path;
}

Result<Material> material_of(const Entry& entry, const std::string& member) {
  Material material;
  const std::string encoded = text_at(entry.value, ("/" + member + "-data").c_str());
  if (!encoded.empty()) {
    auto decoded = decode_base64(encoded);
    if (!decoded) return std::unexpected(std::move(decoded).error().context(member + "-data"));
    material.data = *std::move(decoded);
  }
  material.path = resolve(entry, text_at(entry.value, ("/" + member).c_str()));
  return material;
}

std::vector<std::string> texts_of(const json& object, const char* pointer) {
  std::vector<std::string> texts;
  const json* array = value_at(object, pointer);
  if (array == nullptr || !array->is_array()) return texts;
  for (const json& element : *array) {
    if (element.is_string()) texts.push_back(element.get<std::string>());
  }
  return texts;
}

Result<ExecPlugin> exec_of(const Entry& entry) {
  const json& exec = entry.value.at("exec");
  ExecPlugin plugin;
  plugin.api_version = text_at(exec, "/apiVersion");
  plugin.directory = entry.directory;
  plugin.install_hint = text_at(exec, "/installHint");
  plugin.provide_cluster_info = flag_at(exec, "/provideClusterInfo");
  plugin.argv = {text_at(exec, "/command")};
  if (plugin.argv[0].empty()) return fail("exec: no command");
  for (std::string& argument : texts_of(exec, "/args")) plugin.argv.push_back(std::move(argument));
  if (const json* environment = value_at(exec, "/env"); environment != nullptr && environment->is_array()) {
    for (const json& variable : *environment) {
      plugin.environment.push_back(text_at(variable, "/name") + "=" + text_at(variable, "/value"));
    }
  }
  if (plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    return fail("exec: apiVersion \"{}\" is not supported; client.authentication.k8s.io/v1 is", plugin.api_version);
  }
  if (text_at(exec, "/interactiveMode") == "Always") {
    return fail("exec: {} wants a terminal (interactiveMode: Always), which there is none of", plugin.argv[0]);
  }
  return plugin;
}

Result<> read_cluster(const Entry& entry, ClusterAccess& access) {
  access.server = text_at(entry.value, "/server");
  while (access.server.ends_with('/')) access.server.pop_back();
  if (!access.server.starts_with("https://") && !access.server.starts_with("http://")) {
    return fail("server \"{}\" is no http(s) address", access.server);
  }
  access.tls_server_name = text_at(entry.value, "/tls-server-name");
  access.proxy_url = text_at(entry.value, "/proxy-url");
  access.verify = !flag_at(entry.value, "/insecure-skip-tls-verify");
  GODWIT_ASSIGN(access.ca, material_of(entry, "certificate-authority"));
  return {};
}

Result<> read_user(const Entry& entry, ClusterAccess& access) {
  GODWIT_ASSIGN(access.client_certificate, material_of(entry, "client-certificate"));
  GODWIT_ASSIGN(access.client_key, material_of(entry, "client-key"));
  if (access.client_certificate.empty() != access.client_key.empty()) {
    return fail("client certificate and client key belong together, but only one of them is given");
  }
  access.token = {text_at(entry.value, "/token"), resolve(entry, text_at(entry.value, "/tokenFile"))};
  // kubectl lets the file win, because the token is often a stale copy of it.
  if (!access.token.path.empty()) access.token.data.clear();
  access.username = text_at(entry.value, "/username");
  access.password = text_at(entry.value, "/password");
  access.impersonate_user = text_at(entry.value, "/as");
  access.impersonate_groups = texts_of(entry.value, "/as-groups");
  if (const json* exec = value_at(entry.value, "/exec"); exec != nullptr) {
    GODWIT_ASSIGN(access.exec, exec_of(entry));
  }
  if (value_at(entry.value, "/auth-provider") != nullptr) {
    return fail("auth-provider is no longer part of Kubernetes; use an exec plugin");
  }
  return {};
}

Result<ClusterAccess> access_of(const Merged& merged, const std::string& context_name) {
  GODWIT_ASSIGN(const Entry context, merged.find("contexts", "context", context_name));
  ClusterAccess access;
  const std::string cluster_name = text_at(context.value, "/cluster");
  const std::string user_name = text_at(context.value, "/user");
  if (std::string chosen = text_at(context.value, "/namespace"); !chosen.empty()) access.namespace_name = chosen;
  GODWIT_ASSIGN(const Entry cluster, merged.find("clusters", "cluster", cluster_name));
  if (auto read = read_cluster(cluster, access); !read) {
    return std::unexpected(std::move(read).error().context("cluster \"" + cluster_name + "\""));
  }
  if (user_name.empty()) return access;
  GODWIT_ASSIGN(const Entry user, merged.find("users", "user", user_name));
  if (auto read = read_user(user, access); !read) {
    return std::unexpected(std::move(read).error().context("user \"" + user_name + "\""));
  }
  return access;
}

}  // namespace

Result<ClusterAccess> load_kubeconfig(const KubeconfigChoice& choice) {
  const std::vector<std::string> paths = paths_of(choice);
  GODWIT_ASSIGN(const Merged merged, read_files(paths));
  const std::string shown = paths.size() == 1 ? paths[0] : "$KUBECONFIG";
  const std::string context = choice.context.empty() ? merged.current_context() : choice.context;
  if (context.empty()) return fail("{}: it has no current-context, and no context was asked for", shown);
  auto access = access_of(merged, context);
  if (!access) return std::unexpected(std::move(access).error().context(fmt::format("{}, context {}", shown, context)));
  access->source = fmt::format("context {} of {}", context, shown);
  return access;
}

}  // namespace godwit::kube
