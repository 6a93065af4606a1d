#include "guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace godwit::pager_test {
namespace {

constexpr size_t pages_per_act_max = 200;
constexpr size_t growth_pages_max = 8;
constexpr size_t children_max = 3;
constexpr int depth_max = 2;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "guest %d: %s: %s\n", getpid(), what, std::strerror(errno));
  _exit(1);
}

}  // namespace

void require(bool condition, const char* what) {
  if (!condition) die(what);
}

void check(const Extent& extent, size_t first, size_t last) {
  for (size_t i = first; i < last; ++i) {
    const PageModel& expected = extent.pages[i];
    for (uint64_t index = 0; index < words; ++index) {
      uint64_t found = 0;
      std::memcpy(&found, extent.address(i) + index * sizeof found, sizeof found);
      const bool patched = expected.patched && index == patched_word;
      const uint64_t right = patched ? expected.patch : word_of(expected.tag, index);
      if (found == right) continue;
      std::fprintf(stderr, "guest %d: page %p word %lu is %#lx instead of %#lx (tag %#lx)\n", getpid(),
                   static_cast<void*>(extent.address(i)), index, found, right, expected.tag);
      _exit(1);
    }
  }
}

void Arena::check_all() const {
  for (const Extent& extent : extents_) check(extent, 0, extent.pages.size());
}

Arena::Part Arena::pick() {
  Part part;
  part.extent = dice(extents_.size());
  const size_t size = extents_[part.extent].pages.size();
  part.first = dice(size);
  part.last = part.first + 1 + dice(std::min(size - part.first, pages_per_act_max));
  return part;
}

// Takes a part out of its extent, which is divided by that. The memory stays as it is.
Extent Arena::take(const Part& part) {
  Extent whole = std::move(extents_[part.extent]);
  extents_.erase(extents_.begin() + static_cast<ptrdiff_t>(part.extent));
  const auto begin = whole.pages.begin();
  const auto first = begin + static_cast<ptrdiff_t>(part.first);
  const auto last = begin + static_cast<ptrdiff_t>(part.last);
  if (part.first > 0) extents_.push_back({whole.at, {begin, first}});
  if (last != whole.pages.end()) extents_.push_back({whole.address(part.last), {last, whole.pages.end()}});
  return {whole.address(part.first), {first, last}};
}

void Arena::write(const Part& part) {
  Extent& extent = extents_[part.extent];
  for (size_t i = part.first; i < part.last; ++i) {
    extent.pages[i] = {.tag = random_() | 1};
    fill_page(extent.address(i), extent.pages[i].tag);
  }
}

void Arena::patch(const Part& part) {
  Extent& extent = extents_[part.extent];
  for (size_t i = part.first; i < part.last; ++i) {
    extent.pages[i].patched = true;
    extent.pages[i].patch = random_();
    std::memcpy(extent.address(i) + patched_word * sizeof(uint64_t), &extent.pages[i].patch, sizeof(uint64_t));
  }
}

// The kernel touches the memory, not we.
void Arena::read_into(const Part& part) {
  Extent& extent = extents_[part.extent];
  const int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  require(fd >= 0, "open /dev/zero");
  const size_t size = (part.last - part.first) * page;
  require(read(fd, extent.address(part.first), size) == static_cast<ssize_t>(size), "read /dev/zero");
  close(fd);
  for (size_t i = part.first; i < part.last; ++i) extent.pages[i] = {};
}

void Arena::drop(const Part& part) {
  Extent& extent = extents_[part.extent];
  require(madvise(extent.address(part.first), (part.last - part.first) * page, MADV_DONTNEED) == 0, "MADV_DONTNEED");
  for (size_t i = part.first; i < part.last; ++i) extent.pages[i] = {};
}

void Arena::unmap(const Part& part) {
  const Extent gone = take(part);
  require(munmap(gone.at, gone.pages.size() * page) == 0, "munmap");
}

