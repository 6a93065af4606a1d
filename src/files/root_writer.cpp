#include "files/root_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <xxhash.h>

namespace godwit::files {
namespace {

std::string magic_link(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

std::array<timespec, 2> mtime_only(int64_t mtime_ns) {
  constexpr int64_t second_ns = 1'000'000'000;
  int64_t seconds = mtime_ns / second_ns;
  int64_t rest = mtime_ns % second_ns;
  if (rest < 0) {  // before 1970
    rest += second_ns;
    --seconds;
  }
  return {{{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = rest}}};
}

Digest path_digest(std::string_view path) {
  const XXH128_hash_t hash = XXH3_128bits(path.data(), path.size());
  return {hash.low64, hash.high64};
}

Result<> remove_other_xattrs(const std::string& path, const Attributes& attributes) {
  std::string names(65536, '\0');
  const ssize_t size = ::listxattr(path.c_str(), names.data(), names.size());
  if (size < 0 && errno != EOPNOTSUPP) return fail_errno("list extended attributes");
  for (ssize_t at = 0; at < size;) {
    const std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    // The node's own label policy is not the stream's business.
    if (!carried(name, RootKind::plain) || name == "security.selinux") continue;
    const bool wanted = std::ranges::any_of(attributes.xattrs, [&](const auto& xattr) { return xattr.first == name; });
    if (!wanted && ::removexattr(path.c_str(), name.c_str()) != 0 && errno != ENODATA) {
      return fail_errno("remove the extended attribute {}", name);
    }
  }
  return {};
}

}  // namespace

RootWriter::RootWriter(const DestinationRoot& root, RootDirectory directory)
    : root_(root), directory_(std::move(directory)) {}

Result<RootWriter> RootWriter::open(const DestinationRoot& root) {
  GODWIT_ASSIGN(RootDirectory directory, open_root(root.path));
  return RootWriter(root, std::move(directory));
}

std::unexpected<Error> RootWriter::refused(const std::string& path, Error error) const {
  if (error.code == ELOOP || error.code == EXDEV || error.code == ENOTDIR) {
    return fail(
        "{} in {} is refused: it leads through a symbolic link, another mount or something that is no directory",
        shown(path), root_.path);
  }
  return std::unexpected(std::move(error).context(fmt::format("{} in {}", shown(path), root_.path)));
}

Result<int> RootWriter::parent(const std::string& path) {
  const std::string_view directory = parent_path(path);
  if (parent_ && parent_path_ == directory) return parent_.get();
  parent_.reset();
  auto fd = open_directory(directory_.fd.get(), std::string(directory), O_PATH);
  if (!fd) return refused(path, std::move(fd).error());
  parent_ = std::move(*fd);
  parent_path_ = directory;
  return parent_.get();
}

// Runs `make`, which fails with EEXIST if something is there; then that is removed first.
template <typename Make>
Result<> RootWriter::make_name(const std::string& path, Make make) {
  GODWIT_ASSIGN(int directory, parent(path));
  const std::string name(base_name(path));
  if (make(directory, name.c_str()) == 0) return {};
  if (errno == EEXIST) {
    GODWIT_TRY(remove(path));
    GODWIT_ASSIGN(directory, parent(path));
    if (make(directory, name.c_str()) == 0) return {};
  }
  return fail_errno("make {} in {}", shown(path), root_.path);
}

Result<UniqueFd> RootWriter::open_node(int parent, const std::string& path) const {
  const std::string name(base_name(path));
  UniqueFd fd(::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail_errno("open {} in {}", shown(path), root_.path);
  return fd;
}

Result<> RootWriter::make_entry(const EntryRecord& entry, bool fresh) {
  const std::string& path = entry.path;
  const Status& status = entry.status;
  if (path.empty()) return set_metadata(directory_.fd.get(), entry);
  GODWIT_ASSIGN(int directory, parent(path));
  const std::string name(base_name(path));
  if (status.type == FileType::directory) {
    GODWIT_ASSIGN(const Status there, read_status(directory, name, directory_.mount_id));
    fresh = there.type != FileType::directory;
    if (!fresh && there.mount_point) return refused(path, Error{"a mount point", EXDEV});
  }
  if (fresh) {
    GODWIT_TRY(make_name(path, [&](int at, const char* new_name) {
      if (status.type == FileType::directory) return ::mkdirat(at, new_name, 0700);
      if (status.type == FileType::symlink) return ::symlinkat(entry.attributes.target.c_str(), at, new_name);
      return ::mknodat(at, new_name, type_to_mode(status.type) | 0600, makedev(status.rdev_major, status.rdev_minor));
    }));
    GODWIT_ASSIGN(directory, parent(path));
  }
  GODWIT_ASSIGN(const UniqueFd fd, open_node(directory, path));
  GODWIT_ASSIGN(const Status there, read_status(fd.get(), "", directory_.mount_id));
  if (there.type != status.type || there.mount_point) {
    return fail("{} in {} is refused: another kind of file is there", shown(path), root_.path);
  }
  return set_metadata(fd.get(), entry);
}

Result<> RootWriter::make_placeholder(const std::string& path, FileType type) {
  GODWIT_ASSIGN(const int directory, parent(path));
  const std::string name(base_name(path));
  if (type == FileType::directory) {
    if (::mkdirat(directory, name.c_str(), 0755) == 0 || errno == EEXIST) return {};
    return fail_errno("make {} in {}", shown(path), root_.path);
  }
  const UniqueFd fd(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd && errno != EEXIST) return fail_errno("make {} in {}", shown(path), root_.path);
  return {};
}

Result<UniqueFd> RootWriter::open_file(const std::string& path, bool fresh) {
  UniqueFd file;
  if (fresh) {
    GODWIT_TRY(make_name(path, [&](int at, const char* name) {
      file.reset(::openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      return file ? 0 : -1;
    }));
    return file;
  }
  GODWIT_ASSIGN(const int directory, parent(path));
  GODWIT_ASSIGN(const UniqueFd node, open_node(directory, path));
  GODWIT_ASSIGN(const Status there, read_status(node.get(), "", directory_.mount_id));
  if (there.type != FileType::regular || there.mount_point) {
    return fail("{} in {} is refused: no regular file is there", shown(path), root_.path);
  }
  file.reset(::open(magic_link(node.get()).c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return fail_errno("open {} in {} for writing", shown(path), root_.path);
  return file;
}

Result<> RootWriter::link(const std::string& path, const std::string& existing) {
  auto from = open_directory(directory_.fd.get(), std::string(parent_path(existing)), O_PATH);
  if (!from) return refused(existing, std::move(from).error());
  const std::string existing_name(base_name(existing));
  return make_name(path,
                   [&](int at, const char* name) { return ::linkat(from->get(), existing_name.c_str(), at, name, 0); });
}

Result<> RootWriter::remove(const std::string& path) {
  GODWIT_ASSIGN(const int directory, parent(path));
  const std::string name(base_name(path));
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return fail_errno("remove {} in {}", shown(path), root_.path);
  // Directories in the order found, so that the reverse has children first. By path, not by descriptor: the depth is
  // the stream's choice.
  std::vector<std::string> directories = {path};
  for (size_t at = 0; at < directories.size(); ++at) {
    const std::string current = directories[at];
    auto fd = open_directory(directory_.fd.get(), current, O_RDONLY);
    if (!fd) return refused(current, std::move(fd).error());
    const UniqueFd holding(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
    GODWIT_ASSIGN(const std::vector<std::string> names, list_names(std::move(*fd)));
    for (const std::string& child : names) {
      if (::unlinkat(holding.get(), child.c_str(), 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR) return fail_errno("remove {} in {}", shown(join_path(current, child)), root_.path);
      directories.push_back(join_path(current, child));
    }
  }
  parent_.reset();  // it may be one of them
  for (auto at = directories.rbegin(); at != directories.rend(); ++at) {
    GODWIT_ASSIGN(const int above, parent(*at));
    if (::unlinkat(above, std::string(base_name(*at)).c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return fail_errno("remove {} in {}", shown(*at), root_.path);
    }
    parent_.reset();
  }
  return {};
}

Result<> RootWriter::set_metadata(int fd, const EntryRecord& entry) const {
  const Status& status = entry.status;
  const std::string path = magic_link(fd);
  const auto failed = [&](const char* what) {
    return fail_errno("set the {} of {} in {}", what, shown(entry.path), root_.path);
  };
  // A change of owner clears set-user-id bits and capabilities, one of the mode follows the ACL's mask.
  if (::fchownat(fd, "", status.uid, status.gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return failed("owner");
  if (auto removed = remove_other_xattrs(path, entry.attributes); !removed) {
    return refused(entry.path, std::move(removed).error());
  }
  if (status.type != FileType::symlink && ::chmod(path.c_str(), status.mode) != 0) return failed("mode");
  for (const auto& [name, value] : entry.attributes.xattrs) {
    if (::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      return fail_errno("set the extended attribute {} of {} in {}", name, shown(entry.path), root_.path);
    }
  }
  const auto times = mtime_only(status.mtime_ns);
  if (::utimensat(AT_FDCWD, path.c_str(), times.data(), 0) != 0) return failed("mtime");
  return {};
}

// --- quick check ---

Result<std::vector<Digest>> RootWriter::present_files(size_t max) const {
  std::vector<Digest> digests;
  std::vector<std::string> directories = {""};
  while (!directories.empty()) {
    const std::string current = std::move(directories.back());
    directories.pop_back();
    GODWIT_ASSIGN(const UniqueFd fd, open_directory(directory_.fd.get(), current, O_RDONLY));
    GODWIT_ASSIGN(UniqueFd reading, open_directory(fd.get(), "", O_RDONLY));
    GODWIT_ASSIGN(const std::vector<std::string> names, list_names(std::move(reading)));
    for (const std::string& name : names) {
      GODWIT_ASSIGN(const Status status, read_status(fd.get(), name, directory_.mount_id));
      if (status.mount_point) continue;
      if (status.type == FileType::directory) directories.push_back(join_path(current, name));
      // A file with several names is sent, so that its links come out right.
      if (status.type == FileType::regular && status.links == 1) {
        if (digests.size() >= max) return digests;
        digests.push_back(quick_check_digest(join_path(current, name), status));
      }
    }
  }
  return digests;
}

void RootWriter::mention(const std::string& path) {
  mentioned_.push_back(path_digest(path));
}

Result<> RootWriter::remove_unmentioned() {
  std::ranges::sort(mentioned_);
  std::vector<std::string> directories = {""};
  while (!directories.empty()) {
    const std::string current = std::move(directories.back());
    directories.pop_back();
    GODWIT_ASSIGN(const UniqueFd fd, open_directory(directory_.fd.get(), current, O_RDONLY));
    GODWIT_ASSIGN(UniqueFd reading, open_directory(fd.get(), "", O_RDONLY));
    GODWIT_ASSIGN(const std::vector<std::string> names, list_names(std::move(reading)));
    GODWIT_ASSIGN(const Status before, read_status(fd.get(), "", directory_.mount_id));
    bool changed = false;
    for (const std::string& name : names) {
      const std::string path = join_path(current, name);
      GODWIT_ASSIGN(const Status status, read_status(fd.get(), name, directory_.mount_id));
      if (status.mount_point) continue;
      if (!std::ranges::binary_search(mentioned_, path_digest(path))) {
        GODWIT_TRY(remove(path));
        changed = true;
      } else if (status.type == FileType::directory) {
        directories.push_back(path);
      }
    }
    if (!changed) continue;
    // The directory's own metadata came before this.
    const auto times = mtime_only(before.mtime_ns);
    if (::futimens(fd.get(), times.data()) != 0) return fail_errno("set the mtime of {}", shown(current));
  }
  mentioned_ = {};
  return {};
}

}  // namespace godwit::files
