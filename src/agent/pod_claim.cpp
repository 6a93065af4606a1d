#include "agent/pod_claim.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "agent/pod_container.h"
#include "agent/session_directory.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr auto search_interval = std::chrono::milliseconds(50);
constexpr auto answer_time = std::chrono::seconds(10);  // of a runtime that is told what to do

Result<json> parse(const std::string& text) {
  json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail("a message between pod and session that is not JSON");
  if (object.contains("error")) return fail("{}", object.value("error", ""));
  return object;
}

// The session is made at about the time when the pod is. Empty: it has ended well.
Result<UniqueFd> connect_worker(const std::string& id, Deadline deadline) {
  if (!SessionDirectory::valid_id(id))
    return fail("annotation {} is set by Godwit alone: '{}'", restore_annotation, id);
  for (;;) {
    if (const auto session = SessionDirectory::open(id)) {
      if (session->finished()) {
        const auto result = session->result();
        if (result && result->ok) return UniqueFd();
        return fail("session {} has ended: {}", id, result ? result->reason : result.error().message);
      }
      if (auto worker = os::connect_seqpacket(session->path("worker.sock"))) {
        GODWIT_ASSIGN(os::SocketPair pair, os::seqpacket_pair());
        GODWIT_TRY(os::send_message(worker->get(), pod_role, pair.theirs.get()));
        return std::move(pair.ours);
      }
    }
    if (deadline.expired()) return fail("no session {} on this node", id);
    std::this_thread::sleep_for(search_interval);
  }
}

// Replaces this process, whose standard streams stay.
Result<> become(const json& order, const UniqueFd& descriptor) {
  for (const json& setting : order.at("environment")) {
    const auto text = setting.get<std::string>();
    const size_t equals = text.find('=');
    ::setenv(text.substr(0, equals).c_str(), text.substr(equals + 1).c_str(), 1);
  }
  const auto directory = order.at("directory").get<std::string>();
  if (::chdir(directory.c_str()) != 0) return fail_errno("enter {}", directory);
  if (descriptor && ::dup2(descriptor.get(), order.at("descriptor").get<int>()) < 0) return fail_errno("dup2");
  return std::unexpected(os::become(order.at("argv").get<std::vector<std::string>>()));
}

// What is asked of the runtime before the order to restore.
Result<> answer_keep_pid(int worker) {
  GODWIT_ASSIGN(const KeptPid kept, keep_pid());
  return os::send_message(worker, json{{"placeholder", kept.placeholder}, {"keeper", kept.keeper}}.dump(),
                          kept.connection.get());
}

// The container is created for its engine when the worker says so; a child becomes what restores it.
Result<> restore_beside(int worker, const json& order, const os::PassedMessage& message,
                        const OfferedContainer& container, Deadline deadline) {
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    // The worker learns from the end of this process.
    [[maybe_unused]] const auto failed = become(order, message.fd);
    ::_exit(127);
  }
  GODWIT_TRY(os::send_message(worker, json{{"runc", child}}.dump()));
  GODWIT_ASSIGN(const os::PassedMessage answer, os::receive_message(worker, deadline));
  GODWIT_ASSIGN(const json created, parse(answer.text));
  return os::write_file_atomic(container.pid_file, std::to_string(created.at("created").get<pid_t>()), 0644);
}

}  // namespace

std::string PodClaim::pod_name() const {
  const auto text = os::read_file(container_.bundle + "/config.json");
  const json config = text ? json::parse(*text, nullptr, false) : json();
  return config.is_object() ? container_name_of(config) : "";
}

Result<PidKeeper> PodClaim::keep_pid(Deadline deadline) {
  GODWIT_TRY(os::send_message(connection_.get(), json{{"keep_pid", true}}.dump()));
  GODWIT_ASSIGN(os::PassedMessage answer, os::receive_message(connection_.get(), deadline));
  GODWIT_ASSIGN(const json kept, parse(answer.text));
  const auto pid = kept.value("placeholder", 0);
  if (pid <= 0 || !answer.fd) return fail("a pod's runtime keeps no number for the container");
  return PidKeeper({.placeholder = pid, .keeper = kept.value("keeper", 0), .connection = std::move(answer.fd)});
}

