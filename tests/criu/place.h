// Two places for one container on one node, with the same address: where it is, and where it is to be restored.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "criu/container_mounts.h"
#include "os/freezer.h"

namespace godwit::criu {

Deadline soon();

// Of this node; removed with everything in it when destroyed.
class Place {
 public:
  // Makes the bundle, root file system and network namespace. Only one place at a time is connected to the bridge.
  Place(std::string name, std::vector<std::string> args, bool connected);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  void start(const std::vector<std::pair<int, int>>& stdio = {});
  void connect(bool on) const;
  // The files that `source`'s container has written.
  void copy_files(const Place& source) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string netns_name() const;
  [[nodiscard]] std::string bundle() const { return "/run/place/" + name_; }
  [[nodiscard]] std::string directory(const std::string& part) const;  // made if need be
  [[nodiscard]] const nlohmann::json& config() const { return config_; }
  [[nodiscard]] pid_t init_pid() const;
  [[nodiscard]] os::CgroupFreezer freezer() const;
  // What is left of a container here, in words; empty: nothing.
  [[nodiscard]] std::string leftovers() const;
  // For each tmpfs of the container an empty one.
  [[nodiscard]] std::vector<MountSource> prepare_tmpfs(const std::vector<ContainerMount>& mounts) const;

 private:
  std::string name_;
  nlohmann::json config_;
};

constexpr const char* place_address = "10.88.77.7";

// A connection to the container from outside.
class Client {
 public:
  Client();
  ~Client();
  // Sends a line and returns the answer, or what went wrong.
  std::string ask(const std::string& line, int timeout_ms = 5000) const;

 private:
  int fd_ = -1;
};

// The workload's counters, from outside, in all its processes.
std::vector<uint64_t> read_counters(const os::CgroupFreezer& freezer);

std::string shell(const std::string& script);  // its output; a failed script fails the test

}  // namespace godwit::criu
