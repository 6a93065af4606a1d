// A userfaultfd that reports missing pages, and the ways to place pages through it.
#pragma once

#include <linux/userfaultfd.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::memory {

// How an attempt to place pages ended; from what userfaultfd(2) and mm/userfaultfd.c return.
enum class PlaceStatus : uint8_t {
  done,       // all of them
  busy,       // EAGAIN: mappings are changing, an event has to be read (or its reader to run) first
  present,    // EEXIST: there is a page already, behind those that were placed
  unmapped,   // ENOENT: not within one mapping that this descriptor serves
  no_memory,  // ENOMEM: the container's limit, or the machine's
  gone,       // ESRCH: the process has ended, or executes another program
  failed,     // anything else: a bug or an unknown kernel
};

struct PlaceResult {
  PlaceStatus status = PlaceStatus::done;
  uint64_t pages = 0;  // placed, from the beginning of the range, whatever the status
  int code = 0;        // errno if failed
};

// Owned by one process's entry in the pager and guarded by its lock.
class FaultFd {
 public:
  // Makes reads not block. The descriptor's API handshake was done by who made it.
  static Result<FaultFd> adopt(UniqueFd fd);

  PlaceResult copy(uint64_t address, const std::byte* data, uint64_t pages) const;
  PlaceResult zero(uint64_t address, uint64_t pages) const;
  // Lets tasks that wait for these pages try again.
  void wake(uint64_t address, uint64_t pages) const;
  // Ends the service there: pages that are missing are the kernel's business again. Nothing if there is none.
  void unregister(uint64_t start, uint64_t end) const;
  // Events that are there now: as many as fit, possibly none. A task that caused one (not a fault) goes on by that.
  // EMFILE: a fork waits, and no descriptor is left for the child.
  Result<size_t> read(std::span<uffd_msg> events) const;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool open() const { return fd_.valid(); }
  void close() { fd_.reset(); }

 private:
  explicit FaultFd(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace godwit::memory
