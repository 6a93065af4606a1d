// Where the page store's contents lie: private anonymous memory, reserved as addresses and backed as pages come, in
// chunks of 2 MiB.
//
// Anonymous memory and not a memfd, because first touch is what receiving costs: measured for 512 MiB, 0.5 s to
// populate a memfd, 0.25 s anonymous 4 KiB pages, 0.08 s huge pages; giving it back 0.15, 0.05, 0.002 s. But in a
// virtual machine that hands its free memory back to the host, whole free 2 MiB are what it hands back, and taking them
// again costs 0.3 to 0.8 s. So both kinds are timed, and the cheaper one is used.
#pragma once

#include <array>
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
  [[nodiscard]] Result<> populate(uint32_t chunk, uint32_t first, uint32_t pages);
  // Whether the next chunk had better be huge. Not a mere question: now and then the answer is the dearer kind, so that
  // its price stays known.
  bool prefer_huge();
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
  // What backing pages by memory has cost lately.
  struct Price {
    double ns = 0;
    double pages = 0;
    void add(double some_ns, uint32_t some_pages);
    [[nodiscard]] double ns_per_page() const { return pages > 0 ? ns / pages : 0; }
  };
  static constexpr uint32_t huge_base = uint32_t{1} << 31;

  PageArena() = default;
  static Result<Region> reserve(int advice);
  static Result<> grow(Region& region);

  std::mutex mutex_;  // guards what follows but the regions' addresses, which never change
  Region small_;
  Region huge_;
  Price small_price_;
  Price huge_price_;
  uint32_t choices_ = 0;
  // By chunk. Two threads that touch a huge page first at the same time would both fill one with zeros.
  std::array<std::mutex, 16> huge_mutexes_;
};

// A set of the pages of 2 MiB.
using ChunkPages = std::bitset<PageArena::chunk_pages>;

}  // namespace godwit::memory
