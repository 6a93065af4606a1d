// The directory trees that a migration copies, as both sides name them.
#pragma once

#include <cstdint>
#include <string>

namespace godwit::files {

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
