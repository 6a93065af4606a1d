// Where the source half of memory delivers what it found. The sender of the page lanes implements it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace godwit::memory {

enum class RunKind : uint8_t {
  data,    // the pages' contents are to be copied
  absent,  // the process dropped them: the destination forgets what it has (reads as zero, or as the mapped file)
};

// Consecutive pages of one process.
struct Run {
  uint64_t address = 0;
  uint64_t pages = 0;
  RunKind kind = RunKind::data;
};

// Who a process is, on both sides.
struct ProcessIdentity {
  uint32_t index = 0;       // ours: counts up over the migration, never used twice
  pid_t pid = 0;            // in our pid namespace
  pid_t container_pid = 0;  // in the container's: what criu's images and lazy-pages socket call it
};

enum class SharedKind : uint8_t {
  anonymous,   // MAP_SHARED | MAP_ANONYMOUS
  memfd,       // memfd_create
  system_v,    // shmget
  tmpfs_file,  // a file of a tmpfs, linked or deleted
  hugetlb,     // a file of hugetlbfs
};

// One piece of shared memory, however many processes map it.
struct SharedIdentity {
  uint32_t index = 0;  // ours: counts up over the migration
  SharedKind kind = SharedKind::anonymous;
  uint64_t device = 0;
  uint64_t inode = 0;
  std::string path;  // as in /proc/PID/maps
};

// Called from the thread that scans, in order. A page is named at most once between two barriers (the end of a round,
// the end of the final pass), so that lanes may deliver a round's runs in any order.
//
// A `data` run of a round may be gone when it is read (EFAULT, ESRCH): skip what cannot be read; a later scan reports
// what became of it. In the final pass, where the container is frozen, that is an error.
class RunSink {
 public:
  virtual ~RunSink() = default;

  // Before the first run of a process or shared object.
  virtual Result<> add_process(const ProcessIdentity& process) = 0;
  virtual Result<> add_shared(const SharedIdentity& object) = 0;

  virtual Result<> submit(const ProcessIdentity& process, const Run& run) = 0;
  // Contents of consecutive pages of a shared object from `offset` on; `data` is only valid during the call. These very
  // bytes must arrive: the hash that was taken of them decides what later rounds leave out.
  virtual Result<> submit_shared(const SharedIdentity& object, uint64_t offset, std::span<const std::byte> data) = 0;
  // Holes there now: the destination forgets what it has.
  virtual Result<> submit_shared_absent(const SharedIdentity& object, uint64_t offset, uint64_t pages) = 0;

  // The process ended, or nobody maps the object any more: everything about it is to be forgotten.
  virtual Result<> drop_process(const ProcessIdentity& process) = 0;
  virtual Result<> drop_shared(const SharedIdentity& object) = 0;
};

}  // namespace godwit::memory
