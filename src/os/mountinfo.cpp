#include "os/mountinfo.h"

#include <sstream>

#include "os/file.h"

namespace godwit::os {
namespace {

// The kernel writes space, tab, newline and backslash as \040, \011, \012, \134.
std::string unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3';
    if (!escape) {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return plain;
}

std::map<std::string, std::string> split_options(const std::string& text) {
  std::map<std::string, std::string> options;
  // A comma within a value is escaped by overlayfs as "\,", which the kernel shows as "\134,".
  std::string word;
  const auto finish = [&] {
    const size_t equals = word.find('=');
    if (!word.empty())
      options[word.substr(0, equals)] = equals == std::string::npos ? "" : unescape(word.substr(equals + 1));
    word.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' && !word.ends_with("\\134")) {
      finish();
    } else {
      word += text[i];
    }
  }
  finish();
  return options;
}

}  // namespace

Result<Mount> parse_mount(const std::string& line) {
  std::istringstream words(line);
  Mount mount;
  std::string root;
  std::string mount_point;
  if (!(words >> mount.id >> mount.parent_id >> mount.device >> root >> mount_point >> mount.options)) {
    return fail("mountinfo line of unknown form: {}", line);
  }
  std::string word;
  while (words >> word && word != "-") {
  }
  std::string source;
  std::string super_options;
  if (word != "-" || !(words >> mount.type >> source)) return fail("mountinfo line of unknown form: {}", line);
  words >> super_options;
  mount.root = unescape(root);
  mount.mount_point = unescape(mount_point);
  mount.source = unescape(source);
  mount.super_options = split_options(super_options);
  return mount;
}

Result<std::vector<Mount>> read_mounts(pid_t pid) {
  GODWIT_ASSIGN(const std::string text, read_file(fmt::format("/proc/{}/mountinfo", pid)));
  std::vector<Mount> mounts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    GODWIT_ASSIGN(Mount mount, parse_mount(line));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace godwit::os
