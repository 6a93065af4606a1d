#include "files/root_copier.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <iterator>

#include <xxhash.h>

#include "base/log.h"

namespace godwit::files {
namespace {

constexpr int kSettlingRoundsMax = 16;

std::unexpected<Error> at(const std::string& root, const std::string& path, Error error) {
  return std::unexpected(std::move(error).context(fmt::format("{} in {}", shown(path), root)));
}

// By the clock that stamps files.
int64_t file_time_now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

RootCopier::RootCopier(SourceRoot root, const SourceOptions& options, RootDirectory directory)
    : root_(std::move(root)),
      entries_max_(options.entries_max),
      directory_(std::move(directory)),
      begin_ns_(file_time_now_ns()) {}

Result<std::unique_ptr<RootCopier>> RootCopier::open(const SourceRoot& root, const SourceOptions& options) {
  GODWIT_ASSIGN(RootDirectory directory, open_root(root.path));
  std::unique_ptr<RootCopier> copier(new RootCopier(root, options, std::move(directory)));
  GODWIT_ASSIGN(copier->handle_mount_, open_directory(copier->directory_.fd.get(), "", O_RDONLY));
  return copier;
}

void RootCopier::choose_backend(FileWatcher* watcher, const Result<>& overlay_probe) {
  if (root_.kind == RootKind::overlay_upper && !overlay_probe) return use_walk(overlay_probe.error().message);
  auto watched = watcher->watch_directory(root_.id, "", directory_.fd.get());
  if (watched) watched = watcher->probe_root(root_.id, directory_.fd.get());
  if (!watched) return use_walk(watched.error().message);
  watcher_ = watcher;
}

void RootCopier::use_walk(std::string reason) {
  watcher_ = nullptr;
  walk_reason_ = std::move(reason);
  log_info("files in {} are found by comparing all of them: {}", root_.path, walk_reason_);
}

void RootCopier::set_present(std::vector<Digest> digests) {
  present_ = std::move(digests);
  std::ranges::sort(present_);
}

bool RootCopier::present_at_destination(const Target& target) const {
  return !present_.empty() && std::ranges::binary_search(present_, quick_check_digest(target.path, target.status));
}

Result<Status> RootCopier::status_of(int directory, const std::string& name, Pass& pass) const {
  ++pass.stats.paths_examined;
  return read_status(directory, name, directory_.mount_id);
}

// --- finding what has changed ---

Result<> RootCopier::copy_all(Pass& pass) {
  ++pass.stats.roots_walked;
  work_.emplace_back();
  return run_work(pass);
}

Result<> RootCopier::copy_all_thoroughly(Pass& pass) {
  thorough_ = true;
  auto copied = copy_all(pass);
  thorough_ = false;
  return copied;
}

void RootCopier::remember_mapped(const std::vector<FileInUse>& in_use) {
  for (const FileInUse& file : in_use) {
    if (file.mapped) mapped_.insert(file.path);
  }
}

bool RootCopier::must_compare_content(const Target& target) const {
  if (thorough_ && (target.status.ctime_ns >= begin_ns_ || mapped_.contains(target.path))) return true;
  return std::ranges::any_of(nameless_files_, [&](const FileInUse& file) {
    return file.size == target.status.size && file.mtime_ns == target.status.mtime_ns &&
           file.ctime_ns == target.status.ctime_ns;
  });
}

Result<> RootCopier::copy_dirty(const DirtyPaths& dirty, Pass& pass) {
  if (dirty.everything) return copy_all_thoroughly(pass);
  // First learn which inodes have come to a new path, so that a file that was moved is linked at the destination before
  // its old name goes.
  for (const auto& [path, change] : dirty.paths) {
    if (path.empty()) continue;
    auto parent = open_parent(path, O_PATH);
    if (!parent) {
      if (means_gone(parent.error().code)) continue;
      return at(root_.path, path, std::move(parent).error());
    }
    const std::string name(base_name(path));
    auto status = status_of(parent->fd.get(), name, pass);
    if (!status) return at(root_.path, path, std::move(status).error());
    note_arrival(parent->entry, name, *status);
    subtree_arrived_ = subtree_arrived_ || change.subtree;
  }
  for (const auto& [path, change] : dirty.paths) {
    GODWIT_TRY(examine_path(path, {.subtree = change.subtree, .compare_content = change.closed}, pass));
  }
  GODWIT_TRY(run_work(pass));
  return copy_written_objects(dirty, pass);
}

// The inode behind a handle, if the manifest has it. Not every file system finds files by handle (overlayfs does not);
// nor does a file that is deleted.
InodeId RootCopier::find_object(const FileHandle& handle) const {
  alignas(8) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> raw{};
  auto* wanted = reinterpret_cast<file_handle*>(raw.data());
  if (handle.bytes.size() > MAX_HANDLE_SZ) return kNone;
  wanted->handle_bytes = static_cast<unsigned>(handle.bytes.size());
  wanted->handle_type = handle.type;
  std::memcpy(wanted->f_handle, handle.bytes.data(), handle.bytes.size());
  const UniqueFd fd(::open_by_handle_at(handle_mount_.get(), wanted, O_PATH | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return kNone;
  return manifest_.find_inode(info.st_dev, info.st_ino);
}

// Files that were written to by a name that is gone, but have another.
Result<> RootCopier::copy_written_objects(const DirtyPaths& dirty, Pass& pass) {
  for (const auto& [handle, change] : dirty.objects) {
    const InodeId inode = find_object(handle);
    if (inode == kNone) continue;
    const std::string path = manifest_.path(manifest_.name_of(inode));
    if (dirty.paths.contains(path)) continue;  // examined already
    GODWIT_TRY(examine_path(path, {.compare_content = change.closed}, pass));
  }
  return run_work(pass);
}

Result<> RootCopier::copy_in_use(std::span<const FileInUse> files, Pass& pass) {
  bool any_nameless = false;
  for (const FileInUse& file : files) {
    any_nameless = any_nameless || file.nameless;
    if (!file.nameless) GODWIT_TRY(examine_path(file.path, {.compare_content = file.mapped}, pass));
  }
  GODWIT_TRY(run_work(pass));
  if (!any_nameless) return {};
  // Rare enough to look at the whole tree: they are known by their status only (an overlay shows other inode numbers
  // than its upperdir).
  nameless_files_.clear();
  std::ranges::copy_if(files, std::back_inserter(nameless_files_), &FileInUse::nameless);
  auto copied = copy_all(pass);
  nameless_files_.clear();
  return copied;
}

Result<> RootCopier::run_work(Pass& pass) {
  while (!work_.empty()) {
    if (pass.deadline.expired()) return fail("the deadline has passed while files in {} were copied", root_.path);
    const std::string path = std::move(work_.back());
    work_.pop_back();
    GODWIT_TRY(list(path, pass));
  }
  return {};
}

// Opens a directory that the manifest has, watches it and reads its names. An empty fd: it is not there any more.
Result<RootCopier::Listing> RootCopier::read_directory(const std::string& path, Pass& pass) {
  Listing listing{.directory = {.entry = manifest_.find(path), .path = path}};
  auto fd = open_directory(directory_.fd.get(), path, O_RDONLY);
  if (!fd && !means_gone(fd.error().code)) return std::unexpected(std::move(fd).error());
  if (!fd || listing.directory.entry == kNone) return listing;
  GODWIT_ASSIGN(const Status status, status_of(fd->get(), "", pass));
  const Inode& inode = manifest_.inode(listing.directory.entry);
  if (listing.directory.entry != Manifest::root() && (inode.number != status.inode || inode.device != status.device)) {
    return listing;  // another one took its place: examined when its turn comes
  }
  if (watcher_ != nullptr) {
    // Before reading it: what comes after the reading raises an event.
    if (auto watched = watcher_->watch_directory(root_.id, path, fd->get()); !watched) {
      use_walk(watched.error().message);
    }
  }
  GODWIT_ASSIGN(UniqueFd reading, open_directory(fd->get(), "", O_RDONLY));
  GODWIT_ASSIGN(listing.names, list_names(std::move(reading)));
  ++pass.stats.directories_listed;
  listing.directory.fd = std::move(*fd);
  return listing;
}

// Examines everything in a directory, and what the manifest has beyond that.
Result<> RootCopier::list(const std::string& path, Pass& pass) {
  auto read = read_directory(path, pass);
  if (!read) return at(root_.path, path, std::move(read).error());
  const auto& [directory, names] = *read;
  if (!directory.fd) {
    ++pass.stats.vanished;
    return {};
  }
  if (path.empty()) touched_.insert("");
  std::vector<Status> statuses;
  statuses.reserve(names.size());
  const bool known = !manifest_.children(directory.entry).empty();
  for (const std::string& name : names) {
    auto status = status_of(directory.fd.get(), name, pass);
    if (!status) return at(root_.path, join_path(path, name), std::move(status).error());
    if (known) note_arrival(directory.entry, name, *status);
    statuses.push_back(*status);
  }
  std::vector<EntryId> missing;
  for (const EntryId child : manifest_.children(directory.entry)) {
    if (!std::ranges::binary_search(names, manifest_.name(child))) missing.push_back(child);
  }
  for (const EntryId entry : missing) GODWIT_TRY(gone(entry, pass));
  for (size_t i = 0; i < names.size(); ++i)
    GODWIT_TRY(examine(directory, names[i], statuses[i], {.subtree = true}, pass));
  return {};
}

void RootCopier::note_arrival(EntryId directory, const std::string& name, const Status& status) {
  if (status.type == FileType::none) return;
  const EntryId entry = manifest_.child(directory, name);
  if (entry == kNone || manifest_.inode(entry).number != status.inode) arrived_.insert(status.inode);
}

// Error code as of open_directory(); ENOENT too if the manifest does not have the parent: then its own arrival is still
// to be handled, and that takes in all that is below.
Result<RootCopier::Directory> RootCopier::open_parent(const std::string& path, int flags) {
  Directory parent{.path = std::string(parent_path(path))};
  parent.entry = manifest_.find(parent.path);
  if (parent.entry == kNone || !manifest_.is_directory(parent.entry)) {
    return std::unexpected(Error{"its directory is not known", ENOENT});
  }
  GODWIT_ASSIGN(parent.fd, open_directory(directory_.fd.get(), parent.path, flags));
  return parent;
}

Result<> RootCopier::examine_path(const std::string& path, Want want, Pass& pass) {
  if (pass.deadline.expired()) return fail("the deadline has passed while files in {} were copied", root_.path);
  if (path.empty()) {
    touched_.insert("");
    return {};
  }
  auto parent = open_parent(path, O_PATH);
  if (!parent) {
    // Without its directory it is gone with that, or has come with that: the directory's own event says so.
    if (means_gone(parent.error().code)) return {};
    return at(root_.path, path, std::move(parent).error());
  }
  const std::string name(base_name(path));
  auto status = status_of(parent->fd.get(), name, pass);
  if (!status) return at(root_.path, path, std::move(status).error());
  return examine(*parent, name, *status, want, pass);
}

Result<> RootCopier::examine(const Directory& directory, const std::string& name, const Status& status, Want want,
                             Pass& pass) {
  Target target{.directory = directory,
                .name = name,
                .path = join_path(directory.path, name),
                .entry = manifest_.child(directory.entry, name),
                .status = status};
  auto copied = copy(target, want, pass);
  if (!copied) return at(root_.path, target.path, std::move(copied).error());
  return {};
}

Result<> RootCopier::copy(Target& target, Want want, Pass& pass) {
  GODWIT_TRY(check_path(target.path));
  if (target.status.type == FileType::none) {
    if (target.entry != kNone) return gone(target.entry, pass);
    touched_.insert(target.directory.path);  // it came and went, and the times of its directory are others now
    return {};
  }
  if (target.status.mount_point) return copy_placeholder(target, pass);
  if (target.entry != kNone) {
    const Inode& inode = manifest_.inode(target.entry);
    target.same = !inode.placeholder && inode.type == target.status.type && inode.number == target.status.inode &&
                  inode.device == target.status.device;
    if (!target.same) {
      if (may_have_moved(target.entry)) {  // first let the old file arrive at its new place
        put_off_.push_back(target.path);
        return {};
      }
      GODWIT_TRY(forget(target, pass));
    }
  }
  switch (target.status.type) {
    case FileType::directory:
      return copy_directory(target, want, pass);
    case FileType::regular:
      return copy_file(target, want, pass);
    default:
      return copy_node(target, pass);
  }
}

// --- what is gone ---

// True if an inode that is new at some path may be this one, or lie below it.
bool RootCopier::may_have_moved(EntryId entry) const {
  if (settling_) return false;
  return subtree_arrived_ || arrived_.contains(manifest_.inode(entry).number) ||
         (manifest_.is_directory(entry) && !arrived_.empty());
}

Result<> RootCopier::gone(EntryId entry, Pass& pass) {
  if (!may_have_moved(entry)) return remove(entry, pass);
  put_off_.push_back(manifest_.path(entry));
  return {};
}

Result<> RootCopier::remove(EntryId entry, Pass& pass) {
  const std::string path = manifest_.path(entry);
  pass.out.begin(Record::remove, root_.id);
  pass.out.put_str(path);
  GODWIT_TRY(pass.out.end());
  ++pass.stats.entries_removed;
  touched_.emplace(parent_path(path));
  manifest_.remove(entry);
  return {};
}

// Something else is at the target's path now.
Result<> RootCopier::forget(Target& target, Pass& pass) {
  GODWIT_TRY(remove(target.entry, pass));
  target.entry = kNone;
  target.same = false;
  return {};
}

// --- what is there ---

// Opens the target with O_PATH and brings its status up to date. Not valid if it is another file by now.
Result<UniqueFd> RootCopier::open_checked(Target& target, Pass& pass) {
  UniqueFd fd(::openat(target.directory.fd.get(), target.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && !means_gone(errno)) return fail_errno("open");
  if (fd) {
    GODWIT_ASSIGN(const Status status, read_status(fd.get(), "", directory_.mount_id));
    const bool is_same = status.type == target.status.type && status.inode == target.status.inode &&
                         status.device == target.status.device && !status.mount_point;
    target.status = status;
    if (is_same) return fd;
  }
  ++pass.stats.vanished;
  return UniqueFd();
}

Result<> RootCopier::send_entry(const Target& target, const Attributes& attributes, uint8_t flags, Pass& pass) {
  pass.out.begin(Record::entry, root_.id, flags);
  put_status(pass.out, target.path, target.status, attributes);
  ++pass.stats.entries_sent;
  return pass.out.end();
}

Result<> RootCopier::check_entry_limit() const {
  if (manifest_.entry_count() < entries_max_) return {};
  return fail("more than {} files and directories in one tree: raise the limit or make them fewer", entries_max_);
}

// The destination has the target now: so says the manifest.
Result<> RootCopier::record(Target& target) {
  if (target.entry != kNone) {
    manifest_.update(target.entry, target.status);
    return {};
  }
  GODWIT_TRY(check_entry_limit());
  target.entry = manifest_.add(target.directory.entry, target.name, target.status);
  touched_.insert(target.directory.path);
  return {};
}

Result<> RootCopier::send_directory_metadata(const std::string& path, Pass& pass) {
  const EntryId entry = manifest_.find(path);
  auto fd = open_directory(directory_.fd.get(), path, O_PATH);
  if (!fd && !means_gone(fd.error().code)) return std::unexpected(std::move(fd).error());
  if (!fd || entry == kNone || !manifest_.is_directory(entry)) return {};
  const Directory parent{};
  const std::string name;
  Target target{.directory = parent, .name = name, .path = path, .entry = entry};
  GODWIT_ASSIGN(target.status, status_of(fd->get(), "", pass));
  const Inode& inode = manifest_.inode(entry);
  if (entry != Manifest::root() && (inode.number != target.status.inode || inode.device != target.status.device)) {
    return {};  // another directory took its place: its own event will tell
  }
  GODWIT_ASSIGN(const Attributes attributes, read_attributes(fd->get(), FileType::directory, root_.kind));
  GODWIT_TRY(send_entry(target, attributes, 0, pass));
  manifest_.update(entry, target.status);
  return {};
}

// Examines what was put off. A path goes on waiting while its old file is still to arrive at another of these paths
// (log rotation: log -> log.1 -> log.2), except where nothing else moves any more (two files that changed places).
Result<> RootCopier::settle(Pass& pass) {
  bool stuck = false;
  for (int round = 0; !put_off_.empty(); ++round) {
    const std::vector<std::string> paths = std::exchange(put_off_, {});
    arrived_.clear();
    subtree_arrived_ = false;
    settling_ = stuck || round >= kSettlingRoundsMax;
    for (const std::string& path : paths) {
      auto parent = open_parent(path, O_PATH);
      if (!parent) continue;  // told by examine_path below
      const std::string name(base_name(path));
      auto status = status_of(parent->fd.get(), name, pass);
      if (!status) return at(root_.path, path, std::move(status).error());
      note_arrival(parent->entry, name, *status);
    }
    for (const std::string& path : paths) GODWIT_TRY(examine_path(path, {}, pass));
    GODWIT_TRY(run_work(pass));
    stuck = put_off_.size() >= paths.size();
  }
  settling_ = false;
  arrived_.clear();
  subtree_arrived_ = false;
  return {};
}

Result<> RootCopier::finish(Pass& pass) {
  GODWIT_TRY(settle(pass));
  for (const std::string& path : std::exchange(touched_, {})) {
    auto sent = send_directory_metadata(path, pass);
    if (!sent) return at(root_.path, path, std::move(sent).error());
  }
  return {};
}

}  // namespace godwit::files
