#include "files/manifest.h"

#include <algorithm>

namespace godwit::files {
namespace {

void set_status(Inode& inode, const Status& status) {
  inode.device = status.device;
  inode.number = status.inode;
  inode.size = status.size;
  inode.mtime_ns = status.mtime_ns;
  inode.ctime_ns = status.ctime_ns;
  inode.type = status.type;
  inode.racy = status.racy;
}

}  // namespace

Manifest::Manifest() : buckets_(1024, kNone) {
  Status root;
  root.type = FileType::directory;
  const EntryId entry = new_entry(kNone, "");
  entries_[entry].inode = new_inode(root);
  inode(entry).first_name = entry;
}

std::vector<EntryId>::const_iterator Manifest::position(const std::vector<EntryId>& children,
                                                        std::string_view name) const {
  // Walks add names in order: look at the end first.
  if (children.empty() || entries_[children.back()].name < name) return children.end();
  return std::ranges::lower_bound(children, name, {},
                                  [this](EntryId id) { return std::string_view(entries_[id].name); });
}

const std::vector<EntryId>& Manifest::children(EntryId entry) const {
  static const std::vector<EntryId> none;
  return entries_[entry].children ? *entries_[entry].children : none;
}

EntryId Manifest::child(EntryId directory, std::string_view name) const {
  const auto& all = children(directory);
  const auto at = position(all, name);
  return at != all.end() && entries_[*at].name == name ? *at : kNone;
}

EntryId Manifest::find(std::string_view path) const {
  EntryId entry = root();
  while (!path.empty() && entry != kNone) {
    const size_t slash = std::min(path.find('/'), path.size());
    entry = child(entry, path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return entry;
}

std::string Manifest::path(EntryId entry) const {
  std::vector<EntryId> chain;
  for (EntryId at = entry; at != root(); at = entries_[at].parent) chain.push_back(at);
  std::string path;
  for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
    if (!path.empty()) path += '/';
    path += entries_[*at].name;
  }
  return path;
}

EntryId Manifest::new_entry(EntryId directory, std::string_view name) {
  EntryId id = static_cast<EntryId>(entries_.size());
  if (free_entries_.empty()) {
    entries_.emplace_back();
  } else {
    id = free_entries_.back();
    free_entries_.pop_back();
  }
  Entry& entry = entries_[id];
  entry.name = name;
  entry.parent = directory;
  ++live_entries_;
  if (directory == kNone) return id;
  auto& siblings = entries_[directory].children;
  if (!siblings) siblings = std::make_unique<std::vector<EntryId>>();
  siblings->insert(position(*siblings, name), id);
  return id;
}

InodeId Manifest::new_inode(const Status& status) {
  InodeId id = static_cast<InodeId>(inodes_.size());
  if (free_inodes_.empty()) {
    inodes_.emplace_back();
  } else {
    id = free_inodes_.back();
    free_inodes_.pop_back();
  }
  if (++live_inodes_ > buckets_.size()) grow_buckets();
  set_status(inodes_[id], status);
  enter_bucket(id);
  return id;
}

EntryId Manifest::add(EntryId directory, std::string_view name, const Status& status) {
  return add_link(directory, name, new_inode(status));
}

EntryId Manifest::add_link(EntryId directory, std::string_view name, InodeId inode) {
  const EntryId id = new_entry(directory, name);
  entries_[id].inode = inode;
  entries_[id].next_name = std::exchange(inodes_[inode].first_name, id);
  return id;
}

void Manifest::update(EntryId entry, const Status& status) {
  const InodeId id = entries_[entry].inode;
  const bool moved = inodes_[id].device != status.device || inodes_[id].number != status.inode;
  if (moved) leave_bucket(id);
  set_status(inodes_[id], status);
  if (moved) enter_bucket(id);
}

size_t Manifest::bucket(uint64_t device, uint64_t number) const {
  return ((number ^ (device << 32)) * 0x9E3779B97F4A7C15ULL >> 20) & (buckets_.size() - 1);
}

void Manifest::enter_bucket(InodeId id) {
  InodeId& head = buckets_[bucket(inodes_[id].device, inodes_[id].number)];
  inodes_[id].next_in_bucket = std::exchange(head, id);
}

void Manifest::leave_bucket(InodeId id) {
  InodeId* link = &buckets_[bucket(inodes_[id].device, inodes_[id].number)];
  while (*link != id) link = &inodes_[*link].next_in_bucket;
  *link = inodes_[id].next_in_bucket;
}

void Manifest::grow_buckets() {
  buckets_.assign(buckets_.size() * 2, kNone);
  for (InodeId id = 0; id < inodes_.size(); ++id) {
    if (inodes_[id].type != FileType::none) enter_bucket(id);
  }
}

InodeId Manifest::find_inode(uint64_t device, uint64_t number) const {
  InodeId id = buckets_[bucket(device, number)];
  while (id != kNone && (inodes_[id].number != number || inodes_[id].device != device)) id = inodes_[id].next_in_bucket;
  return id;
}

void Manifest::forget_inode(InodeId id) {
  leave_bucket(id);
  inodes_[id] = Inode();
  free_inodes_.push_back(id);
  --live_inodes_;
}

void Manifest::forget_name(EntryId id) {
  Inode& inode = inodes_[entries_[id].inode];
  EntryId* link = &inode.first_name;
  while (*link != id) link = &entries_[*link].next_name;
  *link = entries_[id].next_name;
  if (inode.first_name == kNone) forget_inode(entries_[id].inode);
  entries_[id] = Entry();
  free_entries_.push_back(id);
  --live_entries_;
}

void Manifest::free_subtree(EntryId top) {
  std::vector<EntryId> work = {top};
  while (!work.empty()) {
    const EntryId id = work.back();
    work.pop_back();
    work.insert(work.end(), children(id).begin(), children(id).end());
    forget_name(id);
  }
}

void Manifest::remove(EntryId entry) {
  auto& siblings = *entries_[entries_[entry].parent].children;
  siblings.erase(position(siblings, entries_[entry].name));
  free_subtree(entry);
}

}  // namespace godwit::files
