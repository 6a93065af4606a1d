// Gives a restored container its memory straight out of the frozen original, on the same node: stands in for what the
// memory room does between two nodes.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "criu/dump.h"
#include "criu/lazy_pages_socket.h"

namespace godwit::criu {

// Lives as long as the restored container may touch missing memory. Its functions are called by the test's thread.
class Feeder {
 public:
  // `source`: the frozen processes by their pid in the container.
  Feeder(LazyPagesSocket socket, std::map<pid_t, pid_t> source);
  ~Feeder();
  // Writes what is not lazy into the stopped processes.
  Result<> write_eager(pid_t restored_init);
  // As write_eager() for one process.
  [[nodiscard]] int lazy_processes() const { return lazy_processes_; }

 private:
  void accept(LazyPagesSocket socket);
  void serve(UniqueFd userfaultfd, pid_t source);
  std::map<pid_t, pid_t> source_;
  UniqueFd stop_;  // an eventfd
  std::atomic<int> lazy_processes_ = 0;
  std::vector<std::thread> threads_;
};

std::map<pid_t, pid_t> processes_by_container_pid(const os::CgroupFreezer& freezer);
// The anonymous shared memory of the container.
std::vector<SharedObjectId> shared_objects(const os::CgroupFreezer& freezer);

}  // namespace godwit::criu
