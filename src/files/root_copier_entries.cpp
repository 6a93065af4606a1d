// How one entry of a tree is copied, by its type.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include <xxhash.h>

#include "base/log.h"
#include "files/root_copier.h"

namespace godwit::files {
namespace {

// What makes a symbolic link or a device another one, though it may have the inode number of one that was deleted.
uint64_t node_identity(const Status& status, const Attributes& attributes) {
  const uint64_t device = (uint64_t{status.rdev_major} << 32) | status.rdev_minor;
  return XXH3_64bits_withSeed(attributes.target.data(), attributes.target.size(), device);
}

bool unchanged(const Inode& inode, const Status& status) {
  return !inode.racy && inode.size == status.size && inode.mtime_ns == status.mtime_ns &&
         inode.ctime_ns == status.ctime_ns;
}

}  // namespace

Result<> RootCopier::copy_directory(Target& target, Want want, Pass& pass) {
  if (!target.same) {
    GODWIT_ASSIGN(const UniqueFd fd, open_checked(target, pass));
    if (!fd) return {};
    GODWIT_ASSIGN(const Attributes attributes, read_attributes(fd.get(), FileType::directory, root_.kind));
    GODWIT_TRY(send_entry(target, attributes, 0, pass));
    GODWIT_TRY(record(target));
    touched_.insert(target.path);
    work_.push_back(target.path);
    return {};
  }
  if (!unchanged(manifest_.inode(target.entry), target.status)) touched_.insert(target.path);
  if (want.subtree) work_.push_back(target.path);
  return {};
}

// A name has come to an inode that the destination has under another name: a hard link, or a moved file, whose old name
// will go. Should it be a new file with the number of a deleted one: a regular file's blocks are compared anyway, of
// anything else `identity` (see Inode::first_hash) must be equal.
Result<> RootCopier::link_known_inode(Target& target, uint64_t identity, Pass& pass) {
  if (target.entry != kNone || target.status.whiteout()) return {};
  const InodeId inode = manifest_.find_inode(target.status.device, target.status.inode);
  if (inode == kNone) return {};
  const EntryId existing = manifest_.name_of(inode);
  const Inode& known = manifest_.inode(existing);
  if (known.type != target.status.type) return {};
  if (known.type != FileType::regular && known.first_hash != identity) return {};
  GODWIT_TRY(check_entry_limit());
  pass.out.begin(Record::link, root_.id);
  pass.out.put_str(target.path);
  pass.out.put_str(manifest_.path(existing));
  GODWIT_TRY(pass.out.end());
  ++pass.stats.entries_sent;
  target.entry = manifest_.add_link(target.directory.entry, target.name, inode);
  touched_.insert(target.directory.path);
  target.same = true;
  return {};
}

Result<> RootCopier::copy_file(Target& target, Want want, Pass& pass) {
  const bool compare = want.compare_content || must_compare_content(target);
  if (target.same && !compare && unchanged(manifest_.inode(target.entry), target.status)) return {};
  GODWIT_ASSIGN(const UniqueFd fd, open_checked(target, pass));
  if (!fd) return {};
  GODWIT_TRY(link_known_inode(target, 0, pass));
  GODWIT_ASSIGN(const Attributes attributes, read_attributes(fd.get(), FileType::regular, root_.kind));
  const bool skip_content = !target.same && present_at_destination(target);
  const bool fresh = !target.same && !skip_content;
  GODWIT_TRY(send_entry(target, attributes, fresh ? kFlagFresh : 0, pass));
  GODWIT_TRY(record(target));
  uint64_t size = target.status.size;
  if (!skip_content) {
    const std::string self = fmt::format("/proc/self/fd/{}", fd.get());
    UniqueFd reading(::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NOATIME));
    if (!reading && errno == EPERM) reading.reset(::open(self.c_str(), O_RDONLY | O_CLOEXEC));
    if (!reading) return fail_errno("open for reading");
    ++pass.stats.files_read;
    GODWIT_ASSIGN(size,
                  send_content(reading.get(), size, fresh, root_.id, manifest_.inode(target.entry), pass, buffer_));
    if (size != target.status.size) ++pass.stats.vanished;
  }
  pass.out.begin(Record::file_end, root_.id);
  pass.out.put_u64(size);
  return pass.out.end();
}

// Symbolic links, devices, fifos, sockets.
Result<> RootCopier::copy_node(Target& target, Pass& pass) {
  // Overlayfs links whiteouts to one another, which moves the ctime of them all and means nothing.
  if (target.same && (target.status.whiteout() || unchanged(manifest_.inode(target.entry), target.status))) return {};
  GODWIT_ASSIGN(const UniqueFd fd, open_checked(target, pass));
  if (!fd) return {};
  GODWIT_ASSIGN(const Attributes attributes, read_attributes(fd.get(), target.status.type, root_.kind));
  const uint64_t identity = node_identity(target.status, attributes);
  if (target.same && manifest_.inode(target.entry).first_hash != identity) GODWIT_TRY(forget(target, pass));
  GODWIT_TRY(link_known_inode(target, identity, pass));
  GODWIT_TRY(send_entry(target, attributes, target.same ? 0 : kFlagFresh, pass));
  GODWIT_TRY(record(target));
  manifest_.inode(target.entry).first_hash = identity;
  return {};
}

Result<> RootCopier::copy_placeholder(Target& target, Pass& pass) {
  const FileType type = target.status.type == FileType::directory ? FileType::directory : FileType::regular;
  if (target.entry != kNone) {
    const Inode& inode = manifest_.inode(target.entry);
    if (inode.placeholder && inode.type == type) return {};
    manifest_.remove(target.entry);
    target.entry = kNone;
  }
  target.status.type = type;
  target.status.size = 0;
  target.status.device = 0;  // nothing in this root: not to be found as a hard link
  target.status.inode = 0;
  GODWIT_TRY(send_entry(target, {}, kFlagMountPoint, pass));
  GODWIT_TRY(record(target));
  manifest_.inode(target.entry).placeholder = true;
  return {};
}

// --- the end of a pass ---

}  // namespace godwit::files
