#include "files/receiver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/deadline.h"
#include "base/log.h"
#include "files/root_writer.h"
#include "files/wire.h"

namespace godwit::files {
namespace {

constexpr size_t kDigestsPerRecord = 4096;
constexpr size_t kMessageBytesMax = 2000;

struct Root {
  RootWriter writer;
  bool announced = false;  // named in the source's hello
  bool quick_check = false;
};

class Receiver final : public FileReceiver {
 public:
  Receiver(std::map<uint16_t, Root> roots, const ReceiverOptions& options, os::ByteStream& stream)
      : options_(options),
        bytes_left_(options.limit_bytes),
        roots_(std::move(roots)),
        reader_(stream),
        writer_(stream) {}

  Result<AppliedPass> receive_pass() override;

 private:
  Result<> greet();
  Result<> send_present_files(uint16_t id, const Root& root, size_t& left);
  Result<AppliedPass> apply_pass();
  Result<> apply(const RecordHeader& header);
  Result<> apply_entry(Root& root, const RecordHeader& header);
  Result<> apply_data(FieldReader& fields);
  Result<> apply_zero(FieldReader& fields);
  Result<> apply_file_end(FieldReader& fields);
  Result<> apply_link(Root& root, FieldReader& fields);
  Result<> apply_remove(Root& root, FieldReader& fields);
  Result<> acknowledge(const RecordHeader& header);
  Result<> count_entry(Root& root, const std::string& path);
  [[nodiscard]] std::unexpected<Error> file_error(const char* doing) const;

