#include "controller/session_orders.h"

#include "api/names.h"
#include "controller/network_mode.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto answer_time = std::chrono::seconds(10);

Result<agent::ResultEvent> tell_source(const RunContext& context, const api::MigrationStatus& status,
                                       const agent::Request& request, const std::stop_token& stop) {
  if (status.session.empty()) return fail("the Migration does not say yet what its session is called");
  GODWIT_ASSIGN(const NodeAgent source, find_agent(context.client, status.source_node, kube::within(call_time, stop)));
  return context.agents.tell(source, request, Deadline::after(answer_time), stop);
}

}  // namespace

agent::MigrateOptions agent_options(const api::MigrationOptions& options) {
  agent::MigrateOptions known;
  known.iterations = static_cast<uint64_t>(options.iterations);
  if (options.dirty_pages_threshold > 0) known.dirty_pages = static_cast<uint64_t>(options.dirty_pages_threshold);
  known.freeze_time_ms = options.requested_freeze_ms;
  known.network = agent_mode(options.network_mode);
  known.keep_tcp = options.with_tcp;
  known.be_done_soon = options.optimize_for == api::OptimizeFor::dump_time;
  return known;
}

Result<> cancel_at_agent(const RunContext& context, const json& migration, const std::stop_token& stop) {
  const api::MigrationStatus status = api::read_status(migration);
  GODWIT_ASSIGN(const agent::ResultEvent answer,
                tell_source(context, status, agent::CancelRequest{status.session}, stop));
  if (!answer.ok) return fail("{}", answer.reason);
  return {};
}

Result<bool> reconfigure_at_agent(const RunContext& context, const json& migration, const std::stop_token& stop) {
  const api::MigrationStatus status = api::read_status(migration);
  GODWIT_ASSIGN(const api::MigrationSpec spec, api::read_spec(migration));
  const agent::ReconfigureRequest request{.session = status.session, .options = agent_options(spec.options)};
  GODWIT_ASSIGN(const agent::ResultEvent answer, tell_source(context, status, request, stop));
  if (answer.ok) return true;
  GODWIT_ASSIGN(const agent::ResultEvent session,
                tell_source(context, status, agent::InspectRequest{status.session}, stop));
  if (!session.session.empty() && !session.unknown) return false;
  return fail("{}", answer.reason);
}

}  // namespace godwit::controller
