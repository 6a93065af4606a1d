#include "os/cpu_limit.h"

#include <array>
#include <filesystem>

#include "os/file.h"

namespace godwit::os {
namespace {

struct LimitFile {
  const char* name;
  const char* unlimited;  // how its contents begin then, and what to write
};
constexpr std::array<LimitFile, 2> limit_files{{{"cpu.cfs_quota_us", "-1"}, {"cpu.max", "max"}}};

}  // namespace

Result<std::vector<CpuLimit>> cpu_limits(const std::string& directory, size_t levels) {
  std::vector<CpuLimit> limits;
  std::filesystem::path level(directory);
  for (size_t i = 0; i < levels; ++i, level = level.parent_path()) {
    for (const LimitFile& file : limit_files) {
      const std::string path = level / file.name;
      if (!exists(path)) continue;
      GODWIT_ASSIGN(std::string value, read_file(path));
      if (!value.starts_with(file.unlimited)) limits.push_back({.path = path, .value = std::move(value)});
    }
  }
  return limits;
}

Result<> lift(const CpuLimit& limit) {
  const std::string name = std::filesystem::path(limit.path).filename();
  for (const LimitFile& file : limit_files) {
    if (name == file.name) return write_file(limit.path, file.unlimited);
  }
  return fail("{} sets no limit to processor time", limit.path);
}

Result<> put_back(const CpuLimit& limit) {
  return exists(limit.path) ? write_file(limit.path, limit.value) : Result<>{};
}

}  // namespace godwit::os
