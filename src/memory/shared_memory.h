// Shared memory: MAP_SHARED anonymous, memfd, System V, files of a tmpfs.
//
// Write-protection cannot track it: a page may be changed by write(2), through another mapping, or by a process that
// was born and died since the last look. So each object is read once per scan, whoever maps it, and a 64-bit hash a
// page (XXH3) tells what has changed. The cost is reading at memory speed, also in the freeze; holes cost nothing.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "memory/run_sink.h"
#include "os/procfs.h"

namespace godwit::memory {

// A place where an object is mapped.
struct SharedMapping {
  uint32_t process_index = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;
};

struct SharedObject {
  SharedIdentity identity;
  uint64_t size_bytes = 0;
  uint64_t held_pages = 0;              // how many of its pages the destination holds now
  std::vector<SharedMapping> mappings;  // as of the last scan; empty: only open as a descriptor
};

// A writable shared mapping of a file that has a name: its contents belong to whoever copies files, who must copy it
// after the freeze. Writes through a mapping need not show in its times; in a tmpfs they never do.
struct MappedFile {
  uint32_t process_index = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  bool tmpfs = false;
  std::string path;  // as in /proc/PID/maps
};

struct SharedOptions {
  // Whether files of a tmpfs that have a name (POSIX shared memory) are copied as memory objects. If not, they are
  // listed as MappedFile.
  bool named_tmpfs_files = false;
};

struct SharedReport {
  uint64_t objects = 0;
  uint64_t data_pages = 0;
  uint64_t absent_pages = 0;
  uint64_t scanned_pages = 0;
  double scan_ms = 0;
};

// All shared memory of one container. Owned and called by the thread that scans.
class SharedMemory {
 public:
  explicit SharedMemory(SharedOptions options = {}, uint32_t first_index = 0);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // One scan is: begin(), add() for each process, scan().
  void begin();
  // Takes the shared mappings of a process, and the memfds that it has open. Objects not seen before are opened for
  // reading; what is gone meanwhile is left out.
  Result<> add(const ProcessIdentity& process, const std::vector<os::Vma>& mappings,
               const std::vector<os::Descriptor>& descriptors);
  // Reports pages that changed since they were last reported, and drops objects that nobody has any more.
  Result<SharedReport> scan(RunSink& sink);

  [[nodiscard]] std::vector<SharedObject> objects() const;
  // Sorted, each file once a process.
  [[nodiscard]] std::vector<MappedFile> mapped_files() const;

 private:
  struct Tracked;
  struct Key {
    uint64_t device;
    uint64_t inode;
    SharedKind kind;  // System V segments have their ids for inodes, on the device of memfds
    auto operator<=>(const Key&) const = default;
  };
  Result<> add_mapping(const ProcessIdentity& process, const os::Vma& vma);
  Result<Tracked*> find(const Key& key, const std::string& link, const std::string& path);
  Result<> scan_object(Tracked& object, RunSink& sink, SharedReport& report);
  Result<> scan_data(Tracked& object, uint64_t from, uint64_t to, RunSink& sink, SharedReport& report);

  SharedOptions options_;
  std::map<Key, std::unique_ptr<Tracked>> objects_;
  std::vector<MappedFile> mapped_files_;
  std::vector<std::byte> buffer_;
  uint32_t next_index_ = 0;
};

}  // namespace godwit::memory
