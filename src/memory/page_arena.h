// Where the page store's contents lie: private anonymous memory, reserved as addresses and backed as pages come, in
// chunks of 2 MiB.
//
// Anonymous memory and not a memfd, because first touch is what receiving costs: measured for 512 MiB, 0.5 s to
// populate a memfd, 0.25 s anonymous 4 KiB pages, 0.08 s huge pages; giving it back 0.15, 0.05, 0.002 s.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"

namespace godwit::memory {

// Owned by the page store; any thread. A chunk's pages belong to who allocated it.
class PageArena {
 public:
  static constexpr uint32_t chunk_pages = 512;
  static constexpr uint32_t no_chunk = UINT32_MAX;

  static Result<std::unique_ptr<PageArena>> create();
  ~PageArena();
  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;

  // `huge`: the whole chunk is about to be filled, so back it by a huge page if the kernel has one.
  Result<uint32_t> allocate(bool huge);
  // Gives the chunk and all its memory back.
  void free(uint32_t chunk);

  [[nodiscard]] std::byte* page(uint32_t chunk, uint32_t first) const;
  [[nodiscard]] bool is_huge(uint32_t chunk) const { return chunk >= huge_base; }
  // Backs pages by memory, so that writing to them neither faults nor fails. ENOMEM, EFAULT: there is none.
  [[nodiscard]] Result<> populate(uint32_t chunk, uint32_t first, uint32_t pages) const;
  // Gives memory back; it reads as zero then. In a huge chunk only after split().
  void punch(uint32_t chunk, uint32_t first, uint32_t pages) const;
  // Breaks the huge page up, so that punch() really frees.
  void split(uint32_t chunk) const;

 private:
  // A stretch of reserved addresses, made usable step by step.
  struct Region {
    std::byte* base = nullptr;
    uint32_t chunks_max = 0;
    uint32_t chunks_usable = 0;
    uint32_t chunks_used = 0;
    std::vector<uint32_t> free;
    void* reserved = nullptr;
    size_t reserved_bytes = 0;
  };
  static constexpr uint32_t huge_base = uint32_t{1} << 31;

  PageArena() = default;
  static Result<Region> reserve(int advice);
  static Result<> grow(Region& region);

  std::mutex mutex_;
  Region small_;
  Region huge_;
};

// A set of the pages of 2 MiB.
using ChunkPages = std::bitset<PageArena::chunk_pages>;

}  // namespace godwit::memory
