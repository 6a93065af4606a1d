// The processes that hold a lab's namespaces: the supervisor, first process of the outer pid namespace (place 0), and
// one init for each node below it. When the supervisor dies, the kernel kills everything in the lab, and its
// namespaces, mounts and interfaces go with it.
#pragma once

#include <vector>

#include "base/result.h"
#include "lab/place_root.h"

namespace godwit::lab {

struct SupervisorSetup {
  LabPlan plan;
  std::vector<Hierarchy> hierarchies;
  std::vector<PlaceIdentity> places;  // [0] outside, [i] node i
  std::vector<UniqueFd> listeners;    // for serve_place(), by the same index
};

// What each place sends once, as one JSON message, on the report socket: {"place": 1, "error": ""}. The kernel tells
// the receiver the sender's pid (SO_PASSCRED).
inline constexpr size_t report_bytes_max = 4096;

// Forks the supervisor, which builds the lab; the caller must be single-threaded. It dies with the caller. Returns its
// pid; that it works is known when every place has reported.
Result<pid_t> start_supervisor(SupervisorSetup setup, int report_socket);

}  // namespace godwit::lab
