// The directory trees that a migration copies, as both sides name them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace godwit::files {

// Files that a destination may tell of for quick checks, of all trees together: 16 MB at the source.
constexpr size_t kPresentFilesMax = 1'000'000;

enum class RootKind : uint8_t {
  plain = 0,          // a directory tree of its own: a root file system without overlay, an emptyDir on disk
  overlay_upper = 1,  // the upperdir of an overlay: whiteouts and trusted.overlay.* go along
  tmpfs = 2,          // a private tmpfs: /dev, /dev/shm, /tmp, /run, an emptyDir in memory
};

// A tree to copy. Nothing mounted below it is entered: such mount points arrive as empty directories or files.
struct SourceRoot {
  uint16_t id = 0;  // the same on both sides
  RootKind kind = RootKind::plain;
  std::string path;         // as this process reaches it: the upperdir, or /proc/PID/root/tmp
  std::string mount_point;  // where the container sees it ("/", "/tmp"): places its open files; empty: nowhere
  uint16_t viewer = 0;      // which container, if several are copied as one
  // Where others of them see it.
  struct View {
    uint16_t viewer = 0;
    std::string mount_point;
  };
  std::vector<View> other_views = {};
  // The destination may hold an equal copy already (the same image): a file with equal path, size, mtime, mode and
  // owner is not sent, and what the destination has beyond the source is removed.
  bool quick_check = false;
};

// Where a tree goes: a directory that exists and that nothing else changes; empty unless the source asks for
// quick_check. The upperdir of an overlay must not be mounted yet.
struct DestinationRoot {
  uint16_t id = 0;
  std::string path;
};

}  // namespace godwit::files
