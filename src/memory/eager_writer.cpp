#include "memory/eager_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/deadline.h"
#include "os/file.h"

namespace godwit::memory {
namespace {

constexpr long hugetlbfs_magic = 0x958458f6;
constexpr size_t zeros_bytes = 64 << 10;

const std::byte* zeros() {
  static const std::array<std::byte, zeros_bytes> bytes{};
  return bytes.data();
}

Result<> write_at(int fd, uint64_t at, const std::byte* data, uint64_t size) {
  while (size > 0) {
    const ssize_t written = pwrite(fd, data, size, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write {} bytes at {:#x}", size, at);
    if (written == 0) return fail("write {} bytes at {:#x}: nothing is mapped there", size, at);
    at += static_cast<uint64_t>(written);
    data += written;
    size -= static_cast<uint64_t>(written);
  }
  return {};
}

Result<> write_zeros_at(int fd, uint64_t at, uint64_t size) {
  while (size > 0) {
    const uint64_t step = std::min<uint64_t>(size, zeros_bytes);
    GODWIT_TRY(write_at(fd, at, zeros(), step));
    at += step;
    size -= step;
  }
  return {};
}

// A file of hugetlbfs knows no write(2): it is filled through a mapping.
class ObjectWriter {
 public:
  static Result<ObjectWriter> open(int fd) {
    ObjectWriter writer(fd);
    struct stat status{};
    struct statfs filesystem{};
    if (fstat(fd, &status) != 0 || fstatfs(fd, &filesystem) != 0) return fail_errno("stat a shared memory object");
    writer.size_ = static_cast<uint64_t>(status.st_size);
    if (filesystem.f_type != hugetlbfs_magic || writer.size_ == 0) return writer;
    void* memory = mmap(nullptr, writer.size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return fail_errno("map shared huge pages of {} MiB", writer.size_ >> 20);
    writer.mapped_ = static_cast<std::byte*>(memory);
    return writer;
  }
  ObjectWriter(ObjectWriter&& other) noexcept
      : fd_(other.fd_), size_(other.size_), mapped_(std::exchange(other.mapped_, nullptr)) {}
  ObjectWriter& operator=(ObjectWriter&&) = delete;
  ~ObjectWriter() {
    if (mapped_ != nullptr) munmap(mapped_, size_);
  }

  // What lies behind the object's end was rounded up to a page by the source, and is cut off.
  Result<> write(const StoredRun& run) const {
    const uint64_t last_page = run.address + (run.pages - 1) * page_size_bytes;
    if (last_page >= size_) {
      return fail("an object of {} bytes has a page at {}: it was restored shorter than it was", size_, last_page);
    }
    const uint64_t bytes = std::min(run.pages * page_size_bytes, size_ - run.address);
    if (mapped_ != nullptr) {
      if (run.state == PageState::data) {
        std::memcpy(mapped_ + run.address, run.data, bytes);
      } else {
        std::memset(mapped_ + run.address, 0, bytes);
      }
      return {};
    }
    if (run.state == PageState::data) return write_at(fd_, run.address, run.data, bytes);
    // A hole reads as zero and takes no memory. What cannot have one gets zeros.
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (fallocate(fd_, mode, static_cast<off_t>(run.address), static_cast<off_t>(bytes)) == 0) return {};
    return write_zeros_at(fd_, run.address, bytes);
  }

 private:
  explicit ObjectWriter(int fd) : fd_(fd) {}
  int fd_;
  uint64_t size_ = 0;
  std::byte* mapped_ = nullptr;
};

}  // namespace

Result<> EagerWriter::expect_nothing(uint32_t process, uint64_t start, uint64_t end) const {
  const StoredRun run = store_.next_run(process, start, end);
  if (run.pages == 0) return {};
  return fail("process {}: memory at {:#x} ({} pages) has no place in the restored process", process, run.address,
              run.pages);
}

Result<> EagerWriter::write_mapping(int memory, uint32_t process, const RestoredMapping& mapping) {
  uint64_t at = mapping.vma.start;
  while (at < mapping.vma.end) {
    const StoredRun run = store_.next_run(process, at, mapping.vma.end);
    if (run.pages == 0) break;
    const uint64_t bytes = run.pages * page_size_bytes;
    if (run.state == PageState::data) {
      GODWIT_TRY(write_at(memory, run.address, run.data, bytes));
      report_.written_pages += run.pages;
    } else if (mapping.over_file()) {
      // The process has zeros of its own where the file may have something else.
      GODWIT_TRY(write_zeros_at(memory, run.address, bytes));
      report_.written_pages += run.pages;
      report_.zeroed_pages += run.pages;
    }
    at = run.address + bytes;
  }
  store_.release(process, mapping.vma.start, mapping.vma.size() / page_size_bytes);
  return {};
}

Result<> EagerWriter::write_process(uint32_t process, pid_t pid) {
  const auto begun = Clock::now();
  GODWIT_ASSIGN(const auto mappings, read_restored_mappings(pid));
  std::vector<LazyRange> lazy;
  for (const RestoredMapping& mapping : mappings) {
    if (mapping.lazy) lazy.push_back({mapping.vma.start, mapping.vma.end, mapping.wipe_on_fork});
  }
  const auto left = pager_.confine(process, lazy);
  if (!left && !lazy.empty()) {
    return fail("process {} (pid {}) has memory that a userfaultfd serves, but the pager was given none", process, pid);
  }
  report_.lazy_pages += left.value_or(0);
  GODWIT_ASSIGN(const auto memory, os::open_file("/proc/" + std::to_string(pid) + "/mem", O_RDWR));
  uint64_t reached = 0;
  for (const RestoredMapping& mapping : mappings) {
    GODWIT_TRY(expect_nothing(process, reached, mapping.vma.start));
    if (!mapping.holds_pages()) {
      GODWIT_TRY(expect_nothing(process, mapping.vma.start, mapping.vma.end));
    } else if (!mapping.lazy) {
      auto written = write_mapping(memory.get(), process, mapping);
      if (!written) {
        return std::unexpected(std::move(written).error().context(
            fmt::format("memory of process {} (pid {}), mapping {}", process, pid, mapping.vma.path)));
      }
    }
    reached = mapping.vma.end;
  }
  GODWIT_TRY(expect_nothing(process, reached, UINT64_MAX));
  done_.insert(process);
  report_.ms += elapsed_ms(begun);
  return {};
}

Result<> EagerWriter::write_object_mapped(uint32_t object, pid_t pid, uint64_t start) {
  if (done_.contains(object)) return {};
  GODWIT_ASSIGN(const auto mappings, os::read_mappings(pid));
  const auto found = std::ranges::find(mappings, start, &os::Vma::start);
  if (found == mappings.end() || !found->shared) {
    return fail("process {} has no shared mapping at {:#x}", pid, start);
  }
  const std::string link = fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, found->start, found->end);
  GODWIT_ASSIGN(const auto fd, os::open_file(link, O_RDWR));
  return write_object(object, fd.get());
}

Result<> EagerWriter::write_object(uint32_t object, int fd) {
  if (done_.contains(object)) return {};
  const auto begun = Clock::now();
  GODWIT_ASSIGN(const auto writer, ObjectWriter::open(fd));
  for (uint64_t at = 0;;) {
    const StoredRun run = store_.next_run(object, at, UINT64_MAX);
    if (run.pages == 0) break;
    auto written = writer.write(run);
    if (!written) {
      return std::unexpected(
          std::move(written).error().context(fmt::format("shared memory object {}", object & ~shared_object_space)));
    }
    report_.shared_pages += run.pages;
    at = run.address + run.pages * page_size_bytes;
  }
  store_.drop_process(object);
  done_.insert(object);
  report_.ms += elapsed_ms(begun);
  return {};
}

Result<> EagerWriter::check_complete() const {
  for (const uint32_t process : store_.processes()) {
    if (done_.contains(process)) continue;
    const bool shared = (process & shared_object_space) != 0;
    return fail("{} {} has {} pages in the page store, and nobody placed them",
                shared ? "shared memory object" : "process", process & ~shared_object_space,
                store_.stored_pages(process));
  }
  return {};
}

}  // namespace godwit::memory
