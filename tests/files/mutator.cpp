#include "mutator.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/core.h>

#include "base/unique_fd.h"

namespace godwit::files {
namespace {
constexpr size_t kMappingsMax = 6;
}

Mutator::~Mutator() {
  for (const Mapping& mapping : mappings_) ::munmap(mapping.data, mapping.size);
}

// Few names and little depth, so that operations meet the same files again.
std::string Mutator::random_path() {
  std::string path = root_;
  for (uint64_t depth = 1 + below(3); depth > 0; --depth) {
    path += fmt::format("/{}{}", depth > 1 ? "d" : (below(3) == 0 ? "d" : "f"), below(6));
  }
  return path;
}

std::string Mutator::random_bytes(size_t size) {
  std::string bytes(size, '\0');
  if (below(8) == 0) return bytes;  // zeros
  for (size_t at = 0; at + 8 <= size; at += 8) {
    const uint64_t word = random_();
    std::memcpy(&bytes[at], &word, sizeof word);
  }
  return bytes;
}

void Mutator::write_somewhere(const std::string& path) {
  const int flags = O_RDWR | O_CLOEXEC | O_NONBLOCK | (below(2) == 0 ? O_CREAT : 0) | (below(6) == 0 ? O_TRUNC : 0);
  const UniqueFd fd(::open(path.c_str(), flags, 0600 | below(0200)));
  if (!fd) return;
  const auto offset = static_cast<off_t>(below(4) == 0 ? below(1'500'000) : below(20'000));
  switch (below(6)) {
    case 0:
      note(::ftruncate(fd.get(), offset) == 0);
      break;
    case 1:
      note(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, 70'000) == 0);
      break;
    default: {
      const std::string bytes = random_bytes(1 + (below(5) == 0 ? below(200'000) : below(6'000)));
      note(::pwrite(fd.get(), bytes.data(), bytes.size(), offset) > 0);
    }
  }
}

void Mutator::change_metadata(const std::string& path) {
  switch (below(6)) {
    case 0:
      note(::chmod(path.c_str(), below(010000)) == 0);
      break;
    case 1:
      note(::lchown(path.c_str(), static_cast<uid_t>(below(3) * 1000), static_cast<gid_t>(below(3))) == 0);
      break;
    case 2: {
      const timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(below(2'000'000'000)), 123'456'789}};
      note(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
      break;
    }
    case 3:
      note(::lremovexattr(path.c_str(), "user.godwit") == 0);
      break;
    default: {
      const std::string value = random_bytes(8 + below(300));
      const char* name = below(2) == 0 ? "user.godwit" : "trusted.godwit";
      note(::lsetxattr(path.c_str(), name, value.data(), value.size(), 0) == 0);
    }
  }
}

void Mutator::make_node(const std::string& path) {
  switch (below(6)) {
    case 0:
      note(::mkfifo(path.c_str(), 0640) == 0);
      break;
    case 1:
      note(::mknod(path.c_str(), S_IFCHR | 0600, makedev(1, 3 + below(4))) == 0);
      break;
    case 2:
      note(::mknod(path.c_str(), S_IFSOCK | 0600, 0) == 0);
      break;
    case 3:
      note(::link(random_path().c_str(), path.c_str()) == 0);
      break;
    default:
      note(::symlink(fmt::format("../target-{}", below(5)).c_str(), path.c_str()) == 0);
  }
}

void Mutator::map_file(const std::string& path) {
  if (mappings_.size() >= kMappingsMax) {
    ::munmap(mappings_.front().data, mappings_.front().size);
    mappings_.erase(mappings_.begin());
  }
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) return;
  const auto size = static_cast<size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return;
  mappings_.push_back({static_cast<char*>(data), size});
}

// By read(2) into it: where the file has been truncated meanwhile that fails, a plain store would raise SIGBUS.
void Mutator::write_mapping() {
  if (mappings_.empty()) return;
  const Mapping& mapping = mappings_[below(mappings_.size())];
  const UniqueFd random(::open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  note(::read(random.get(), mapping.data + below(mapping.size), 1) == 1);
}

void Mutator::remove(const std::string& path) {
  std::error_code error;
  if (below(4) != 0 && std::filesystem::is_directory(path, error)) return;  // keep some
  note(std::filesystem::remove_all(path, error) > 0);
}

void Mutator::move(const std::string& from, const std::string& to) {
  const unsigned flags = below(4) == 0 ? RENAME_EXCHANGE : 0;
  note(::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0);
}

void Mutator::step() {
  const std::string path = random_path();
  switch (below(16)) {
    case 0:
    case 1:
      note(::mkdir(path.c_str(), 0700 | below(0100)) == 0);
      break;
    case 2:
      remove(path);
      break;
    case 3:
    case 4:
      move(path, random_path());
      break;
    case 5:
    case 6:
      change_metadata(path);
      break;
    case 7:
      make_node(path);
      break;
    case 8:
      map_file(path);
      break;
    case 9:
    case 10:
      write_mapping();
      break;
    default:
      write_somewhere(path);
  }
}

}  // namespace godwit::files
