// What outlives a worker: /run/godwit/sessions/<id>/, in RAM, mode 0700.
//
//   lock           held (flock) by the worker while it lives
//   session.json   what the session is: role, container, nodes, request; written once
//   record.json    how far the hand-over is: what recovery needs; replaced atomically
//   events.jsonl   what was told to the operator
//   worker.sock    where the supervisor hands connections to the worker
//   result.json    how it ended; a session that has one is finished
//   images/, work/ of criu; removed at the end
//
// A destination keeps record.json beyond its result until the source says that it needs no answer any more: a session
// that nobody knows is answered "never ran here", so a record that is still needed must not be removed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/events.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::agent {

constexpr size_t finished_sessions_max = 64;  // kept for `inspect`; older ones are removed

// Names one session's directory and reads and writes its parts. Any process of the agent may have one; writing is the
// worker's alone.
class SessionDirectory {
 public:
  // The agent's own directory: GODWIT_RUN, by default /run/godwit.
  static std::string run_directory();
  // Where all sessions are: "sessions" in it.
  static std::string root();
  // A new random name: 32 hexadecimal digits.
  static Result<std::string> new_id();
  static bool valid_id(const std::string& id);
  // Makes the directory and session.json. Error if it is there already.
  static Result<SessionDirectory> create(const std::string& id, const nlohmann::json& session);
  static Result<SessionDirectory> open(const std::string& id);
  static Result<std::vector<SessionDirectory>> all();

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] std::string path(const std::string& part = "") const;

  // The same for each container of a session that moves several; of the first one it is path().
  [[nodiscard]] std::string member_path(size_t member, const std::string& part = "") const;
  // Its own images and work directories; the first one's are there already.
  [[nodiscard]] Result<> make_member(size_t member) const;

  [[nodiscard]] Result<nlohmann::json> session() const { return read_json("session.json"); }
  // nullopt: nothing has been recorded yet.
  [[nodiscard]] Result<std::optional<nlohmann::json>> record() const;
  [[nodiscard]] Result<> write_record(const nlohmann::json& record) const;
  [[nodiscard]] bool finished() const;
  [[nodiscard]] Result<ResultEvent> result() const;
  [[nodiscard]] Result<> write_result(const ResultEvent& result) const;
  // The recorded event lines.
  [[nodiscard]] Result<std::vector<std::string>> events() const;

  // Takes the worker's lock. Error of code EWOULDBLOCK: a worker lives.
  [[nodiscard]] Result<UniqueFd> lock() const;
  [[nodiscard]] bool worker_lives() const;
  // Removes what only a running session needs: images, work, socket.
  [[nodiscard]] Result<> remove_working_files() const;
  [[nodiscard]] Result<> remove_record() const;
  [[nodiscard]] Result<> remove() const;

 private:
  explicit SessionDirectory(std::string id) : id_(std::move(id)) {}
  [[nodiscard]] Result<nlohmann::json> read_json(const std::string& part) const;
  std::string id_;
};

// Names this node's memory of its sessions: made anew when the directory is, that is, when the node is started. Who is
// answered under another name talks to a node that remembers nothing of what it was told before.
Result<std::string> memory_id();

// Removes the oldest finished sessions beyond finished_sessions_max, except those whose record is still needed.
Result<> prune_finished_sessions();

}  // namespace godwit::agent
