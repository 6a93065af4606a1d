#include "agent/failure_logs.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <vector>

#include "agent/requests.h"
#include "base/log.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

constexpr std::array log_names{"dump.log", "restore.log", "runc.log"};

std::string failures_root() {
  return SessionDirectory::run_directory() + "/failures";
}

timespec changed_at(const std::string& path) {
  struct stat info{};
  ::stat(path.c_str(), &info);
  return info.st_mtim;
}

Result<> remove_oldest() {
  GODWIT_ASSIGN(std::vector<std::string> names, os::list_directory(failures_root()));
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    const timespec left = changed_at(failures_root() + "/" + a);
    const timespec right = changed_at(failures_root() + "/" + b);
    return std::pair(left.tv_sec, left.tv_nsec) < std::pair(right.tv_sec, right.tv_nsec);
  });
  for (size_t i = 0; i + failures_kept_max < names.size(); ++i) {
    GODWIT_TRY(os::remove_tree(failures_root() + "/" + names[i]));
  }
  return {};
}

}  // namespace

Result<std::string> keep_failure_logs(const SessionDirectory& session) {
  const std::string directory = failures_root() + "/" + session.id();
  bool kept = false;
  for (size_t i = 0; i < pod_containers_max * log_names.size(); ++i) {
    const size_t member = i / log_names.size();
    const std::string log = log_names[i % log_names.size()];
    const std::string path = session.member_path(member, "work/" + log);
    const std::string name = member == 0 ? log : fmt::format("{}-{}", member, log);
    if (!os::exists(path)) continue;
    GODWIT_ASSIGN(std::string text, os::read_file(path));
    if (text.empty()) continue;
    // The end is where it says why.
    if (text.size() > failure_log_bytes_max) text.erase(0, text.size() - failure_log_bytes_max);
    GODWIT_TRY(os::make_directories(directory, 0700));
    GODWIT_TRY(os::write_file_atomic(directory + "/" + name, text, 0600));
    kept = true;
  }
  if (!kept) return "";
  GODWIT_TRY(remove_oldest());
  return directory;
}

Result<> with_failure_logs(Result<> outcome, const SessionDirectory& session, const std::string& node_name) {
  if (outcome) return outcome;
  const auto kept = keep_failure_logs(session);
  if (!kept) {
    log_warning("the logs of criu are not kept: {}", kept.error().message);
  } else if (!kept->empty()) {
    outcome.error().message += fmt::format("\nthe logs are on {} in {}", node_name, *kept);
  }
  return outcome;
}

}  // namespace godwit::agent
