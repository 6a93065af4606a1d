#include "os/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <system_error>
#include <thread>

namespace godwit::os {
namespace fs = std::filesystem;

Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return fail_errno("open {}", path);
  return fd;
}

Result<UniqueFd> lock_file(const std::string& path, Deadline deadline) {
  GODWIT_ASSIGN(UniqueFd fd, open_file(path, O_RDWR | O_CREAT, 0600));
  const bool for_ever = deadline.when() == Clock::time_point::max();
  while (::flock(fd.get(), for_ever ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || deadline.expired()) return fail_errno("lock {}", path);
    std::this_thread::sleep_for(milliseconds(5));
  }
  return fd;
}

Result<> wait_unlocked(const std::string& path, Deadline deadline) {
  if (!exists(path)) return {};
  GODWIT_TRY(lock_file(path, deadline));
  return {};
}

Result<std::string> read_file(const std::string& path, size_t limit_bytes) {
  GODWIT_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  std::string data;
  std::array<char, 16384> chunk;
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read {}", path);
    if (got == 0) return data;
    if (data.size() + static_cast<size_t>(got) > limit_bytes)
      return fail("{} is larger than {} bytes", path, limit_bytes);
    data.append(chunk.data(), static_cast<size_t>(got));
  }
}

Result<> write_file(const std::string& path, std::string_view data) {
  GODWIT_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY));
  const ssize_t written = ::write(fd.get(), data.data(), data.size());
  if (written < 0) return fail_errno("write {}", path);
  if (static_cast<size_t>(written) != data.size())
    return fail("write {}: only {} of {} bytes", path, written, data.size());
  return {};
}

Result<> write_file_atomic(const std::string& path, std::string_view data, unsigned mode) {
  const std::string temporary = path + ".new";
  {
    GODWIT_ASSIGN(const UniqueFd fd, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
    GODWIT_TRY(write_all(fd.get(), data.data(), data.size()));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("rename {} to {}", temporary, path);
  return {};
}

Result<> make_directories(const std::string& path, unsigned mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return fail_errno("mkdir {}", part);
    if (slash == std::string::npos) return {};
  }
}

namespace {

Result<> remove_below(int parent, const std::string& name, dev_t device, const std::string& shown) {
  struct stat info{};
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("stat {}", shown);
  }
  if (!S_ISDIR(info.st_mode)) {
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) return fail_errno("unlink {}", shown);
    return {};
  }
  if (info.st_dev != device) return fail("{} is a mount point; unmount it before removing", shown);
  const UniqueFd directory(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail_errno("open {}", shown);
  GODWIT_ASSIGN(const std::vector<std::string> names, list_directory(fmt::format("/proc/self/fd/{}", directory.get())));
  for (const std::string& child : names) {
    GODWIT_TRY(remove_below(directory.get(), child, device, shown + "/" + child));
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return fail_errno("rmdir {}", shown);
  return {};
}

}  // namespace

Result<> remove_tree(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("stat {}", path);
  }
  return remove_below(AT_FDCWD, path, info.st_dev, path);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) {
    errno = error.value();
    return fail_errno("list {}", path);
  }
  return names;
}

Result<std::string> read_link(const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  if (length < 0) return fail_errno("readlink {}", path);
  target.resize(static_cast<size_t>(length));
  return target;
}

std::string resolve_in_root(const std::string& root, const std::string& path) {
  constexpr int links_max = 40;
  std::string done;
  std::string rest = path;
  int links = 0;
  while (!rest.empty()) {
    const size_t start = rest.find_first_not_of('/');
    if (start == std::string::npos) break;
    const size_t end = std::min(rest.find('/', start), rest.size());
    const std::string name = rest.substr(start, end - start);
    rest.erase(0, end);
    if (name == ".") continue;
    if (name == "..") {
      done.erase(std::min(done.rfind('/'), done.size()));
      continue;
    }
    const auto target = read_link(root + done + "/" + name);
    if (!target || links == links_max) {
      done += "/" + name;
      continue;
    }
    ++links;
    if (target->starts_with('/')) done.clear();
    rest = *target + rest;
  }
  return done.empty() ? "/" : done;
}

Result<UniqueFd> file_in_memory(std::string_view contents) {
  UniqueFd file(::memfd_create("contents", MFD_CLOEXEC));
  if (!file) return fail_errno("memfd_create");
  GODWIT_TRY(write_all(file.get(), contents.data(), contents.size()));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  return file;
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

Result<> write_all(int fd, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write {} bytes", size);
    at += written;
    size -= static_cast<size_t>(written);
  }
  return {};
}

Result<> read_exact(int fd, void* data, size_t size) {
  char* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::read(fd, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read {} bytes", size);
    if (got == 0) return fail("end of file with {} bytes still expected", size);
    at += got;
    size -= static_cast<size_t>(got);
  }
  return {};
}

}  // namespace godwit::os
