#include "files/in_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string_view>

#include "os/file.h"

namespace godwit::files {
namespace {

constexpr size_t kMapsBytesMax = size_t{64} << 20;
constexpr size_t kFilesMax = 1'000'000;

using Found = std::map<std::string, FileInUse>;

constexpr std::string_view kDeleted = " (deleted)";

// `link` is the file's magic link, which leads to it whatever has become of its name.
void note(Found& found, std::string path, bool mapped, const std::string& link) {
  FileInUse file{.path = std::move(path), .mapped = mapped};
  if (file.path.ends_with(kDeleted)) {
    struct stat info{};
    if (::stat(link.c_str(), &info) != 0 || info.st_nlink == 0 || !S_ISREG(info.st_mode)) return;
    file.nameless = true;
    file.size = static_cast<uint64_t>(info.st_size);
    file.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
    file.ctime_ns = info.st_ctim.tv_sec * 1'000'000'000 + info.st_ctim.tv_nsec;
  }
  // Two nameless files may have had the same name.
  std::string key = file.nameless ? fmt::format("{}\n{}\n{}", file.path, file.size, file.ctime_ns) : file.path;
  FileInUse& known = found.try_emplace(std::move(key), file).first->second;
  known.mapped = known.mapped || mapped;
}

// The kernel writes a newline in a path as "\012" in maps.
std::string unescape(std::string_view text) {
  constexpr std::string_view newline = "\\012";
  std::string path;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at, newline.size()) == newline) {
      path += '\n';
      at += newline.size();
    } else {
      path += text[at++];
    }
  }
  return path;
}

// "7f..-7f.. rw-s 00000000 00:2a 1234      /tmp/file"
void read_maps(pid_t pid, std::string_view text, Found& found) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t mode = line.find(' ') + 1;
    if (mode == 0 || line.size() < mode + 4 || line[mode + 1] != 'w' || line[mode + 3] != 's') continue;
    const size_t path = line.find('/', mode);
    if (path == std::string_view::npos) continue;
    note(found, unescape(line.substr(path)), true, fmt::format("/proc/{}/map_files/{}", pid, line.substr(0, mode - 1)));
  }
}

Result<> read_descriptors(pid_t pid, Found& found) {
  const std::string path = fmt::format("/proc/{}/fd", pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) {
    if (errno == ENOENT || errno == ESRCH) return {};
    return fail_errno("open {}", path);
  }
  std::array<char, 4096> target;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    const int fd = ::dirfd(directory.get());
    const ssize_t length = ::readlinkat(fd, entry->d_name, target.data(), target.size());
    if (length <= 0 || target[0] != '/') continue;  // a socket, a pipe, or just closed
    struct stat info{};
    // The link's own mode tells how the file is open.
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || (info.st_mode & S_IWUSR) == 0) continue;
    note(found, std::string(target.data(), static_cast<size_t>(length)), false, path + "/" + entry->d_name);
    if (found.size() > kFilesMax) return fail("process {} has more than {} files in use", pid, kFilesMax);
  }
  return {};
}

}  // namespace

Result<std::vector<FileInUse>> files_in_use(std::span<const pid_t> pids) {
  Found found;
  for (const pid_t pid : pids) {
    auto maps = os::read_file(fmt::format("/proc/{}/maps", pid), kMapsBytesMax);
    if (maps) {
      read_maps(pid, *maps, found);
    } else if (maps.error().code != ENOENT && maps.error().code != ESRCH) {
      return std::unexpected(std::move(maps).error());
    }
    GODWIT_TRY(read_descriptors(pid, found));
  }
  std::vector<FileInUse> files;
  files.reserve(found.size());
  for (auto& [key, file] : found) files.push_back(std::move(file));
  return files;
}

}  // namespace godwit::files
