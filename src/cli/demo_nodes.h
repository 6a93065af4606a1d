// What the demo moves redis between: two nodes of a lab with an agent each, and redis in a container on the first.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "lab/lab.h"
#include "os/subprocess.h"

namespace godwit::cli {

constexpr const char* demo_container = "redis";

// Owned by the demo, used by one thread. All of it ends with it, but for the folder of logs if keep_logs() was called.
class DemoNodes {
 public:
  static Result<std::unique_ptr<DemoNodes>> start();
  DemoNodes(const DemoNodes&) = delete;
  DemoNodes& operator=(const DemoNodes&) = delete;
  ~DemoNodes();

  // Starts godwit-agent on both nodes and waits until each answers its command line.
  Result<> start_agents();
  // Starts an empty redis on node 1.
  Result<> start_redis();

  [[nodiscard]] const lab::Node& node(int index) const { return lab_.node(index); }
  [[nodiscard]] std::string agent_socket(int index) const;  // as a path of this machine
  [[nodiscard]] std::string clients_network() const { return lab_.outside().netns_path(); }
  [[nodiscard]] static std::string redis_target();  // address:port
  // What of redis is on the node: its processes and its container at runc. Empty if nothing is.
  [[nodiscard]] std::vector<std::string> traces_of_redis(int index) const;
  // "node-1's agent has ended", empty if both run.
  std::string dead_agents();
  // Keeps what the agents logged, and the records of their sessions. The folder.
  std::string keep_logs();
  // Ends the nodes; an error says what is left of them on this machine.
  Result<> stop();

 private:
  DemoNodes(lab::Lab lab, std::string folder) : lab_(std::move(lab)), folder_(std::move(folder)) {}
  Result<> wait_for_agent(int index);

  lab::Lab lab_;
  std::string folder_;
  bool keep_logs_ = false;
  std::vector<os::Subprocess> agents_;  // of node 1, node 2
};

}  // namespace godwit::cli
