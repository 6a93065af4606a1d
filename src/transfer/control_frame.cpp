#include "transfer/control_frame.h"

#include <algorithm>
#include <cctype>

#include <nlohmann/json.hpp>

namespace godwit::transfer {
namespace {

template <typename T>
void put_big_endian(T value, std::byte* to) {
  for (size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - i)));
}

template <typename T>
T get_big_endian(const std::byte* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8) | std::to_integer<T>(from[i]);
  return value;
}

// How deep arrays and objects are nested, without building them: a parser's memory for depth is not ours to bound.
size_t nesting_depth(std::string_view text) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

Result<> check_blob_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= blob_name_bytes_max && name.front() != '.' &&
                    std::ranges::all_of(
                        name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-'; });
  if (!good) return fail("control frame: the name of a blob is not a plain file name");
  return {};
}

}  // namespace

std::array<std::byte, control_header_bytes> encode_control_header(const ControlHeader& header) {
  std::array<std::byte, control_header_bytes> bytes{};
  bytes[0] = static_cast<std::byte>(header.kind);
  put_big_endian(header.length_bytes, bytes.data() + 1);
  return bytes;
}

Result<ControlHeader> decode_control_header(std::span<const std::byte, control_header_bytes> bytes) {
  const ControlHeader header{.kind = static_cast<ControlKind>(bytes[0]),
                             .length_bytes = get_big_endian<uint32_t>(bytes.data() + 1)};
  uint32_t least = 0;
  uint32_t most = 0;
  switch (header.kind) {
    case ControlKind::message:
      least = 2;
      most = message_bytes_max;
      break;
    case ControlKind::blob:
      least = blob_size_bytes + 1;
      most = blob_size_bytes + blob_name_bytes_max;
      break;
    case ControlKind::heartbeat:
      break;
    default:
      return fail("control frame: unknown kind {}", std::to_integer<int>(bytes[0]));
  }
  if (header.length_bytes < least || header.length_bytes > most) {
    return fail("control frame: length {} of a frame of kind {}: must be {} to {}", header.length_bytes,
                std::to_integer<int>(bytes[0]), least, most);
  }
  return header;
}

Result<std::string> encode_message(const nlohmann::json& message) {
  std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > message_bytes_max) {
    return fail("control message of {} bytes: at most {}", text.size(), message_bytes_max);
  }
  return text;
}

Result<nlohmann::json> decode_message(std::string_view text) {
  if (text.size() > message_bytes_max) return fail("control message: longer than {} bytes", message_bytes_max);
  if (nesting_depth(text) > message_depth_max) {
    return fail("control message: nested deeper than {} levels", message_depth_max);
  }
  nlohmann::json message = nlohmann::json::parse(text, nullptr, false);
  if (message.is_discarded()) return fail("control message: not JSON");
  if (!message.is_object()) return fail("control message: a JSON {} and not an object", message.type_name());
  return message;
}

Result<std::string> encode_blob(const Blob& blob) {
  GODWIT_TRY(check_blob_name(blob.name));
  std::array<std::byte, blob_size_bytes> size{};
  put_big_endian(blob.size_bytes, size.data());
  return std::string(reinterpret_cast<const char*>(size.data()), size.size()) + blob.name;
}

Result<Blob> decode_blob(std::string_view payload) {
  if (payload.size() <= blob_size_bytes) return fail("control frame: a blob without a name");
  Blob blob{.name = std::string(payload.substr(blob_size_bytes)),
            .size_bytes = get_big_endian<uint64_t>(reinterpret_cast<const std::byte*>(payload.data()))};
  GODWIT_TRY(check_blob_name(blob.name));
  return blob;
}

}  // namespace godwit::transfer
