// Stopping every process of a container at once, by its cgroup: the only thing that holds a container during the
// hand-over, because it survives the death of whoever asked for it.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::os {

// A freezer cgroup, version 1 (freezer.state) or 2 (cgroup.freeze). Only a name: copying or destroying it changes
// nothing, and any thread may use it.
class CgroupFreezer {
 public:
  enum class State { thawed, freezing, frozen };

  // The freezer cgroup that `pid` is in, found by /proc/PID/cgroup and the mounts of this process.
  static Result<CgroupFreezer> of_process(pid_t pid);
  // A cgroup directory; its version is told by the files in it.
  static Result<CgroupFreezer> at(std::string directory);

  // Returns when every process is stopped. If that does not happen by the deadline, everything is thawed again and the
  // error says so.
  [[nodiscard]] Result<> freeze(Deadline deadline) const;
  // Asks for it without waiting: for tasks that are stopped by their tracer, and are to stay stopped when it goes.
  [[nodiscard]] Result<> begin_freeze() const { return request(true); }
  // Returns when the kernel says that it runs; thawing what runs is a success. A cgroup that is frozen by an ancestor
  // stays frozen: an error that says which.
  [[nodiscard]] Result<> thaw(Deadline deadline) const;
  [[nodiscard]] Result<State> state() const;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] int version() const { return version_; }

 private:
  CgroupFreezer(std::string directory, int version) : directory_(std::move(directory)), version_(version) {}
  [[nodiscard]] Result<> request(bool frozen) const;
  [[nodiscard]] Result<bool> freeze_again_and_again(Deadline deadline) const;
  [[nodiscard]] Result<bool> reaches(State wanted, Deadline deadline) const;

  std::string directory_;
  int version_;
};

}  // namespace godwit::os
