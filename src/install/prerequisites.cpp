#include "install/prerequisites.h"

#include <array>
#include <charconv>
#include <vector>

#include "base/deadline.h"
#include "os/subprocess.h"

namespace godwit::install {
namespace {

constexpr auto program_time = std::chrono::seconds(20);
constexpr int criu_major = 4;
constexpr int criu_minor = 2;

// Program, an argument with which it does nothing, Debian's package of it.
struct Needed {
  const char* program;
  const char* argument;
  const char* package;
};
constexpr std::array needed{Needed{"runc", "--version", "runc"}, Needed{"ip", "-V", "iproute2"},
                            Needed{"iptables", "--version", "iptables"}, Needed{"criu", "--version", "criu"}};

}  // namespace

Result<> check_criu_version(const std::string& text) {
  const size_t at = text.find("Version: ");
  int major = 0;
  int minor = 0;
  const char* end = text.data() + text.size();
  const char* number = at == std::string::npos ? end : text.data() + at + 9;
  const auto first = std::from_chars(number, end, major);
  const bool good = first.ec == std::errc() && first.ptr < end && *first.ptr == '.' &&
                    std::from_chars(first.ptr + 1, end, minor).ec == std::errc();
  if (good && (major > criu_major || (major == criu_major && minor >= criu_minor))) return {};
  return fail("this node's criu is too old, or tells no version: Godwit needs {}.{} or newer, it says {}", criu_major,
              criu_minor, text.substr(0, text.find('\n')));
}

Result<> check_programs() {
  std::string missing;
  for (const Needed& one : needed) {
    const auto said = os::run({.argv = {one.program, one.argument}}, Deadline::after(program_time));
    if (!said || said->status != 0) {
      missing += fmt::format("{}{} (Debian: {})", missing.empty() ? "" : ", ", one.program, one.package);
    } else if (std::string(one.program) == "criu") {
      GODWIT_TRY(check_criu_version(said->text));
    }
  }
  if (missing.empty()) return {};
  return fail("this node has no working {}: install that on it, and Godwit goes on by itself", missing);
}

Result<> check_agent(const std::string& program) {
  GODWIT_ASSIGN(const os::Output said, os::run({.argv = {program, "--help"}}, Deadline::after(program_time)));
  if (said.status == 0) return {};
  return fail("{} cannot be started on this node: {}", program, said.text.substr(0, 400));
}

}  // namespace godwit::install