  // The regular file between its entry and file_end.
  struct OpenFile {
    UniqueFd fd;
    uint16_t root = 0;
    EntryRecord entry;
  };
  const ReceiverOptions options_;
  uint64_t bytes_left_;
  std::map<uint16_t, Root> roots_;
  RecordReader reader_;
  RecordWriter writer_;
  bool greeted_ = false;
  bool failed_ = false;
  uint32_t passes_ = 0;
  OpenFile file_;
  AppliedPass pass_;
};

Result<AppliedPass> Receiver::receive_pass() {
  if (failed_) return fail("the copy of files has failed before");
  auto applied = apply_pass();
  if (applied) return applied;
  failed_ = true;
  // The source hears the reason if it still can; what matters more is our own return.
  writer_.begin(Record::failed, 0);
  writer_.put_str(std::string_view(applied.error().message).substr(0, kMessageBytesMax));
  if (auto told = writer_.end(); told) told = writer_.flush();
  return applied;
}

Result<AppliedPass> Receiver::apply_pass() {
  if (!greeted_) GODWIT_TRY(greet());
  pass_ = {};
  pass_.pass = ++passes_;
  auto start = Clock::time_point::max();
  for (;;) {
    GODWIT_ASSIGN(const RecordHeader header, reader_.next());
    if (start == Clock::time_point::max()) start = Clock::now();
    if (header.type == Record::pass_done) {
      GODWIT_TRY(acknowledge(header));
      pass_.seconds = elapsed_ms(start) / 1000;
      return pass_;
    }
    GODWIT_TRY(apply(header));
  }
}

Result<> Receiver::greet() {
  GODWIT_ASSIGN(const RecordHeader header, reader_.next());
  FieldReader fields(reader_.payload());
  const bool is_hello = header.type == Record::hello && fields.u32() == kWireMagic;
  const uint16_t version = fields.u16();
  if (!is_hello || !fields.ok()) return fail("the peer does not speak the file protocol");
  if (version != kWireVersion) {
    return fail("the source speaks version {} of the file protocol, this side {}: install the same release on both",
                version, kWireVersion);
  }
  const uint16_t count = fields.u16();
  for (uint16_t i = 0; i < count && fields.ok(); ++i) {
    const uint16_t id = fields.u16();
    const uint8_t kind = fields.u8();
    const uint8_t quick_check = fields.u8();
    const auto root = roots_.find(id);
    if (root == roots_.end() || root->second.announced || kind > static_cast<uint8_t>(RootKind::tmpfs)) {
      return fail("the source announces the file tree {}, which was not prepared here", id);
    }
    root->second.announced = true;
    root->second.quick_check = quick_check != 0;
  }
  if (!fields.complete()) return fail("a malformed hello of the file protocol");
  writer_.begin(Record::ready, 0);
  writer_.put_u16(kWireVersion);
  GODWIT_TRY(writer_.end());
  size_t left = options_.present_files_max;
  for (const auto& [id, root] : roots_) {
    if (root.quick_check) GODWIT_TRY(send_present_files(id, root, left));
  }
  writer_.begin(Record::have_end, 0);
  GODWIT_TRY(writer_.end());
  greeted_ = true;
  return writer_.flush();
}

// `left`: how many may still be told.
Result<> Receiver::send_present_files(uint16_t id, const Root& root, size_t& left) {
  GODWIT_ASSIGN(const std::vector<Digest> digests, root.writer.present_files(left));
  left -= digests.size();
  for (size_t at = 0; at < digests.size(); at += kDigestsPerRecord) {
    writer_.begin(Record::have, id);
    writer_.put_raw(&digests[at], std::min(kDigestsPerRecord, digests.size() - at) * sizeof(Digest));
    GODWIT_TRY(writer_.end());
  }
  return {};
}

Result<> Receiver::apply(const RecordHeader& header) {
  const auto found = roots_.find(header.root);
  if (found == roots_.end() || !found->second.announced)
    return fail("a file record for the unknown tree {}", header.root);
  Root& root = found->second;
  const bool of_file = header.type == Record::data || header.type == Record::zero || header.type == Record::file_end;
  if (of_file != file_.fd.valid() || (of_file && file_.root != header.root)) {
    return fail("a file record of type {} out of place", static_cast<int>(header.type));
  }
  FieldReader fields(reader_.payload());
  switch (header.type) {
    case Record::entry:
      return apply_entry(root, header);
    case Record::data:
      return apply_data(fields);
    case Record::zero:
      return apply_zero(fields);
    case Record::file_end:
      return apply_file_end(fields);
    case Record::link:
      return apply_link(root, fields);
    case Record::remove:
      return apply_remove(root, fields);
    default:
      return fail("a file record of the unknown type {}", static_cast<int>(header.type));
  }
}

Result<> Receiver::count_entry(Root& root, const std::string& path) {
  if (++pass_.entries > options_.entries_max) {
    return fail("the source sends more than {} files in one pass", options_.entries_max);
  }
  if (root.quick_check && pass_.pass == 1) root.writer.mention(path);
  return {};
}

Result<> Receiver::apply_entry(Root& root, const RecordHeader& header) {
  GODWIT_ASSIGN(EntryRecord entry, parse_entry(reader_.payload()));
  GODWIT_TRY(count_entry(root, entry.path));
  const bool fresh = (header.flags & kFlagFresh) != 0;
  if ((header.flags & kFlagMountPoint) != 0 && !entry.path.empty()) {
    return root.writer.make_placeholder(entry.path, entry.status.type);
  }
  if (entry.status.type != FileType::regular) return root.writer.make_entry(entry, fresh);
  GODWIT_ASSIGN(file_.fd, root.writer.open_file(entry.path, fresh));
  file_.root = header.root;
  file_.entry = std::move(entry);
  return {};
}

std::unexpected<Error> Receiver::file_error(const char* doing) const {
  const int code = errno;
  auto error = fail_errno("{} {}", doing, shown(file_.entry.path));
  if (code == ENOSPC || code == EDQUOT)
    error.error().message += " at the destination: give it more space and try again";
  return error;
}

Result<> Receiver::apply_data(FieldReader& fields) {
  const uint64_t offset = fields.u64();
  const auto bytes = fields.rest();
  if (!fields.complete() || bytes.empty() || bytes.size() > kBlockBytes || offset > INT64_MAX - kBlockBytes) {
    return fail("a malformed data record for {}", shown(file_.entry.path));
  }
  if (bytes.size() > bytes_left_) {
    return fail("the container's files exceed the destination's limit of {} bytes", options_.limit_bytes);
  }
  bytes_left_ -= bytes.size();
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote =
        ::pwrite(file_.fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return file_error("write");
    done += static_cast<size_t>(wrote);
  }
  pass_.bytes += bytes.size();
  return {};
}

Result<> Receiver::apply_zero(FieldReader& fields) {
  const uint64_t offset = fields.u64();
  const uint64_t length = fields.u64();
  if (!fields.complete() || offset > INT64_MAX || length > INT64_MAX - offset || length == 0) {
    return fail("a malformed zero record for {}", shown(file_.entry.path));
  }
  struct stat info{};
  if (::fstat(file_.fd.get(), &info) != 0) return file_error("stat");
  const auto size = static_cast<uint64_t>(info.st_size);
  if (offset >= size) return {};  // beyond the end it reads as zeros once the file grows
  const uint64_t end = std::min(offset + length, size);
  if (::fallocate(file_.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(end - offset)) == 0) {
    return {};
  }
  if (errno != EOPNOTSUPP) return file_error("punch a hole into");
  const std::vector<char> zeros(kBlockBytes);
  for (uint64_t at = offset; at < end;) {
    const ssize_t wrote =
        ::pwrite(file_.fd.get(), zeros.data(), std::min<uint64_t>(zeros.size(), end - at), static_cast<off_t>(at));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return file_error("write");
    at += static_cast<uint64_t>(wrote);
  }
  return {};
}

Result<> Receiver::apply_file_end(FieldReader& fields) {
  const uint64_t size = fields.u64();
  if (!fields.complete() || size > INT64_MAX) return fail("a malformed end of {}", shown(file_.entry.path));
  struct stat info{};
  if (::fstat(file_.fd.get(), &info) != 0) return file_error("stat");
  // An equal size is left alone: a file that quick check took for equal keeps what else truncation would change.
  if (static_cast<uint64_t>(info.st_size) != size && ::ftruncate(file_.fd.get(), static_cast<off_t>(size)) != 0) {
    return file_error("set the size of");
  }
  GODWIT_TRY(roots_.at(file_.root).writer.set_metadata(file_.fd.get(), file_.entry));
  file_ = {};
  return {};
}

Result<> Receiver::apply_link(Root& root, FieldReader& fields) {
  const std::string path = fields.str();
  const std::string existing = fields.str();
  if (!fields.complete() || path.empty() || existing.empty() || path == existing)
    return fail("a malformed link record");
  GODWIT_TRY(check_path(path));
  GODWIT_TRY(check_path(existing));
  GODWIT_TRY(count_entry(root, path));
  return root.writer.link(path, existing);
}

Result<> Receiver::apply_remove(Root& root, FieldReader& fields) {
  const std::string path = fields.str();
  if (!fields.complete() || path.empty()) return fail("a malformed remove record");
  GODWIT_TRY(check_path(path));
  ++pass_.removed;
  return root.writer.remove(path);
}

Result<> Receiver::acknowledge(const RecordHeader& header) {
  FieldReader fields(reader_.payload());
  const uint32_t pass = fields.u32();
  if (!fields.complete() || pass != pass_.pass || file_.fd) return fail("a file pass that ends out of place");
  if (pass == 1) {
    for (auto& [id, root] : roots_) {
      if (root.quick_check) GODWIT_TRY(root.writer.remove_unmentioned());
    }
  }
  pass_.final = (header.flags & kFlagFinal) != 0;
  writer_.begin(Record::pass_applied, 0);
  writer_.put_u32(pass);
  writer_.put_u64(pass_.entries);
  writer_.put_u64(pass_.bytes);
  GODWIT_TRY(writer_.end());
  return writer_.flush();
}

}  // namespace

Result<std::unique_ptr<FileReceiver>> FileReceiver::open(const std::vector<DestinationRoot>& roots,
                                                         const ReceiverOptions& options, os::ByteStream& stream) {
  std::map<uint16_t, Root> opened;
  for (const DestinationRoot& root : roots) {
    GODWIT_ASSIGN(RootWriter writer, RootWriter::open(root));
    if (!opened.emplace(root.id, Root{std::move(writer)}).second) return fail("two file trees have the id {}", root.id);
  }
  return std::make_unique<Receiver>(std::move(opened), options, stream);
}

}  // namespace godwit::files
