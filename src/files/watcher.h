// Learns which paths of a tree change, by fanotify.
//
// Each directory of a root is marked (an inode mark with events on its children, names reported); marks of whole file
// systems are no choice: overlayfs refuses them unless mounted with nfs_export, and on a disk they would bring the
// events of the whole node. Overlay upperdirs are marked on the upper's own file system: there overlayfs raises the
// events of what it does to the names, and (by a probe, since it depends on the kernel) of writes to the contents too.
// Such marks see even more than marks on the overlay: kernel AIO, and the end of a shared mapping.
//
// A directory's handle leads to its path through a table that the marking fills. When a directory is moved the table is
// stale for all below it; the move itself makes the new place a dirty subtree, and walking that marks and enters it
// anew. So: for whatever has changed, either its true path is dirty, or a directory above it is a dirty subtree.
//
// Not seen: writes through shared mappings (until unmapped) and, on plain trees, kernel AIO (until closed). Closing is
// seen, and then the content is compared.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

struct fanotify_event_metadata;

namespace godwit::files {

// As open_by_handle_at(2) takes it.
struct FileHandle {
  int type = 0;
  std::string bytes;
  auto operator<=>(const FileHandle&) const = default;
};

struct WatcherOptions {
  uint32_t directories_max = 100'000;
  uint32_t dirty_paths_max = 100'000;
  // For tests: events stay in the kernel's queue until collect(), so that it overflows.
  bool drain_in_background = true;
};

// What happened to a path.
struct Change {
  bool subtree = false;  // a directory that came anew: all below is dirty
  bool closed = false;   // closed after writing, perhaps through a mapping: its content may differ with an equal status
};

// What has become dirty in one root.
struct DirtyPaths {
  bool everything = false;  // events were lost: compare the whole tree
  std::map<std::string, Change> paths;
  // Files that were written to or whose metadata changed, by handle: the path of such an event is the name by which the
  // file was opened, and that may be deleted while the file has others (a hard link, or O_TMPFILE).
  std::map<FileHandle, Change> objects;
};

// Owned by a FileSource. Its own thread empties the kernel's queue; all functions may be called from any thread.
class FileWatcher {
 public:
  // Error: no fanotify with directory handles and names here.
  static Result<std::unique_ptr<FileWatcher>> create(const WatcherOptions& options);
  ~FileWatcher();
  FileWatcher(const FileWatcher&) = delete;
  FileWatcher& operator=(const FileWatcher&) = delete;

  // Marks a directory (open in any way) that lies at `path` in the root. Mark before reading the directory. Marking it
  // again is cheap and corrects its path. Error: it cannot be marked (limit, file system without handles).
  Result<> watch_directory(uint16_t root, const std::string& path, int fd);
  // A round trip: sets the mode of the root directory to what it is (that moves its ctime, nothing else) and expects
  // the event. The directory must be watched as "" already.
  Result<> probe_root(uint16_t root, int fd);
  // Takes what is dirty in the root, after reading all events that the kernel holds.
  DirtyPaths collect(uint16_t root);
  // The number of dirty paths of all roots known by now; SIZE_MAX if one of them is wholly dirty.
  [[nodiscard]] size_t pending_paths() const;
  [[nodiscard]] size_t watched_directories() const;
  [[nodiscard]] uint64_t overflows() const { return overflows_; }

 private:
  struct Directory {
    uint16_t root = 0;
    std::string path;
  };
  FileWatcher(UniqueFd group, UniqueFd stop, const WatcherOptions& options);
  void run();
  // The following hold mutex_.
  void read_events();
  void read_event(const fanotify_event_metadata& event, const char* at, const char* end);
  void handle_event(uint64_t mask, const std::string& directory, const char* name, const FileHandle* object);
  // Room for one more path or object; else the root becomes wholly dirty.
  bool make_room(DirtyPaths& dirty) const;

  const WatcherOptions options_;
  const UniqueFd group_;
  const UniqueFd stop_;  // eventfd: ends the thread
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Directory> directories_;  // by file system id and handle
  std::unordered_map<uint16_t, DirtyPaths> dirty_;
  std::vector<char> buffer_;
  std::atomic<uint64_t> overflows_ = 0;
  std::thread thread_;
};

// Whether writes through an overlay raise events on its upperdir, found by a write through a scratch overlay on a
// scratch tmpfs, neither of them mounted anywhere. Error: they do not, or it could not be tried; says which.
Result<> probe_overlay_events();

}  // namespace godwit::files
