// The frames of the control channel, as bytes. Pure functions: what reads and writes is control_channel.h.
//
// Every frame: u8 kind, u32 length of the payload (big-endian), payload.
//   message    one JSON object, UTF-8
//   blob       u64 size (big-endian), the name; after the frame, `size` raw bytes follow
//   heartbeat  no payload
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace godwit::transfer {

enum class ControlKind : uint8_t { message = 1, blob = 2, heartbeat = 3 };

constexpr size_t control_header_bytes = 5;
constexpr uint32_t message_bytes_max = uint32_t{4} << 20;
constexpr size_t message_depth_max = 32;
constexpr size_t blob_name_bytes_max = 128;
constexpr size_t blob_size_bytes = 8;  // of the field that says how much follows

struct ControlHeader {
  ControlKind kind = ControlKind::heartbeat;
  uint32_t length_bytes = 0;
};

std::array<std::byte, control_header_bytes> encode_control_header(const ControlHeader& header);
// Errors: unknown kind, a length that the kind cannot have.
Result<ControlHeader> decode_control_header(std::span<const std::byte, control_header_bytes> bytes);

// The text of a message. Error: longer than message_bytes_max. Bytes that are no UTF-8 are replaced.
Result<std::string> encode_message(const nlohmann::json& message);
// Errors: no JSON, not an object, nested deeper than message_depth_max.
Result<nlohmann::json> decode_message(std::string_view text);

struct Blob {
  std::string name;  // a plain file name
  uint64_t size_bytes = 0;

  friend bool operator==(const Blob&, const Blob&) = default;
};

// A name is 1 to blob_name_bytes_max letters, digits, '.', '_', '-', and does not begin with a dot.
Result<std::string> encode_blob(const Blob& blob);
Result<Blob> decode_blob(std::string_view payload);

}  // namespace godwit::transfer
