#include "criu/smaps_cache.h"

#include <unistd.h>

#include <sstream>

#include <fmt/format.h>

#include "os/file.h"
#include "os/procfs.h"

namespace godwit::criu {
namespace {

constexpr size_t file_bytes_max = size_t{256} << 20;
constexpr std::string_view flags_key = "VmFlags:";

std::string file_name(const std::string& directory, pid_t pid) {
  return fmt::format("{}/smaps-{}", directory, pid);
}

// "7f00-7f01 rw-p ..." begins with digits of an address, the lines about it with a name.
bool begins_mapping(const std::string& line) {
  const size_t dash = line.find_first_not_of("0123456789abcdef");
  return dash != std::string::npos && dash > 0 && line[dash] == '-';
}

}  // namespace

Result<> SmapsCache::remember(const std::vector<pid_t>& processes) {
  processes_.clear();
  for (const pid_t pid : processes) {
    const auto status = os::read_status(pid);
    const auto text = os::read_file(fmt::format("/proc/{}/smaps", pid), file_bytes_max);
    if (!status || !text) continue;
    Process process;
    process.locked_kib = status->locked_kib;
    std::istringstream lines(*text);
    std::string mapping;
    for (std::string line; std::getline(lines, line);) {
      if (begins_mapping(line)) {
        mapping = line;
      } else if (line.starts_with(flags_key)) {
        process.flags.emplace(mapping, line);
      }
    }
    processes_.emplace(pid, std::move(process));
  }
  return {};
}

Result<int> SmapsCache::write(const std::vector<pid_t>& processes, const std::string& directory) const {
  int written = 0;
  for (const pid_t pid : processes) {
    const std::string path = file_name(directory, pid);
    // Of an earlier attempt.
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove {}", path);
    const auto known = processes_.find(pid);
    const auto status = os::read_status(pid);
    if (known == processes_.end() || !status || status->locked_kib != known->second.locked_kib) continue;
    GODWIT_ASSIGN(const std::string maps, os::read_file(fmt::format("/proc/{}/maps", pid), file_bytes_max));
    std::string text;
    text.reserve(2 * maps.size());
    bool complete = true;
    std::istringstream lines(maps);
    for (std::string line; complete && std::getline(lines, line);) {
      const auto flags = known->second.flags.find(line);
      complete = flags != known->second.flags.end();
      if (complete) text += line + "\n" + flags->second + "\n";
    }
    if (!complete) continue;
    GODWIT_TRY(os::write_file_atomic(path, text));
    ++written;
  }
  return written;
}

}  // namespace godwit::criu
