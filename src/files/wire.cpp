#include "files/wire.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <xxhash.h>

namespace godwit::files {
namespace {

static_assert(std::endian::native == std::endian::little, "records are copied as they lie in memory");

constexpr size_t kGatherBytes = size_t{256} * 1024;
constexpr size_t kPathBytesMax = 4095;
constexpr size_t kNameBytesMax = 255;
constexpr size_t kXattrsMax = 4096;

}  // namespace

void RecordWriter::begin(Record type, uint16_t root, uint8_t flags) {
  record_ = buffer_.size();
  put_u32(0);  // the size, known at end()
  put_u8(static_cast<uint8_t>(type));
  put_u8(flags);
  put_u16(root);
}

void RecordWriter::put_raw(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + size);
}

void RecordWriter::put_str(std::string_view text) {
  GODWIT_CHECK(text.size() <= UINT16_MAX);
  put_u16(static_cast<uint16_t>(text.size()));
  put_raw(text.data(), text.size());
}

Result<> RecordWriter::end() {
  const size_t size = buffer_.size() - record_ - kHeaderBytes;
  if (size > kRecordBytesMax) return fail("a record of {} bytes is larger than {}", size, kRecordBytesMax);
  const auto size32 = static_cast<uint32_t>(size);
  std::memcpy(buffer_.data() + record_, &size32, sizeof size32);
  if (buffer_.size() < kGatherBytes) return {};
  sent_bytes_ += buffer_.size();
  auto sent = stream_.write(buffer_.data(), buffer_.size());
  buffer_.clear();
  return sent;
}

Result<> RecordWriter::flush() {
  if (!buffer_.empty()) {
    sent_bytes_ += buffer_.size();
    auto sent = stream_.write(buffer_.data(), buffer_.size());
    buffer_.clear();
    GODWIT_TRY(std::move(sent));
  }
  return stream_.flush();
}

template <typename T>
T FieldReader::take() {
  T value{};
  if (!ok_ || data_.size() - at_ < sizeof value) {
    ok_ = false;
    return value;
  }
  std::memcpy(&value, data_.data() + at_, sizeof value);
  at_ += sizeof value;
  return value;
}

uint8_t FieldReader::u8() {
  return take<uint8_t>();
}
uint16_t FieldReader::u16() {
  return take<uint16_t>();
}
uint32_t FieldReader::u32() {
  return take<uint32_t>();
}
uint64_t FieldReader::u64() {
  return take<uint64_t>();
}

std::string FieldReader::str() {
  const auto text = bytes(u16());
  return {text.begin(), text.end()};
}

std::span<const char> FieldReader::bytes(size_t size) {
  if (!ok_ || data_.size() - at_ < size) {
    ok_ = false;
    return {};
  }
  const auto part = data_.subspan(at_, size);
  at_ += size;
  return part;
}

Result<RecordHeader> RecordReader::next() {
  std::array<char, kHeaderBytes> raw;
  GODWIT_TRY(stream_.read_exact(raw.data(), raw.size()));
  FieldReader fields(raw);
  const uint32_t size = fields.u32();
  RecordHeader header;
  header.type = static_cast<Record>(fields.u8());
  header.flags = fields.u8();
  header.root = fields.u16();
  if (size > kRecordBytesMax) {
    return fail("the peer sent a file record of {} bytes, more than {}: not a file stream", size, kRecordBytesMax);
  }
  payload_.resize(size);
  if (size > 0) GODWIT_TRY(stream_.read_exact(payload_.data(), size));
  return header;
}

void put_status(RecordWriter& writer, std::string_view path, const Status& status, const Attributes& attributes) {
  writer.put_str(path);
  writer.put_u8(static_cast<uint8_t>(status.type));
  writer.put_u32(status.mode);
  writer.put_u32(status.uid);
  writer.put_u32(status.gid);
  writer.put_u64(static_cast<uint64_t>(status.mtime_ns));
  writer.put_u64(status.size);
  writer.put_u32(status.rdev_major);
  writer.put_u32(status.rdev_minor);
  writer.put_str(attributes.target);
  writer.put_u16(static_cast<uint16_t>(attributes.xattrs.size()));
  for (const auto& [name, value] : attributes.xattrs) {
    writer.put_str(name);
    writer.put_u32(static_cast<uint32_t>(value.size()));
    writer.put_raw(value.data(), value.size());
  }
}

Result<EntryRecord> parse_entry(std::span<const char> payload) {
  FieldReader fields(payload);
  EntryRecord entry;
  entry.path = fields.str();
  const uint8_t type = fields.u8();
  entry.status.mode = fields.u32();
  entry.status.uid = fields.u32();
  entry.status.gid = fields.u32();
  entry.status.mtime_ns = static_cast<int64_t>(fields.u64());
  entry.status.size = fields.u64();
  entry.status.rdev_major = fields.u32();
  entry.status.rdev_minor = fields.u32();
  entry.attributes.target = fields.str();
  const uint16_t xattrs = fields.u16();
  for (uint16_t i = 0; i < xattrs && fields.ok(); ++i) {
    std::string name = fields.str();
    const auto value = fields.bytes(fields.u32());
    entry.attributes.xattrs.emplace_back(std::move(name), std::string(value.begin(), value.end()));
  }
  if (!fields.complete()) return fail("a malformed file record");
  GODWIT_TRY(check_path(entry.path));
  const bool known = type > static_cast<uint8_t>(FileType::none) && type <= static_cast<uint8_t>(FileType::socket);
  if (!known || entry.status.mode > 07777 || xattrs > kXattrsMax || entry.status.size > INT64_MAX) {
    return fail("a file record for {} with a value out of range", shown(entry.path));
  }
  entry.status.type = static_cast<FileType>(type);
  if (entry.path.empty() && entry.status.type != FileType::directory) {
    return fail("a file record would replace the root directory");
  }
  for (const auto& [name, value] : entry.attributes.xattrs) {
    if (!carried(name, RootKind::plain) || name.find('\0') != std::string::npos) {
      return fail("a file record for {} with the extended attribute {}, which is not to be set", shown(entry.path),
                  shown(name));
    }
  }
  if (entry.status.type == FileType::symlink &&
      (entry.attributes.target.empty() || entry.attributes.target.find('\0') != std::string::npos)) {
    return fail("a symbolic link {} without a proper target", shown(entry.path));
  }
  return entry;
}

Result<> check_path(std::string_view path) {
  if (path.empty()) return {};
  if (path.size() > kPathBytesMax)
    return fail("a path of {} bytes is refused (at most {})", path.size(), kPathBytesMax);
  if (path.find('\0') != std::string_view::npos) return fail("the path {} is refused: a zero byte", shown(path));
  for (size_t at = 0; at <= path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, slash - at);
    if (name.empty() || name == "." || name == ".." || name.size() > kNameBytesMax) {
      return fail("the path {} is refused: it must be relative, without empty, \".\", \"..\" or overlong parts",
                  shown(path));
    }
    at = slash + 1;
  }
  return {};
}

std::string shown(std::string_view path) {
  std::string text = "\"";
  for (const char c : path.substr(0, 512)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '"' || c == '\\') {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text + (path.size() > 512 ? "...\"" : "\"");
}

Digest quick_check_digest(std::string_view path, const Status& status) {
  std::string text(path);
  text += '\0';
  const std::array<uint64_t, 4> numbers = {status.size, static_cast<uint64_t>(status.mtime_ns), status.mode,
                                           (uint64_t{status.uid} << 32) | status.gid};
  text.append(reinterpret_cast<const char*>(numbers.data()), sizeof numbers);
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.low64, hash.high64};
}

}  // namespace godwit::files
