// Answers for sessions that have no worker any more.
#include "agent/destination_record.h"
#include "agent/destination_worker.h"

namespace godwit::agent {
namespace {

using migration::MessageKind;

constexpr auto answer_time = std::chrono::seconds(5);

// "Refused" is a promise that it will never run here, so it is only said when that is sure. Error: not for `asker` to
// know.
Result<MessageKind> answer_for(const std::string& session_id, const std::string& asker) {
  const auto session = SessionDirectory::open(session_id);
  if (!session) return MessageKind::refused;  // never heard of, or forgotten by a restart of the node
  const auto record = session->record();
  if (!session->finished() || !record) return MessageKind::undecided;
  if (!*record) return MessageKind::refused;
  const auto parsed = destination_record_from_json(**record);
  if (!parsed) return MessageKind::undecided;
  if (parsed->source != asker) return fail("node '{}' asks for a session of node '{}'", asker, parsed->source);
  return parsed->verdict == Verdict::go ? MessageKind::running : MessageKind::refused;
}

// Why a container that ran here does not any more, if it was the migration that ended it; empty otherwise.
std::string ended_reason(const std::string& session_id) {
  const auto session = SessionDirectory::open(session_id);
  const auto result = session ? session->result() : std::unexpected(session.error());
  return result && !result->ok ? result->reason : "";
}

}  // namespace

Result<> answer_from_record(const AgentConfig& config, const std::string& session_id, UniqueFd connection) {
  const Deadline deadline = Deadline::after(answer_time);
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config.ca_path, config.certificate_path, config.key_path));
  GODWIT_ASSIGN(auto stream, transfer::TlsStream::accept(
                                 std::move(connection), identity, deadline,
                                 transfer::tls_purpose({.session = session_id, .role = transfer::Role::query})));
  GODWIT_ASSIGN(const PeerMessage question, receive_message(*stream, deadline));
  if (question.message.kind != MessageKind::query) return fail("a query connection that asks nothing");
  GODWIT_ASSIGN(const MessageKind kind, answer_for(session_id, stream->peer_name()));
  GODWIT_ASSIGN(const std::string id, memory_id());
  nlohmann::json body = {{"memory_id", id}, {"reason", "the session did not run there"}};
  if (kind == MessageKind::running) body["ended"] = ended_reason(session_id);
  return send_message(*stream, {.message = {.kind = kind, .epoch = question.message.epoch}, .body = std::move(body)});
}

}  // namespace godwit::agent
