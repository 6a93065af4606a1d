// Stands for a restored process: maps memory, hands its userfaultfd over as criu does, waits for GO, and lives on it
// while it is being filled, comparing everything with what it must be.
//
//   pager-guest SEED THREADS PAGES ACTS [touch]     with a socket as descriptor 3
//
// Sends a line "start pages" for each range together with the userfaultfd; begins when anything comes back. Exit
// status 0: every byte was right. Threads change memory of their own, `acts` times; with 0 threads it only reads.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "guest_memory.h"
#include "os/fd_passing.h"

namespace godwit::pager_test {
namespace {

constexpr int socket_fd = 3;
constexpr size_t constant_pages = 1000;
constexpr size_t wiped_pages = 40;

int make_userfaultfd() {
  const int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  require(fd >= 0, "userfaultfd");
  uffdio_api api{};
  api.api = UFFD_API;
  api.features =
      UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
  require(ioctl(fd, UFFDIO_API, &api) == 0, "UFFDIO_API");
  return fd;
}

Extent map_extent(size_t pages) {
  // With a gap behind it, so that neighbours do not become one mapping.
  void* at = mmap(nullptr, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(at != MAP_FAILED, "mmap");
  auto* memory = static_cast<std::byte*>(at);
  require(munmap(memory + pages * page, page) == 0, "munmap");
  return {memory, std::vector<PageModel>(pages)};
}

void register_extent(int fd, Extent& extent, uint64_t seed, bool touch) {
  for (size_t i = 0; i < extent.pages.size(); ++i) {
    const auto address = reinterpret_cast<uint64_t>(extent.address(i));
    extent.pages[i].tag = original_tag(seed, address);
    if (!touch || !touched_before(seed, address)) continue;
    extent.pages[i].tag = touched_tag;
    fill_page(extent.address(i), touched_tag);
  }
  uffdio_register request{};
  request.range = {.start = reinterpret_cast<uint64_t>(extent.at), .len = extent.pages.size() * page};
  request.mode = UFFDIO_REGISTER_MODE_MISSING;
  require(ioctl(fd, UFFDIO_REGISTER, &request) == 0, "UFFDIO_REGISTER");
}

void announce(int fd, const std::vector<const Extent*>& extents) {
  std::string text;
  for (const Extent* extent : extents) {
    text += std::to_string(reinterpret_cast<uint64_t>(extent->at)) + " " + std::to_string(extent->pages.size()) + "\n";
  }
  require(os::send_message(socket_fd, text, fd).has_value(), "send the userfaultfd");
  char reply = 0;
  require(recv(socket_fd, &reply, 1, 0) == 1, "wait for GO");
}

int run(uint64_t seed, size_t threads, size_t pages, size_t acts, bool touch) {
  int fd = make_userfaultfd();
  std::vector<Extent> constant = {map_extent(constant_pages)};
  std::vector<Extent> wiped = {map_extent(wiped_pages)};
  require(madvise(wiped[0].at, wiped_pages * page, MADV_WIPEONFORK) == 0, "MADV_WIPEONFORK");
  std::vector<Extent> extents;
  for (size_t i = 0; i < std::max<size_t>(threads, 1); ++i) extents.push_back(map_extent(pages));
  std::vector<const Extent*> all = {&constant[0], &wiped[0]};
  register_extent(fd, constant[0], seed, touch);
  register_extent(fd, wiped[0], seed, false);
  for (Extent& extent : extents) {
    register_extent(fd, extent, seed, touch);
    all.push_back(&extent);
  }
  announce(fd, all);
  close(fd);

  std::vector<Arena> arenas;
  for (size_t i = 0; i < extents.size(); ++i) {
    arenas.emplace_back(std::vector<Extent>{extents[i]}, seed * 1000 + i);
    arenas.back().set_common(&constant, &wiped);
  }
  std::vector<std::thread> running;
  for (size_t i = 0; i < threads; ++i) {
    running.emplace_back([&arena = arenas[i], acts] {
      for (size_t act = 0; act < acts; ++act) arena.act();
      arena.reap(0);
    });
  }
  for (std::thread& thread : running) thread.join();
  for (const Arena& arena : arenas) arena.check_all();
  check(constant[0], 0, constant_pages);
  check(wiped[0], 0, wiped_pages);
  return 0;
}

}  // namespace
}  // namespace godwit::pager_test

int main(int argc, char** argv) {
  using godwit::pager_test::require;
  require(argc >= 5, "usage: pager-guest SEED THREADS PAGES ACTS [touch]");
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  return godwit::pager_test::run(number(1), number(2), number(3), number(4),
                                 argc > 5 && std::strcmp(argv[5], "touch") == 0);
}
