#include "replica_sink.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "os/file.h"
#include "os/process_memory.h"
#include "os/procfs.h"

namespace godwit::test {
namespace {

constexpr uint64_t page_bytes = 4096;
const std::array<char, page_bytes> zeros{};

// Where two pages differ, for the message.
std::string difference(const char* one, const char* other) {
  size_t at = 0;
  while (at < page_bytes && one[at] == other[at]) ++at;
  size_t count = 0;
  for (size_t i = at; i < page_bytes; ++i) count += one[i] != other[i] ? 1 : 0;
  return fmt::format("{} bytes from {} on", count, at);
}

}  // namespace

Result<> ReplicaSink::add_process(const memory::ProcessIdentity& process) {
  EXPECT_FALSE(processes_.contains(process.index)) << "an index is used twice";
  processes_[process.index].announced = true;
  return {};
}

Result<> ReplicaSink::add_shared(const memory::SharedIdentity& object) {
  EXPECT_FALSE(shared_.contains(object.index)) << "an index is used twice";
  shared_[object.index].announced = true;
  return {};
}

void ReplicaSink::note(const Order& order) {
  for (uint64_t i = 0; i < order.pages; ++i) {
    const uint64_t object = order.index | (order.shared ? uint64_t{1} << 32 : 0);
    EXPECT_TRUE(named_.emplace(object, order.address + i * page_bytes).second)
        << fmt::format("page {:x} of {} {} is named twice in a round", order.address + i * page_bytes,
                       order.shared ? "object" : "process", order.index);
  }
  orders_.push_back(order);
}

Result<> ReplicaSink::submit(const memory::ProcessIdentity& process, const memory::Run& run) {
  EXPECT_TRUE(processes_.contains(process.index)) << "not announced";
  note({.index = process.index,
        .pid = process.pid,
        .address = run.address,
        .pages = run.pages,
        .absent = run.kind == memory::RunKind::absent});
  return {};
}

Result<> ReplicaSink::submit_shared(const memory::SharedIdentity& object, uint64_t offset,
                                    std::span<const std::byte> data) {
  EXPECT_TRUE(shared_.contains(object.index)) << "not announced";
  const auto* bytes = reinterpret_cast<const char*>(data.data());
  note({.shared = true,
        .index = object.index,
        .address = offset,
        .pages = data.size() / page_bytes,
        .contents = std::vector<char>(bytes, bytes + data.size())});
  return {};
}

Result<> ReplicaSink::submit_shared_absent(const memory::SharedIdentity& object, uint64_t offset, uint64_t pages) {
  note({.shared = true, .index = object.index, .address = offset, .pages = pages, .absent = true});
  return {};
}

Result<> ReplicaSink::drop_process(const memory::ProcessIdentity& process) {
  EXPECT_EQ(processes_.erase(process.index), 1U);
  return {};
}

Result<> ReplicaSink::drop_shared(const memory::SharedIdentity& object) {
  EXPECT_EQ(shared_.erase(object.index), 1U);
  return {};
}

void ReplicaSink::carry_out(const Order& order) {
  auto& replicas = order.shared ? shared_ : processes_;
  const auto replica = replicas.find(order.index);
  if (replica == replicas.end()) return;  // dropped meanwhile
  Pages& pages = replica->second.pages;
  if (order.absent) {
    for (uint64_t i = 0; i < order.pages; ++i) pages.erase(order.address + i * page_bytes);
    return;
  }
  std::vector<char> contents = order.contents;
  size_t got = contents.size();
  if (!order.shared) {
    contents.resize(order.pages * page_bytes);
    // Page by page, so that what lies after a page that is gone is still brought.
    for (uint64_t i = 0; i < order.pages; ++i) {
      const auto read = os::read_process_memory(order.pid, order.address + i * page_bytes,
                                                contents.data() + i * page_bytes, page_bytes);
      if (read.has_value() && *read == page_bytes) continue;
      if (all_readable_) {
        ADD_FAILURE() << fmt::format("page {:x} of process {} cannot be read in the freeze",
                                     order.address + i * page_bytes, order.pid);
      }
      // What a lane has there is what was there before, or nothing.
      const auto known = pages.find(order.address + i * page_bytes);
      std::memcpy(contents.data() + i * page_bytes, known == pages.end() ? zeros.data() : known->second.bytes.data(),
                  page_bytes);
    }
    got = contents.size();
  }
  for (uint64_t i = 0; i < got / page_bytes; ++i) {
    std::memcpy(pages[order.address + i * page_bytes].bytes.data(), contents.data() + i * page_bytes, page_bytes);
  }
}

void ReplicaSink::barrier() {
  std::ranges::shuffle(orders_, random_);
  for (const Order& order : orders_) carry_out(order);
  orders_.clear();
  named_.clear();
}

void ReplicaSink::compare(const memory::FinalReport& report, uint64_t& pages) {
  EXPECT_EQ(report.processes.size(), processes_.size()) << "not all processes are in the report, or dropped";
  for (const memory::FinalProcess& process : report.processes) {
    ASSERT_NO_FATAL_FAILURE(compare_process(process, pages));
  }
  EXPECT_EQ(report.shared.size(), shared_.size());
  for (const memory::SharedObject& object : report.shared) {
    ASSERT_NO_FATAL_FAILURE(compare_shared(report, object, pages));
  }
}

void ReplicaSink::compare_process(const memory::FinalProcess& process, uint64_t& pages) {
  const auto replica = processes_.find(process.identity.index);
  ASSERT_NE(replica, processes_.end());
  Pages unvisited = replica->second.pages;
  std::vector<char> original(256 * page_bytes);
  std::vector<char> of_file(page_bytes);
  uint64_t read_from = 0;
  for (const os::Vma& vma : process.mappings) {
    if (vma.shared) {
      const bool handled = vma.inode == 0 || vma.from_kernel();
      EXPECT_TRUE(handled || !vma.path.empty());
      continue;
    }
    if (vma.from_kernel()) continue;
    UniqueFd file;
    if (vma.inode != 0) {
      auto opened = os::open_file(fmt::format("/proc/{}/map_files/{:x}-{:x}", process.identity.pid, vma.start, vma.end),
                                  O_RDONLY);
      if (opened.has_value()) file = std::move(*opened);
    }
    uint64_t read_to = vma.start;
    for (uint64_t address = vma.start; address < vma.end; address += page_bytes) {
      const auto sent = replica->second.pages.find(address);
      unvisited.erase(address);
      if (address == read_to) {
        const auto got = os::read_process_memory(process.identity.pid, address, original.data(),
                                                 std::min<uint64_t>(original.size(), vma.end - address));
        ASSERT_TRUE(got.has_value()) << got.error().message;
        read_to += *got / page_bytes * page_bytes;
        read_from = address;
      }
      if (address == read_to) {
        // A guard, or beyond the end of a file: the program cannot read it either.
        EXPECT_EQ(sent, replica->second.pages.end())
            << fmt::format("page {:x} was sent and cannot be read ({})", address, vma.path);
        read_to += page_bytes;
        continue;
      }
      const char* expected = zeros.data();
      if (sent != replica->second.pages.end()) {
        expected = sent->second.bytes.data();
      } else if (file.valid()) {
        std::ranges::fill(of_file, 0);
        ASSERT_GE(
            ::pread(file.get(), of_file.data(), page_bytes, static_cast<off_t>(vma.offset + (address - vma.start))), 0);
        expected = of_file.data();
      }
      ++pages;
      const char* actual = original.data() + (address - read_from);
      ASSERT_EQ(std::memcmp(actual, expected, page_bytes), 0)
          << fmt::format("page {:x} of process {} in {:x}-{:x} {} differs ({}): {}; tracked {}", address,
                         process.identity.pid, vma.start, vma.end, vma.path, difference(actual, expected),
                         sent != replica->second.pages.end() ? "was sent" : "was never sent", process.tracked);
    }
  }
  EXPECT_TRUE(unvisited.empty()) << fmt::format("{} pages are held where nothing is mapped, the first at {:x}",
                                                unvisited.size(), unvisited.begin()->first);
}

void ReplicaSink::compare_shared(const memory::FinalReport& report, const memory::SharedObject& object,
                                 uint64_t& pages) {
  const auto replica = shared_.find(object.identity.index);
  ASSERT_NE(replica, shared_.end());
  // By a path of the test's own: a mapping of it, or a descriptor.
  UniqueFd file;
  for (const memory::FinalProcess& process : report.processes) {
    for (const os::Vma& vma : process.mappings) {
      if (file.valid() || vma.device != object.identity.device || vma.inode != object.identity.inode) continue;
      if (vma.path != object.identity.path) continue;
      auto opened = os::open_file(fmt::format("/proc/{}/map_files/{:x}-{:x}", process.identity.pid, vma.start, vma.end),
                                  O_RDONLY);
      if (opened.has_value()) file = std::move(*opened);
    }
    const auto descriptors = os::read_descriptors(process.identity.pid);
    for (const os::Descriptor& descriptor : descriptors.value_or(std::vector<os::Descriptor>{})) {
      const std::string link = fmt::format("/proc/{}/fd/{}", process.identity.pid, descriptor.number);
      struct stat info{};
      if (file.valid() || !descriptor.target.starts_with("/memfd:") || ::stat(link.c_str(), &info) != 0) continue;
      if (info.st_ino != object.identity.inode || object.identity.kind != memory::SharedKind::memfd) continue;
      auto opened = os::open_file(link, O_RDONLY);
      if (opened.has_value()) file = std::move(*opened);
    }
  }
  ASSERT_TRUE(file.valid()) << object.identity.path << " is reported and nobody has it";
  struct stat info{};
  ASSERT_EQ(::fstat(file.get(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), object.size_bytes);
  Pages unvisited = replica->second.pages;
  std::vector<char> original(page_bytes);
  for (uint64_t offset = 0; offset < object.size_bytes; offset += page_bytes) {
    std::ranges::fill(original, 0);
    ASSERT_GE(::pread(file.get(), original.data(), page_bytes, static_cast<off_t>(offset)), 0);
    const auto sent = replica->second.pages.find(offset);
    unvisited.erase(offset);
    const char* expected = sent == replica->second.pages.end() ? zeros.data() : sent->second.bytes.data();
    ++pages;
    ASSERT_EQ(std::memcmp(original.data(), expected, page_bytes), 0) << fmt::format(
        "page {:x} of {} differs ({}): {}", offset, object.identity.path, difference(original.data(), expected),
        sent == replica->second.pages.end() ? "was never sent" : "was sent");
  }
  EXPECT_TRUE(unvisited.empty()) << object.identity.path << ": pages are held beyond its end";
}

}  // namespace godwit::test
