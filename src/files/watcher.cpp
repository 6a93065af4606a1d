#include "files/watcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>

#include "base/deadline.h"
#include "base/log.h"
#include "files/status.h"

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif

namespace godwit::files {
namespace {

constexpr uint64_t kEvents = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_MODIFY | FAN_ATTRIB |
                             FAN_CLOSE_WRITE | FAN_DELETE_SELF | FAN_ONDIR | FAN_EVENT_ON_CHILD;
// The kernel merges equal events while they wait: a busy writer costs a few reads a second, not one for each write.
constexpr auto kGather = milliseconds(20);
constexpr size_t kEventBytes = size_t{64} * 1024;
constexpr auto kProbeWait = milliseconds(500);

// A directory's identity as events carry it: file system id, handle type, handle.
std::string make_key(const void* fsid, const file_handle* handle) {
  std::string key(static_cast<const char*>(fsid), sizeof(fsid_t));
  key.append(reinterpret_cast<const char*>(&handle->handle_type), sizeof handle->handle_type);
  key.append(reinterpret_cast<const char*>(handle->f_handle), handle->handle_bytes);
  return key;
}

Result<std::string> key_of(int fd) {
  struct statfs info{};
  if (::fstatfs(fd, &info) != 0) return fail_errno("ask for the file system id");
  alignas(8) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> raw{};
  auto* handle = reinterpret_cast<file_handle*>(raw.data());
  int mount_id = 0;
  // Overlayfs gives handles that identify but cannot be opened, and only when asked so (Linux 6.6); tmpfs and disks
  // give the same handle either way, older kernels only without the flag.
  for (const int flags : {AT_EMPTY_PATH | AT_HANDLE_FID, AT_EMPTY_PATH}) {
    handle->handle_bytes = MAX_HANDLE_SZ;
    if (::name_to_handle_at(fd, "", handle, &mount_id, flags) == 0) return make_key(&info.f_fsid, handle);
  }
  return fail_errno("ask for a file handle");
}

}  // namespace

FileWatcher::FileWatcher(UniqueFd group, UniqueFd stop, const WatcherOptions& options)
    : options_(options), group_(std::move(group)), stop_(std::move(stop)), buffer_(kEventBytes) {}

Result<std::unique_ptr<FileWatcher>> FileWatcher::create(const WatcherOptions& options) {
  UniqueFd group(
      ::fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY));
  if (!group) return fail_errno("fanotify with directory handles and names");
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return fail_errno("eventfd");
  std::unique_ptr<FileWatcher> watcher(new FileWatcher(std::move(group), std::move(stop), options));
  if (options.drain_in_background) watcher->thread_ = std::thread(&FileWatcher::run, watcher.get());
  return watcher;
}

FileWatcher::~FileWatcher() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void FileWatcher::run() {
  std::array<pollfd, 2> fds = {{{group_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  for (;;) {
    ::poll(fds.data(), fds.size(), -1);
    if ((fds[1].revents & POLLIN) != 0) return;
    if ((fds[0].revents & POLLIN) == 0) continue;
    if (::poll(&fds[1], 1, static_cast<int>(kGather.count())) > 0) return;
    const std::lock_guard lock(mutex_);
    read_events();
  }
}

Result<> FileWatcher::watch_directory(uint16_t root, const std::string& path, int fd) {
  GODWIT_ASSIGN(std::string key, key_of(fd));
  const std::lock_guard lock(mutex_);
  const auto known = directories_.find(key);
  if (known == directories_.end() && directories_.size() >= options_.directories_max) {
    return fail("more than {} directories to watch", options_.directories_max);
  }
  // The name goes into the table before the mark: no event without a path.
  directories_[std::move(key)] = {root, path};
  // fanotify_mark does not take descriptors opened with O_PATH as such; their magic link it does.
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  if (::fanotify_mark(group_.get(), FAN_MARK_ADD | FAN_MARK_ONLYDIR, kEvents, AT_FDCWD, self.c_str()) != 0) {
    return fail_errno("watch the directory {}", path);
  }
  return {};
}

Result<> FileWatcher::probe_root(uint16_t root, int fd) {
  struct stat info{};
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  if (::stat(self.c_str(), &info) != 0) return fail_errno("stat the root directory");
  if (::chmod(self.c_str(), info.st_mode & 07777) != 0) {
    if (errno == EROFS) return {};  // nothing changes here
    return fail_errno("set the mode of the root directory to what it is");
  }
  const Deadline deadline = Deadline::after(kProbeWait);
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      read_events();
      const auto& dirty = dirty_[root];
      if (dirty.everything || dirty.paths.contains("")) return {};
    }
    if (deadline.expired()) return fail("a change of the root directory raised no event");
    std::this_thread::sleep_for(milliseconds(1));
  }
}

void FileWatcher::read_events() {
  // Bounded by what can wait in the queue, with room for what comes meanwhile; the rest is for the next call.
  constexpr size_t reads_max = 1024;
  for (size_t reads = 0; reads < reads_max; ++reads) {
    const ssize_t got = ::read(group_.get(), buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got < 0 && errno != EAGAIN) {
        // Losing sight of changes must never pass in silence.
        for (auto& [key, directory] : directories_) dirty_[directory.root].everything = true;
        log_warning("reading file events: {}; whole trees will be compared", std::strerror(errno));
      }
      return;
    }
    const char* const end = buffer_.data() + got;
    for (const char* at = buffer_.data(); at < end;) {
      fanotify_event_metadata event;  // a copy: events are aligned to 4 bytes only
      std::memcpy(&event, at, sizeof event);
      read_event(event, at + event.metadata_len, at + event.event_len);
      at += event.event_len;
    }
  }
}

