#include "transfer/lane_frame.h"

namespace godwit::transfer {
namespace {

template <typename T>
void put(std::span<std::byte> to, size_t offset, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) to[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

template <typename T>
T get(std::span<const std::byte> from, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | (std::to_integer<T>(from[offset + i]) << (8 * i)));
  return value;
}

Result<> check_range(const FrameHeader& header, uint32_t pages_max) {
  if (header.address % page_size_bytes != 0) return fail("lane frame: address {:#x} is not a page's", header.address);
  if (header.pages == 0 || header.pages > pages_max) {
    return fail("lane frame: page count {} is not within 1 to {}", header.pages, pages_max);
  }
  if (header.address > address_limit - header.pages * page_size_bytes) {
    return fail("lane frame: {} pages at address {:#x} are beyond any address space", header.pages, header.address);
  }
  return {};
}

Result<> check_payload(const FrameHeader& header) {
  const uint32_t raw_bytes = header.pages * static_cast<uint32_t>(page_size_bytes);
  switch (header.codec) {
    case FrameCodec::raw:
      if (header.payload_bytes == raw_bytes) return {};
      return fail("lane frame: payload of {} bytes for {} raw pages", header.payload_bytes, header.pages);
    case FrameCodec::lz4:
      if (header.payload_bytes > 0 && header.payload_bytes < raw_bytes) return {};
      return fail("lane frame: payload of {} bytes for {} compressed pages", header.payload_bytes, header.pages);
  }
  return fail("lane frame: unknown codec {}", static_cast<int>(header.codec));
}

Result<> check_no_payload(const FrameHeader& header) {
  if (header.codec != FrameCodec::raw)
    return fail("lane frame: codec {} without payload", static_cast<int>(header.codec));
  if (header.payload_bytes != 0) {
    return fail("lane frame: payload of {} bytes in a frame without contents", header.payload_bytes);
  }
  return {};
}

Result<> check_no_range(const FrameHeader& header) {
  if (header.process != 0) return fail("lane frame: process {} where it must be 0", header.process);
  if (header.address != 0) return fail("lane frame: address {:#x} where it must be 0", header.address);
  if (header.pages != 0) return fail("lane frame: page count {} where it must be 0", header.pages);
  return {};
}

}  // namespace

void encode_frame(const FrameHeader& header, std::span<std::byte, frame_header_bytes> to) {
  put(to, 0, static_cast<uint8_t>(header.kind));
  put(to, 1, static_cast<uint8_t>(header.codec));
  put(to, 2, uint16_t{0});
  put(to, 4, header.process);
  put(to, 8, header.address);
  put(to, 16, header.pages);
  put(to, 20, header.payload_bytes);
  put(to, 24, header.sequence);
}

FrameBytes encode_frame(const FrameHeader& header) {
  FrameBytes bytes{};
  encode_frame(header, bytes);
  return bytes;
}

Result<FrameHeader> decode_frame(std::span<const std::byte, frame_header_bytes> bytes) {
  const FrameHeader header{.kind = static_cast<FrameKind>(bytes[0]),
                           .codec = static_cast<FrameCodec>(bytes[1]),
                           .process = get<uint32_t>(bytes, 4),
                           .address = get<uint64_t>(bytes, 8),
                           .pages = get<uint32_t>(bytes, 16),
                           .payload_bytes = get<uint32_t>(bytes, 20),
                           .sequence = get<uint64_t>(bytes, 24)};
  if (const auto flags = get<uint16_t>(bytes, 2); flags != 0) return fail("lane frame: unknown flags {:#x}", flags);
  switch (header.kind) {
    case FrameKind::pages:
      GODWIT_TRY(check_range(header, frame_pages_max));
      GODWIT_TRY(check_payload(header));
      return header;
    case FrameKind::zero:
    case FrameKind::drop:
      GODWIT_TRY(check_range(header, frame_run_pages_max));
      GODWIT_TRY(check_no_payload(header));
      return header;
    case FrameKind::barrier:
    case FrameKind::end:
    case FrameKind::ack:
      GODWIT_TRY(check_no_range(header));
      GODWIT_TRY(check_no_payload(header));
      return header;
  }
  return fail("lane frame: unknown kind {}", static_cast<int>(header.kind));
}

}  // namespace godwit::transfer
