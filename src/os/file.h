// Small helpers over files, for /proc, /sys and our own records.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

// Opens with O_CLOEXEC added. Errors: as open(2), with the path.
Result<UniqueFd> open_file(const std::string& path, int flags, unsigned mode = 0);
// The lock (flock(2)) of a file that is made if it is not there; waits for whoever holds it. Held until all who were
// given the descriptor have closed it. EWOULDBLOCK: somebody else still held it at the deadline.
Result<UniqueFd> lock_file(const std::string& path, Deadline deadline);
// Until nobody holds that lock. At once if there is no such file.
Result<> wait_unlocked(const std::string& path, Deadline deadline);
// Whole contents; refuses more than `limit_bytes`.
Result<std::string> read_file(const std::string& path, size_t limit_bytes = size_t{64} << 20);
// One write(2) to an existing file: for /proc and cgroup files.
Result<> write_file(const std::string& path, std::string_view data);
// Replaces `path` by a temporary file and rename(2), so that a reader or a crash sees the old or the new, never a part.
Result<> write_file_atomic(const std::string& path, std::string_view data, unsigned mode = 0600);
Result<> make_directories(const std::string& path, unsigned mode = 0700);
// Removes a tree without crossing into other file systems mounted below it. Not there: success.
Result<> remove_tree(const std::string& path);
Result<std::vector<std::string>> list_directory(const std::string& path);
Result<std::string> read_link(const std::string& path);
// A file without a name that holds `contents`, to be read from its beginning: for a program's standard input.
Result<UniqueFd> file_in_memory(std::string_view contents);
bool exists(const std::string& path);
// `path` as a process with root directory `root` sees it, without symbolic links: "/var/run/x" -> "/run/x". What does
// not exist is left as it is. At most 40 links are followed, as the kernel does.
std::string resolve_in_root(const std::string& root, const std::string& path);

// Exactly `size` bytes or an error; both go on after EINTR and short transfers.
Result<> write_all(int fd, const void* data, size_t size);
Result<> read_exact(int fd, void* data, size_t size);

}  // namespace godwit::os