void FileWatcher::read_event(const fanotify_event_metadata& event, const char* at, const char* end) {
  if ((event.mask & FAN_Q_OVERFLOW) != 0) {
    ++overflows_;
    for (const auto& [key, directory] : directories_) dirty_[directory.root].everything = true;
    return;
  }
  std::string directory;
  const char* name = nullptr;
  FileHandle object;
  while (at < end) {
    const auto* info = reinterpret_cast<const fanotify_event_info_fid*>(at);
    const auto* handle = reinterpret_cast<const file_handle*>(info->handle);
    const char* bytes = reinterpret_cast<const char*>(handle->f_handle);
    if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME) {
      directory = make_key(&info->fsid, handle);
      name = bytes + handle->handle_bytes;
    } else if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_FID) {
      object = {handle->handle_type, std::string(bytes, handle->handle_bytes)};
    }
    at += info->hdr.len;
  }
  if (name != nullptr) handle_event(event.mask, directory, name, object.bytes.empty() ? nullptr : &object);
}

void FileWatcher::handle_event(uint64_t mask, const std::string& directory, const char* name,
                               const FileHandle* object) {
  const auto found = directories_.find(directory);
  if (found == directories_.end()) return;  // deleted meanwhile: its parent had the event
  const bool self = std::strcmp(name, ".") == 0;
  const bool is_directory = (mask & FAN_ONDIR) != 0;
  if (self && (mask & FAN_DELETE_SELF) != 0) {
    directories_.erase(found);
    return;
  }
  DirtyPaths& dirty = dirty_[found->second.root];
  if (!make_room(dirty)) return;
  const bool closed = (mask & FAN_CLOSE_WRITE) != 0;
  const std::string& path = found->second.path;
  Change& change = dirty.paths[self ? path : join_path(path, name)];
  change.subtree = change.subtree || (is_directory && !self && (mask & (FAN_CREATE | FAN_MOVED_TO)) != 0);
  change.closed = change.closed || closed;
  if (object != nullptr && !is_directory && (mask & (FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE)) != 0) {
    Change& of_object = dirty.objects[*object];
    of_object.closed = of_object.closed || closed;
  }
}

bool FileWatcher::make_room(DirtyPaths& dirty) const {
  if (!dirty.everything && dirty.paths.size() >= options_.dirty_paths_max) {
    dirty = DirtyPaths();
    dirty.everything = true;
  }
  return !dirty.everything;
}

DirtyPaths FileWatcher::collect(uint16_t root) {
  const std::lock_guard lock(mutex_);
  read_events();
  return std::exchange(dirty_[root], DirtyPaths());
}

size_t FileWatcher::pending_paths() const {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const auto& [root, dirty] : dirty_) {
    if (dirty.everything) return SIZE_MAX;
    count += dirty.paths.size();
  }
  return count;
}

size_t FileWatcher::watched_directories() const {
  const std::lock_guard lock(mutex_);
  return directories_.size();
}

}  // namespace godwit::files
