// userfaultfd in asynchronous write-protect mode: the kernel notes the first write to each protected page by itself, no
// fault ever waits for us. See Documentation/admin-guide/mm/userfaultfd.rst, "Write Protect Notifications".
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

// A userfaultfd that tracks writes in the address space that it was created in (usually another process's: see
// remote_syscall.h). Destroying it ends the tracking and takes all protection off. Used by one thread at a time.
class WriteTracker {
 public:
  // Switches the features on. EINVAL: this kernel has no asynchronous write-protection.
  static Result<WriteTracker> adopt(UniqueFd fd);

  // Starts tracking in [start, end), which must lie in mappings. Nothing is protected by that alone: every page counts
  // as written until a scan protects it. Errors keep their errno: EBUSY another userfaultfd has it; EINVAL, EPERM a
  // mapping that cannot be tracked; ESRCH the address space is gone; ENOMEM the mapping is gone.
  [[nodiscard]] Result<> track(uint64_t start, uint64_t end) const;

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit WriteTracker(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace godwit::os
