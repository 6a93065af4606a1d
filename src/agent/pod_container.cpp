#include "agent/pod_container.h"

#include <signal.h>

#include <algorithm>
#include <string_view>

#include <nlohmann/json.hpp>

#include "agent/pod_marks.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

// Together less than whoever asks for it waits.
constexpr auto end_time = std::chrono::seconds(5);
constexpr auto kill_time = std::chrono::seconds(3);

bool is_bind(const json& mount) {
  const json options = mount.value("options", json::array());
  return mount.value("type", "") == "bind" ||
         std::ranges::any_of(options, [](const json& option) { return option == "bind" || option == "rbind"; });
}

constexpr std::string_view empty_dirs = "/volumes/kubernetes.io~empty-dir/";
constexpr std::string_view subpaths = "/volume-subpaths/";

// A subPath is mounted from the pod's "volume-subpaths/VOLUME/CONTAINER/NUMBER", whatever kind of volume it is part of.
bool is_part_of_empty_dir(const std::string& source) {
  const size_t at = source.find(subpaths);
  if (at == std::string::npos) return false;
  const size_t name = at + subpaths.size();
  return os::exists(
      fmt::format("{}{}{}", source.substr(0, at), empty_dirs, source.substr(name, source.find('/', name) - name)));
}

// The kubelet keeps emptyDirs in a directory of that name, the engine a pod's shared memory in its sandbox's.
bool is_private_to_pod(const json& mount) {
  const std::string source = mount.value("source", "");
  if (source.find(empty_dirs) != std::string::npos || is_part_of_empty_dir(source)) return true;
  return mount.value("destination", "") == "/dev/shm" && source.ends_with("/shm") &&
         source.find("/sandboxes/") != std::string::npos;
}

PodMark moved_mark(const SourceRecord& record, const RecordedContainer& container) {
  return {.state = PodMark::State::moved,
          .to = record.peer_name,
          .init_pid = container.init_pid,
          .freezer_directory = container.freezer_directory};
}

}  // namespace

std::string sandbox_of(const json& config) {
  const json annotations = config.value("annotations", json::object());
  if (annotations.value("io.kubernetes.cri.container-type", "") != "container") return "";
  return annotations.value("io.kubernetes.cri.sandbox-id", "");
}

std::string container_name_of(const json& config) {
  return config.value("annotations", json::object()).value("io.kubernetes.cri.container-name", "");
}

std::string image_repository(const std::string& image) {
  const std::string name = image.substr(0, image.find('@'));
  const size_t colon = name.rfind(':');
  const bool tagged = colon != std::string::npos && name.find('/', colon) == std::string::npos;
  const std::string path = tagged ? name.substr(0, colon) : name;
  const size_t slash = path.find('/');
  if (slash == std::string::npos) return "docker.io/library/" + path;
  const std::string first = path.substr(0, slash);
  return first == "localhost" || first.find_first_of(".:") != std::string::npos ? path : "docker.io/" + path;
}

std::vector<PodMount> pod_mounts(const json& config, pid_t init_pid) {
  std::vector<PodMount> mounts;
  for (const json& mount : config.value("mounts", json::array())) {
    if (!is_bind(mount)) continue;
    const std::string destination = mount.value("destination", "");
    mounts.push_back({.destination = destination,
                      .mount_point = os::resolve_in_root(fmt::format("/proc/{}/root", init_pid), destination),
                      .carried = is_private_to_pod(mount)});
  }
  return mounts;
}

Result<> hold_container(const std::string& runc_root, const std::string& id) {
  GODWIT_ASSIGN(const auto mark, container_mark(id));
  if (mark && mark->state == PodMark::State::moved) return fail("container {} has moved to node {}", id, mark->to);
  if (mark && mark->state == PodMark::State::held) return {};
  const auto text = os::read_file(fmt::format("{}/{}/state.json", runc_root, id));
  if (!text) return fail("there is no container {} on this node", id);
  const json state = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const pid_t init_pid = state.is_object() ? state.value("init_process_pid", 0) : 0;
  if (init_pid <= 0) return fail("container {} has no process", id);
  return mark_container(id, {.state = PodMark::State::held, .to = "", .init_pid = init_pid, .freezer_directory = ""});
}

Result<> let_go_of_container(const std::string& id) {
  GODWIT_ASSIGN(const auto mark, container_mark(id));
  if (!mark || mark->state != PodMark::State::held) return {};
  GODWIT_ASSIGN(const bool wanted, end_wanted(id));
  GODWIT_TRY(remove_container_mark(id));
  if (!wanted) return {};
  auto process = os::Subprocess::of_other(mark->init_pid);
  if (!process) return {};  // it has ended
  // Only once it has ended another one may begin.
  for (const auto& [signal, time] : {std::pair{SIGTERM, end_time}, std::pair{SIGKILL, kill_time}}) {
    if (::kill(mark->init_pid, signal) != 0 && errno != ESRCH) return fail_errno("end container {}", id);
    if (process->wait(Deadline::after(time))) return {};
  }
  return fail("container {} does not end", id);
}

Result<> leave_to_kubelet(const SourceRecord& record) {
  GODWIT_TRY(mark_container(record.sandbox, moved_mark(record, record.containers.front())));
  for (const RecordedContainer& container : record.containers) {
    GODWIT_TRY(mark_container(container.name, moved_mark(record, container)));
  }
  return {};
}

Result<> end_wanted_copies(const SourceRecord& record) {
  for (const RecordedContainer& container : record.containers) {
    GODWIT_ASSIGN(const bool wanted, end_wanted(container.name));
    if (wanted) GODWIT_TRY(end_moved_copy(moved_mark(record, container)));
  }
  return {};
}

}  // namespace godwit::agent
