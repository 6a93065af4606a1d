// The sending half of the file copy: one full pass over a container's private trees while it runs, passes over what has
// changed since, and a last one inside the freeze whose cost follows what changed, not what is there.
//
//   FileSource::open -> first_pass -> next_pass ... -> (freeze) -> final_pass -> the destination equals the source
//
// What has changed is told by a FileWatcher (fanotify) where a round trip shows that it works, else by comparing every
// file's status with the manifest (the `walk` backend; also after an overflow of the watcher's queue). What neither
// shows is closed in final_pass by the list of files in use (files_in_use()): files with shared writable mappings are
// compared block by block, files open for writing by status (kernel AIO raises no events on plain trees). One gap is
// left to the walk alone: a tmpfs file that was read and then written through a mapping which was both made and
// unmapped between two passes, and not touched otherwise: such writes do not even move the file's times.
//
// Carried: directories, regular files (holes stay holes), symbolic links, hard links within a root, device nodes
// (overlay whiteouts), fifos, bound sockets; owner, mode, mtime, xattrs (user., security., trusted., POSIX ACLs). Not
// carried: atime, ctime, inode numbers, file flags (chattr), and overlayfs's own book-keeping that names the old file
// system's inodes (trusted.overlay.origin, impure, nlink, uuid, upper). Deleted but still open files are CRIU's ghost
// files, not ours; CRIU tells them by their link count, and remakes them by link or by content, so link counts arrive
// as they were, as far as the links lie in the same root.
//
// Memory: about 120 bytes for each file or directory with a name of up to 15 characters, plus 8 bytes for each further
// 64 KiB of a file, plus about 250 bytes for each watched directory (and the kernel's mark, which holds its inode).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "files/in_use.h"
#include "files/root.h"
#include "os/byte_stream.h"

namespace godwit::files {

struct SourceOptions {
  bool watch = true;                            // false: always the walk backend
  uint64_t limit_bytes = UINT64_MAX;            // content that may be sent in all passes together
  uint32_t entries_max = 1'000'000;             // files and directories in one root
  uint32_t dirty_paths_max = 100'000;           // more between two passes: that pass walks
  uint32_t watched_directories_max = 100'000;   // more: the walk backend
  size_t present_files_max = kPresentFilesMax;  // told by the destination for quick checks: more is an error
  bool drain_in_background = true;              // false, for tests: events wait in the kernel's queue until a pass
};

// What one pass did. The operations are counted so that "proportional to what changed" can be checked.
struct PassStats {
  uint32_t pass = 0;
  double seconds = 0;           // until the destination has applied it
  uint64_t paths_examined = 0;  // status calls
  uint64_t directories_listed = 0;
  uint64_t files_read = 0;  // regular files opened and read (or their blocks compared)
  uint64_t bytes_read = 0;
  uint64_t entries_sent = 0;  // files, directories, links, nodes: content or metadata
  uint64_t entries_removed = 0;
  uint64_t bytes_sent = 0;  // of content
  uint64_t wire_bytes = 0;
  uint64_t vanished = 0;      // gone or replaced while being read: ordinary before the freeze
  uint32_t roots_walked = 0;  // compared as a whole: the walk backend, or the watcher had overflowed
};

enum class Backend : uint8_t { watch, walk };

// Owned by a source worker; one thread calls it. The watcher's own thread lives inside.
class FileSource {
 public:
  // Opens the roots, decides on a backend for each and starts watching. `stream` must outlive the source and its peer
  // must be a FileReceiver. Errors: a root that cannot be opened, too many or equal ids.
  static Result<std::unique_ptr<FileSource>> open(std::vector<SourceRoot> roots, const SourceOptions& options,
                                                  os::ByteStream& stream);
  virtual ~FileSource() = default;

  // Everything. `in_use` as read just before (the walk backend remembers what is mapped). Returns when the destination
  // has applied it. Errors of all passes: the stream, the deadline, a limit, a file that cannot be read, or what the
  // destination says; after one the copy is unusable, the container unharmed.
  virtual Result<PassStats> first_pass(std::span<const FileInUse> in_use, Deadline deadline) = 0;
  // What has changed since the last pass began.
  virtual Result<PassStats> next_pass(Deadline deadline) = 0;
  // As next_pass, with every task of the container frozen. `in_use` as read inside the freeze. If the freeze comes to
  // nothing, passes go on.
  virtual Result<PassStats> final_pass(std::span<const FileInUse> in_use, Deadline deadline) = 0;

  // Paths known to be dirty now: about what the next pass has to do. SIZE_MAX if it would walk.
  [[nodiscard]] virtual size_t pending_paths() const = 0;
  [[nodiscard]] virtual Backend backend(uint16_t root_id) const = 0;
  // Why a root has the walk backend; empty if it is watched.
  [[nodiscard]] virtual std::string backend_reason(uint16_t root_id) const = 0;
};

}  // namespace godwit::files
