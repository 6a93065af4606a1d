// What is known about one file without its content, and how it is asked from a directory that is held open, so that
// nothing done to the tree meanwhile can lead elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "files/root.h"

namespace godwit::files {

enum class FileType : uint8_t { none, regular, directory, symlink, character, block, fifo, socket };

struct Status {
  FileType type = FileType::none;  // none: there is no such file
  bool mount_point = false;        // something else is mounted there
  // The timestamps are so fresh that a later change may not move them: equal ones prove nothing.
  bool racy = false;
  uint32_t mode = 0;  // permission bits, 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 0;
  uint32_t rdev_major = 0;
  uint32_t rdev_minor = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;

  [[nodiscard]] bool whiteout() const { return type == FileType::character && rdev_major == 0 && rdev_minor == 0; }
};

struct Attributes {
  std::string target;                                       // of a symbolic link
  std::vector<std::pair<std::string, std::string>> xattrs;  // sorted by name
};

uint32_t type_to_mode(FileType type);  // S_IFREG ...

// A root directory, held open. `path` may begin with /proc/PID/root/: then what follows is resolved inside of that root
// and through no symbolic link, since the container made them.
struct RootDirectory {
  UniqueFd fd;
  uint64_t mount_id = 0;
};
Result<RootDirectory> open_root(const std::string& path);

// Opens the directory `path` ("" = the root itself) below `root`: no symbolic links, no "..", no other mounts. `flags`
// is O_PATH or O_RDONLY. Error code ENOENT, ENOTDIR, ELOOP or EXDEV: there is no such directory (any more).
Result<UniqueFd> open_directory(int root, const std::string& path, int flags);
// True for the codes above.
bool means_gone(int code);

// Status of `name` in `directory` (or of the descriptor itself if `name` is empty); type none if it is not there.
// Error: anything else that statx(2) says.
Result<Status> read_status(int directory, const std::string& name, uint64_t root_mount_id);

// Symbolic link target and carried xattrs of a file opened with O_PATH (or any other way).
Result<Attributes> read_attributes(int fd, FileType type, RootKind kind);
// Whether an xattr goes along.
bool carried(std::string_view name, RootKind kind);

// Names in a directory, sorted, without "." and "..". `fd` is O_RDONLY and is used up.
Result<std::vector<std::string>> list_names(UniqueFd fd);

std::string_view parent_path(std::string_view path);
std::string_view base_name(std::string_view path);
std::string join_path(std::string_view directory, std::string_view name);

}  // namespace godwit::files
