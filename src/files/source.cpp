#include "files/source.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/log.h"
#include "files/root_copier.h"
#include "files/watcher.h"
#include "files/wire.h"

namespace godwit::files {
namespace {

constexpr size_t kRootsMax = 1000;
constexpr int kSettlingTriesMax = 3;

class Source final : public FileSource {
 public:
  Source(std::unique_ptr<FileWatcher> watcher, std::vector<std::unique_ptr<RootCopier>> roots,
         const SourceOptions& options, os::ByteStream& stream)
      : bytes_left_(options.limit_bytes),
        present_files_max_(options.present_files_max),
        watcher_(std::move(watcher)),
        roots_(std::move(roots)),
        writer_(stream),
        reader_(stream) {}

  Result<PassStats> first_pass(std::span<const FileInUse> in_use, Deadline deadline) override {
    return run(deadline, false, [&](Pass& pass) -> Result<> {
      GODWIT_TRY(greet());
      const auto by_root = sort_by_root(in_use);
      for (size_t i = 0; i < roots_.size(); ++i) roots_[i]->remember_mapped(by_root[i]);
      for (const auto& root : roots_) {
        GODWIT_TRY(root->copy_all(pass));
        GODWIT_TRY(root->finish(pass));
        root->set_present({});
      }
      return {};
    });
  }
  Result<PassStats> next_pass(Deadline deadline) override {
    return run(deadline, false, [this](Pass& pass) { return copy_changes(false, pass); });
  }
  Result<PassStats> final_pass(std::span<const FileInUse> in_use, Deadline deadline) override {
    return run(deadline, true, [&](Pass& pass) { return copy_last_changes(in_use, pass); });
  }

  [[nodiscard]] size_t pending_paths() const override {
    const bool all_watched = std::ranges::all_of(roots_, [](const auto& root) { return root->watched(); });
    return all_watched && watcher_ ? watcher_->pending_paths() : SIZE_MAX;
  }
  [[nodiscard]] Backend backend(uint16_t root_id) const override {
    const RootCopier* root = find(root_id);
    return root != nullptr && root->watched() ? Backend::watch : Backend::walk;
  }
  [[nodiscard]] std::string backend_reason(uint16_t root_id) const override {
    const RootCopier* root = find(root_id);
    return root == nullptr ? "no such root" : root->walk_reason();
  }

 private:
  template <typename Copy>
  Result<PassStats> run(Deadline deadline, bool final, Copy copy);
  Result<> greet();
  Result<> copy_changes(bool final, Pass& pass);
  Result<> copy_last_changes(std::span<const FileInUse> in_use, Pass& pass);
  Result<> end_pass(uint32_t number, bool final);
  Result<> read_reply(Record wanted);
  // What the destination says about an error of the stream, if it said anything.
  Error explain(Error error);
  [[nodiscard]] const RootCopier* find(uint16_t id) const {
    const auto at = std::ranges::find_if(roots_, [id](const auto& root) { return root->root().id == id; });
    return at == roots_.end() ? nullptr : at->get();
  }
  static std::string_view seen_at(const SourceRoot& root, uint16_t viewer);
  [[nodiscard]] std::vector<std::vector<FileInUse>> sort_by_root(std::span<const FileInUse> in_use) const;

