#include "os/procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <string_view>

#include "os/file.h"

namespace godwit::os {
namespace {

constexpr size_t processes_max = 65536;
constexpr int cgroup_depth_max = 32;

std::unexpected<Error> gone(pid_t pid) {
  return std::unexpected(Error{fmt::format("process {} has ended", pid), ESRCH});
}

// Says ESRCH for every way in which the kernel reports that a process is not there any more.
template <typename T>
Result<T> or_gone(pid_t pid, Result<T> result) {
  if (!result.has_value() && (result.error().code == ENOENT || result.error().code == ESRCH)) return gone(pid);
  return result;
}

// Takes the text up to `separator` off the front of `rest`.
std::string_view take(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view field = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return field;
}

template <typename T>
bool parse_number(std::string_view text, T& value, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

// "   123 kB" -> 123; 0 if it is not that.
uint64_t parse_kib(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t");
  return from == std::string_view::npos ? std::string_view{} : text.substr(from);
}

template <typename T>
std::vector<T> parse_list(std::string_view text) {
  std::vector<T> numbers;
  while (!text.empty()) {
    const size_t end = text.find_first_of(" \t");
    T value{};
    if (parse_number(text.substr(0, end), value, 10)) numbers.push_back(value);
    text = end == std::string_view::npos ? std::string_view{} : trimmed(text.substr(end));
  }
  return numbers;
}

// A line of smaps that begins a mapping starts with a hexadecimal address; the others with a name and a colon.
bool begins_mapping(std::string_view line) {
  const size_t dash = line.find('-');
  const size_t space = line.find(' ');
  return dash != std::string_view::npos && dash < space && line.find(':') > dash;
}

void apply_flags(std::string_view line, Vma& vma) {
  if (!line.starts_with("VmFlags:")) return;
  vma.locked = line.find(" lo") != std::string_view::npos;
  vma.hugetlb = line.find(" ht") != std::string_view::npos;
}

Result<> add_cgroup_processes(const std::string& directory, int depth, std::vector<pid_t>& found) {
  auto text = read_file(directory + "/cgroup.procs");
  // A threaded cgroup of version 2 cannot be listed: its processes are listed by the domain cgroup above it.
  if (!text.has_value() && text.error().code != EOPNOTSUPP) return std::unexpected(std::move(text).error());
  std::string_view rest = text.has_value() ? std::string_view(*text) : std::string_view{};
  while (!rest.empty()) {
    pid_t pid = 0;
    // 0 stands for a process of a pid namespace that we do not see.
    if (!parse_number(take(rest, '\n'), pid, 10) || pid <= 0) continue;
    found.push_back(pid);
    if (found.size() > processes_max) return fail("{} holds more than {} processes", directory, processes_max);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), ::closedir);
  if (listing == nullptr) return fail_errno("list {}", directory);
  while (const dirent* entry = ::readdir(listing.get())) {  // NOLINT(concurrency-mt-unsafe): our own DIR
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    if (depth >= cgroup_depth_max) return fail("{} has more than {} levels below it", directory, cgroup_depth_max);
    auto below = add_cgroup_processes(directory + "/" + entry->d_name, depth + 1, found);
    const bool removed = !below.has_value() && (below.error().code == ENOENT || below.error().code == ENODEV);
    if (!below.has_value() && !removed) return below;
  }
  return {};
}

}  // namespace

bool Vma::from_kernel() const {
  return path == "[vdso]" || path.starts_with("[vvar") || path == "[vsyscall]" || path == "[uprobes]";
}

Result<std::vector<pid_t>> cgroup_processes(const std::string& cgroup_directory) {
  std::vector<pid_t> found;
  GODWIT_TRY(add_cgroup_processes(cgroup_directory, 0, found));
  std::ranges::sort(found);
  found.erase(std::ranges::unique(found).begin(), found.end());
  return found;
}

Result<Vma> parse_mapping(const std::string& line) {
  // 7f0000000000-7f0000001000 rw-p 00000000 08:01 1234      /path with spaces
  std::string_view rest = line;
  Vma vma;
  uint32_t major_number = 0;
  uint32_t minor_number = 0;
  const std::string_view start = take(rest, '-');
  const std::string_view end = take(rest, ' ');
  const std::string_view permissions = take(rest, ' ');
  const std::string_view offset = take(rest, ' ');
  const std::string_view major_text = take(rest, ':');
  const std::string_view minor_text = take(rest, ' ');
  const std::string_view inode = take(rest, ' ');
  if (!parse_number(start, vma.start, 16) || !parse_number(end, vma.end, 16) || permissions.size() != 4 ||
      !parse_number(offset, vma.offset, 16) || !parse_number(major_text, major_number, 16) ||
      !parse_number(minor_text, minor_number, 16) || !parse_number(inode, vma.inode, 10) || vma.end <= vma.start) {
    return fail("not a line of /proc/PID/maps: {}", line);
  }
  vma.read = permissions[0] == 'r';
  vma.write = permissions[1] == 'w';
  vma.execute = permissions[2] == 'x';
  vma.shared = permissions[3] == 's';
  vma.device = makedev(major_number, minor_number);
  vma.path = trimmed(rest);
  return vma;
}

Result<std::vector<Vma>> read_mappings(pid_t pid, bool with_flags) {
  const std::string path = fmt::format("/proc/{}/{}", pid, with_flags ? "smaps" : "maps");
  GODWIT_ASSIGN(const std::string text, or_gone(pid, read_file(path, size_t{256} << 20)));
  std::vector<Vma> mappings;
  std::string_view rest = text;
  bool skipped = false;
  while (!rest.empty()) {
    const std::string_view line = take(rest, '\n');
    if (with_flags && !begins_mapping(line)) {
      if (!mappings.empty() && !skipped) apply_flags(line, mappings.back());
      continue;
    }
    GODWIT_ASSIGN(Vma vma, parse_mapping(std::string(line)));
    // The file is read in several pieces, between which the process goes on: what overlaps is older or newer than the
    // rest, and the next reading will say which.
    skipped = !mappings.empty() && vma.start < mappings.back().end;
    if (!skipped) mappings.push_back(std::move(vma));
  }
  return mappings;
}

Result<MappingQuery> MappingQuery::open(pid_t pid) {
  GODWIT_ASSIGN(UniqueFd maps, or_gone(pid, open_file(fmt::format("/proc/{}/maps", pid), O_RDONLY)));
  return MappingQuery(std::move(maps));
}

uint64_t MappingQuery::end_of(uint64_t address, uint64_t fallback) const {
  // struct procmap_query and PROCMAP_QUERY of linux/fs.h, newer than Debian 12's.
  struct {
    uint64_t size, flags, address, start, end, vma_flags, page_size, offset, inode;
    uint32_t device_major, device_minor, name_size, build_id_size;
    uint64_t name, build_id;
  } query{.size = sizeof(query), .address = address};
  static_assert(sizeof(query) == 104);
  return ::ioctl(maps_.get(), _IOWR('f', 17, query), &query) == 0 ? query.end : fallback;
}

Result<ProcessStatus> read_status(pid_t pid) {
  GODWIT_ASSIGN(const std::string text, or_gone(pid, read_file(fmt::format("/proc/{}/status", pid))));
  ProcessStatus status;
  status.pid = pid;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view value = take(rest, '\n');
    const std::string_view name = take(value, ':');
    value = trimmed(value);
    if (name == "State" && !value.empty()) status.state = value[0];
    if (name == "PPid") parse_number(value, status.parent, 10);
    if (name == "TracerPid") parse_number(value, status.tracer, 10);
    if (name == "Threads") parse_number(value, status.threads, 10);
    if (name == "Seccomp") parse_number(value, status.seccomp, 10);
    if (name == "NSpid") status.namespace_pids = parse_list<pid_t>(value);
    if (name == "VmLck") status.locked_kib = parse_kib(value);
    if (name == "VmPin") status.pinned_kib = parse_kib(value);
    if (name == "HugetlbPages") status.hugetlb_kib = parse_kib(value);
  }
  if (status.namespace_pids.empty()) status.namespace_pids.push_back(pid);
  return status;
}

