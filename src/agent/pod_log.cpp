#include "agent/pod_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "os/file.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr const char* logs_directory = "/var/log/pods";
constexpr std::string_view suffix = ".log";

bool is_file_name(const std::string& text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos;
}

// The path of N.log with the highest N.
Result<std::optional<std::string>> newest_log(const std::string& directory) {
  GODWIT_ASSIGN(const std::vector<std::string> names, os::list_directory(directory));
  std::optional<std::string> newest;
  int newest_number = -1;
  for (const std::string& name : names) {
    if (!name.ends_with(suffix)) continue;
    int number = -1;
    const char* end = name.data() + name.size() - suffix.size();
    const auto parsed = std::from_chars(name.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end || number <= newest_number) continue;
    newest_number = number;
    newest = directory + "/" + name;
  }
  return newest;
}

// The end of a file, from the beginning of a line on.
Result<std::string> read_end(const std::string& path) {
  GODWIT_ASSIGN(const UniqueFd file, os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) return fail_errno("look at {}", path);
  if (!S_ISREG(about.st_mode)) return fail("{} is not a regular file", path);
  const auto size = static_cast<size_t>(about.st_size);
  const size_t start = size > continued_log_bytes_max ? size - continued_log_bytes_max : 0;
  std::string text(size - start, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got =
        ::pread(file.get(), text.data() + filled, text.size() - filled, static_cast<off_t>(start + filled));
    if (got < 0) return fail_errno("read {}", path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  text.resize(filled);
  if (start > 0) text.erase(0, text.find('\n') + 1);
  return text;
}

}  // namespace

std::string pod_log_directory(const json& config) {
  const json annotations = config.value("annotations", json::object());
  const auto of = [&](const char* name) { return annotations.value(std::string("io.kubernetes.cri.") + name, ""); };
  const std::array<std::string, 4> parts{of("sandbox-namespace"), of("sandbox-name"), of("sandbox-uid"),
                                         of("container-name")};
  for (const std::string& part : parts) {
    if (!is_file_name(part)) return "";
  }
  const std::string path = fmt::format("{}/{}_{}_{}/{}", logs_directory, parts[0], parts[1], parts[2], parts[3]);
  return os::exists(path) ? path : "";
}

Result<> continue_log(const std::string& before, const std::string& directory) {
  GODWIT_ASSIGN(const auto from, newest_log(before));
  GODWIT_ASSIGN(const auto to, newest_log(directory));
  if (from && to) {
    GODWIT_ASSIGN(const std::string text, read_end(*from));
    GODWIT_ASSIGN(const UniqueFd log, os::open_file(*to, O_WRONLY | O_APPEND | O_NOFOLLOW));
    GODWIT_TRY(os::write_all(log.get(), text.data(), text.size()));
  }
  return os::remove_tree(before);
}

}  // namespace godwit::agent
