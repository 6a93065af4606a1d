#include "plugin/redaction.h"

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "kube/json_path.h"

namespace godwit::plugin {
namespace {

using nlohmann::json;

using Names = std::initializer_list<const char*>;

// These members of an object, as they are.
json keep(const json& object, Names names) {
  json kept = json::object();
  if (!object.is_object()) return kept;
  for (const char* name : names) {
    if (const auto at = object.find(name); at != object.end()) kept[name] = *at;
  }
  return kept;
}

// Each element of the list `name` of `from`, through `redact_one`, into `to`; nothing if there is no such list.
template <typename Redact>
void redact_list(const json& from, const char* name, json& to, Redact redact_one) {
  const auto at = from.find(name);
  if (at == from.end() || !at->is_array()) return;
  json list = json::array();
  for (const json& element : *at) list.push_back(redact_one(element));
  to[name] = std::move(list);
}

// Annotations that Godwit, or Kubernetes for it, gives a meaning.
bool annotation_is_known(std::string_view name) {
  const std::string_view prefix = name.substr(0, name.find('/'));
  return prefix == "cast.ai" || prefix.ends_with(".cast.ai") || name == "controller.kubernetes.io/pod-deletion-cost" ||
         name == "kubernetes.io/config.source" || name == "cluster-autoscaler.kubernetes.io/safe-to-evict";
}

json redact_metadata(const json& metadata) {
  json kept = metadata;
  if (!kept.is_object()) return json::object();
  kept.erase("managedFields");
  const auto annotations = kept.find("annotations");
  if (annotations == kept.end() || !annotations->is_object()) return kept;
  for (auto& [name, value] : annotations->items()) {
    if (!annotation_is_known(name)) value = removed;
  }
  return kept;
}

json redact_variable(const json& variable) {
  json kept = keep(variable, {"name", "valueFrom"});
  if (variable.contains("value")) kept["value"] = removed;
  return kept;
}

// How a probe asks, without what.
json redact_probe(const json& probe) {
  json kept = keep(probe, {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
                           "failureThreshold", "terminationGracePeriodSeconds"});
  for (const char* way : {"exec", "httpGet", "tcpSocket", "grpc"}) {
    if (const auto at = probe.find(way); at != probe.end()) kept[way] = keep(*at, {"port", "scheme"});
  }
  return kept;
}

json redact_hooks(const json& lifecycle) {
  json kept = json::object();
  for (const char* hook : {"postStart", "preStop"}) {
    if (!lifecycle.contains(hook)) continue;
    kept[hook] = json::object();
    for (const auto& [way, details] : lifecycle[hook].items()) kept[hook][way] = removed;
  }
  return kept;
}

json redact_container(const json& container) {
  json kept =
      keep(container, {"name", "image", "imagePullPolicy", "resources", "resizePolicy", "restartPolicy", "ports",
                       "envFrom", "volumeMounts", "volumeDevices", "securityContext", "stdin", "stdinOnce", "tty",
                       "terminationMessagePath", "terminationMessagePolicy", "targetContainerName"});
  redact_list(container, "env", kept, redact_variable);
  for (const char* words : {"command", "args"}) {
    if (container.contains(words)) kept[words] = json::array({removed});
  }
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    if (container.contains(probe)) kept[probe] = redact_probe(container[probe]);
  }
  if (container.contains("lifecycle")) kept["lifecycle"] = redact_hooks(container["lifecycle"]);
  return kept;
}

// Its name and kind, and what else is known to be harmless.
json redact_volume(const json& volume) {
  json kept = json::object();
  for (const auto& [kind, source] : volume.items()) {
    if (kind == "name" || kind == "emptyDir" || kind == "hostPath" || kind == "persistentVolumeClaim") {
      kept[kind] = source;
    } else if (kind == "configMap") {
      kept[kind] = keep(source, {"name", "optional"});
    } else if (kind == "secret") {
      kept[kind] = keep(source, {"secretName", "optional"});
    } else if (kind == "csi") {
      kept[kind] = keep(source, {"driver", "readOnly"});
    } else {
      kept[kind] = removed;
    }
  }
  return kept;
}

json redact_container_state(const json& status) {
  json kept = keep(status, {"name", "image", "imageID", "containerID", "ready", "started", "restartCount", "state",
                            "lastState", "allocatedResources", "resources"});
  for (const char* state : {"state", "lastState"}) {
    if (!kept.contains(state)) continue;
    for (auto& [kind, details] : kept[state].items()) {
      if (details.is_object() && details.contains("message")) details["message"] = removed;
    }
  }
  return kept;
}

json redact_pod(const json& pod) {
  const json spec = pod.value("spec", json::object());
  json kept_spec = keep(spec, {"nodeName",          "nodeSelector",
                               "affinity",          "tolerations",
                               "restartPolicy",     "overhead",
                               "runtimeClassName",  "terminationGracePeriodSeconds",
                               "dnsPolicy",         "hostNetwork",
                               "hostPID",           "hostIPC",
                               "hostUsers",         "hostname",
                               "subdomain",         "shareProcessNamespace",
                               "securityContext",   "schedulerName",
                               "priorityClassName", "topologySpreadConstraints",
                               "preemptionPolicy",  "os",
                               "priority",          "serviceAccountName",
                               "enableServiceLinks"});
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    redact_list(spec, list, kept_spec, redact_container);
  }
  redact_list(spec, "volumes", kept_spec, redact_volume);
  const json status = pod.value("status", json::object());
  json kept_status = keep(status, {"phase", "reason", "message", "conditions", "hostIP", "hostIPs", "podIP", "podIPs",
                                   "startTime", "qosClass", "nominatedNodeName", "observedGeneration"});
  for (const char* list : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    redact_list(status, list, kept_status, redact_container_state);
  }
  json kept = keep(pod, {"apiVersion", "kind"});
  kept["metadata"] = redact_metadata(pod.value("metadata", json::object()));
  kept["spec"] = std::move(kept_spec);
  kept["status"] = std::move(kept_status);
  return kept;
}

// Kubelets put the output of probes and hooks into these.
bool event_holds_output(const std::string& reason) {
  static constexpr std::array<std::string_view, 4> those{"Unhealthy", "ProbeWarning", "FailedPostStartHook",
                                                         "FailedPreStopHook"};
  for (const std::string_view one : those) {
    if (reason == one) return true;
  }
  return false;
}

}  // namespace

json redact(const json& object) {
  const std::string kind = kube::text_at(object, "/kind");
  if (kind == "Pod") return redact_pod(object);
  json kept = object;
  kept["metadata"] = redact_metadata(object.value("metadata", json::object()));
  if (kind == "Node" && kept.contains("status")) kept["status"].erase("images");
  if (kind == "Event" && event_holds_output(kube::text_at(object, "/reason"))) kept["note"] = removed;
  return kept;
}

}  // namespace godwit::plugin
