// The records between FileSource and FileReceiver, and their encoding. Little-endian, no padding.
//
// Every record: u32 payload size (at most 2 MiB), u8 type, u8 flags, u16 root id; then the payload.
//   str = u16 length, bytes (no terminating zero). Paths are relative to the root, at most 4095 bytes, no empty, "." or
//   ".." component; "" is the root directory itself, allowed in `entry` of a directory only.
//
//   source -> destination
//   hello      u32 magic, u16 version, u16 count, count x (u16 root id, u8 kind, u8 1 = quick check)
//   entry      str path, u8 type, u32 mode (07777), u32 uid, u32 gid, i64 mtime ns, u64 size, u32 major, u32 minor,
//              str target (symlink), u16 count, count x (str name, u32 length, value) xattrs
//                flag fresh: make it anew, whatever is there goes; else it is there with the same type: change its
//                metadata. A directory (never fresh) is made if there is none
//                flag mount_point: only see to it that an empty directory or file is there
//              A regular file's entry opens that file for data, zero and file_end, and nothing else may come between.
//   data       u64 offset, bytes (1 byte to 64 KiB)
//   zero       u64 offset, u64 length: reads as zeros from now on (a hole)
//   file_end   u64 size: the file has this size; its metadata is applied now
//   link       str path, str existing path: path becomes a hard link of it; what was at path goes
//   remove     str path, with all below
//   pass_done  u32 pass (from 1), flag final
//
//   destination -> source
//   ready         u16 version; answers hello
//   have          n x 16 bytes: for each root with quick check, digests of the regular files that are there; of all
//                 roots together at most 1 000 000: files beyond that are sent again
//   have_end      there are no more of them
//   pass_applied  u32 pass, u64 entries, u64 bytes; answers pass_done: all of it is in place
//   failed        str message; at any time, and nothing after it
//
// Order: hello, ready, have..., have_end; then passes: entry/data/zero/file_end/link/remove..., pass_done,
// pass_applied; the pass with the flag final is the last. A directory's entry comes before what is in it, and once more
// at the end of the pass, because making its children moved its mtime.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "files/status.h"
#include "os/byte_stream.h"

namespace godwit::files {

constexpr uint32_t kWireMagic = 0x31465747;  // "GWF1"
constexpr uint16_t kWireVersion = 1;
constexpr uint32_t kBlockBytes = 64 * 1024;
constexpr uint32_t kRecordBytesMax = 2 * 1024 * 1024;
constexpr size_t kHeaderBytes = 8;

enum class Record : uint8_t {
  hello = 1,
  entry = 2,
  data = 3,
  zero = 4,
  file_end = 5,
  link = 6,
  remove = 7,
  pass_done = 8,
  ready = 32,
  have = 33,
  have_end = 34,
  pass_applied = 35,
  failed = 36,
};

constexpr uint8_t kFlagFresh = 1;
constexpr uint8_t kFlagMountPoint = 2;
constexpr uint8_t kFlagFinal = 1;

using Digest = std::array<uint64_t, 2>;

// Builds records and hands them to the stream in pieces of about 256 KiB. One thread.
class RecordWriter {
 public:
  explicit RecordWriter(os::ByteStream& stream) : stream_(stream) {}

  void begin(Record type, uint16_t root, uint8_t flags = 0);
  void put_u8(uint8_t value) { buffer_.push_back(static_cast<char>(value)); }
  void put_u16(uint16_t value) { put_raw(&value, sizeof value); }
  void put_u32(uint32_t value) { put_raw(&value, sizeof value); }
  void put_u64(uint64_t value) { put_raw(&value, sizeof value); }
  void put_str(std::string_view text);
  void put_raw(const void* data, size_t size);
  // Ends the record; sends what has gathered if it is much.
  Result<> end();
  Result<> flush();
  [[nodiscard]] uint64_t sent_bytes() const { return sent_bytes_ + buffer_.size(); }

 private:
  os::ByteStream& stream_;
  std::vector<char> buffer_;
  size_t record_ = 0;  // where the open record begins in buffer_
  uint64_t sent_bytes_ = 0;
};

// Reads a record's fields in order. A read past its end makes the reader bad and gives zeros: check ok() at the end.
class FieldReader {
 public:
  explicit FieldReader(std::span<const char> data) : data_(data) {}
  uint8_t u8();
  uint16_t u16();
  uint32_t u32();
  uint64_t u64();
  std::string str();
  std::span<const char> bytes(size_t size);
  std::span<const char> rest() { return bytes(data_.size() - at_); }
  // Nothing was read past the end, and nothing is left.
  [[nodiscard]] bool complete() const { return ok_ && at_ == data_.size(); }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  template <typename T>
  T take();
  std::span<const char> data_;
  size_t at_ = 0;
  bool ok_ = true;
};

struct RecordHeader {
  Record type{};
  uint8_t flags = 0;
  uint16_t root = 0;
};

// Receives records one at a time. One thread.
class RecordReader {
 public:
  explicit RecordReader(os::ByteStream& stream) : stream_(stream) {}
  // The payload stays valid until the next call. Error: the stream's, or a record larger than kRecordBytesMax.
  Result<RecordHeader> next();
  [[nodiscard]] std::span<const char> payload() const { return payload_; }

 private:
  os::ByteStream& stream_;
  std::vector<char> payload_;
};

void put_status(RecordWriter& writer, std::string_view path, const Status& status, const Attributes& attributes);
// Error: fields missing, an unknown type, a mode or a length out of range.
struct EntryRecord {
  std::string path;
  Status status;
  Attributes attributes;
};
Result<EntryRecord> parse_entry(std::span<const char> payload);

// Refuses what no record may carry: absolute, empty or too long components, ".", "..", a zero byte.
Result<> check_path(std::string_view path);
// For messages: the path in quotes, with unprintable bytes escaped.
std::string shown(std::string_view path);

// What quick check compares: equal digests are taken for equal files.
Digest quick_check_digest(std::string_view path, const Status& status);

}  // namespace godwit::files
