#include "memory/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/deadline.h"
#include "memory/page_set.h"
#include "os/file.h"
#include "os/pagemap.h"

namespace godwit::memory {
namespace {

// Small enough to be hashed out of the processor's cache after it was read into it.
constexpr size_t buffer_bytes = 256 << 10;
constexpr size_t objects_max = 65536;

// By the name that the kernel gives it; others take a look at the file system.
std::optional<SharedKind> kind_by_name(const std::string& path) {
  if (path.starts_with("/dev/zero (deleted)")) return SharedKind::anonymous;
  if (path.starts_with("/memfd:")) return SharedKind::memfd;
  if (path.starts_with("/SYSV")) return SharedKind::system_v;
  return std::nullopt;
}

bool gone(const Error& error) {
  return error.code == ENOENT || error.code == ESRCH;
}

uint64_t pages_of(uint64_t bytes) {
  return (bytes + os::page_bytes - 1) / os::page_bytes;
}

}  // namespace

struct SharedMemory::Tracked {
  SharedIdentity identity;
  UniqueFd fd;
  uint64_t size_bytes = 0;
  std::vector<SharedMapping> mappings;
  std::vector<uint64_t> hashes;  // of what the destination holds; meaningful for the pages in `held`
  PageSet held;
  PageSet seen;            // pages with data in this scan
  bool wanted = true;      // some process has it
  bool announced = false;  // the sink knows it
};

SharedMemory::SharedMemory(SharedOptions options, uint32_t first_index)
    : options_(options), buffer_(buffer_bytes), next_index_(first_index) {}
SharedMemory::~SharedMemory() = default;

void SharedMemory::begin() {
  mapped_files_.clear();
  for (auto& [key, object] : objects_) {
    object->wanted = false;
    object->mappings.clear();
  }
}

Result<> SharedMemory::add(const ProcessIdentity& process, const std::vector<os::Vma>& mappings,
                           const std::vector<os::Descriptor>& descriptors) {
  for (const os::Vma& vma : mappings) {
    // The rings of asynchronous I/O are the kernel's, and criu's to make anew.
    if (!vma.shared || vma.inode == 0 || vma.from_kernel() || vma.path.starts_with("/[aio]")) continue;
    GODWIT_TRY(add_mapping(process, vma));
  }
  for (const os::Descriptor& descriptor : descriptors) {
    if (!descriptor.target.starts_with("/memfd:")) continue;
    const std::string link = fmt::format("/proc/{}/fd/{}", process.pid, descriptor.number);
    struct stat info{};
    if (::stat(link.c_str(), &info) != 0) continue;  // closed meanwhile
    GODWIT_TRY(find({.device = info.st_dev, .inode = info.st_ino, .kind = SharedKind::memfd}, link, descriptor.target));
  }
  return {};
}

Result<> SharedMemory::add_mapping(const ProcessIdentity& process, const os::Vma& vma) {
  const std::string link = fmt::format("/proc/{}/map_files/{:x}-{:x}", process.pid, vma.start, vma.end);
  std::optional<SharedKind> kind = kind_by_name(vma.path);
  if (!kind.has_value()) {
    struct stat info{};
    struct statfs file_system{};
    if (::stat(link.c_str(), &info) != 0 || ::statfs(link.c_str(), &file_system) != 0) {
      if (errno == ENOENT || errno == ESRCH) return {};
      return fail_errno("look at {} ({})", link, vma.path);
    }
    if (!S_ISREG(info.st_mode)) return {};  // a device: criu says whether it can be moved
    const bool tmpfs = file_system.f_type == TMPFS_MAGIC;
    if (file_system.f_type == HUGETLBFS_MAGIC) {
      kind = SharedKind::hugetlb;
    } else if (tmpfs && (info.st_nlink == 0 || options_.named_tmpfs_files)) {
      kind = SharedKind::tmpfs_file;
    } else {
      if (vma.write) {
        mapped_files_.push_back({.process_index = process.index,
                                 .device = vma.device,
                                 .inode = vma.inode,
                                 .tmpfs = tmpfs,
                                 .path = vma.path});
      }
      return {};
    }
  }
  GODWIT_ASSIGN(Tracked * object, find({.device = vma.device, .inode = vma.inode, .kind = *kind}, link, vma.path));
  if (object != nullptr) {
    object->mappings.push_back(
        {.process_index = process.index, .start = vma.start, .end = vma.end, .offset = vma.offset});
  }
  return {};
}

// Null if it is gone already.
Result<SharedMemory::Tracked*> SharedMemory::find(const Key& key, const std::string& link, const std::string& path) {
  const auto known = objects_.find(key);
  if (known != objects_.end()) {
    known->second->wanted = true;
    return known->second.get();
  }
  if (objects_.size() >= objects_max) return fail("the container has more than {} shared memory objects", objects_max);
  auto fd = os::open_file(link, O_RDONLY);
  if (!fd.has_value()) {
    if (gone(fd.error())) return nullptr;
    return std::unexpected(std::move(fd).error().context(fmt::format("open shared memory {}", path)));
  }
  auto object = std::make_unique<Tracked>();
  object->identity = {.index = next_index_++, .kind = key.kind, .device = key.device, .inode = key.inode, .path = path};
  object->fd = std::move(*fd);
  return objects_.emplace(key, std::move(object)).first->second.get();
}

Result<SharedReport> SharedMemory::scan(RunSink& sink) {
  const Clock::time_point since = Clock::now();
  SharedReport report;
  for (auto entry = objects_.begin(); entry != objects_.end();) {
    Tracked& object = *entry->second;
    if (!object.wanted) {
      if (object.announced) GODWIT_TRY(sink.drop_shared(object.identity));
      entry = objects_.erase(entry);
      continue;
    }
    GODWIT_TRY(scan_object(object, sink, report));
    ++report.objects;
    ++entry;
  }
  report.scan_ms = elapsed_ms(since);
  return report;
}

Result<> SharedMemory::scan_object(Tracked& object, RunSink& sink, SharedReport& report) {
  if (!object.announced) GODWIT_TRY(sink.add_shared(object.identity));
  object.announced = true;
  struct stat info{};
  if (::fstat(object.fd.get(), &info) != 0) return fail_errno("look at shared memory {}", object.identity.path);
  object.size_bytes = static_cast<uint64_t>(info.st_size);
  object.hashes.resize(std::max(object.hashes.size(), pages_of(object.size_bytes)));
  object.seen.clear();
  for (uint64_t at = 0; at < object.size_bytes;) {
    const off_t data = ::lseek(object.fd.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole to the end
    // hugetlbfs knows no holes.
    const off_t hole = data < 0 ? -1 : ::lseek(object.fd.get(), data, SEEK_HOLE);
    const uint64_t from = data < 0 ? at : static_cast<uint64_t>(data) / os::page_bytes * os::page_bytes;
    const uint64_t to =
        hole < 0 ? object.size_bytes : std::min<uint64_t>(static_cast<uint64_t>(hole), object.size_bytes);
    GODWIT_TRY(scan_data(object, from, to, sink, report));
    at = std::max(to, at + 1);
  }
  GODWIT_TRY(PageSet::difference(object.held, object.seen).for_each_run([&](uint64_t offset, uint64_t pages) {
    report.absent_pages += pages;
    return sink.submit_shared_absent(object.identity, offset, pages);
  }));
  object.held.swap(object.seen);
  return {};
}

Result<> SharedMemory::scan_data(Tracked& object, uint64_t from, uint64_t to, RunSink& sink, SharedReport& report) {
  static const uint64_t hash_of_zeros = XXH3_64bits(std::vector<std::byte>(os::page_bytes).data(), os::page_bytes);
  while (from < to) {
    const ssize_t got =
        ::pread(object.fd.get(), buffer_.data(), std::min<uint64_t>(buffer_bytes, to - from), static_cast<off_t>(from));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read shared memory {} at {:x}", object.identity.path, from);
    if (got == 0) return {};  // truncated meanwhile
    const uint64_t pages = pages_of(static_cast<uint64_t>(got));
    std::fill(buffer_.begin() + got, buffer_.begin() + static_cast<ptrdiff_t>(pages * os::page_bytes), std::byte{0});
    report.scanned_pages += pages;
    uint64_t first_changed = pages;  // of the run that is being collected; `pages`: none
    const auto submit_before = [&](uint64_t end) -> Result<> {
      if (first_changed >= end) return {};
      const auto run =
          std::span(buffer_).subspan(first_changed * os::page_bytes, (end - first_changed) * os::page_bytes);
      const uint64_t offset = from + first_changed * os::page_bytes;
      first_changed = pages;
      report.data_pages += run.size() / os::page_bytes;
      GODWIT_TRY(sink.submit_shared(object.identity, offset, run));
      object.held.insert(offset, run.size() / os::page_bytes);
      return {};
    };
    for (uint64_t page = 0; page < pages; ++page) {
      const uint64_t offset = from + page * os::page_bytes;
      const uint64_t hash = XXH3_64bits(&buffer_[page * os::page_bytes], os::page_bytes);
      uint64_t& known = object.hashes[offset / os::page_bytes];
      const bool held = object.held.contains(offset);
      // A page of zeros that the destination does not hold is as good as a hole.
      const bool changed = held ? hash != known : hash != hash_of_zeros;
      if (held || changed) object.seen.insert(offset, 1);
      if (changed) {
        known = hash;
        first_changed = std::min(first_changed, page);
      } else {
        GODWIT_TRY(submit_before(page));
      }
    }
    GODWIT_TRY(submit_before(pages));
    from += pages * os::page_bytes;
  }
  return {};
}

std::vector<SharedObject> SharedMemory::objects() const {
  std::vector<SharedObject> list;
  for (const auto& [key, object] : objects_) {
    list.push_back({.identity = object->identity,
                    .size_bytes = object->size_bytes,
                    .held_pages = object->held.count(),
                    .mappings = object->mappings});
  }
  std::ranges::sort(list, {}, [](const SharedObject& object) { return object.identity.index; });
  return list;
}

std::vector<MappedFile> SharedMemory::mapped_files() const {
  std::vector<MappedFile> files = mapped_files_;
  const auto key = [](const MappedFile& file) { return std::tuple(file.process_index, file.device, file.inode); };
  std::ranges::sort(files, {}, key);
  files.erase(std::ranges::unique(files, {}, key).begin(), files.end());
  return files;
}

}  // namespace godwit::memory
