#include "os/pagemap.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "os/file.h"

namespace godwit::os {
namespace {

// struct pm_scan_arg and the ioctl of linux/fs.h, which Debian 12's headers (Linux 6.1) do not have.
struct ScanArgument {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
static_assert(sizeof(ScanArgument) == 96 && sizeof(PageRegion) == 24);

constexpr unsigned long scan_request = _IOWR('f', 16, ScanArgument);
constexpr uint64_t flag_protect_matching = 1 << 0;
constexpr uint64_t flag_check_write_track = 1 << 1;

PagemapAbility find_ability() {
  PagemapAbility ability;
  auto pagemap = Pagemap::open(::getpid());
  if (!pagemap.has_value()) return ability;
  void* page = ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return ability;
  const auto start = reinterpret_cast<uint64_t>(page);
  std::array<PageRegion, 1> regions;
  uint64_t walked_to = 0;
  ability.scan =
      pagemap->scan({.any_of = page_present, .returned = page_present}, start, start + page_bytes, regions, walked_to)
          .has_value();
  ability.guard = pagemap
                      ->scan({.any_of = page_present, .returned = page_present | page_guard}, start, start + page_bytes,
                             regions, walked_to)
                      .has_value();
  ::munmap(page, page_bytes);
  return ability;
}

}  // namespace

Result<Pagemap> Pagemap::open(pid_t pid) {
  auto fd = open_file(fmt::format("/proc/{}/pagemap", pid), O_RDONLY);
  if (!fd.has_value()) {
    if (fd.error().code == ENOENT) fd.error().code = ESRCH;
    return std::unexpected(std::move(fd).error());
  }
  return Pagemap(std::move(*fd));
}

Result<size_t> Pagemap::scan(const PageQuery& query, uint64_t start, uint64_t end, std::span<PageRegion> regions,
                             uint64_t& walked_to) const {
  ScanArgument argument{};
  argument.size = sizeof(argument);
  argument.flags =
      (query.protect ? flag_protect_matching : 0) | (query.require_write_track ? flag_check_write_track : 0);
  argument.start = start;
  argument.end = end;
  argument.vec = reinterpret_cast<uint64_t>(regions.data());
  argument.vec_len = regions.size();
  argument.category_inverted = query.inverted;
  argument.category_mask = query.all_of;
  argument.category_anyof_mask = query.any_of;
  argument.return_mask = query.returned;
  const int found = ::ioctl(fd_.get(), scan_request, &argument);
  if (found < 0) return fail_errno("scan the page map at {:x}-{:x}", start, end);
  walked_to = argument.walk_end;
  return static_cast<size_t>(found);
}

Result<> Pagemap::read_entries(uint64_t start, std::span<uint64_t> entries) const {
  auto* at = reinterpret_cast<char*>(entries.data());
  size_t left = entries.size_bytes();
  auto offset = static_cast<off_t>(start / page_bytes * sizeof(uint64_t));
  while (left > 0) {
    const ssize_t got = ::pread(fd_.get(), at, left, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read the page map at {:x}", start);
    if (got == 0) return std::unexpected(Error{"read the page map: the process has ended", ESRCH});
    at += got;
    offset += got;
    left -= static_cast<size_t>(got);
  }
  return {};
}

const PagemapAbility& pagemap_ability() {
  static const PagemapAbility ability = find_ability();
  return ability;
}

}  // namespace godwit::os
