// What /proc says about processes: members of a cgroup, mappings, status, descriptors.
//
// Processes vanish while one reads about them; that is an ordinary outcome, not a fault. Every function here reports it
// as an Error with code ESRCH, whatever the kernel said (ENOENT, ESRCH, an empty file): see vanished().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

// One line of /proc/PID/maps.
struct Vma {
  uint64_t start = 0;
  uint64_t end = 0;
  bool read = false;
  bool write = false;
  bool execute = false;
  bool shared = false;
  bool locked = false;   // mlock: only filled in by read_mappings(pid, true)
  bool hugetlb = false;  // likewise
  uint64_t offset = 0;   // in the file
  uint64_t device = 0;   // as stat(2)'s st_dev
  uint64_t inode = 0;    // 0: anonymous
  std::string path;      // as the kernel prints it: "/lib/x.so", "[heap]", "/memfd:a (deleted)", or empty

  [[nodiscard]] uint64_t size() const { return end - start; }
  // [vdso], [vvar], [vsyscall] and the like: made by the kernel at the destination too, not memory of the program.
  [[nodiscard]] bool from_kernel() const;
};

struct ProcessStatus {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t tracer = 0;  // 0: nobody traces it
  char state = '?';  // R, S, D, T, t, Z, X
  int threads = 0;
  int seccomp = 0;                    // 0 off, 1 strict, 2 filter
  std::vector<pid_t> namespace_pids;  // ours first, the innermost pid namespace's last
  uint64_t locked_kib = 0;            // VmLck
  uint64_t hugetlb_kib = 0;           // HugetlbPages
  uint64_t pinned_kib = 0;            // VmPin
};

struct Descriptor {
  int number = -1;
  std::string target;  // what the link says: "/path", "socket:[1]", "/memfd:a (deleted)", "anon_inode:[eventpoll]"
};

// True if the error only says that the process is not there any more.
inline bool vanished(const Error& error) {
  return error.code == ESRCH;
}

// Processes (not threads) in a cgroup directory, v1 or v2, and in the cgroups below it; ascending.
// Processes that come or go meanwhile may be missed or listed: ask again, or freeze first.
Result<std::vector<pid_t>> cgroup_processes(const std::string& cgroup_directory);

// The mappings in ascending order. A zombie has none. `with_flags` also fills `locked` and `hugetlb`, which costs a
// walk of the process's page tables (some milliseconds a GiB).
Result<std::vector<Vma>> read_mappings(pid_t pid, bool with_flags = false);
// Asks for one mapping of a process again and again. Used by one thread.
class MappingQuery {
 public:
  static Result<MappingQuery> open(pid_t pid);
  // Where the mapping that covers `address` ends at this moment; `fallback` if there is none, or if this kernel cannot
  // be asked (before Linux 6.11).
  [[nodiscard]] uint64_t end_of(uint64_t address, uint64_t fallback) const;

 private:
  explicit MappingQuery(UniqueFd maps) : maps_(std::move(maps)) {}
  UniqueFd maps_;
};

Result<ProcessStatus> read_status(pid_t pid);
// Thread ids, ascending.
Result<std::vector<pid_t>> read_threads(pid_t pid);
Result<std::vector<Descriptor>> read_descriptors(pid_t pid);

// For tests and for the caller's own parsing: one line, without the newline.
Result<Vma> parse_mapping(const std::string& line);

// Whether a thread waits for what it has started by vfork() to run a program of its own or to end (vfork(2); also
// posix_spawn() does that). Of a thread that is frozen or blocked. Source: /proc/PID/syscall.
Result<bool> waits_for_vfork(pid_t tid);

}  // namespace godwit::os
