// Changes one destination root, strictly inside of it: every path is resolved from the root's descriptor, through no
// symbolic link and no mount. Existing files are looked at by O_PATH before they are opened, so that a stream cannot
// make a device node and then have it opened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "files/root.h"
#include "files/status.h"
#include "files/wire.h"

namespace godwit::files {

// Owned by a FileReceiver, used by its thread. Paths have passed check_path().
class RootWriter {
 public:
  static Result<RootWriter> open(const DestinationRoot& root);

  // A directory, or anything but a regular file; with its metadata.
  Result<> make_entry(const EntryRecord& entry, bool fresh);
  Result<> make_placeholder(const std::string& path, FileType type);
  // A regular file, open for writing: new and empty if `fresh`, else it must be there.
  Result<UniqueFd> open_file(const std::string& path, bool fresh);
  Result<> link(const std::string& path, const std::string& existing);
  // With all below. Not there: success.
  Result<> remove(const std::string& path);
  // Owner, mode, xattrs and mtime as in `entry`, in the order in which they do not undo each other.
  Result<> set_metadata(int fd, const EntryRecord& entry) const;

  // Quick check: digests of at most `max` of the regular files that are there, and later the removal of what was not
  // mentioned.
  Result<std::vector<Digest>> present_files(size_t max) const;
  void mention(const std::string& path);
  Result<> remove_unmentioned();

 private:
  RootWriter(const DestinationRoot& root, RootDirectory directory);
  Result<int> parent(const std::string& path);
  Result<UniqueFd> open_node(int parent, const std::string& path) const;
  template <typename Make>
  Result<> make_name(const std::string& path, Make make);
  [[nodiscard]] std::unexpected<Error> refused(const std::string& path, Error error) const;

  DestinationRoot root_;
  RootDirectory directory_;
  // The parent that was used last: files come directory by directory.
  std::string parent_path_;
  UniqueFd parent_;
  std::vector<Digest> mentioned_;
};

}  // namespace godwit::files