  uint64_t bytes_left_;
  size_t present_files_max_;
  std::unique_ptr<FileWatcher> watcher_;
  std::vector<std::unique_ptr<RootCopier>> roots_;
  RecordWriter writer_;
  RecordReader reader_;
  uint32_t passes_ = 0;
  bool failed_ = false;  // or is at it: a pass that does not end is the last
};

template <typename Copy>
Result<PassStats> Source::run(Deadline deadline, bool final, Copy copy) {
  if (failed_) return fail("the copy of files has failed before");
  failed_ = true;  // unless all goes well
  const auto start = Clock::now();
  const uint64_t wire_bytes_before = writer_.sent_bytes();
  Pass pass{.out = writer_, .deadline = deadline, .bytes_left = bytes_left_, .stats = {.pass = ++passes_}};
  Result<> done = copy(pass);
  if (done) done = end_pass(pass.stats.pass, final);
  if (!done) return std::unexpected(explain(std::move(done).error()));
  failed_ = false;
  pass.stats.wire_bytes = writer_.sent_bytes() - wire_bytes_before;
  pass.stats.seconds = elapsed_ms(start) / 1000;
  return pass.stats;
}

Result<> Source::greet() {
  writer_.begin(Record::hello, 0);
  writer_.put_u32(kWireMagic);
  writer_.put_u16(kWireVersion);
  writer_.put_u16(static_cast<uint16_t>(roots_.size()));
  for (const auto& root : roots_) {
    writer_.put_u16(root->root().id);
    writer_.put_u8(static_cast<uint8_t>(root->root().kind));
    writer_.put_u8(root->root().quick_check ? 1 : 0);
  }
  GODWIT_TRY(writer_.end());
  GODWIT_TRY(writer_.flush());
  GODWIT_TRY(read_reply(Record::ready));
  std::vector<std::vector<Digest>> present(roots_.size());
  size_t present_files = 0;
  for (;;) {
    GODWIT_ASSIGN(const RecordHeader header, reader_.next());
    if (header.type == Record::have_end) break;
    const auto at = std::ranges::find_if(roots_, [&](const auto& root) { return root->root().id == header.root; });
    const auto payload = reader_.payload();
    if (header.type != Record::have || at == roots_.end() || !(*at)->root().quick_check || payload.empty() ||
        payload.size() % sizeof(Digest) != 0) {
      return fail("the destination answers the file protocol's hello out of place");
    }
    // It is the peer's to say how much of our memory this takes, but not without end.
    present_files += payload.size() / sizeof(Digest);
    if (present_files > present_files_max_) {
      return fail("the destination says that it has more than {} files already", present_files_max_);
    }
    auto& digests = present[static_cast<size_t>(at - roots_.begin())];
    const size_t before = digests.size();
    digests.resize(before + payload.size() / sizeof(Digest));
    std::memcpy(&digests[before], payload.data(), payload.size());
  }
  for (size_t i = 0; i < roots_.size(); ++i) roots_[i]->set_present(std::move(present[i]));
  return {};
}

Result<> Source::copy_changes(bool final, Pass& pass) {
  for (const auto& root : roots_) {
    if (root->watched()) {
      GODWIT_TRY(root->copy_dirty(watcher_->collect(root->root().id), pass));
    } else {
      // What a walk cannot see in a file's status is looked for where it matters: in the freeze.
      GODWIT_TRY(final ? root->copy_all_thoroughly(pass) : root->copy_all(pass));
    }
    GODWIT_TRY(root->finish(pass));
  }
  return {};
}

Result<> Source::copy_last_changes(std::span<const FileInUse> in_use, Pass& pass) {
  const auto by_root = sort_by_root(in_use);
  for (int attempt = 0; attempt < kSettlingTriesMax; ++attempt) {
    const uint64_t vanished = pass.stats.vanished;
    GODWIT_TRY(copy_changes(true, pass));
    for (size_t i = 0; i < roots_.size(); ++i) {
      GODWIT_TRY(roots_[i]->copy_in_use(by_root[i], pass));
      GODWIT_TRY(roots_[i]->finish(pass));
    }
    if (pass.stats.vanished == vanished) return {};
  }
  return fail("files go on changing although the container is frozen: something outside of it writes to them");
}

// Where a container sees a tree; empty: nowhere.
std::string_view Source::seen_at(const SourceRoot& root, uint16_t viewer) {
  if (root.viewer == viewer) return root.mount_point;
  const auto view = std::ranges::find(root.other_views, viewer, &SourceRoot::View::viewer);
  return view == root.other_views.end() ? std::string_view() : view->mount_point;
}

// A file belongs to the root that is mounted nearest above it; its path becomes relative to that.
std::vector<std::vector<FileInUse>> Source::sort_by_root(std::span<const FileInUse> in_use) const {
  std::vector<std::vector<FileInUse>> sorted(roots_.size());
  for (const FileInUse& file : in_use) {
    size_t best = roots_.size();
    size_t best_length = 0;
    for (size_t i = 0; i < roots_.size(); ++i) {
      std::string_view mount_point = seen_at(roots_[i]->root(), file.viewer);
      if (mount_point.empty()) continue;
      while (mount_point.ends_with('/')) mount_point.remove_suffix(1);
      const bool below = file.path.starts_with(mount_point) && file.path.size() > mount_point.size() + 1 &&
                         file.path[mount_point.size()] == '/';
      if (below && (best == roots_.size() || mount_point.size() > best_length)) {
        best = i;
        best_length = mount_point.size();
      }
    }
    if (best == roots_.size()) continue;
    FileInUse relative = file;
    relative.path.erase(0, best_length + 1);
    if (check_path(relative.path)) sorted[best].push_back(std::move(relative));
  }
  return sorted;
}

Result<> Source::end_pass(uint32_t number, bool final) {
  writer_.begin(Record::pass_done, 0, final ? kFlagFinal : 0);
  writer_.put_u32(number);
  GODWIT_TRY(writer_.end());
  GODWIT_TRY(writer_.flush());
  GODWIT_TRY(read_reply(Record::pass_applied));
  FieldReader fields(reader_.payload());
  if (fields.u32() != number) return fail("the destination acknowledges another file pass than the last");
  return {};
}

Result<> Source::read_reply(Record wanted) {
  GODWIT_ASSIGN(const RecordHeader header, reader_.next());
  if (header.type == wanted) return {};
  if (header.type != Record::failed) return fail("the destination answers the file protocol out of place");
  FieldReader fields(reader_.payload());
  return fail("the destination: {}", fields.str());
}

Error Source::explain(Error error) {
  // A destination that gives up says why and closes, which we may notice first as a failed write.
  if (error.code != EPIPE && error.code != ECONNRESET) return error;
  auto reply = read_reply(Record::pass_applied);
  if (!reply && reply.error().message.starts_with("the destination: ")) return reply.error();
  return error;
}

}  // namespace

Result<std::unique_ptr<FileSource>> FileSource::open(std::vector<SourceRoot> roots, const SourceOptions& options,
                                                     os::ByteStream& stream) {
  if (roots.size() > kRootsMax) return fail("{} file trees are more than {}", roots.size(), kRootsMax);
  std::unique_ptr<FileWatcher> watcher;
  std::string no_watcher = "switched off";
  if (options.watch) {
    auto created = FileWatcher::create({.directories_max = options.watched_directories_max,
                                        .dirty_paths_max = options.dirty_paths_max,
                                        .drain_in_background = options.drain_in_background});
    if (created) {
      watcher = std::move(*created);
    } else {
      no_watcher = created.error().message;
    }
  }
  const bool any_overlay =
      std::ranges::any_of(roots, [](const SourceRoot& root) { return root.kind == RootKind::overlay_upper; });
  const Result<> overlay_probe = watcher && any_overlay ? probe_overlay_events() : Result<>();
  std::set<uint16_t> ids;
  std::vector<std::unique_ptr<RootCopier>> copiers;
  for (const SourceRoot& root : roots) {
    if (!ids.insert(root.id).second) return fail("two file trees have the id {}", root.id);
    GODWIT_ASSIGN(auto copier, RootCopier::open(root, options));
    if (watcher) {
      copier->choose_backend(watcher.get(), overlay_probe);
    } else {
      copier->use_walk(no_watcher);
    }
    copiers.push_back(std::move(copier));
  }
  return std::make_unique<Source>(std::move(watcher), std::move(copiers), options, stream);
}

}  // namespace godwit::files