// Another mapping in the same place: nobody serves it.
void Arena::replace(const Part& part) {
  Extent extent = take(part);
  void* at = mmap(extent.at, extent.pages.size() * page, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  require(at == extent.at, "mmap");
  std::ranges::fill(extent.pages, PageModel{});
  extents_.push_back(std::move(extent));
}

// Makes two mappings of one without any event.
void Arena::split(const Part& part) {
  Extent extent = take(part);
  const int advice = dice(2) == 0 ? MADV_DONTDUMP : MADV_DODUMP;
  require(madvise(extent.at, extent.pages.size() * page, advice) == 0, "MADV_DONTDUMP");
  extents_.push_back(std::move(extent));
}

void Arena::protect(const Part& part) {
  const Extent& extent = extents_[part.extent];
  const size_t size = (part.last - part.first) * page;
  require(mprotect(extent.address(part.first), size, PROT_READ) == 0, "mprotect");
  check(extent, part.first, std::min(part.last, part.first + 3));
  require(mprotect(extent.address(part.first), size, PROT_READ | PROT_WRITE) == 0, "mprotect");
}

// To where the kernel likes, often a hole that another thread has just left.
void Arena::grow_and_move(const Part& part) {
  Extent extent = take(part);
  const size_t pages = extent.pages.size() + 1 + dice(growth_pages_max);
  void* at = mremap(extent.at, extent.pages.size() * page, pages * page, MREMAP_MAYMOVE);
  // The kernel may have made two mappings of it for good (after mprotect() in a child), and refuses then.
  require(at != MAP_FAILED || errno == EFAULT, "mremap");
  if (at != MAP_FAILED) {
    extent.at = static_cast<std::byte*>(at);
    extent.pages.resize(pages);
  }
  extents_.push_back(std::move(extent));
}

// Over memory that is still being filled itself.
void Arena::move_onto(const Part& part) {
  Extent extent = take(part);
  if (extents_.empty()) {
    extents_.push_back(std::move(extent));
    return;
  }
  Part target = pick();
  target.last = std::min(target.first + extent.pages.size(), extents_[target.extent].pages.size());
  const Extent covered = take(target);
  const size_t size = covered.pages.size() * page;
  if (covered.pages.size() < extent.pages.size()) {
    extents_.push_back({extent.address(covered.pages.size()),
                        {extent.pages.begin() + static_cast<ptrdiff_t>(covered.pages.size()), extent.pages.end()}});
    extent.pages.resize(covered.pages.size());
  }
  void* at = mremap(extent.at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, covered.at);
  require(at == covered.at || errno == EFAULT, "mremap to a fixed address");
  if (at == covered.at) {
    extent.at = covered.at;
  } else {
    require(munmap(covered.at, size) == 0, "munmap");
  }
  extents_.push_back(std::move(extent));
}

void Arena::shrink(const Part& part) {
  const Part all{part.extent, 0, extents_[part.extent].pages.size()};
  Extent extent = take(all);
  void* at = mremap(extent.at, extent.pages.size() * page, part.last * page, 0);
  require(at == extent.at, "mremap to less");
  extent.pages.resize(part.last);
  extents_.push_back(std::move(extent));
}

void Arena::fork_child() {
  reap(children_max - 1);
  const int child = fork();
  require(child >= 0, "fork");
  if (child == 0) {
    random_.seed(random_() + 1);
    children_.clear();
    live_as_child(depth + 1);
  }
  children_.push_back(child);
}

void Arena::live_as_child(int level) {
  depth = level;
  if (dice(4) == 0) {  // most children only start another program
    execl("/bin/true", "true", static_cast<char*>(nullptr));
    die("exec /bin/true");
  }
  if (wiped_ != nullptr) {
    for (const Extent& extent : *wiped_) {
      const Extent empty{extent.at, std::vector<PageModel>(extent.pages.size())};
      check(empty, 0, empty.pages.size());
    }
  }
  if (constant_ != nullptr) {
    for (const Extent& extent : *constant_) check(extent, 0, extent.pages.size());
  }
  for (int i = 0; i < 6; ++i) act();
  check_all();
  reap(0);
  _exit(0);
}

void Arena::reap(size_t outstanding_max) {
  while (children_.size() > outstanding_max) {
    int status = 0;
    require(waitpid(children_.front(), &status, 0) == children_.front(), "waitpid");
    errno = 0;
    require(status == 0, "a child failed");
    children_.erase(children_.begin());
  }
}

void Arena::act() {
  if (extents_.empty()) return;
  const Part part = pick();
  switch (dice(24)) {
    case 0:
    case 1:
    case 2:
      write(part);
      break;
    case 3:
    case 4:
      patch(part);
      break;
    case 5:
      read_into(part);
      break;
    case 6:
    case 7:
    case 8:
      drop(part);
      break;
    case 9:
      unmap(part);
      break;
    case 10:
      replace(part);
      break;
    case 11:
      split(part);
      break;
    case 12:
    case 13:
      protect(part);
      break;
    case 14:
    case 15:
    case 16:
      grow_and_move(part);
      break;
    case 17:
    case 18:
      move_onto(part);
      break;
    case 19:
      shrink(part);
      break;
    case 20:
      if (depth < depth_max) fork_child();
      break;
    default:
      check(extents_[part.extent], part.first, part.last);
  }
}

}  // namespace godwit::pager_test