Result<> PodClaim::end_create(pid_t pid) const {
  return os::send_message(connection_.get(), json{{"created", pid}}.dump());
}

Result<os::Subprocess> PodClaim::start(const os::Command& command) const {
  if (command.descriptors.size() != 1) return fail("a pod's runtime takes one descriptor");
  const json order = {{"argv", command.argv},
                      {"environment", command.environment},
                      {"directory", command.directory},
                      {"descriptor", command.descriptors[0].second}};
  GODWIT_TRY(os::send_message(connection_.get(), order.dump(), command.descriptors[0].first));
  GODWIT_ASSIGN(const os::PassedMessage answer, os::receive_message(connection_.get(), Deadline::after(answer_time)));
  GODWIT_ASSIGN(const json child, parse(answer.text));
  return os::Subprocess::of_other(child.value("runc", 0));
}

void PodClaim::refuse(const std::string& reason) const {
  // One that has gone needs no answer.
  [[maybe_unused]] const auto sent =
      os::send_message(connection_.get(), json{{"error", reason.substr(0, os::passed_text_bytes_max / 2)}}.dump());
}

Result<PodQuestion> read_pod_question(int connection, Deadline deadline) {
  GODWIT_ASSIGN(const os::PassedMessage message, os::receive_message(connection, deadline));
  GODWIT_ASSIGN(const json question, parse(message.text));
  if (question.value("want", "") == "interface") return PodQuestion{};
  if (question.value("want", "") == "nothing") return PodQuestion{.refusal = question.value("reason", "no reason")};
  OfferedContainer container{.id = question.value("id", ""),
                             .bundle = question.value("bundle", ""),
                             .runc_root = question.value("runc_root", ""),
                             .pid_file = question.value("pid_file", "")};
  if (container.id.empty() || container.bundle.empty()) return fail("a pod's runtime offers no container");
  return PodQuestion{.container = std::move(container)};
}

Result<json> ask_interface(const std::string& session, Deadline deadline) {
  GODWIT_ASSIGN(const UniqueFd worker, connect_worker(session, deadline));
  if (!worker) return fail("session {} has ended: the pod's network cannot be made again", session);
  GODWIT_TRY(os::send_message(worker.get(), json{{"want", "interface"}}.dump()));
  GODWIT_ASSIGN(const os::PassedMessage answer, os::receive_message(worker.get(), deadline));
  return parse(answer.text);
}

void tell_refusal(const std::string& session, const std::string& reason, Deadline deadline) {
  const auto worker = connect_worker(session, deadline);
  if (!worker || !*worker) return;
  // One that has gone need not know.
  [[maybe_unused]] const auto sent = os::send_message(
      worker->get(), json{{"want", "nothing"}, {"reason", reason.substr(0, os::passed_text_bytes_max / 2)}}.dump());
}

Result<Offered> offer_container(const std::string& session, const OfferedContainer& container, Deadline deadline) {
  GODWIT_ASSIGN(const UniqueFd worker, connect_worker(session, deadline));
  if (!worker) return Offered::not_wanted;
  GODWIT_TRY(os::send_message(worker.get(), json{{"want", "restore"},
                                                 {"id", container.id},
                                                 {"bundle", container.bundle},
                                                 {"runc_root", container.runc_root},
                                                 {"pid_file", container.pid_file}}
                                                .dump()));
  GODWIT_ASSIGN(os::PassedMessage answer, os::receive_message(worker.get(), deadline));
  GODWIT_TRY(parse(answer.text));
  GODWIT_TRY(answer_keep_pid(worker.get()));
  GODWIT_ASSIGN(answer, os::receive_message(worker.get(), deadline));
  GODWIT_ASSIGN(const json order, parse(answer.text));
  GODWIT_TRY(restore_beside(worker.get(), order, answer, container, deadline));
  return Offered::created;
}

}  // namespace godwit::agent
