#include "files/status.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <memory>

namespace godwit::files {
namespace {

// A change within this time after a status was read may leave the timestamps as they were: file systems stamp with the
// kernel's coarse clock, which moves with the timer tick (10 ms at worst).
constexpr int64_t kTimestampGrain_ns = 20'000'000;
constexpr size_t kXattrListBytesMax = 65536;  // XATTR_LIST_MAX
constexpr size_t kXattrValueBytesMax = 65536;

UniqueFd open_beneath(int directory, const char* path, uint64_t flags, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how)));
}

// The length of a leading "/proc/PID/root", 0 if the path has none.
size_t process_root_prefix(const std::string& path) {
  constexpr std::string_view proc = "/proc/";
  if (!path.starts_with(proc)) return 0;
  const size_t slash = path.find('/', proc.size());
  if (slash == std::string::npos || slash == proc.size()) return 0;
  const std::string_view pid = std::string_view(path).substr(proc.size(), slash - proc.size());
  const bool number = std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c) != 0; });
  if (!number && pid != "self" && pid != "thread-self") return 0;
  constexpr std::string_view root = "/root";
  if (path.compare(slash, root.size(), root) != 0) return 0;
  const size_t end = slash + root.size();
  return end == path.size() || path[end] == '/' ? end : 0;
}

FileType type_of(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return FileType::regular;
    case S_IFDIR:
      return FileType::directory;
    case S_IFLNK:
      return FileType::symlink;
    case S_IFCHR:
      return FileType::character;
    case S_IFBLK:
      return FileType::block;
    case S_IFIFO:
      return FileType::fifo;
    case S_IFSOCK:
      return FileType::socket;
    default:
      return FileType::none;
  }
}

int64_t to_ns(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

Result<std::string> read_xattr(const std::string& path, const std::string& name, bool* gone) {
  std::string value(256, '\0');
  for (;;) {
    const ssize_t size = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size >= 0) {
      value.resize(static_cast<size_t>(size));
      return value;
    }
    *gone = errno == ENODATA || errno == EOPNOTSUPP;
    if (errno != ERANGE || value.size() >= kXattrValueBytesMax) return fail_errno("read extended attribute {}", name);
    value.resize(kXattrValueBytesMax);
  }
}

}  // namespace

uint32_t type_to_mode(FileType type) {
  constexpr std::array<uint32_t, 8> modes = {0, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
  return modes.at(static_cast<size_t>(type));
}

bool means_gone(int code) {
  return code == ENOENT || code == ENOTDIR || code == ELOOP || code == EXDEV || code == ESTALE;
}

Result<RootDirectory> open_root(const std::string& path) {
  RootDirectory root;
  const size_t prefix = process_root_prefix(path);
  if (prefix == 0) {
    root.fd.reset(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  } else {
    root.fd.reset(::open(path.substr(0, prefix).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const size_t rest = path.find_first_not_of('/', prefix);
    if (root.fd && rest != std::string::npos) {
      root.fd =
          open_beneath(root.fd.get(), path.c_str() + rest, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    }
  }
  if (!root.fd) return fail_errno("open the directory {}", path);
  struct statx info{};
  if (::statx(root.fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &info) != 0) return fail_errno("stat {}", path);
  root.mount_id = info.stx_mnt_id;
  return root;
}

Result<UniqueFd> open_directory(int root, const std::string& path, int flags) {
  const char* name = path.empty() ? "." : path.c_str();
  UniqueFd fd = open_beneath(root, name, static_cast<uint64_t>(flags | O_DIRECTORY),
                             RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (!fd) return fail_errno("open the directory");
  return fd;
}

Result<Status> read_status(int directory, const std::string& name, uint64_t root_mount_id) {
  Status status;
  struct statx info{};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(directory, name.c_str(), flags, STATX_BASIC_STATS | STATX_MNT_ID, &info) != 0) {
    if (means_gone(errno)) return status;
    return fail_errno("stat");
  }
  status.type = type_of(info.stx_mode);
  status.mount_point = info.stx_mnt_id != root_mount_id;
  status.mode = info.stx_mode & 07777;
  status.uid = info.stx_uid;
  status.gid = info.stx_gid;
  status.links = info.stx_nlink;
  status.rdev_major = info.stx_rdev_major;
  status.rdev_minor = info.stx_rdev_minor;
  status.device = makedev(info.stx_dev_major, info.stx_dev_minor);
  status.inode = info.stx_ino;
  status.size = info.stx_size;
  status.mtime_ns = to_ns(info.stx_mtime);
  status.ctime_ns = to_ns(info.stx_ctime);
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  status.racy = status.ctime_ns >= now.tv_sec * 1'000'000'000 + now.tv_nsec - kTimestampGrain_ns;
  return status;
}

bool carried(std::string_view name, RootKind kind) {
  constexpr std::string_view overlay = "trusted.overlay.";
  if (kind == RootKind::overlay_upper && name.starts_with(overlay)) {
    const std::string_view rest = name.substr(overlay.size());
    // They name inodes of the file system that the upperdir lies on, or count links in an index that stays behind.
    return rest != "origin" && rest != "impure" && rest != "nlink" && rest != "uuid" && rest != "upper";
  }
  return name.starts_with("user.") || name.starts_with("security.") || name.starts_with("trusted.") ||
         name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

Result<Attributes> read_attributes(int fd, FileType type, RootKind kind) {
  Attributes attributes;
  if (type == FileType::symlink) {
    std::array<char, 4096> target;
    const ssize_t length = ::readlinkat(fd, "", target.data(), target.size());
    if (length < 0) return fail_errno("read the symbolic link");
    attributes.target.assign(target.data(), static_cast<size_t>(length));
  }
  // The magic link leads to the inode itself, also for a symbolic link and a descriptor opened with O_PATH.
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  std::array<char, 1024> small;
  std::string large;
  const char* names = small.data();
  ssize_t size = ::listxattr(path.c_str(), small.data(), small.size());
  if (size < 0 && errno == ERANGE) {
    large.resize(kXattrListBytesMax);
    size = ::listxattr(path.c_str(), large.data(), large.size());
    names = large.data();
  }
  if (size < 0 && errno != EOPNOTSUPP) return fail_errno("list extended attributes");
  for (ssize_t at = 0; at < size;) {
    const std::string name(names + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (!carried(name, kind)) continue;
    bool gone = false;
    auto value = read_xattr(path, name, &gone);
    if (value) {
      attributes.xattrs.emplace_back(name, std::move(*value));
    } else if (!gone) {
      return std::unexpected(std::move(value).error());
    }
  }
  std::ranges::sort(attributes.xattrs);
  return attributes;
}

Result<std::vector<std::string>> list_names(UniqueFd fd) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), &::closedir);
  if (!stream) return fail_errno("read the directory");
  [[maybe_unused]] const int owned_by_stream = fd.release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0 && !means_gone(errno)) return fail_errno("read the directory");
  std::ranges::sort(names);
  return names;
}

std::string_view parent_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string join_path(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path.append(directory).append("/").append(name);
  return path;
}

}  // namespace godwit::files
