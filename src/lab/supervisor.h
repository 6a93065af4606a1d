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
  UniqueFd kept_disk;                 // for a node that is restarted, from open_tree(2); else empty
};

// What each place sends once, as one JSON message, on the report socket: {"place": 1, "error": ""}. The kernel tells
// the receiver the sender's pid (SO_PASSCRED).
inline constexpr size_t report_bytes_max = 4096;

// Forks the supervisor, which builds the lab; the caller must be single-threaded. It dies with the caller. Returns its
// pid; that it works is known when every place has reported.
Result<pid_t> start_supervisor(SupervisorSetup setup, int report_socket);

// A node's first process, from fork to end. Tells `sync`, a SOCK_SEQPACKET, "n" when it has its namespaces, and waits
// for a byte there, which says that its cable is plugged in; reports as above.
[[noreturn]] void node_main(const SupervisorSetup& setup, int index, int report_socket, int sync);
// Runs a batch of `ip` commands; the namespace is a path, empty: this process's.
Result<> run_ip(const std::string& batch, const std::string& network_namespace = "");
// `ip` commands for outside's network: a node's cable, to the node whose first process is `pid`.
std::string cable_commands(int index, pid_t pid);

}  // namespace godwit::lab
