// The round trip that decides whether an overlay's upperdir can be watched: see probe_overlay_events().

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/deadline.h"
#include "files/watcher.h"

namespace godwit::files {
namespace {

// A file system that is mounted nowhere: it goes with its descriptor.
Result<UniqueFd> mount_detached(const char* type, const std::vector<std::pair<std::string, std::string>>& options) {
  const UniqueFd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context) return fail_errno("fsopen {}", type);
  for (const auto& [key, value] : options) {
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) != 0) {
      return fail_errno("set {} of a scratch {}", key, type);
    }
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail_errno("create a scratch {}", type);
  }
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!mount) return fail_errno("mount a scratch {}", type);
  return mount;
}

}  // namespace

Result<> probe_overlay_events() {
  GODWIT_ASSIGN(const UniqueFd scratch, mount_detached("tmpfs", {{"size", "1m"}, {"mode", "0700"}}));
  for (const char* name : {"lower", "upper", "work"}) {
    if (::mkdirat(scratch.get(), name, 0700) != 0) return fail_errno("mkdir in a scratch tmpfs");
  }
  const std::string base = fmt::format("/proc/self/fd/{}/", scratch.get());
  GODWIT_ASSIGN(const UniqueFd overlay, mount_detached("overlay", {{"lowerdir", base + "lower"},
                                                                   {"upperdir", base + "upper"},
                                                                   {"workdir", base + "work"}}));
  const UniqueFd file(::openat(overlay.get(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return fail_errno("create a file in a scratch overlay");

  GODWIT_ASSIGN(const auto watcher, FileWatcher::create({}));
  const UniqueFd upper(::openat(scratch.get(), "upper", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!upper) return fail_errno("open a scratch upperdir");
  GODWIT_TRY(watcher->watch_directory(0, "", upper.get()));
  if (::write(file.get(), "x", 1) != 1) return fail_errno("write through a scratch overlay");
  const Deadline deadline = Deadline::after(milliseconds(200));
  while (!deadline.expired()) {
    if (watcher->collect(0).paths.contains("file")) return {};
    std::this_thread::sleep_for(milliseconds(1));
  }
  return fail("writes through an overlay raise no events on its upperdir");
}

}  // namespace godwit::files
