#include "runtime/arguments.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace godwit::runtime {
namespace {

// Options whose value is a word of its own. All others are flags, or `--name=value`.
constexpr std::array<std::string_view, 4> global_with_value{"--root", "--log", "--log-format", "--rootless"};
// Of create, run, exec and restore, as far as container engines use them.
constexpr std::array<std::string_view, 22> command_with_value{"--bundle",
                                                              "-b",
                                                              "--console-socket",
                                                              "--pidfd-socket",
                                                              "--pid-file",
                                                              "--preserve-fds",
                                                              "--cgroup",
                                                              "--process",
                                                              "-p",
                                                              "--cwd",
                                                              "--env",
                                                              "-e",
                                                              "--user",
                                                              "-u",
                                                              "--cap",
                                                              "-c",
                                                              "--label",
                                                              "--apparmor",
                                                              "--process-label",
                                                              "--additional-gids",
                                                              "-g",
                                                              "--format"};

void take(Arguments& arguments, const std::string& name, const std::string& value) {
  if (name == "--root") arguments.root = value;
  if (name == "--log") arguments.log = value;
  if (name == "--log-format") arguments.log_is_json = value == "json";
  if (name == "--bundle" || name == "-b") arguments.bundle = value;
  if (name == "--pid-file") arguments.pid_file = value;
}

template <size_t count>
bool contains(const std::array<std::string_view, count>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& words) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with('-')) {
      if (arguments.command.empty()) {
        arguments.command = word;
      } else if (arguments.id.empty()) {
        arguments.id = word;
      }
      continue;
    }
    const size_t equals = word.find('=');
    if (equals != std::string::npos) {
      take(arguments, word.substr(0, equals), word.substr(equals + 1));
    } else if (arguments.command.empty() ? contains(global_with_value, word) : contains(command_with_value, word)) {
      if (i + 1 < words.size()) take(arguments, word, words[i + 1]);
      ++i;
    }
  }
  return arguments;
}

}  // namespace godwit::runtime
