// Brings the destination's copy of one root up to date: finds what differs from the manifest and sends it.
//
// How a path is handled does not depend on who named it (the watcher, a walk, the list of files in use): its status is
// compared with the manifest and only a difference is sent. So events may be stale, doubled or too many; only their
// absence would be an error, and where they are absent a walk compares everything.
//
// A file is opened with O_PATH first, its identity and type checked there, and only then opened for reading through its
// magic link: what the container puts in its place meanwhile (a device, a fifo, a link) is never opened.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "files/content.h"
#include "files/manifest.h"
#include "files/root.h"
#include "files/source.h"
#include "files/status.h"
#include "files/watcher.h"
#include "files/wire.h"

namespace godwit::files {

// Owned by a FileSource, used by its thread.
class RootCopier {
 public:
  static Result<std::unique_ptr<RootCopier>> open(const SourceRoot& root, const SourceOptions& options);

  [[nodiscard]] const SourceRoot& root() const { return root_; }
  // Watches the root with `watcher` if a round trip shows that it works; else walks, for the reason kept.
  void choose_backend(FileWatcher* watcher, const Result<>& overlay_probe);
  void use_walk(std::string reason);
  [[nodiscard]] bool watched() const { return watcher_ != nullptr; }
  [[nodiscard]] const std::string& walk_reason() const { return walk_reason_; }
  // What the destination has already (SourceRoot::quick_check).
  void set_present(std::vector<Digest> digests);

  // Compares the whole tree with the manifest.
  Result<> copy_all(Pass& pass);
  // The same, and the content of files whose status could hide a change: those changed since the copy began (pages that
  // a mapping has made dirty can be written again without a trace), and those that were mapped then.
  Result<> copy_all_thoroughly(Pass& pass);
  void remember_mapped(const std::vector<FileInUse>& in_use);
  // Only these paths; the whole tree, thoroughly, if `dirty` says so.
  Result<> copy_dirty(const DirtyPaths& dirty, Pass& pass);
  // Paths (relative to the root) that may have changed without an event; compares their blocks if mapped.
  Result<> copy_in_use(std::span<const FileInUse> files, Pass& pass);
  // Ends the root's part of a pass: removals put off, and the metadata of directories whose content was changed.
  Result<> finish(Pass& pass);

 private:
  // A directory that is open and that the manifest has.
  struct Directory {
    UniqueFd fd;
    EntryId entry = kNone;
    std::string path;
  };
  struct Target {
    const Directory& directory;
    const std::string& name;
    std::string path;
    EntryId entry = kNone;  // what the manifest has of the path
    Status status;
    bool same = false;  // entry is this very inode
  };
  RootCopier(SourceRoot root, const SourceOptions& options, RootDirectory directory);
  struct Listing {
    Directory directory;
    std::vector<std::string> names;
  };
  // What is asked of a path beyond comparing its status.
  struct Want {
    bool subtree = false;          // a directory: all below as well
    bool compare_content = false;  // a file: its blocks, though its status may be unchanged
  };

  Result<Directory> open_parent(const std::string& path, int flags);
  Result<> run_work(Pass& pass);
  Result<> copy_written_objects(const DirtyPaths& dirty, Pass& pass);
  [[nodiscard]] InodeId find_object(const FileHandle& handle) const;
  [[nodiscard]] bool must_compare_content(const Target& target) const;
  Result<Listing> read_directory(const std::string& path, Pass& pass);
  Result<> list(const std::string& path, Pass& pass);
  void note_arrival(EntryId directory, const std::string& name, const Status& status);
  Result<> examine_path(const std::string& path, Want want, Pass& pass);
  Result<> examine(const Directory& directory, const std::string& name, const Status& status, Want want, Pass& pass);
  Result<> copy(Target& target, Want want, Pass& pass);
  Result<> copy_directory(Target& target, Want want, Pass& pass);
  Result<> copy_file(Target& target, Want want, Pass& pass);
  Result<> copy_node(Target& target, Pass& pass);
  Result<> copy_placeholder(Target& target, Pass& pass);
  Result<> link_known_inode(Target& target, uint64_t identity, Pass& pass);
  Result<> send_directory_metadata(const std::string& path, Pass& pass);
  Result<UniqueFd> open_checked(Target& target, Pass& pass);
  Result<> send_entry(const Target& target, const Attributes& attributes, uint8_t flags, Pass& pass);
  [[nodiscard]] Result<> check_entry_limit() const;
  Result<> record(Target& target);

  Result<> gone(EntryId entry, Pass& pass);
  Result<> remove(EntryId entry, Pass& pass);
  Result<> forget(Target& target, Pass& pass);
  Result<> settle(Pass& pass);
  [[nodiscard]] bool may_have_moved(EntryId entry) const;
  [[nodiscard]] bool present_at_destination(const Target& target) const;
  Result<Status> status_of(int directory, const std::string& name, Pass& pass) const;

  const SourceRoot root_;
  const uint32_t entries_max_;
  const RootDirectory directory_;
  UniqueFd handle_mount_;  // the root again, as open_by_handle_at wants it
  FileWatcher* watcher_ = nullptr;
  std::string walk_reason_;
  Manifest manifest_;
  std::vector<Digest> present_;            // sorted
  const int64_t begin_ns_;                 // of the copy, in file time
  std::set<std::string> mapped_;           // paths of files that were mapped at that time
  std::vector<FileInUse> nameless_files_;  // to be recognised by their status in the walk that is under way
  std::vector<char> buffer_;

  // Of the pass that is under way.
  std::vector<std::string> work_;         // directories to list
  std::set<std::string> touched_;         // directories whose metadata is sent at the end
  std::vector<std::string> put_off_;      // what was there may have moved: examined again at the end
  std::unordered_set<uint64_t> arrived_;  // inode numbers that are new at a path
  bool subtree_arrived_ = false;
  bool thorough_ = false;
  bool settling_ = false;  // nothing is put off any more
};

}  // namespace godwit::files
