// A tree that changes at random while passes run, and must be equal in the end.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "mutator.h"
#include "scratch.h"

namespace godwit::files {
namespace {

uint64_t first_seed() {
  const char* text = std::getenv("GODWIT_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

// Runs a mutator in a thread until stopped.
class Load {
 public:
  explicit Load(Mutator& mutator)
      : thread_([this, &mutator] {
          while (!stop_) mutator.step();
        }) {}
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

std::vector<FileInUse> own_files_in_use() {
  const pid_t self = ::getpid();
  auto files = files_in_use(std::span(&self, 1));
  EXPECT_TRUE(files);
  return files.value_or(std::vector<FileInUse>());
}

void fill_lower(const std::string& lower, uint64_t seed) {
  Mutator mutator(lower, seed ^ 0x5eed);
  for (int i = 0; i < 400; ++i) mutator.step();
}

enum class Tree { overlay, tmpfs, overlay_walk, tmpfs_walk };

class RandomTree : public ::testing::TestWithParam<Tree> {};

void run_seed(Tree tree, uint64_t seed) {
  SCOPED_TRACE(fmt::format("GODWIT_SEED={}", seed));
  const Scratch scratch;
  const bool is_overlay = tree == Tree::overlay || tree == Tree::overlay_walk;
  const bool watch = tree == Tree::overlay || tree == Tree::tmpfs;
  std::string work;
  SourceRoot root;
  const Overlay overlay(scratch);
  if (is_overlay) {
    fill_lower(overlay.lower, seed);
    overlay.mount();
    work = overlay.merged;
    root = {.id = 7, .kind = RootKind::overlay_upper, .path = overlay.upper, .mount_point = work};
  } else {
    work = scratch.tmpfs("source");
    root = {.id = 7, .kind = RootKind::tmpfs, .path = work, .mount_point = work};
  }
  Mutator mutator(work, seed);
  for (int i = 0; i < 300; ++i) mutator.step();

  const std::string destination = scratch.directory("destination");
  Copy copy({root}, {{.id = 7, .path = destination}}, {.watch = watch});
  ASSERT_EQ(copy.source().backend(7), watch ? Backend::watch : Backend::walk) << copy.source().backend_reason(7);
  {
    const std::vector<FileInUse> in_use = own_files_in_use();
    Load load(mutator);
    copy.first(in_use);
    for (int i = 0; i < 4; ++i) copy.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    copy.next();
    load.stop();  // the freeze
  }
  const std::vector<FileInUse> in_use = own_files_in_use();
  const PassStats last = copy.final(in_use);
  const bool any_nameless = std::ranges::any_of(in_use, &FileInUse::nameless);
  if (watch && !any_nameless) EXPECT_EQ(last.roots_walked, 0U);
  ASSERT_TRUE(copy.receiver_end());
  EXPECT_EQ(differences(root.path, destination, root.kind), "");
  EXPECT_GT(mutator.done(), 100U);
}

TEST_P(RandomTree, IsEqualAfterTheFinalPass) {
  const uint64_t seed = first_seed();
  for (uint64_t i = 0; i < 12 && !::testing::Test::HasFailure(); ++i) run_seed(GetParam(), seed + i);
}

std::string tree_name(const ::testing::TestParamInfo<Tree>& info) {
  constexpr std::array<const char*, 4> names = {"Overlay", "Tmpfs", "OverlayWalk", "TmpfsWalk"};
  return names.at(static_cast<size_t>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Files, RandomTree,
                         ::testing::Values(Tree::overlay, Tree::tmpfs, Tree::overlay_walk, Tree::tmpfs_walk),
                         tree_name);

// The tree as it is seen through the copied layer: what the container will find.
TEST(RandomOverlay, LooksTheSameThroughTheCopiedUpperdir) {
  const Scratch scratch;
  const Overlay overlay(scratch);
  fill_lower(overlay.lower, 3);
  overlay.mount();
  Mutator mutator(overlay.merged, 42);
  Overlay moved(scratch, "moved");
  Copy copy({{.id = 1, .kind = RootKind::overlay_upper, .path = overlay.upper, .mount_point = overlay.merged}},
            {{.id = 1, .path = moved.upper}});
  {
    Load load(mutator);
    copy.first();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    copy.next();
  }
  copy.final(own_files_in_use());
  ASSERT_TRUE(copy.receiver_end());
  moved.lower = overlay.lower;
  moved.mount();
  EXPECT_EQ(differences(overlay.merged, moved.merged), "");
}

}  // namespace
}  // namespace godwit::files
