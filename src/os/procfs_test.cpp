#include "os/procfs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace godwit::os {
namespace {

TEST(Procfs, SeesWhoWaitsForAVfork) {
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    ::setpgid(0, 0);
    if (::syscall(SYS_vfork) == 0) {  // TSan makes a fork of vfork()
      [[maybe_unused]] const auto told = ::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(waits_for_vfork(parent), true);
  ::kill(-parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  const auto ended = waits_for_vfork(parent);
  EXPECT_TRUE(!ended && vanished(ended.error()));
  EXPECT_EQ(waits_for_vfork(::gettid()), false);
  for (const int end : ready) ::close(end);
}

TEST(Procfs, ParsesAMapping) {
  const auto vma = parse_mapping("7f12a000-7f12c000 r-xs 00001000 08:1f 1234                       /a path (deleted)");
  ASSERT_TRUE(vma.has_value()) << vma.error().message;
  EXPECT_EQ(vma->start, 0x7f12a000U);
  EXPECT_EQ(vma->end, 0x7f12c000U);
  EXPECT_TRUE(vma->read && !vma->write && vma->execute && vma->shared);
  EXPECT_EQ(vma->offset, 0x1000U);
  EXPECT_EQ(vma->device, makedev(8, 0x1f));
  EXPECT_EQ(vma->inode, 1234U);
  EXPECT_EQ(vma->path, "/a path (deleted)");
}

TEST(Procfs, ParsesAnonymousAndKernelMappings) {
  const auto anonymous = parse_mapping("7f12a000-7f12c000 rw-p 00000000 00:00 0 ");
  ASSERT_TRUE(anonymous.has_value());
  EXPECT_TRUE(anonymous->path.empty());
  EXPECT_FALSE(anonymous->from_kernel());
  const auto vsyscall =
      parse_mapping("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]");
  ASSERT_TRUE(vsyscall.has_value());
  EXPECT_TRUE(vsyscall->from_kernel());
  EXPECT_TRUE(parse_mapping("1000-2000 r--p 00000000 00:00 0    [vvar_vclock]")->from_kernel());
}

TEST(Procfs, RefusesOtherLines) {
  for (const char* line : {"", "VmFlags: rd wr", "1000-2000", "2000-1000 rw-p 0 00:00 0", "1000-2000 rw-p 0 0000 0",
                           "xyz-2000 rw-p 0 00:00 0"}) {
    EXPECT_FALSE(parse_mapping(line).has_value()) << line;
  }
}

TEST(Procfs, ReadsOwnMappings) {
  void* page = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const auto mappings = read_mappings(::getpid());
  ASSERT_TRUE(mappings.has_value()) << mappings.error().message;
  const auto found = std::ranges::find(*mappings, reinterpret_cast<uint64_t>(page), &Vma::start);
  ASSERT_NE(found, mappings->end());
  EXPECT_TRUE(found->shared);
  struct stat info{};
  ASSERT_EQ(::stat("/proc/self/exe", &info), 0);
  EXPECT_TRUE(std::ranges::any_of(*mappings, [&](const Vma& vma) { return vma.inode == info.st_ino; }));
  EXPECT_TRUE(std::ranges::is_sorted(*mappings, {}, &Vma::start));
  ::munmap(page, 8192);
}

TEST(Procfs, AsksForOneMapping) {
  constexpr size_t size = 8 * 4096;
  auto* pages = static_cast<char*>(::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_EQ(::mprotect(pages + 4096, 4096, PROT_READ), 0);
  const auto query = MappingQuery::open(::getpid());
  ASSERT_TRUE(query.has_value()) << query.error().message;
  const auto start = reinterpret_cast<uint64_t>(pages);
  if (query->end_of(start, 1) == 1) GTEST_SKIP() << "PROCMAP_QUERY needs Linux 6.11";
  EXPECT_EQ(query->end_of(start, 0), start + 4096);
  EXPECT_EQ(query->end_of(start + 4096, 0), start + 8192);
  EXPECT_EQ(query->end_of(0, 7), 7U);
  ::munmap(pages, size);
}

TEST(Procfs, ReadsFlagsOfMappings) {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ(::syscall(SYS_mlock, page, 4096), 0);  // sanitizers make mlock(3) do nothing
  const auto mappings = read_mappings(::getpid(), true);
  ASSERT_TRUE(mappings.has_value()) << mappings.error().message;
  const auto found = std::ranges::find(*mappings, reinterpret_cast<uint64_t>(page), &Vma::start);
  ASSERT_NE(found, mappings->end());
  EXPECT_TRUE(found->locked);
  EXPECT_FALSE(found->hugetlb);
  EXPECT_EQ(std::ranges::count_if(*mappings, &Vma::locked), 1);
  EXPECT_EQ(read_status(::getpid())->locked_kib, 4U);
  ::munmap(page, 4096);
}

TEST(Procfs, ReadsOwnStatus) {
  const auto status = read_status(::getpid());
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_EQ(status->parent, ::getppid());
  EXPECT_EQ(status->namespace_pids.front(), ::getpid());
  EXPECT_EQ(status->state, 'R');
  EXPECT_EQ(read_threads(::getpid())->front(), ::getpid());
}

TEST(Procfs, ReadsOwnDescriptors) {
  const int fd = ::memfd_create("procfs test", MFD_CLOEXEC);
  const auto descriptors = read_descriptors(::getpid());
  ASSERT_TRUE(descriptors.has_value()) << descriptors.error().message;
  const auto found = std::ranges::find(*descriptors, fd, &Descriptor::number);
  ASSERT_NE(found, descriptors->end());
  EXPECT_EQ(found->target, "/memfd:procfs test (deleted)");
  ::close(fd);
}

TEST(Procfs, TellsVanishedProcesses) {
  constexpr pid_t nobody = 0x3fffffff;
  EXPECT_TRUE(vanished(read_mappings(nobody).error()));
  EXPECT_TRUE(vanished(read_status(nobody).error()));
  EXPECT_TRUE(vanished(read_threads(nobody).error()));
  EXPECT_TRUE(vanished(read_descriptors(nobody).error()));
}

}  // namespace
}  // namespace godwit::os
