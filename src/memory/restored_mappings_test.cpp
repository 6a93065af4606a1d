#include "memory/restored_mappings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace godwit::memory {
namespace {

TEST(RestoredMappings, ReadsFlagsOfEachMapping) {
  const auto mappings = parse_restored_mappings(
      "55d0c0000000-55d0c0002000 rw-p 00000000 00:00 0                          [heap]\n"
      "Size:                  8 kB\n"
      "AnonHugePages:         0 kB\n"
      "VmFlags: rd wr mr mw me ac um sd \n"
      "7f0000000000-7f0000001000 rw-p 00001000 08:01 42                         /usr/lib/um wf.so\n"
      "ProtectionKey:         0\n"
      "VmFlags: rd wr mr mw me ac sd\n"
      "7f0000002000-7f0000003000 rw-p 00000000 00:00 0\n"
      "VmFlags: rd wr mr mw me um wf\n");
  ASSERT_TRUE(mappings) << mappings.error().message;
  ASSERT_EQ(mappings->size(), 3U);
  EXPECT_TRUE((*mappings)[0].lazy);
  EXPECT_FALSE((*mappings)[0].wipe_on_fork);
  EXPECT_FALSE((*mappings)[0].over_file());
  EXPECT_FALSE((*mappings)[1].lazy);
  EXPECT_TRUE((*mappings)[1].over_file());
  EXPECT_TRUE((*mappings)[2].lazy);
  EXPECT_TRUE((*mappings)[2].wipe_on_fork);
}

TEST(RestoredMappings, MissingFlagsAreAnErrorNotAGuess) {
  const auto mappings = parse_restored_mappings(
      "7f0000002000-7f0000003000 rw-p 00000000 00:00 0\n"
      "7f0000004000-7f0000005000 rw-p 00000000 00:00 0\n"
      "VmFlags: rd wr\n");
  ASSERT_FALSE(mappings);
  EXPECT_THAT(mappings.error().message, testing::HasSubstr("7f0000002000"));
  EXPECT_FALSE(parse_restored_mappings("7f0000002000-7f0000003000 rw-p 00000000 00:00 0\n"));
  EXPECT_FALSE(parse_restored_mappings("VmFlags: rd wr\n"));
  EXPECT_FALSE(parse_restored_mappings("what is this\nVmFlags: rd\n"));
}

TEST(RestoredMappings, ReadsARealProcess) {
  void* memory = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(madvise(memory, 1 << 20, MADV_WIPEONFORK), 0);
  const auto mappings = read_restored_mappings(getpid());
  ASSERT_TRUE(mappings) << mappings.error().message;
  const auto found = std::ranges::find_if(*mappings, [&](const RestoredMapping& mapping) {
    return mapping.vma.start == reinterpret_cast<uint64_t>(memory);
  });
  ASSERT_NE(found, mappings->end());
  EXPECT_TRUE(found->wipe_on_fork);
  EXPECT_FALSE(found->lazy);
  EXPECT_TRUE(found->holds_pages());
  munmap(memory, 1 << 20);
}

}  // namespace
}  // namespace godwit::memory
