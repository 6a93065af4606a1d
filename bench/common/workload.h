// A process with much memory, as a container would be: a forked child with one anonymous mapping, alone in a freezer
// cgroup. It writes only when told to.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/memory/cgroup.h"
#include "tests/memory/child.h"

namespace godwit::bench {

// Owned by the program's main thread, which must have no other threads when it starts one: it forks. The child and its
// cgroup end with the object.
class Workload {
 public:
  using Fill = std::function<void(std::span<std::byte>)>;

  // Returns when the child has filled its memory. Pages are small ones, as those of a database that turns huge pages
  // off.
  static Result<std::unique_ptr<Workload>> start(size_t bytes, const Fill& fill);

  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  [[nodiscard]] uint64_t address() const { return address_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] const os::CgroupFreezer& freezer() const { return cgroup_.freezer(); }

  // Has the child write a byte to each of `pages` pages, spread evenly over its memory. Returns the nanoseconds a page.
  [[nodiscard]] Result<double> write_to_pages(uint64_t pages) const;

 private:
  Workload(size_t bytes, test::TestCgroup cgroup) : bytes_(bytes), cgroup_(std::move(cgroup)) {}
  [[nodiscard]] int child_main(const Fill& fill, int orders) const;

  size_t bytes_;
  uint64_t address_ = 0;
  test::TestCgroup cgroup_;
  UniqueFd orders_;
  std::optional<test::Child> child_;
};

}  // namespace godwit::bench
