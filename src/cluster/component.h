// The programs that a cluster consists of, as processes in its places. A place's init is their parent, so they run on
// when whoever started them ends; a process id in a file of the place says where each is.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "lab/lab.h"

namespace godwit::cluster {

struct Component {
  std::string name;  // e.g. "kubelet"
  std::vector<std::string> argv;
  std::vector<std::pair<int, int>> descriptors;  // {ours, number there}
};

// Starts it in the background; its output goes to its log. An error if it runs already.
Result<> start_component(const lab::Node& place, const Component& component);
// As the place numbers it; nothing: it does not run.
std::optional<int> component_pid(const lab::Node& place, const std::string& name);
Result<> signal_component(const lab::Node& place, const std::string& name, int signal);
// SIGKILL, and waits until it is gone. Its children are left alone: containers outlive containerd.
Result<> kill_component(const lab::Node& place, const std::string& name, Deadline deadline);
// The end of its log, whole lines.
std::string log_end(const lab::Node& place, const std::string& name, size_t lines_max = 20);

}  // namespace godwit::cluster
