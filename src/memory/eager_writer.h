// Places what userfaultfd does not serve into restored processes that are still stopped: pages of private file mappings
// that the process had written to, locked and huge-page memory, shared memory. And accounts for every stored page: what
// is neither written nor the pager's is an error, so that nothing gets lost unnoticed.
//
// What is lazy is asked of the kernel (/proc/PID/smaps says which mappings have a userfaultfd), not concluded.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>

#include "base/result.h"
#include "memory/page_store.h"
#include "memory/pager.h"
#include "memory/restored_mappings.h"

namespace godwit::memory {

struct EagerReport {
  uint64_t written_pages = 0;
  uint64_t zeroed_pages = 0;  // of those, zeros over what a file has there
  uint64_t lazy_pages = 0;    // left to the pager
  uint64_t shared_pages = 0;
  double ms = 0;
};

// Used by one thread in the pre-resume stage of the restore, between PageStore's last barrier and tasks_resume().
class EagerWriter {
 public:
  EagerWriter(PageStore& store, Pager& pager) : store_(store), pager_(pager) {}

  // Private memory of one process; `pid` in our pid namespace.
  Result<> write_process(uint32_t process, pid_t pid);
  // A shared memory object (stored_object(index)), through the mapping that begins at `start` in the process `pid`, or
  // through any descriptor of it. Once an object, whoever maps it; all of it, mapped or not.
  Result<> write_object_mapped(uint32_t object, pid_t pid, uint64_t start);
  Result<> write_object(uint32_t object, int fd);
  // Every process and object of the store was dealt with. Error: names the first that was not.
  Result<> check_complete() const;

  [[nodiscard]] const EagerReport& report() const { return report_; }

 private:
  Result<> write_mapping(int memory, uint32_t process, const RestoredMapping& mapping);
  Result<> expect_nothing(uint32_t process, uint64_t start, uint64_t end) const;

  PageStore& store_;
  Pager& pager_;
  std::set<uint32_t> done_;
  EagerReport report_;
};

}  // namespace godwit::memory
