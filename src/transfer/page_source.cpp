#include "transfer/page_source.h"

#include <algorithm>
#include <cstring>

#include "os/process_memory.h"

namespace godwit::transfer {

Result<size_t> ProcessPageSource::read(uint64_t address, std::span<std::byte> into) {
  return os::read_process_memory(pid_, address, into.data(), into.size());
}

Result<size_t> MappingPageSource::read(uint64_t address, std::span<std::byte> into) {
  if (address < base_ || address - base_ >= memory_.size()) return size_t{0};
  const auto found = memory_.subspan(address - base_);
  const size_t size = std::min(into.size(), found.size());
  std::memcpy(into.data(), found.data(), size);
  return size;
}

}  // namespace godwit::transfer
