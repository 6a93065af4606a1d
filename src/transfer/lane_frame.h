// The frames of a page lane, as bytes. Pure functions: what sends and receives is lane_sender.h and lane_receiver.h.
//
// Every frame begins with 32 bytes, little-endian:
//   u8 kind, u8 codec, u16 flags (0), u32 process, u64 address, u32 pages, u32 payload bytes, u64 sequence
// and, for kind `pages`, is followed by the payload: the pages' contents, raw or as one LZ4 block. `sequence` counts
// the frames of a lane from 0. `barrier` and `end` are answered by an `ack` that repeats their sequence, once
// everything before them is in the store.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "memory/page_sink.h"

namespace godwit::transfer {

using memory::page_size_bytes;

enum class FrameKind : uint8_t { pages = 1, zero = 2, drop = 3, barrier = 4, end = 5, ack = 6 };
enum class FrameCodec : uint8_t { raw = 0, lz4 = 1 };

struct FrameHeader {
  FrameKind kind = FrameKind::pages;
  FrameCodec codec = FrameCodec::raw;
  uint32_t process = 0;
  uint64_t address = 0;
  uint32_t pages = 0;
  uint32_t payload_bytes = 0;
  uint64_t sequence = 0;

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

constexpr size_t frame_header_bytes = 32;
// Of a frame with contents: 256 KiB, so that a lane's buffers stay in a core's cache.
constexpr uint32_t frame_pages_max = 64;
// Of a frame without: 1 GiB.
constexpr uint32_t frame_run_pages_max = uint32_t{1} << 18;
// The largest address space there is (five-level page tables).
constexpr uint64_t address_limit = uint64_t{1} << 57;

using FrameBytes = std::array<std::byte, frame_header_bytes>;

void encode_frame(const FrameHeader& header, std::span<std::byte, frame_header_bytes> to);
FrameBytes encode_frame(const FrameHeader& header);
// Errors name the field that is wrong: unknown kind or codec, flags, an address that is no page's or out of range, page
// counts and payload sizes that the kind cannot have, fields that must be zero.
Result<FrameHeader> decode_frame(std::span<const std::byte, frame_header_bytes> bytes);

}  // namespace godwit::transfer
