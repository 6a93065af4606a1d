#include "lab/state.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "lab/layout.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::lab {
namespace {

using nlohmann::json;

Result<LabState> parse_state(const std::string& name) {
  GODWIT_ASSIGN(const std::string text, os::read_file(state_directory(name) + "/lab.json"));
  try {
    const json parsed = json::parse(text);
    LabState state;
    GODWIT_ASSIGN(state.plan, plan_from_json(parsed.at("plan")));
    parsed.at("janitor").get_to(state.janitor);
    parsed.at("places").get_to(state.places);
    return state;
  } catch (const json::exception& error) {
    return fail("{}/lab.json: {}", state_directory(name), error.what());
  }
}

std::string lock_path(const std::string& name) {
  return state_directory(name) + "/lock";
}

enum class LockOutcome { taken, held_by_other, gone };

struct LockAttempt {
  LockOutcome outcome = LockOutcome::gone;
  UniqueFd fd;
};

// Takes the lock if it is free. A sweeper may have removed the file between opening and locking: then `gone`.
Result<LockAttempt> try_lock(const std::string& name, bool create) {
  LockAttempt attempt;
  attempt.fd = UniqueFd(::open(lock_path(name).c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
  if (!attempt.fd) {
    if (errno == ENOENT) return attempt;
    return fail_errno("open {}", lock_path(name));
  }
  if (::flock(attempt.fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock {}", lock_path(name));
    attempt.outcome = LockOutcome::held_by_other;
    return attempt;
  }
  struct stat ours{};
  struct stat current{};
  const bool same = ::fstat(attempt.fd.get(), &ours) == 0 && ::stat(lock_path(name).c_str(), &current) == 0 &&
                    ours.st_ino == current.st_ino;
  attempt.outcome = same ? LockOutcome::taken : LockOutcome::gone;
  return attempt;
}

// What still runs of the lab's places. A first process leaves its cgroups as soon as it is killed, but ends only after
// everything in its pid namespace has, so that an empty cgroup does not prove its end.
std::vector<UniqueFd> first_processes(const std::string& name) {
  std::vector<UniqueFd> pidfds;
  const auto state = parse_state(name);
  if (!state) return pidfds;
  for (size_t i = 0; i < state->places.size(); ++i) {
    const pid_t pid = state->places[i];
    auto pidfd = os::open_pidfd(pid);
    const std::string comm = os::read_file(fmt::format("/proc/{}/comm", pid)).value_or("");
    // The number may be some other process's by now.
    if (pidfd && comm == process_name(name, static_cast<int>(i)) + "\n") pidfds.push_back(std::move(*pidfd));
  }
  return pidfds;
}

std::vector<std::string> known_labs() {
  auto names = os::list_directory(state_root);
  if (!names) return {};
  std::erase_if(*names, [](const std::string& name) { return !check_name(name).has_value(); });
  return *std::move(names);
}

}  // namespace

Result<> check_name(const std::string& name) {
  constexpr size_t name_bytes_max = 40;
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (name.empty() || name.size() > name_bytes_max || name.front() == '-' || !std::ranges::all_of(name, allowed)) {
    return fail("\"{}\" is no name for a lab: use up to {} of a-z, 0-9 and -", name, name_bytes_max);
  }
  return {};
}

json to_json(const LabPlan& plan) {
  json binds = json::array();
  for (const Bind& bind : plan.binds) {
    binds.push_back({{"source", bind.source}, {"target", bind.target}, {"read_only", bind.read_only}});
  }
  return {{"name", plan.name},
          {"nodes", plan.nodes},
          {"image", plan.image},
          {"binaries", plan.binaries},
          {"data_limit_bytes", plan.data_limit_bytes},
          {"start_limit_ms", plan.start_limit_ms},
          {"binds", std::move(binds)}};
}

Result<LabPlan> plan_from_json(const json& json) {
  try {
    LabPlan plan;
    json.at("name").get_to(plan.name);
    json.at("nodes").get_to(plan.nodes);
    json.at("image").get_to(plan.image);
    json.at("binaries").get_to(plan.binaries);
    json.at("data_limit_bytes").get_to(plan.data_limit_bytes);
    json.at("start_limit_ms").get_to(plan.start_limit_ms);
    for (const auto& bind : json.at("binds")) {
      plan.binds.push_back(
          {.source = bind.at("source"), .target = bind.at("target"), .read_only = bind.at("read_only")});
    }
    GODWIT_TRY(check_name(plan.name));
    if (plan.nodes < 1 || plan.nodes > nodes_max) {
      return fail("a lab has 1 to {} nodes, {} were asked for", nodes_max, plan.nodes);
    }
    return plan;
  } catch (const nlohmann::json::exception& error) {
    return fail("not the plan of a lab: {}", error.what());
  }
}

Result<> write_state(const LabState& state) {
  const json text = {{"plan", to_json(state.plan)}, {"janitor", state.janitor}, {"places", state.places}};
  return os::write_file_atomic(state_directory(state.plan.name) + "/lab.json", text.dump(2) + "\n");
}

Result<LabState> read_state(const std::string& name) {
  GODWIT_TRY(check_name(name));
  if (!lab_lives(name)) return fail("no lab \"{}\" is up: see `godwit-lab list`", name);
  return parse_state(name);
}

Result<LabClaim> LabClaim::take(const std::string& name) {
  constexpr int attempts_max = 20;  // each lost race against a sweeper costs one
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    GODWIT_TRY(os::make_directories(state_directory(name)));
    GODWIT_ASSIGN(LockAttempt lock, try_lock(name, true));
    switch (lock.outcome) {
      case LockOutcome::held_by_other:
        return fail("lab \"{}\" is up already: `godwit-lab down --name {}` ends it, another --name makes another", name,
                    name);
      case LockOutcome::gone:
        continue;
      case LockOutcome::taken:
        break;
    }
    if (os::exists(state_directory(name) + "/lab.json")) {
      GODWIT_TRY(remove_remains(name, Deadline::after(std::chrono::seconds(10))));
      continue;
    }
    return LabClaim(std::move(lock.fd));
  }
  return fail("lab \"{}\" could not be claimed: others keep starting and ending one of that name", name);
}

bool lab_lives(const std::string& name) {
  const auto lock = try_lock(name, false);
  return lock.has_value() && lock->outcome == LockOutcome::held_by_other;
}

std::vector<std::string> living_labs() {
  std::vector<std::string> names = known_labs();
  std::erase_if(names, [](const std::string& name) { return !lab_lives(name); });
  return names;
}

Result<> remove_remains(const std::string& name, Deadline deadline) {
  GODWIT_ASSIGN(const auto hierarchies, find_hierarchies());
  const std::vector<UniqueFd> places = first_processes(name);
  GODWIT_TRY(destroy_cgroup(hierarchies, lab_cgroup(name), deadline));
  for (const UniqueFd& place : places) {
    pollfd ended{place.get(), POLLIN, 0};
    if (::poll(&ended, 1, deadline.poll_timeout_ms()) == 0) return fail("a process of lab {} does not die", name);
  }
  // Last, so that whatever interrupts this leaves the folder that makes the next sweep look.
  return os::remove_tree(state_directory(name));
}

void sweep_dead_labs() {
  for (const std::string& name : known_labs()) {
    const auto lock = try_lock(name, false);
    if (!lock || lock->outcome != LockOutcome::taken) continue;
    log_info("removing what lab \"{}\" left behind", name);
    if (auto removed = remove_remains(name, Deadline::after(std::chrono::seconds(10))); !removed) {
      log_warning("lab \"{}\": {}", name, removed.error().message);
    }
  }
}

std::vector<std::string> find_leftovers(const std::string& name) {
  std::vector<std::string> found;
  if (os::exists(state_directory(name))) found.push_back("folder " + state_directory(name));
  if (const auto mounts = os::read_file("/proc/self/mountinfo"); mounts && mounts->contains(state_directory(name))) {
    found.push_back("mounts at " + state_directory(name));
  }
  if (const auto hierarchies = find_hierarchies()) {
    for (const Hierarchy& hierarchy : *hierarchies) {
      const std::string path = hierarchy.mount_point + "/" + lab_cgroup(name);
      if (os::exists(path)) found.push_back("cgroup " + path);
    }
  }
  return found;
}

}  // namespace godwit::lab
