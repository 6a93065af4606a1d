// Where the pages that a lane sends are read from.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace godwit::transfer {

// One address space. Called from several lane threads at once.
class PageSource {
 public:
  virtual ~PageSource() = default;

  // Copies from `address` on into `into`, whole pages. Returns the bytes copied: less than asked if a page in between
  // cannot be read, 0 if the first one cannot. Errors: ESRCH, the address space is gone altogether; any other ends the
  // transfer.
  virtual Result<size_t> read(uint64_t address, std::span<std::byte> into) = 0;
};

// A process's memory, whatever its protection.
class ProcessPageSource final : public PageSource {
 public:
  explicit ProcessPageSource(pid_t pid) : pid_(pid) {}
  Result<size_t> read(uint64_t address, std::span<std::byte> into) override;

 private:
  pid_t pid_;
};

// Memory of our own, which its owner keeps mapped: `memory` is what lies at `base` of the address space.
class MappingPageSource final : public PageSource {
 public:
  MappingPageSource(std::span<const std::byte> memory, uint64_t base) : memory_(memory), base_(base) {}
  Result<size_t> read(uint64_t address, std::span<std::byte> into) override;

 private:
  std::span<const std::byte> memory_;
  uint64_t base_;
};

}  // namespace godwit::transfer
