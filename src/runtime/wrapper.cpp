#include "runtime/wrapper.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include <nlohmann/json.hpp>

#include "agent/pod_claim.h"
#include "agent/pod_container.h"
#include "agent/pod_marks.h"
#include "base/log.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::runtime {
namespace {

using agent::PodMark;
using nlohmann::json;

// Below the two minutes that a kubelet gives its container engine.
constexpr auto restore_time = std::chrono::seconds(100);
constexpr const char* runc_variable = "GODWIT_RUNC";  // which runc; default: the one in PATH

// Init containers that shall run in a clone pod, as the live controller has written them there.
bool runs_again(const json& config) {
  const json annotations = config.value("annotations", json::object());
  const std::string name = annotations.value("io.kubernetes.cri.container-name", "");
  const std::string all = "," + annotations.value(agent::run_init_containers_annotation, "") + ",";
  return !name.empty() && all.find("," + name + ",") != std::string::npos;
}

Result<Outcome> create(const Arguments& arguments) {
  GODWIT_ASSIGN(const std::string text, os::read_file(arguments.bundle + "/config.json"));
  const json config = json::parse(text, nullptr, false);
  if (!config.is_object()) return Outcome::pass_on;  // runc will say what is wrong with it
  const std::string sandbox = agent::sandbox_of(config);
  if (sandbox.empty()) return Outcome::pass_on;
  GODWIT_ASSIGN(const auto mark, agent::container_mark(sandbox));
  if (mark && mark->state == PodMark::State::moved) {
    return fail("this pod has moved to node {}: nothing more is started in it here", mark->to);
  }
  const std::string session = config.value("annotations", json::object()).value(agent::restore_annotation, "");
  if (session.empty() || runs_again(config)) return Outcome::pass_on;
  GODWIT_ASSIGN(
      const agent::Offered offered,
      agent::offer_container(
          session,
          {.id = arguments.id, .bundle = arguments.bundle, .runc_root = arguments.root, .pid_file = arguments.pid_file},
          Deadline::after(restore_time)));
  return offered == agent::Offered::created ? Outcome::done : Outcome::pass_on;
}

// Of a container that has not arrived. Without its keeper it will not: the session gives up, and the engine learns that
// it has ended.
Result<Outcome> end_awaited(const PodMark& mark) {
  if (::kill(mark.keeper_pid, SIGKILL) == 0 || errno == ESRCH) return Outcome::done;
  return fail_errno("end process {}", mark.keeper_pid);
}

// Of a held container: what its kubelet does to end it is noted, and without effect.
Result<Outcome> note_end(const std::string& id) {
  GODWIT_TRY(agent::note_end_wanted(id));
  GODWIT_ASSIGN(const auto mark, agent::container_mark(id));
  if (!mark) return Outcome::pass_on;  // let go at this moment
  if (mark->state == PodMark::State::moved) GODWIT_TRY(agent::end_moved_copy(*mark));
  return Outcome::done;
}

}  // namespace

Result<Outcome> intervene(const Arguments& arguments) {
  if (!agent::valid_container_name(arguments.id)) return Outcome::pass_on;  // runc will say what is wrong with it
  if (arguments.command == "create") return create(arguments);
  GODWIT_ASSIGN(const auto mark, agent::container_mark(arguments.id));
  if (!mark) return Outcome::pass_on;
  const bool moved = mark->state == PodMark::State::moved;
  const bool held = mark->state == PodMark::State::held;
  const bool lives = mark->init_pid > 0 && ::kill(mark->init_pid, 0) == 0;
  const bool awaited = mark->state == PodMark::State::awaited;
  if (arguments.command == "start" && !moved) return Outcome::done;
  if (arguments.command == "kill" && awaited) return end_awaited(*mark);
  if (arguments.command == "exec" && awaited) return fail("this container is about to arrive: try again when it has");
  if (arguments.command == "kill" && held && lives) return note_end(arguments.id);
  if (arguments.command == "kill" && moved && mark->init_pid > 0) {
    GODWIT_ASSIGN(const bool ended, agent::end_moved_copy(*mark));
    return ended ? Outcome::done : Outcome::pass_on;
  }
  if (arguments.command == "exec" && moved) return fail("this container runs on node {} now", mark->to);
  // A preStop hook comes this way too.
  if (arguments.command == "exec" && held) return fail("this container is about to move: try again when it has");
  if (arguments.command == "delete") {
    if (held && lives) return fail("this container is about to move, and is not to be ended here");
    if (moved && mark->init_pid > 0) GODWIT_TRY(agent::end_moved_copy(*mark));
    GODWIT_TRY(agent::remove_container_mark(arguments.id));
  }
  return Outcome::pass_on;
}

void report_error(const Arguments& arguments, const Error& error) {
  log_error("{}", error.message);
  if (arguments.log.empty()) return;
  std::ofstream log(arguments.log, std::ios::app);
  if (arguments.log_is_json) {
    log << json{{"level", "error"}, {"msg", "godwit-runc: " + error.message}}.dump() << '\n';
  } else {
    log << "godwit-runc: " << error.message << '\n';
  }
}

Error become_runc(const std::vector<std::string>& words) {
  const char* chosen = std::getenv(runc_variable);
  std::vector<std::string> argv{chosen == nullptr ? "runc" : chosen};
  argv.insert(argv.end(), words.begin(), words.end());
  return os::become(argv);
}

}  // namespace godwit::runtime
