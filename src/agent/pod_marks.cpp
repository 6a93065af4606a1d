#include "agent/pod_marks.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/container_description.h"
#include "agent/session_directory.h"
#include "os/file.h"
#include "os/freezer.h"

namespace godwit::agent {
namespace {

using nlohmann::json;
using State = PodMark::State;

constexpr auto thaw_time = std::chrono::seconds(5);
constexpr std::array<std::pair<State, const char*>, 4> state_names{
    {{State::restored, "restored"}, {State::held, "held"}, {State::awaited, "awaited"}, {State::moved, "moved"}}};

std::string directory() {
  return SessionDirectory::root() + "/../pods";
}

Result<std::string> path_of(const std::string& id) {
  if (!valid_container_name(id)) return fail("'{}' is not a container name", id);
  return directory() + "/" + id;
}

// Beside the mark, so that whoever writes the one does not undo what another has written into the other. No container
// has a name with such a sign.
Result<std::string> end_wanted_path(const std::string& id) {
  GODWIT_ASSIGN(const std::string path, path_of(id));
  return path + "~end-wanted";
}

}  // namespace

Result<> mark_container(const std::string& id, const PodMark& mark) {
  GODWIT_ASSIGN(const std::string path, path_of(id));
  GODWIT_TRY(os::make_directories(directory(), 0700));
  return os::write_file_atomic(path, json{{"state", state_names[static_cast<size_t>(mark.state)].second},
                                          {"to", mark.to},
                                          {"init_pid", mark.init_pid},
                                          {"freezer", mark.freezer_directory},
                                          {"keeper", mark.keeper_pid}}
                                         .dump());
}

Result<std::optional<PodMark>> container_mark(const std::string& id) {
  GODWIT_ASSIGN(const std::string path, path_of(id));
  if (!os::exists(path)) return std::nullopt;
  GODWIT_ASSIGN(const std::string text, os::read_file(path));
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail("{} is damaged", path);
  for (const auto& [state, name] : state_names) {
    if (object.value("state", "") != name) continue;
    return PodMark{.state = state,
                   .to = object.value("to", ""),
                   .init_pid = object.value("init_pid", 0),
                   .freezer_directory = object.value("freezer", ""),
                   .keeper_pid = object.value("keeper", 0)};
  }
  return fail("{} is damaged", path);
}

Result<> remove_container_mark(const std::string& id) {
  GODWIT_ASSIGN(const std::string path, path_of(id));
  GODWIT_ASSIGN(const std::string wanted, end_wanted_path(id));
  for (const std::string& file : {path, wanted}) {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) return fail_errno("remove {}", file);
  }
  return {};
}

Result<> note_end_wanted(const std::string& id) {
  GODWIT_ASSIGN(const std::string path, end_wanted_path(id));
  return os::write_file_atomic(path, "");
}

Result<bool> end_wanted(const std::string& id) {
  GODWIT_ASSIGN(const std::string path, end_wanted_path(id));
  return os::exists(path);
}

// It dies only when thawed, and has the signal already then.
Result<bool> end_moved_copy(const PodMark& mark) {
  const auto freezer = os::CgroupFreezer::at(mark.freezer_directory);
  if (!freezer) return false;
  if (::kill(mark.init_pid, SIGKILL) != 0 && errno != ESRCH) return fail_errno("kill process {}", mark.init_pid);
  GODWIT_TRY(freezer->thaw(Deadline::after(thaw_time)));
  return true;
}

}  // namespace godwit::agent
