#include "feeder.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

#include "os/file.h"
#include "os/pagemap.h"
#include "os/procfs.h"

namespace godwit::criu {
namespace {

constexpr size_t page = os::page_bytes;

bool is_shared_memory(const os::Vma& vma) {
  return vma.shared &&
         (vma.path.starts_with("/dev/zero") || vma.path.starts_with("/memfd:") || vma.path.starts_with("/SYSV"));
}

// Mappings of the process that userfaultfd serves, by their start.
std::map<uint64_t, bool> lazy_mappings(pid_t pid) {
  std::map<uint64_t, bool> lazy;
  uint64_t start = 0;
  std::string smaps = os::read_file(fmt::format("/proc/{}/smaps", pid)).value();
  for (size_t at = 0; at < smaps.size();) {
    const size_t end = smaps.find('\n', at);
    const std::string line = smaps.substr(at, end - at);
    if (line.find(": ") == std::string::npos || line.find('-') < line.find(' ')) start = std::stoull(line, nullptr, 16);
    if (line.starts_with("VmFlags:") && line.find(" um") != std::string::npos) lazy[start] = true;
    at = end + 1;
  }
  return lazy;
}

Result<> copy(int from, int to, uint64_t start, uint64_t end) {
  std::array<char, page> buffer;
  for (uint64_t at = start; at < end; at += page) {
    if (::pread(from, buffer.data(), page, static_cast<off_t>(at)) != ssize_t{page}) return fail_errno("read {:x}", at);
    if (::pwrite(to, buffer.data(), page, static_cast<off_t>(at)) != ssize_t{page}) return fail_errno("write {:x}", at);
  }
  return {};
}

Result<> copy_private(const os::Vma& vma, pid_t source, int from, int to) {
  GODWIT_ASSIGN(const os::Pagemap pagemap, os::Pagemap::open(source));
  const os::PageQuery query{.all_of = os::page_of_file,
                            .any_of = os::page_present | os::page_swapped,
                            .inverted = os::page_of_file,
                            .returned = os::page_present};
  std::array<os::PageRegion, 256> regions;
  for (uint64_t at = vma.start; at < vma.end;) {
    uint64_t walked = 0;
    GODWIT_ASSIGN(const size_t count, pagemap.scan(query, at, vma.end, regions, walked));
    for (size_t i = 0; i < count; ++i) GODWIT_TRY(copy(from, to, regions[i].start, regions[i].end));
    at = walked;
  }
  return {};
}

Result<> copy_memfds(pid_t source, pid_t restored) {
  GODWIT_ASSIGN(const auto descriptors, os::read_descriptors(source));
  for (const os::Descriptor& descriptor : descriptors) {
    if (!descriptor.target.starts_with("/memfd:")) continue;
    GODWIT_ASSIGN(const UniqueFd from,
                  os::open_file(fmt::format("/proc/{}/fd/{}", source, descriptor.number), O_RDONLY));
    GODWIT_ASSIGN(const UniqueFd to, os::open_file(fmt::format("/proc/{}/fd/{}", restored, descriptor.number), O_RDWR));
    GODWIT_TRY(copy(from.get(), to.get(), 0, static_cast<uint64_t>(::lseek(from.get(), 0, SEEK_END))));
  }
  return {};
}

Result<> write_process(pid_t source, pid_t restored) {
  GODWIT_ASSIGN(const auto mappings, os::read_mappings(source));
  GODWIT_ASSIGN(const UniqueFd from, os::open_file(fmt::format("/proc/{}/mem", source), O_RDONLY));
  GODWIT_ASSIGN(const UniqueFd to, os::open_file(fmt::format("/proc/{}/mem", restored), O_RDWR));
  const auto lazy = lazy_mappings(restored);
  for (const os::Vma& vma : mappings) {
    if (vma.from_kernel() || lazy.contains(vma.start)) continue;
    if (is_shared_memory(vma)) GODWIT_TRY(copy(from.get(), to.get(), vma.start, vma.end));
    if (!vma.shared) GODWIT_TRY(copy_private(vma, source, from.get(), to.get()));
  }
  return copy_memfds(source, restored);
}

}  // namespace

std::map<pid_t, pid_t> processes_by_container_pid(const os::CgroupFreezer& freezer) {
  std::map<pid_t, pid_t> result;
  const auto processes = os::cgroup_processes(freezer.directory());
  if (!processes) return result;
  for (const pid_t pid : *processes) {
    if (const auto status = os::read_status(pid)) result[status->namespace_pids.back()] = pid;
  }
  return result;
}

std::vector<SharedObjectId> shared_objects(const os::CgroupFreezer& freezer) {
  std::vector<SharedObjectId> objects;
  for (const auto& [container_pid, pid] : processes_by_container_pid(freezer)) {
    const auto mappings = os::read_mappings(pid);
    if (!mappings) continue;
    for (const os::Vma& vma : *mappings)
      if (is_shared_memory(vma)) objects.push_back({.device = vma.device, .inode = vma.inode});
  }
  return objects;
}

Feeder::Feeder(LazyPagesSocket socket, std::map<pid_t, pid_t> source)
    : source_(std::move(source)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  threads_.emplace_back([this, moved = std::make_shared<LazyPagesSocket>(std::move(socket))] {
    std::vector<std::thread> servers;
    for (;;) {
      auto next = moved->next(Deadline::after(std::chrono::seconds(20)));
      if (!next || !*next) break;
      ++lazy_processes_;
      const auto found = source_.find((*next)->container_pid);
      if (found == source_.end()) continue;
      servers.emplace_back(
          [this, fd = (*next)->userfaultfd.release(), pid = found->second] { serve(UniqueFd(fd), pid); });
    }
    for (std::thread& server : servers) server.join();
  });
}

Feeder::~Feeder() {
  const uint64_t one = 1;
  EXPECT_EQ(::write(stop_.get(), &one, sizeof one), ssize_t{sizeof one});
  for (std::thread& thread : threads_) thread.join();
}

void Feeder::serve(UniqueFd userfaultfd, pid_t source) {
  const UniqueFd memory(::open(fmt::format("/proc/{}/mem", source).c_str(), O_RDONLY | O_CLOEXEC));
  for (;;) {
    std::array<pollfd, 2> ready{{{userfaultfd.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), -1);
    if (ready[1].revents != 0 || (ready[0].revents & (POLLERR | POLLHUP)) != 0) return;
    uffd_msg event{};
    if (::read(userfaultfd.get(), &event, sizeof event) != ssize_t{sizeof event}) continue;
    if (event.event != UFFD_EVENT_PAGEFAULT) continue;
    std::array<char, page> contents{};
    const uint64_t address = event.arg.pagefault.address & ~uint64_t{page - 1};
    [[maybe_unused]] const ssize_t got = ::pread(memory.get(), contents.data(), page, static_cast<off_t>(address));
    uffdio_copy request{.dst = address, .src = reinterpret_cast<uint64_t>(contents.data()), .len = page};
    while (::ioctl(userfaultfd.get(), UFFDIO_COPY, &request) != 0 && errno == EAGAIN) {
    }
  }
}

Result<> Feeder::write_eager(pid_t restored_init) {
  GODWIT_ASSIGN(const os::CgroupFreezer freezer, os::CgroupFreezer::of_process(restored_init));
  for (const auto& [container_pid, pid] : processes_by_container_pid(freezer)) {
    const auto found = source_.find(container_pid);
    // criu itself is still in the cgroup.
    if (found != source_.end() && container_pid != pid) GODWIT_TRY(write_process(found->second, pid));
  }
  return {};
}

}  // namespace godwit::criu
