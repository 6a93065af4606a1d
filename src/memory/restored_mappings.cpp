#include "memory/restored_mappings.h"

#include <string_view>

#include "os/file.h"

namespace godwit::memory {
namespace {

// "VmFlags: rd wr mr mw me ac um sd": two letters each.
bool has_flag(std::string_view flags, std::string_view flag) {
  for (size_t at = flags.find(flag); at != std::string_view::npos; at = flags.find(flag, at + 1)) {
    const bool begins = at > 0 && flags[at - 1] == ' ';
    const size_t end = at + flag.size();
    if (begins && (end == flags.size() || flags[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<RestoredMapping>> parse_restored_mappings(const std::string& smaps) {
  constexpr std::string_view flags_name = "VmFlags:";
  std::vector<RestoredMapping> mappings;
  bool flags_seen = true;
  std::string_view rest = smaps;
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    const std::string_view line = rest.substr(0, newline);
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
    if (line.starts_with(flags_name)) {
      if (mappings.empty()) return fail("smaps: flags before the first mapping");
      mappings.back().lazy = has_flag(line, "um");
      mappings.back().wipe_on_fork = has_flag(line, "wf");
      flags_seen = true;
      continue;
    }
    // Every other line of a mapping is a capitalized name; the first begins with an address.
    if (line.empty() || (line[0] >= 'A' && line[0] <= 'Z')) continue;
    if (!flags_seen) return fail("smaps says no flags of the mapping at {:#x}", mappings.back().vma.start);
    GODWIT_ASSIGN(auto vma, os::parse_mapping(std::string(line)));
    mappings.push_back({.vma = std::move(vma)});
    flags_seen = false;
  }
  if (!flags_seen) return fail("smaps says no flags of the mapping at {:#x}", mappings.back().vma.start);
  return mappings;
}

Result<std::vector<RestoredMapping>> read_restored_mappings(pid_t pid) {
  GODWIT_ASSIGN(const std::string smaps, os::read_file("/proc/" + std::to_string(pid) + "/smaps"));
  return parse_restored_mappings(smaps);
}

}  // namespace godwit::memory
