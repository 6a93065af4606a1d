#include "os/freezer.h"

#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <thread>
#include <vector>

#include "os/file.h"
#include "os/mountinfo.h"

namespace godwit::os {
namespace {

constexpr auto attempt_time = std::chrono::milliseconds(200);

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

// Where a cgroup (as /proc/PID/cgroup names it) is to be seen under a mount; empty if it is not.
std::string visible_at(const Mount& hierarchy, std::string_view cgroup) {
  std::string_view below = cgroup;
  if (hierarchy.root != "/") {
    if (!below.starts_with(hierarchy.root)) return {};
    below.remove_prefix(hierarchy.root.size());
    if (!below.empty() && below[0] != '/') return {};
  }
  std::string directory = hierarchy.mount_point + std::string(below == "/" ? "" : below);
  return exists(directory) ? directory : std::string{};
}

Result<std::string> trimmed_file(const std::string& path) {
  GODWIT_ASSIGN(std::string text, read_file(path));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Result<CgroupFreezer> CgroupFreezer::of_process(pid_t pid) {
  GODWIT_ASSIGN(const std::string text, read_file(fmt::format("/proc/{}/cgroup", pid)));
  GODWIT_ASSIGN(const std::vector<Mount> mounts, read_mounts(::getpid()));
  // Version 1 first: where it has the freezer, container runtimes use it, also beside a version 2 hierarchy.
  for (const bool unified : {false, true}) {
    for (const std::string_view line : split(text, '\n')) {
      const auto fields = split(line, ':');
      if (fields.size() < 3) continue;
      const bool wanted =
          unified ? fields[0] == "0" && fields[1].empty() : std::ranges::count(split(fields[1], ','), "freezer") > 0;
      if (!wanted) continue;
      const std::string_view cgroup = line.substr(fields[0].size() + fields[1].size() + 2);
      for (const Mount& mount : mounts) {
        const bool hierarchy =
            unified ? mount.type == "cgroup2" : mount.type == "cgroup" && mount.super_options.contains("freezer");
        if (!hierarchy) continue;
        const std::string directory = visible_at(mount, cgroup);
        // The root cgroup cannot be frozen, and lacks the files.
        if (!directory.empty() && (exists(directory + "/freezer.state") || exists(directory + "/cgroup.freeze"))) {
          return at(directory);
        }
      }
    }
  }
  return fail(
      "process {} is in no cgroup that can be frozen (neither a version 1 freezer nor version 2 is mounted here, or it "
      "is in the root cgroup): run it in a cgroup of its own",
      pid);
}

Result<CgroupFreezer> CgroupFreezer::at(std::string directory) {
  if (exists(directory + "/freezer.state")) return CgroupFreezer(std::move(directory), 1);
  if (exists(directory + "/cgroup.freeze")) return CgroupFreezer(std::move(directory), 2);
  return fail("{} is not a cgroup that can be frozen: it has neither freezer.state nor cgroup.freeze", directory);
}

Result<CgroupFreezer::State> CgroupFreezer::state() const {
  if (version_ == 1) {
    // Reading is what makes the kernel look whether all are stopped.
    GODWIT_ASSIGN(const std::string text, trimmed_file(directory_ + "/freezer.state"));
    if (text == "FROZEN") return State::frozen;
    return text == "THAWED" ? State::thawed : State::freezing;
  }
  GODWIT_ASSIGN(const std::string events, trimmed_file(directory_ + "/cgroup.events"));
  if (events.find("frozen 1") != std::string::npos) return State::frozen;
  GODWIT_ASSIGN(const std::string wanted, trimmed_file(directory_ + "/cgroup.freeze"));
  return wanted == "0" ? State::thawed : State::freezing;
}

Result<> CgroupFreezer::request(bool frozen) const {
  if (version_ == 1) return write_file(directory_ + "/freezer.state", frozen ? "FROZEN" : "THAWED");
  return write_file(directory_ + "/cgroup.freeze", frozen ? "1" : "0");
}

Result<bool> CgroupFreezer::reaches(State wanted, Deadline deadline) const {
  // Looked at again and again: the kernel's notification (version 2) is rate-limited to one in 10 ms, longer than a
  // freeze takes.
  for (auto pause = std::chrono::microseconds(20);; pause = std::min(2 * pause, std::chrono::microseconds(1000))) {
    GODWIT_ASSIGN(const State now, state());
    if (now == wanted) return true;
    if (deadline.expired()) return false;
    std::this_thread::sleep_for(pause);
  }
}

// A version 1 freezer sometimes stays FREEZING for good, when a task was woken for the freeze while it was just being
// stopped or continued by a signal: only a thaw and another try help.
Result<bool> CgroupFreezer::freeze_again_and_again(Deadline deadline) const {
  for (;;) {
    GODWIT_TRY(request(true));
    const Deadline attempt = version_ == 1 ? Deadline::after(attempt_time).sooner(deadline) : deadline;
    GODWIT_ASSIGN(const bool reached, reaches(State::frozen, attempt));
    if (reached || deadline.expired()) return reached;
    GODWIT_TRY(request(false));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<> CgroupFreezer::freeze(Deadline deadline) const {
  auto reached = freeze_again_and_again(deadline);
  if (reached.has_value() && *reached) return {};
  const auto undone = request(false);
  const std::string_view now = undone.has_value() ? "it is thawed again" : "and it could not be thawed again";
  if (!reached.has_value()) return std::unexpected(std::move(reached).error().context(fmt::format("freeze ({})", now)));
  return fail("{} did not freeze in time, {}: one of its processes is in an uninterruptible sleep", directory_, now);
}

Result<> CgroupFreezer::thaw(Deadline deadline) const {
  GODWIT_TRY(request(false));
  GODWIT_ASSIGN(const bool reached, reaches(State::thawed, deadline));
  if (!reached) return fail("{} stays frozen: a cgroup above it is frozen too, thaw that one", directory_);
  return {};
}

}  // namespace godwit::os