Result<std::vector<pid_t>> read_threads(pid_t pid) {
  GODWIT_ASSIGN(const std::vector<std::string> names, or_gone(pid, list_directory(fmt::format("/proc/{}/task", pid))));
  std::vector<pid_t> threads;
  for (const std::string& name : names) {
    pid_t tid = 0;
    if (parse_number(name, tid, 10)) threads.push_back(tid);
  }
  if (threads.empty()) return gone(pid);
  std::ranges::sort(threads);
  return threads;
}

Result<std::vector<Descriptor>> read_descriptors(pid_t pid) {
  const std::string directory = fmt::format("/proc/{}/fd", pid);
  GODWIT_ASSIGN(const std::vector<std::string> names, or_gone(pid, list_directory(directory)));
  std::vector<Descriptor> descriptors;
  descriptors.reserve(names.size());
  for (const std::string& name : names) {
    Descriptor descriptor;
    if (!parse_number(name, descriptor.number, 10)) continue;
    auto target = read_link(directory + "/" + name);
    if (!target.has_value()) continue;  // closed meanwhile
    descriptor.target = std::move(*target);
    descriptors.push_back(std::move(descriptor));
  }
  return descriptors;
}

Result<bool> waits_for_vfork(pid_t tid) {
  // Nowhere else in these calls does a thread wait.
  constexpr std::array calls = {SYS_clone, SYS_clone3, SYS_vfork};
  GODWIT_ASSIGN(const std::string text, or_gone(tid, read_file(fmt::format("/proc/{}/syscall", tid))));
  long number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);  // "running" is none
  return std::ranges::find(calls, number) != calls.end();
}

}  // namespace godwit::os
