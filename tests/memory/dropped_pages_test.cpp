// Memory that is dropped between the last round and the freeze, in the ways that leave no page behind that could say
// so: a whole page table goes, a huge page goes, a mapping is replaced by an untouched one. The last scan looks closer
// only at what has changed; it must see that these have.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <random>

#include <fmt/format.h>

#include "cgroup.h"
#include "child.h"
#include "memory/precopy.h"
#include "os/file.h"
#include "replica_sink.h"

namespace godwit::memory {
namespace {

using test::Child;
using test::ReplicaSink;
using test::TestCgroup;

constexpr size_t table_bytes = size_t{2} << 20;  // what one page table maps, and a huge page holds
constexpr size_t tables = 8;
constexpr size_t area_bytes = tables * table_bytes;

Deadline soon() {
  return Deadline::after(std::chrono::seconds(10));
}

// An anonymous mapping that begins at a multiple of 2 MiB.
char* map_area(bool huge) {
  void* raw = ::mmap(nullptr, area_bytes + table_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) std::abort();
  auto* begin = static_cast<char*>(raw);
  const size_t skipped = (table_bytes - reinterpret_cast<uintptr_t>(begin) % table_bytes) % table_bytes;
  if (skipped > 0) ::munmap(begin, skipped);
  ::munmap(begin + skipped + area_bytes, table_bytes - skipped);
  if (::madvise(begin + skipped, area_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0) std::abort();
  return begin + skipped;
}

void fill(char* area, size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto* words = reinterpret_cast<uint64_t*>(area);
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) words[i] = random();
}

struct Way {
  const char* name;
  bool huge;
  // Drops some of the area. Runs in the child.
  void (*drop)(char* area);
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << way.name;
}

void drop_tables(char* area) {
  ::madvise(area + table_bytes, table_bytes, MADV_DONTNEED);
  ::madvise(area + 3 * table_bytes, 2 * table_bytes, MADV_DONTNEED);
}

void drop_everything(char* area) {
  ::madvise(area, area_bytes, MADV_DONTNEED);
}

// The table is made anew for one page of it.
void drop_tables_and_write_one_page(char* area) {
  drop_tables(area);
  area[table_bytes + 100 * 4096UL] = 'x';
  fill(area + 3 * table_bytes, 4096, 7);
}

void drop_part_of_a_table(char* area) {
  ::madvise(area + table_bytes + 64 * 4096UL, 300 * 4096UL, MADV_DONTNEED);
  ::madvise(area + 4 * table_bytes - 8 * 4096UL, table_bytes + 16 * 4096UL, MADV_DONTNEED);
}

void replace_mapping(char* area) {
  for (const size_t from : {2 * table_bytes, 5 * table_bytes + 4096}) {
    ::munmap(area + from, table_bytes);
    void* again =
        ::mmap(area + from, table_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (again != area + from) std::abort();
  }
}

// Pages and tables go along with the mapping, and others come to its place.
void move_mapping(char* area) {
  void* hole =
      ::mremap(area + table_bytes, table_bytes, table_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, area + 6 * table_bytes);
  if (hole != area + 6 * table_bytes) std::abort();
}

void unmap(char* area) {
  ::munmap(area + table_bytes, 2 * table_bytes);
}

class DroppedPages : public testing::TestWithParam<Way> {};

// Before the child is ended: a frozen one cannot be.
struct ThawAtEnd {
  explicit ThawAtEnd(const TestCgroup& frozen) : cgroup(frozen) {}
  ThawAtEnd(const ThawAtEnd&) = delete;
  ThawAtEnd& operator=(const ThawAtEnd&) = delete;
  ~ThawAtEnd() { (void)cgroup.freezer().thaw(soon()); }
  const TestCgroup& cgroup;
};

bool holds_huge_pages(pid_t pid) {
  const std::string rollup = os::read_file(fmt::format("/proc/{}/smaps_rollup", pid)).value_or("");
  unsigned long kib = 0;
  const size_t at = rollup.find("AnonHugePages:");
  return at != std::string::npos && std::sscanf(rollup.c_str() + at, "AnonHugePages: %lu", &kib) == 1 && kib > 0;
}

TEST_P(DroppedPages, AreSeenByTheLastScan) {
  auto cgroup = TestCgroup::make(1);
  if (!cgroup) cgroup = TestCgroup::make(2);
  if (!cgroup) GTEST_SKIP() << "no freezer is mounted here";
  const Way& way = GetParam();
  Child child([&](int wake_fd) {
    if (!cgroup->add(::getpid()).has_value()) return 1;
    char* area = map_area(way.huge);
    fill(area, area_bytes, 1);
    char byte = 0;
    if (::read(wake_fd, &byte, 1) != 1) return 2;
    way.drop(area);
    for (;;) ::pause();
  });
  const ThawAtEnd thaw(*cgroup);
  ASSERT_TRUE(child.wait_asleep(soon()));
  if (way.huge && !holds_huge_pages(child.pid())) GTEST_SKIP() << "the kernel gives no huge pages here";

  ReplicaSink sink(1);
  PrecopySource source(cgroup->freezer(), {});
  for (int i = 0; i < 2; ++i) {
    const auto report = source.run_round(sink, soon());
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_EQ(report->untracked_pages, 0U);
    ASSERT_NO_FATAL_FAILURE(sink.barrier());
  }
  child.wake();
  std::this_thread::sleep_for(milliseconds(20));
  ASSERT_TRUE(child.wait_asleep(soon()));
  ASSERT_TRUE(cgroup->freezer().freeze(soon()).has_value());
  sink.expect_all_readable(true);
  const auto report = source.final_pass(sink, soon());
  ASSERT_TRUE(report.has_value()) << report.error().message;
  ASSERT_EQ(report->processes.size(), 1U);
  EXPECT_TRUE(report->processes.front().tracked);
  EXPECT_GT(report->totals.absent_pages, 0U) << "nothing was dropped";
  EXPECT_LT(report->totals.data_pages, tables * 512 / 2) << "not the last scan, but a full copy was tested";
  ASSERT_NO_FATAL_FAILURE(sink.barrier());
  uint64_t compared = 0;
  ASSERT_NO_FATAL_FAILURE(sink.compare(*report, compared));
  EXPECT_GT(compared, 0U);
}

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const bool huge : {false, true}) {
    all.push_back({.name = huge ? "HugeTables" : "Tables", .huge = huge, .drop = drop_tables});
    all.push_back({.name = huge ? "HugeEverything" : "Everything", .huge = huge, .drop = drop_everything});
    all.push_back({.name = huge ? "HugeTablesAndOnePageIsWritten" : "TablesAndOnePageIsWritten",
                   .huge = huge,
                   .drop = drop_tables_and_write_one_page});
    all.push_back({.name = huge ? "HugePartOfATable" : "PartOfATable", .huge = huge, .drop = drop_part_of_a_table});
    all.push_back(
        {.name = huge ? "HugeMappingIsReplaced" : "MappingIsReplaced", .huge = huge, .drop = replace_mapping});
    all.push_back({.name = huge ? "HugeMappingIsMoved" : "MappingIsMoved", .huge = huge, .drop = move_mapping});
    all.push_back({.name = huge ? "HugeMappingIsUnmapped" : "MappingIsUnmapped", .huge = huge, .drop = unmap});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Each, DroppedPages, testing::ValuesIn(ways()),
                         [](const auto& way) { return std::string(way.param.name); });

}  // namespace
}  // namespace godwit::memory
