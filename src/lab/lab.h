// Nodes on one machine, for the demo, the tests and the benchmarks: each has its own root file system, processes,
// network, host name and cgroups, as a machine would, made of Linux namespaces; all hang on one flat network.
//
//   auto lab = Lab::start({.nodes = 2});
//   lab->node(1).make_container({.name = "db", .args = {"redis-server"}, .address = "10.88.1.5/16"});
//   lab->outside().exec({"redis-cli", "-h", "10.88.1.5", "ping"}, Deadline::after(5s));
//
// A lab ends with the process that started it, whatever ends that (see janitor.h); nothing of it stays behind. It is no
// security boundary: nodes run as root on the machine's kernel.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "lab/state.h"
#include "os/subprocess.h"

namespace godwit::lab {

struct ContainerSpec;

struct RunOptions {
  std::vector<std::string> environment;  // "NAME=value", added to PATH, HOME, LANG, GODWIT_*, *SAN_OPTIONS
  std::string directory = "/";           // inside the place
  std::string log_path;                  // spawn(): append standard output and error to this file of the machine
  std::vector<std::pair<int, int>> descriptors;  // {ours, number there}
  bool die_with_parent = true;                   // as os::Command has it
};

// A node, or "outside" (index 0): the place where the nodes' cables end and clients run, with the same programs. Owned
// by its Lab, which must outlive it. Any thread may call any function of a node.
class Node {
 public:
  Node(std::string lab, std::string program, int index, pid_t pid, UniqueFd pidfd)
      : lab_(std::move(lab)), program_(std::move(program)), index_(index), pid_(pid), pidfd_(std::move(pidfd)) {}

  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] std::string name() const;     // also its host name; all places know all names
  [[nodiscard]] std::string address() const;  // IPv4, without prefix
  // Its first process, as this machine numbers it.
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Its file system and its network namespace, as paths of this machine; good as long as the node lives.
  [[nodiscard]] std::string root_path() const { return fmt::format("/proc/{}/root", pid_); }
  [[nodiscard]] std::string netns_path() const { return fmt::format("/proc/{}/ns/net", pid_); }

  // Runs a program of the node to its end, as os::run() does.
  [[nodiscard]] Result<os::Output> exec(const std::vector<std::string>& argv, Deadline deadline,
                                        const RunOptions& options = {}) const;
  // As exec(), and a status other than 0 is an error. Returns the output.
  [[nodiscard]] Result<std::string> exec_checked(const std::vector<std::string>& argv, Deadline deadline,
                                                 const RunOptions& options = {}) const;
  // Starts one. The Subprocess stands for it: SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and 2 are passed on, its exit
  // status is the program's, and soon after the Subprocess is killed or destroyed so is the program.
  [[nodiscard]] Result<os::Subprocess> spawn(const std::vector<std::string>& argv,
                                             const RunOptions& options = {}) const;

  // See container.h.
  [[nodiscard]] Result<> make_container(const ContainerSpec& spec) const;
  [[nodiscard]] Result<> remove_container(const std::string& name) const;

 private:
  friend class Lab;
  [[nodiscard]] os::Command command(const std::vector<std::string>& argv, const RunOptions& options) const;

  std::string lab_;
  std::string program_;  // godwit-lab
  int index_;
  pid_t pid_;
  UniqueFd pidfd_;
};

// Kills a program that a node's spawn() started, with SIGKILL, and waits until it is dead.
Result<int> kill_program(os::Subprocess& program, Deadline deadline);

struct LabOptions {
  int nodes = 2;
  std::string name;      // empty: one that no other lab has
  std::string image;     // empty: what tools/node-image.sh built, ${GODWIT_CACHE:-/var/cache/godwit}/image
  std::string binaries;  // seen in each place at /opt/godwit; empty: the build that this program is from (bin/..)
  unsigned long data_limit_bytes = 0;  // size of each node's /var/lib/godwit, memory; 0: half of the machine's memory
  milliseconds start_limit{30'000};
  std::vector<Bind> binds;
};

// Owned by whoever started it; destroying it ends the lab. One thread at a time, but for what const functions of its
// nodes allow.
class Lab {
 public:
  static Result<Lab> start(const LabOptions& options);
  // A lab that somebody else started: everything works; destroying this object leaves it running.
  static Result<Lab> attach(const std::string& name);
  Lab(Lab&&) noexcept = default;
  Lab& operator=(Lab&& other) noexcept;
  ~Lab();

  [[nodiscard]] const std::string& name() const { return state_.plan.name; }
  [[nodiscard]] const LabState& state() const { return state_; }
  [[nodiscard]] int node_count() const { return state_.plan.nodes; }
  [[nodiscard]] const Node& node(int index) const;  // 1 to node_count()
  [[nodiscard]] const Node& outside() const { return *places_[0]; }

  // Pulls the node's cable, or plugs it in again: nothing gets through, nobody is told.
  Result<> cut_network(int index);
  Result<> restore_network(int index);
  // As a power cut: all its processes die at once and its peers hear nothing any more.
  Result<> kill_node(int index);
  // Switches a killed node on again: as new, but for its disk (/var/lib/godwit) and its certificate. Nobody else may
  // use this object's node(index) meanwhile.
  Result<> restart_node(int index);

  // From now on the lab outlives this process, until `godwit-lab down` or stop().
  Result<> detach();
  // Ends it and waits until it is gone. An error if anything is left.
  Result<> stop();

 private:
  Lab() = default;
  static Result<Lab> open(const std::string& name);
  [[nodiscard]] Result<> set_cable(int index, const char* state) const;

  bool ends_with_us_ = false;
  LabState state_;
  UniqueFd control_;  // to the janitor; its end ends the lab
  UniqueFd janitor_;  // pidfd
  std::vector<std::unique_ptr<Node>> places_;
  std::vector<std::string> namespaces_;  // e.g. "net:[4026532201]", to find who is still in them
};

}  // namespace godwit::lab
