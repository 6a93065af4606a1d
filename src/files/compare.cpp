#include "files/compare.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "files/status.h"
#include "files/wire.h"

namespace godwit::files {
namespace {

constexpr size_t kPartBytes = size_t{256} * 1024;

struct Side {
  RootDirectory root;
  std::map<std::pair<uint64_t, uint64_t>, std::string> first_names;  // of inodes with several
};

class Comparison {
 public:
  Comparison(RootKind kind, size_t limit) : kind_(kind), limit_(limit) {}

  Result<std::vector<std::string>> run(const std::string& left, const std::string& right) {
    GODWIT_ASSIGN(left_.root, open_root(left));
    GODWIT_ASSIGN(right_.root, open_root(right));
    work_ = {""};
    GODWIT_TRY(compare_status("", left_.root.fd.get(), "", right_.root.fd.get(), ""));
    while (!work_.empty() && differences_.size() < limit_) {
      const std::string path = std::move(work_.back());
      work_.pop_back();
      auto compared = compare_directory(path);
      if (!compared) return std::unexpected(std::move(compared).error().context(shown(path)));
    }
    if (differences_.size() > limit_) differences_.resize(limit_);
    return std::move(differences_);
  }

 private:
  template <typename... Args>
  void differ(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    differences_.push_back(fmt::format("{}: {}", shown(path), fmt::format(format, std::forward<Args>(args)...)));
  }

  Result<> compare_directory(const std::string& path) {
    GODWIT_ASSIGN(const UniqueFd left, open_directory(left_.root.fd.get(), path, O_RDONLY));
    GODWIT_ASSIGN(const UniqueFd right, open_directory(right_.root.fd.get(), path, O_RDONLY));
    GODWIT_ASSIGN(UniqueFd left_reading, open_directory(left.get(), "", O_RDONLY));
    GODWIT_ASSIGN(UniqueFd right_reading, open_directory(right.get(), "", O_RDONLY));
    GODWIT_ASSIGN(const std::vector<std::string> left_names, list_names(std::move(left_reading)));
    GODWIT_ASSIGN(const std::vector<std::string> right_names, list_names(std::move(right_reading)));
    for (const std::string& name : right_names) {
      if (!std::ranges::binary_search(left_names, name)) differ(join_path(path, name), "only on the right");
    }
    for (const std::string& name : left_names) {
      const std::string child = join_path(path, name);
      if (!std::ranges::binary_search(right_names, name)) {
        differ(child, "only on the left");
      } else {
        GODWIT_TRY(compare_status(child, left.get(), name, right.get(), name));
      }
      if (differences_.size() >= limit_) return {};
    }
    return {};
  }

  Result<> compare_status(const std::string& path, int left_at, const std::string& left_name, int right_at,
                          const std::string& right_name) {
    GODWIT_ASSIGN(const Status left, read_status(left_at, left_name, left_.root.mount_id));
    GODWIT_ASSIGN(const Status right, read_status(right_at, right_name, right_.root.mount_id));
    if (left.mount_point || right.mount_point) {
      if ((left.type == FileType::directory) != (right.type == FileType::directory))
        differ(path, "type at a mount point");
      return {};
    }
    if (left.type != right.type) {
      differ(path, "types {} and {}", static_cast<int>(left.type), static_cast<int>(right.type));
      return {};
    }
    if (left.mode != right.mode) differ(path, "mode {:04o} and {:04o}", left.mode, right.mode);
    if (left.uid != right.uid || left.gid != right.gid) {
      differ(path, "owner {}:{} and {}:{}", left.uid, left.gid, right.uid, right.gid);
    }
    const bool is_device = left.type == FileType::character || left.type == FileType::block;
    if (is_device && (left.rdev_major != right.rdev_major || left.rdev_minor != right.rdev_minor)) {
      differ(path, "device {}:{} and {}:{}", left.rdev_major, left.rdev_minor, right.rdev_major, right.rdev_minor);
    }
    if (!left.whiteout()) {  // nothing but its presence means anything, and overlayfs links and shares it
      if (left.mtime_ns != right.mtime_ns) differ(path, "mtime {} and {}", left.mtime_ns, right.mtime_ns);
      compare_links(path, left, right);
    }
    if (left.type == FileType::directory) {
      if (!path.empty()) work_.push_back(path);
    } else if (left.type == FileType::regular && left.size != right.size) {
      differ(path, "size {} and {}", left.size, right.size);
    }
    return compare_inside(path, left, right);
  }

