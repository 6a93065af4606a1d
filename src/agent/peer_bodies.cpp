#include "agent/peer_bodies.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "agent/json_fields.h"
#include "agent/requests.h"
#include "memory/page_store.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr size_t text_bytes_max = 8192;  // a path with what the kernel appends to it
constexpr size_t processes_max = 65'536;
constexpr size_t objects_max = 65'536;
constexpr size_t versions_max = 4096;
constexpr uint64_t pid_max = 1 << 22;  // as the kernel has it
constexpr uint64_t index_max = memory::shared_object_space - 1;

// The array `name` of objects, each read by `read_one`, at most `limit` of them.
template <typename Entry, typename ReadOne>
std::vector<Entry> read_list(JsonFields& fields, const char* name, size_t limit, ReadOne read_one) {
  std::vector<Entry> entries;
  const json* list = fields.find(name);
  if (list == nullptr) return entries;
  if (!list->is_array() || list->size() > limit) {
    fields.blame_member(name, fmt::format("is not a list of at most {} entries", limit));
    return entries;
  }
  for (const json& object : *list) {
    JsonFields members(object, fmt::format("an entry of '{}'", name), text_bytes_max);
    entries.push_back(read_one(members));
    if (!members.error()) continue;
    fields.blame(members.error()->message);
    break;
  }
  return entries;
}

uint32_t read_index(JsonFields& fields, const char* name) {
  return static_cast<uint32_t>(fields.count(name, 0, index_max));
}

// Which container's; the first one's need not say so.
uint32_t read_member(JsonFields& fields) {
  return fields.has("member") ? static_cast<uint32_t>(fields.count("member", 0, pod_containers_max - 1)) : 0;
}

RestoreBody::Process read_process(JsonFields& fields) {
  return {.index = read_index(fields, "index"),
          .container_pid = static_cast<pid_t>(fields.count("container_pid", 1, pid_max)),
          .zombie = fields.flag("zombie"),
          .member = read_member(fields)};
}

VolumeVersion read_version(JsonFields& fields) {
  VolumeVersion version{
      .member = read_member(fields), .destination = fields.text("destination"), .name = fields.text("name")};
  if (!valid_version_name(version.name)) fields.blame_member("name", "is no name of a volume's version");
  return version;
}

RestoreBody::Mapping read_mapping(JsonFields& fields) {
  return {.process = read_index(fields, "process"), .start = fields.count("start")};
}

RestoreBody::Object read_object(JsonFields& fields) {
  return {.index = read_index(fields, "index"),
          .path = fields.text("path"),
          .pages = fields.count("pages"),
          .mappings = read_list<RestoreBody::Mapping>(fields, "mappings", processes_max, read_mapping)};
}

std::vector<std::string> read_stdio(JsonFields& fields) {
  constexpr size_t descriptors = 3;
  std::vector<std::string> targets;
  const json* list = fields.find("stdio");
  if (list == nullptr) return targets;
  const auto proper = [](const json& target) {
    return target.is_string() && target.get_ref<const std::string&>().size() <= text_bytes_max;
  };
  if (!list->is_array() || list->size() != descriptors || !std::all_of(list->begin(), list->end(), proper)) {
    fields.blame_member("stdio", "is not a list of three paths");
    return targets;
  }
  for (const json& target : *list) targets.push_back(target.get<std::string>());
  return targets;
}

network::PacketRules read_packet_rules(JsonFields& fields) {
  network::PacketRules rules;
  const json* found = fields.find("packet_rules");
  if (found == nullptr) return rules;
  const auto proper = [](const auto& one) {
    return (one.key() == "iptables" || one.key() == "ip6tables") && one.value().is_string() &&
           one.value().template get_ref<const std::string&>().size() <= network::packet_rules_bytes_max;
  };
  if (!found->is_object()) return fields.blame_member("packet_rules", "is not an object"), rules;
  for (const auto& one : found->items()) {
    if (!proper(one)) return fields.blame_member("packet_rules", "has what is no set of rules"), rules;
    rules[one.key()] = one.value().template get<std::string>();
  }
  return rules;
}

Result<PrepareBody::Companion> read_companion(const json& source) {
  JsonFields fields(source, "one of the containers to move", text_bytes_max);
  PrepareBody::Companion companion;
  companion.stdio = read_stdio(fields);
  const json* container = fields.find("container");
  if (fields.error()) return std::unexpected(*fields.error());
  GODWIT_ASSIGN(companion.container, description_from_json(*container));
  return companion;
}

}  // namespace

Result<PrepareBody> prepare_from_json(const json& source) {
  JsonFields fields(source, "what the source wants to move", text_bytes_max);
  PrepareBody body;
  body.from = fields.text("from");
  if (fields.has("page_store_bytes")) body.page_store_bytes = fields.count("page_store_bytes", 1);
  if (fields.has("network")) {
    const auto mode = network_mode_from(fields.text("network"));
    if (!mode) fields.blame_member("network", "is not known");
    body.network = mode.value_or(NetworkMode::automatic);
  }
  if (fields.has("keep_tcp")) body.keep_tcp = fields.flag("keep_tcp");
  if (fields.has("packet_rules")) body.packet_rules = read_packet_rules(fields);
  body.stdio = read_stdio(fields);
  const json* container = fields.find("container");
  const json* companions = fields.has("companions") ? fields.find("companions") : nullptr;
  if (companions != nullptr && (!companions->is_array() || companions->size() >= pod_containers_max)) {
    fields.blame_member("companions", fmt::format("is not a list of less than {} entries", pod_containers_max));
  }
  if (fields.error()) return std::unexpected(*fields.error());
  GODWIT_ASSIGN(body.container, description_from_json(*container));
  if (companions == nullptr) return body;
  for (const json& one : *companions) {
    GODWIT_ASSIGN(PrepareBody::Companion companion, read_companion(one));
    if (!companion.container.in_pod || !body.container.in_pod)
      return fail("only the containers of a pod move together");
    body.companions.push_back(std::move(companion));
  }
  return body;
}

Result<RestoreBody> restore_from_json(const json& source) {
  JsonFields fields(source, "the source's description of its processes", text_bytes_max);
  RestoreBody body;
  body.processes = read_list<RestoreBody::Process>(fields, "processes", processes_max, read_process);
  body.objects = read_list<RestoreBody::Object>(fields, "objects", objects_max, read_object);
  if (fields.has("keep_tcp")) body.keep_tcp = fields.flag("keep_tcp");
  if (fields.has("versions")) body.versions = read_list<VolumeVersion>(fields, "versions", versions_max, read_version);
  const json* translated = fields.has("translated") ? fields.find("translated") : nullptr;
  if (fields.error()) return std::unexpected(*fields.error());
  if (translated != nullptr) {
    GODWIT_ASSIGN(body.translated, network::translated_from_json(*translated));
  }
  return body;
}

}  // namespace godwit::agent
