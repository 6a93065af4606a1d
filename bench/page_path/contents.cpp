#include "bench/page_path/contents.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "os/pagemap.h"
#include "os/process_memory.h"

namespace godwit::bench {
namespace {

constexpr size_t compare_bytes = size_t{1} << 20;

void fill_random(std::span<std::byte> memory) {
  std::mt19937_64 random(1);
  for (size_t at = 0; at + sizeof(uint64_t) <= memory.size(); at += sizeof(uint64_t)) {
    const uint64_t value = random();
    std::memcpy(&memory[at], &value, sizeof value);
  }
}

// Records of a key and a JSON value whose words repeat and whose numbers do not.
void fill_text(std::span<std::byte> memory) {
  std::mt19937 random(2);
  for (size_t at = 0, record = 0; at < memory.size(); ++record) {
    const std::string text = fmt::format(
        R"(session:{:010}{{"user":"user-{}","state":"active","visits":{},"token":"{:08x}{:08x}","last_seen":"2024-0{}-1{}"}})",
        record, random() % 100'000, random() % 1000, random(), random(), 1 + random() % 9, random() % 10);
    const size_t size = std::min(text.size(), memory.size() - at);
    std::memcpy(&memory[at], text.data(), size);
    at += size;
  }
}

// Sixteen pages of each kind in a row.
void fill_half_zero(std::span<std::byte> memory) {
  constexpr size_t stretch_bytes = 16 * os::page_bytes;
  fill_random(memory);
  for (size_t at = 0; at < memory.size(); at += 2 * stretch_bytes) {
    std::ranges::fill(memory.subspan(at, std::min(stretch_bytes, memory.size() - at)), std::byte{0});
  }
}

}  // namespace

const std::array<Pattern, 3> patterns = {{
    {"random", "random bytes", fill_random},
    {"text", "records of text", fill_text},
    {"half-zero", "random, every other 64 KiB zero", fill_half_zero},
}};

Result<> compare_with(const Workload& workload, uint64_t address, std::span<const std::byte> received) {
  std::vector<std::byte> original(compare_bytes);
  while (!received.empty()) {
    const size_t size = std::min(received.size(), original.size());
    GODWIT_ASSIGN(const size_t got, os::read_process_memory(workload.pid(), address, original.data(), size));
    if (got != size) return fail("the workload's page {:#x} cannot be read", address + got);
    if (std::memcmp(original.data(), received.data(), size) != 0) {
      return fail("what arrived for {:#x} is not what the workload has there", address);
    }
    address += size;
    received = received.subspan(size);
  }
  return {};
}

}  // namespace godwit::bench
