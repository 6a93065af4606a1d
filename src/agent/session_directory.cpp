#include "agent/session_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "os/file.h"

namespace godwit::agent {

using nlohmann::json;

std::string SessionDirectory::run_directory() {
  const char* run = std::getenv("GODWIT_RUN");
  return run == nullptr ? "/run/godwit" : run;
}

std::string SessionDirectory::root() {
  return run_directory() + "/sessions";
}

Result<std::string> SessionDirectory::new_id() {
  std::array<uint8_t, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail_errno("random session id");
  std::string id;
  for (const uint8_t byte : bytes) id += fmt::format("{:02x}", byte);
  return id;
}

bool SessionDirectory::valid_id(const std::string& id) {
  return id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Result<SessionDirectory> SessionDirectory::create(const std::string& id, const json& session) {
  if (!valid_id(id)) return fail("'{}' is not a session id", id);
  const SessionDirectory directory(id);
  GODWIT_TRY(os::make_directories(root()));
  if (::mkdir(directory.path().c_str(), 0700) != 0) return fail_errno("make session directory {}", directory.path());
  for (const char* part : {"images", "work"}) {
    if (::mkdir(directory.path(part).c_str(), 0700) != 0) return fail_errno("make {}", directory.path(part));
  }
  GODWIT_TRY(os::write_file_atomic(directory.path("session.json"), session.dump()));
  return directory;
}

Result<SessionDirectory> SessionDirectory::open(const std::string& id) {
  if (!valid_id(id)) return fail("'{}' is not a session id", id);
  SessionDirectory directory(id);
  if (!os::exists(directory.path("session.json"))) return fail("there is no session {}", id);
  return directory;
}

Result<std::vector<SessionDirectory>> SessionDirectory::all() {
  std::vector<SessionDirectory> found;
  if (!os::exists(root())) return found;
  GODWIT_ASSIGN(const std::vector<std::string> names, os::list_directory(root()));
  for (const std::string& name : names) {
    if (auto directory = open(name)) found.push_back(std::move(*directory));
  }
  return found;
}

std::string SessionDirectory::path(const std::string& part) const {
  const std::string directory = root() + "/" + id_;
  return part.empty() ? directory : directory + "/" + part;
}

std::string SessionDirectory::member_path(size_t member, const std::string& part) const {
  return path(member == 0 ? part : fmt::format("members/{}{}{}", member, part.empty() ? "" : "/", part));
}

Result<> SessionDirectory::make_member(size_t member) const {
  for (const char* part : {"images", "work"}) GODWIT_TRY(os::make_directories(member_path(member, part)));
  return {};
}

Result<json> SessionDirectory::read_json(const std::string& part) const {
  GODWIT_ASSIGN(const std::string text, os::read_file(path(part)));
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return fail("{} is damaged", path(part));
  return parsed;
}

Result<std::optional<json>> SessionDirectory::record() const {
  if (!os::exists(path("record.json"))) return std::nullopt;
  GODWIT_ASSIGN(json record, read_json("record.json"));
  return record;
}

Result<> SessionDirectory::write_record(const json& record) const {
  return os::write_file_atomic(path("record.json"), record.dump());
}

bool SessionDirectory::finished() const {
  return os::exists(path("result.json"));
}

Result<ResultEvent> SessionDirectory::result() const {
  GODWIT_ASSIGN(const std::string text, os::read_file(path("result.json")));
  GODWIT_ASSIGN(Event event, decode_event(text));
  if (auto* result = std::get_if<ResultEvent>(&event)) return *result;
  return fail("{} is damaged", path("result.json"));
}

Result<> SessionDirectory::write_result(const ResultEvent& result) const {
  return os::write_file_atomic(path("result.json"), encode_event(result));
}

Result<std::vector<std::string>> SessionDirectory::events() const {
  std::vector<std::string> lines;
  if (!os::exists(path("events.jsonl"))) return lines;
  GODWIT_ASSIGN(const std::string text, os::read_file(path("events.jsonl")));
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    if (end == std::string::npos) break;  // a line that its writer did not finish
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

Result<UniqueFd> SessionDirectory::lock() const {
  GODWIT_ASSIGN(UniqueFd fd, os::open_file(path("lock"), O_RDWR | O_CREAT, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return fail_errno("lock session {}", id_);
  return fd;
}

bool SessionDirectory::worker_lives() const {
  const auto held = lock();
  return !held && held.error().code == EWOULDBLOCK;
}

Result<> SessionDirectory::remove_working_files() const {
  for (const char* part : {"images", "work", "members", "worker.sock"}) GODWIT_TRY(os::remove_tree(path(part)));
  return {};
}

Result<> SessionDirectory::remove_record() const {
  return os::remove_tree(path("record.json"));
}

Result<> SessionDirectory::remove() const {
  return os::remove_tree(path());
}

Result<std::string> memory_id() {
  GODWIT_TRY(os::make_directories(SessionDirectory::root()));
  const std::string path = SessionDirectory::root() + "/memory-id";
  if (!os::exists(path)) {
    GODWIT_ASSIGN(const std::string id, SessionDirectory::new_id());
    GODWIT_TRY(os::write_file_atomic(path, id));
  }
  return os::read_file(path);
}

Result<> prune_finished_sessions() {
  GODWIT_ASSIGN(std::vector<SessionDirectory> sessions, SessionDirectory::all());
  std::erase_if(sessions, [](const SessionDirectory& session) {
    return !session.finished() || os::exists(session.path("record.json"));
  });
  if (sessions.size() <= finished_sessions_max) return {};
  const auto finish_time = [](const SessionDirectory& session) {
    struct stat info{};
    ::stat(session.path("result.json").c_str(), &info);
    return std::pair(info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  };
  std::sort(sessions.begin(), sessions.end(),
            [&](const auto& a, const auto& b) { return finish_time(a) < finish_time(b); });
  sessions.resize(sessions.size() - finished_sessions_max, sessions.front());
  for (const SessionDirectory& session : sessions) GODWIT_TRY(session.remove());
  return {};
}

}  // namespace godwit::agent
