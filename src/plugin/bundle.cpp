#include "plugin/bundle.h"

#include <algorithm>
#include <set>

#include "api/names.h"
#include "kube/json_path.h"
#include "plugin/cluster_options.h"
#include "plugin/reading.h"
#include "plugin/redaction.h"

namespace godwit::plugin {
namespace {

using kube::ApiResult;
using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto log_time = std::chrono::seconds(60);
constexpr size_t log_bytes_max = size_t{16} << 20;
constexpr size_t pods_max = 500;

std::string counted(size_t count, const std::string& one, const std::string& many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string text_of(const json& object) {
  return object.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

class Gathering {
 public:
  Gathering(kube::Client& client, const BundleOptions& options, const BundleSink& sink)
      : client_(client), options_(options), sink_(sink) {}

  Result<BundleReport> run() {
    GODWIT_TRY(add_versions());
    GODWIT_TRY(add_migrations());
    GODWIT_TRY(add_objects(kube::resources::nodes, "nodes.json", "node", "nodes"));
    GODWIT_TRY(add_objects(api::node_templates, "node-templates.json", "node template", "node templates"));
    GODWIT_TRY(add_pods());
    GODWIT_TRY(add_events());
    GODWIT_TRY(add_own_pods());
    if (!report_.missing.empty()) {
      std::string text;
      for (const std::string& one : report_.missing) text += one + "\n";
      GODWIT_TRY(add("missing.txt", text, "what could not be read, and why"));
    }
    return std::move(report_);
  }

 private:
  Result<> add(const std::string& name, const std::string& contents, const std::string& what) {
    GODWIT_TRY(sink_(name, contents));
    report_.files.push_back({name, what});
    return {};
  }

  Result<> add_list(const std::string& name, const std::vector<json>& objects, const std::string& what) {
    json list = json::array();
    for (const json& object : objects) list.push_back(redact(object));
    return add(name, text_of({{"apiVersion", "v1"}, {"kind", "List"}, {"items", std::move(list)}}), what);
  }

  void miss(const std::string& what, const kube::ApiError& error) {
    report_.missing.push_back(fmt::format("{}: {}", what, in_words(error)));
  }

  std::optional<std::vector<json>> read(const kube::Resource& resource, const kube::ListOptions& list) {
    return read_all(client_, resource, list,
                    [this](const std::string& what, const kube::ApiError& error) { miss(what, error); });
  }

  // Of all namespaces, or where that is forbidden of our own.
  std::optional<std::vector<json>> read_everywhere(const kube::Resource& resource, kube::ListOptions list) {
    auto all = client_.list_all(resource, list, kube::within(log_time));
    if (all) return *std::move(all);
    list.namespace_name = client_.access().namespace_name;
    miss(all.error().forbidden() ? fmt::format("{} of other namespaces than {}", resource.plural, list.namespace_name)
                                 : resource.plural,
         all.error());
    return all.error().forbidden() ? read(resource, list) : std::nullopt;
  }

  // Of the namespaces that the report is about.
  std::optional<std::vector<json>> read_in_namespaces(const kube::Resource& resource) {
    if (options_.all_namespaces) return read_everywhere(resource, {});
    return read(resource, {.namespace_name = client_.access().namespace_name});
  }

  Result<> add_versions() {
    json versions = {{"kubectl-godwit", options_.version}};
    for (const auto& [name, path] :
         {std::pair{"server", "/version"}, std::pair{"live.cast.ai", "/apis/live.cast.ai"}}) {
      const auto text = client_.get_raw(path, kube::within(call_time));
      if (text) {
        versions[name] = json::parse(*text, nullptr, false);
      } else {
        miss(fmt::format("version of {}", name), text.error());
      }
    }
    return add("versions.json", text_of(versions), "versions of this program, the server and the resources");
  }

  Result<> add_migrations() {
    const auto all = read_in_namespaces(api::migrations);
    if (!all) return {};
    for (const json& one : *all) {
      for (const char* pointer : {"/spec/podName", "/status/cloneName"}) {
        const std::string pod = kube::text_at(one, pointer);
        if (!pod.empty()) concerned_.insert({kube::namespace_of(one), pod});
      }
    }
    return add_list("migrations.json", *all, counted(all->size(), "Migration", "Migrations"));
  }

  Result<> add_objects(const kube::Resource& resource, const std::string& file, const std::string& one,
                       const std::string& many) {
    const auto all = read(resource, {});
    return all ? add_list(file, *all, counted(all->size(), one, many)) : Result<>{};
  }

  // Those that Migrations name, as far as they still are.
  Result<> add_pods() {
    std::vector<json> pods;
    size_t asked = 0;
    for (const auto& [space, name] : concerned_) {
      if (++asked > pods_max) {
        report_.missing.push_back(fmt::format("pods: more than {} are concerned; the rest is left out", pods_max));
        break;
      }
      auto pod = client_.get({kube::resources::pods, space, name, ""}, kube::within(call_time));
      if (pod) {
        pods.push_back(*std::move(pod));
      } else if (!pod.error().not_found()) {
        miss(fmt::format("pod {}/{}", space, name), pod.error());
        if (pod.error().forbidden()) break;
      }
    }
    return add_list("pods.json", pods, counted(pods.size(), "pod that Migrations name", "pods that Migrations name"));
  }

  Result<> add_events() {
    const auto all = read_in_namespaces(kube::resources::events);
    if (!all) return {};
    std::vector<json> wanted;
    for (const json& event : *all) {
      const std::string kind = kube::text_at(event, "/regarding/kind");
      const bool of_pod =
          kind == "Pod" && concerned_.contains({kube::namespace_of(event), kube::text_at(event, "/regarding/name")});
      if (kind == api::migrations.kind || of_pod) wanted.push_back(event);
    }
    return add_list("events.json", wanted,
                    counted(wanted.size(), "event of them and of Migrations", "events of them and of Migrations"));
  }

  Result<> add_own_pods() {
    const auto pods = read_everywhere(kube::resources::pods, {.label_selector = own_pods});
    if (!pods) return {};
    if (pods->empty()) {
      report_.missing.push_back(fmt::format(
          "logs: no pod has the label {}; add the logs of godwit-controller and godwit-agent by hand", own_pods));
      return {};
    }
    GODWIT_TRY(add_list("godwit-pods.json", *pods, counted(pods->size(), "pod of Godwit", "pods of Godwit")));
    for (const json& pod : *pods) {
      for (const char* list : {"/spec/initContainers", "/spec/containers"}) {
        const json* containers = kube::value_at(pod, list);
        if (containers == nullptr) continue;
        for (const json& container : *containers) GODWIT_TRY(add_logs(pod, kube::text_at(container, "/name")));
      }
    }
    return {};
  }

  Result<> add_logs(const json& pod, const std::string& container) {
    for (const bool previous : {false, true}) {
      if (previous && !has_ended_before(pod, container)) continue;
      const std::string path =
          kube::url_path({kube::resources::pods, kube::namespace_of(pod), kube::name_of(pod), "log"}) +
          kube::Query()
              .add("container", container)
              .add("previous", previous ? "true" : "")
              .add("timestamps", "true")
              .add("tailLines", std::to_string(options_.log_lines_max))
              .add("limitBytes", std::to_string(log_bytes_max))
              .text();
      const std::string name = fmt::format("{}/{}/{}", kube::namespace_of(pod), kube::name_of(pod), container);
      const auto text = client_.get_raw(path, kube::within(log_time));
      if (!text) {
        miss(fmt::format("{} of {}", previous ? "earlier logs" : "logs", name), text.error());
        continue;
      }
      GODWIT_TRY(add(fmt::format("logs/{}{}.log", name, previous ? ".previous" : ""), *text,
                     counted(static_cast<size_t>(std::ranges::count(*text, '\n')), "line", "lines")));
    }
    return {};
  }

  static bool has_ended_before(const json& pod, const std::string& container) {
    for (const char* list : {"/status/initContainerStatuses", "/status/containerStatuses"}) {
      const json* statuses = kube::value_at(pod, list);
      if (statuses == nullptr) continue;
      for (const json& status : *statuses) {
        if (kube::text_at(status, "/name") == container) return kube::number_at(status, "/restartCount") > 0;
      }
    }
    return false;
  }

  kube::Client& client_;
  const BundleOptions& options_;
  const BundleSink& sink_;
  std::set<std::pair<std::string, std::string>> concerned_;  // namespace and name of pods
  BundleReport report_;
};

}  // namespace

Result<BundleReport> gather_bundle(kube::Client& client, const BundleOptions& options, const BundleSink& sink) {
  return Gathering(client, options, sink).run();
}

}  // namespace godwit::plugin
