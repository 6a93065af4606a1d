// What the destination has of one root: names and inodes, as in a file system, with the block hashes of what was sent.
//
// Names form a tree (a directory's children sorted by name); several names may share an inode (hard links), and an
// inode is found by its number, so that a renamed file is recognised and need not be sent again.
//
// Memory: a name 56 bytes, an inode 64, their slots in the tables about 12 (a name of 16 bytes or more: its length on
// top), and 8 bytes for each 64 KiB of a file after the first.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "files/status.h"

namespace godwit::files {

using EntryId = uint32_t;
using InodeId = uint32_t;
constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

// A file as last sent. `status` fields decide whether it must be looked at again, the hashes what must be sent.
struct Inode {
  uint64_t device = 0;
  uint64_t number = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t first_hash = 0;                        // of block 0; 0 stands for a block of zeros
  std::unique_ptr<std::vector<uint64_t>> hashes;  // of the blocks after it
  uint32_t first_name = kNone;                    // any entry that has this inode; further ones by Entry::next_name
  uint32_t next_in_bucket = kNone;
  FileType type = FileType::none;
  bool racy = false;         // as Status::racy
  bool hashed = false;       // the hashes are known (not after a quick check)
  bool placeholder = false;  // a mount point: sent as an empty file or directory
};

// Owned by a RootCopier, used by its thread.
class Manifest {
 public:
  Manifest();
  Manifest(const Manifest&) = delete;
  Manifest& operator=(const Manifest&) = delete;

  static constexpr EntryId root() { return 0; }
  // kNone if there is none.
  [[nodiscard]] EntryId child(EntryId directory, std::string_view name) const;
  [[nodiscard]] EntryId find(std::string_view path) const;
  // An inode that at least one entry has.
  [[nodiscard]] InodeId find_inode(uint64_t device, uint64_t number) const;

  // Adds a name for a new inode, or for one that is there. The name must be new in that directory.
  EntryId add(EntryId directory, std::string_view name, const Status& status);
  EntryId add_link(EntryId directory, std::string_view name, InodeId inode);
  // Removes the entry with all below; inodes without a name go too.
  void remove(EntryId entry);

  Inode& inode(EntryId entry) { return inodes_[entries_[entry].inode]; }
  [[nodiscard]] const Inode& inode(EntryId entry) const { return inodes_[entries_[entry].inode]; }
  [[nodiscard]] InodeId inode_id(EntryId entry) const { return entries_[entry].inode; }
  [[nodiscard]] EntryId name_of(InodeId inode) const { return inodes_[inode].first_name; }
  [[nodiscard]] bool is_directory(EntryId entry) const { return inode(entry).type == FileType::directory; }
  [[nodiscard]] const std::string& name(EntryId entry) const { return entries_[entry].name; }
  [[nodiscard]] std::string path(EntryId entry) const;
  // Sorted by name; empty for what is not a directory.
  [[nodiscard]] const std::vector<EntryId>& children(EntryId entry) const;
  [[nodiscard]] size_t entry_count() const { return live_entries_; }

  // The entry's inode has this status now (the same inode, or the root directory's first).
  void update(EntryId entry, const Status& status);

 private:
  struct Entry {
    std::string name;
    EntryId parent = kNone;
    InodeId inode = kNone;
    EntryId next_name = kNone;
    std::unique_ptr<std::vector<EntryId>> children;
  };
  std::vector<EntryId>::const_iterator position(const std::vector<EntryId>& children, std::string_view name) const;
  EntryId new_entry(EntryId directory, std::string_view name);
  InodeId new_inode(const Status& status);
  [[nodiscard]] size_t bucket(uint64_t device, uint64_t number) const;
  void grow_buckets();
  void enter_bucket(InodeId inode);
  void leave_bucket(InodeId inode);
  void forget_name(EntryId entry);
  void forget_inode(InodeId inode);
  void free_subtree(EntryId top);

  std::deque<Entry> entries_;  // deques: no copying of all of it when they grow
  std::deque<Inode> inodes_;
  std::vector<EntryId> free_entries_;
  std::vector<InodeId> free_inodes_;
  std::vector<InodeId> buckets_;
  size_t live_entries_ = 0;
  size_t live_inodes_ = 0;
};

}  // namespace godwit::files
