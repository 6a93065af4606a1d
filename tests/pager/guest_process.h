// Starts the guest program, stores what its memory must be, and takes it through the steps of a restore.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "memory/page_store.h"
#include "memory/pager.h"
#include "os/subprocess.h"

namespace godwit::pager_test {

struct GuestOptions {
  uint64_t seed = 1;
  unsigned threads = 1;
  unsigned pages = 2000;  // of each thread
  unsigned acts = 0;
  bool touch = false;  // some pages are there before
};

struct GuestRange {
  uint64_t start = 0;
  uint64_t pages = 0;
};

// A guest that waits for its memory. Killed when destroyed.
class GuestProcess {
 public:
  // Starts it and takes its userfaultfd.
  static Result<GuestProcess> start(const GuestOptions& options);

  // Stores everything as it arrives in a migration: in rounds, some pages several times.
  Result<> store(memory::PageStore& store, uint32_t process) const;
  // Data pages among them, and those of them that the guest had touched before.
  [[nodiscard]] uint64_t data_pages() const;
  [[nodiscard]] uint64_t touched_pages() const;

  UniqueFd take_userfaultfd() { return std::move(userfaultfd_); }
  Result<> go() const;
  // Exit status; its messages are on our standard error.
  Result<int> wait(Deadline deadline) { return program_.wait(deadline); }
  [[nodiscard]] pid_t pid() const { return program_.pid(); }
  void kill() { program_.kill_and_wait(); }
  [[nodiscard]] const std::vector<GuestRange>& ranges() const { return ranges_; }

 private:
  GuestProcess(const GuestOptions& options, os::Subprocess program) : options_(options), program_(std::move(program)) {}

  GuestOptions options_;
  os::Subprocess program_;
  UniqueFd socket_;
  UniqueFd userfaultfd_;
  std::vector<GuestRange> ranges_;
};

}  // namespace godwit::pager_test
