#include "cluster/component.h"

#include <signal.h>

#include <charconv>
#include <thread>

#include "cluster/layout.h"
#include "os/file.h"

namespace godwit::cluster {
namespace {

constexpr auto command_limit = std::chrono::seconds(15);

std::string pid_path(const std::string& name) {
  return fmt::format("{}/{}.pid", pid_folder, name);
}
std::string log_path(const std::string& name) {
  return fmt::format("{}/{}.log", log_folder, name);
}

}  // namespace

Result<> start_component(const lab::Node& place, const Component& component) {
  if (component_pid(place, component.name)) return fail("{} runs on {} already", component.name, place.name());
  std::vector<std::string> argv = {"sh",
                                   "-c",
                                   R"(log=$1 pid=$2; shift 2; "$@" </dev/null >>"$log" 2>&1 & echo $! >"$pid")",
                                   "sh",
                                   log_path(component.name),
                                   pid_path(component.name)};
  argv.insert(argv.end(), component.argv.begin(), component.argv.end());
  auto started = place.exec_checked(argv, Deadline::after(command_limit), {.descriptors = component.descriptors});
  if (!started) return std::unexpected(std::move(started).error().context("start " + component.name));
  return {};
}

std::optional<int> component_pid(const lab::Node& place, const std::string& name) {
  const auto text = os::read_file(place.root_path() + pid_path(name));
  if (!text) return std::nullopt;
  int pid = 0;
  if (std::from_chars(text->data(), text->data() + text->size(), pid).ec != std::errc{}) return std::nullopt;
  const auto status = os::read_file(fmt::format("{}/proc/{}/status", place.root_path(), pid));
  if (!status || status->contains("State:\tZ")) return std::nullopt;
  return pid;
}

Result<> signal_component(const lab::Node& place, const std::string& name, int signal) {
  const auto pid = component_pid(place, name);
  if (!pid) return fail("{} does not run on {}", name, place.name());
  GODWIT_TRY(
      place.exec_checked({"kill", fmt::format("-{}", signal), std::to_string(*pid)}, Deadline::after(command_limit)));
  return {};
}

Result<> kill_component(const lab::Node& place, const std::string& name, Deadline deadline) {
  GODWIT_TRY(signal_component(place, name, SIGKILL));
  while (component_pid(place, name)) {
    if (deadline.expired()) return fail("{} on {} does not die", name, place.name());
    std::this_thread::sleep_for(milliseconds(10));
  }
  return {};
}

std::string log_end(const lab::Node& place, const std::string& name, size_t lines_max) {
  const auto text = os::read_file(place.root_path() + log_path(name));
  if (!text) return "(no log)\n";
  size_t start = text->size();
  for (size_t lines = 0; start > 0 && lines <= lines_max; ++lines) {
    start = text->rfind('\n', start - 1);
    if (start == std::string::npos) return *text;
  }
  return text->substr(start + 1);
}

}  // namespace godwit::cluster