  // Which names are links of each other: the first name seen of an inode must be the same on both sides.
  void compare_links(const std::string& path, const Status& left, const Status& right) {
    if (left.type == FileType::directory) return;
    const std::string& left_first = left_.first_names.try_emplace({left.device, left.inode}, path).first->second;
    const std::string& right_first = right_.first_names.try_emplace({right.device, right.inode}, path).first->second;
    if (left_first != right_first) differ(path, "a hard link of {} and of {}", shown(left_first), shown(right_first));
  }

  Result<> compare_inside(const std::string& path, const Status& left_status, const Status& right_status) {
    GODWIT_ASSIGN(const UniqueFd left, open_node(left_.root.fd.get(), path));
    GODWIT_ASSIGN(const UniqueFd right, open_node(right_.root.fd.get(), path));
    GODWIT_ASSIGN(const Attributes left_attributes, read_attributes(left.get(), left_status.type, kind_));
    GODWIT_ASSIGN(const Attributes right_attributes, read_attributes(right.get(), left_status.type, kind_));
    if (left_attributes.target != right_attributes.target) {
      differ(path, "target {} and {}", shown(left_attributes.target), shown(right_attributes.target));
    }
    if (left_attributes.xattrs != right_attributes.xattrs) {
      differ(path, "extended attributes: {} and {}, or their values", left_attributes.xattrs.size(),
             right_attributes.xattrs.size());
    }
    if (left_status.type != FileType::regular || left_status.size != right_status.size) return {};
    return compare_content(path, left.get(), right.get());
  }

  static Result<UniqueFd> open_node(int root, const std::string& path) {
    if (path.empty()) return open_directory(root, "", O_PATH);
    GODWIT_ASSIGN(const UniqueFd parent, open_directory(root, std::string(parent_path(path)), O_PATH));
    UniqueFd fd(::openat(parent.get(), std::string(base_name(path)).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("open {}", shown(path));
    return fd;
  }

  Result<> compare_content(const std::string& path, int left_node, int right_node) {
    const UniqueFd left(::open(fmt::format("/proc/self/fd/{}", left_node).c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd right(::open(fmt::format("/proc/self/fd/{}", right_node).c_str(), O_RDONLY | O_CLOEXEC));
    if (!left || !right) return fail_errno("open {} for reading", shown(path));
    left_part_.resize(kPartBytes);
    right_part_.resize(kPartBytes);
    for (off_t offset = 0;; offset += kPartBytes) {
      const ssize_t left_got = ::pread(left.get(), left_part_.data(), kPartBytes, offset);
      const ssize_t right_got = ::pread(right.get(), right_part_.data(), kPartBytes, offset);
      if (left_got < 0 || right_got < 0) return fail_errno("read {}", shown(path));
      const auto got = static_cast<size_t>(left_got);
      if (left_got != right_got || std::memcmp(left_part_.data(), right_part_.data(), got) != 0) {
        const auto at = std::ranges::mismatch(left_part_, right_part_).in1 - left_part_.begin();
        differ(path, "content at byte {}", offset + at);
        return {};
      }
      if (left_got < static_cast<ssize_t>(kPartBytes)) return {};
    }
  }

  const RootKind kind_;
  const size_t limit_;
  Side left_;
  Side right_;
  std::vector<std::string> work_;
  std::vector<std::string> differences_;
  std::vector<char> left_part_;
  std::vector<char> right_part_;
};

}  // namespace

Result<std::vector<std::string>> compare_trees(const std::string& left, const std::string& right, RootKind kind,
                                               size_t limit) {
  return Comparison(kind, limit).run(left, right);
}

}  // namespace godwit::files
