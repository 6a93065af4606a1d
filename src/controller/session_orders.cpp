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

Result<Reconfigured> reconfigure_at_agent(const RunContext& context, const json& migration,
                                          const std::stop_token& stop) {
  const api::MigrationStatus status = api::read_status(migration);
  GODWIT_ASSIGN(const api::MigrationSpec spec, api::read_spec(migration));
  const bool other_network = status.network_mode && *status.network_mode != spec.options.network_mode;
  const bool keeps_name = status.clone_name == spec.pod_name;
  // The pod's place on the destination has its network from the beginning.
  const bool anew = other_network && !keeps_name;
  if (anew && status.phase == api::MigrationPhase::checkpoint) return fail("it is frozen: too late, or too soon");
  if (anew && status.phase != api::MigrationPhase::pre_dump) return Reconfigured::over;
  agent::Request request = agent::ReconfigureRequest{.session = status.session, .options = agent_options(spec.options)};
  if (anew) {
    // Before it ends: MigrationRun must know why it did, whatever the options are by then.
    const json restarting = {{"status", {{"restarting", status.session}}}};
    const kube::ObjectPath path{api::migrations, kube::namespace_of(migration), kube::name_of(migration), "status"};
    GODWIT_TRY(context.client.patch(path, kube::PatchType::merge, restarting, kube::within(call_time, stop)));
    request = agent::CancelRequest{status.session};
  }
  GODWIT_ASSIGN(const agent::ResultEvent answer, tell_source(context, status, request, stop));
  if (answer.ok) {
    return anew ? Reconfigured::begins_anew : other_network ? Reconfigured::in_part : Reconfigured::known;
  }
  GODWIT_ASSIGN(const agent::ResultEvent session,
                tell_source(context, status, agent::InspectRequest{status.session}, stop));
  if (!session.session.empty() && !session.unknown) return Reconfigured::over;
  return fail("{}", answer.reason);
}

const char* to_string(Reconfigured reconfigured) {
  switch (reconfigured) {
    case Reconfigured::over:
      return "too late to count";
    case Reconfigured::known:
      return "from the next iteration on";
    case Reconfigured::begins_anew:
      return "from now on: the pod's place is made anew for the other networkMode, and the first iteration comes again";
    case Reconfigured::in_part:
      return "from the next iteration on, but for the networkMode: the StatefulSet has made the pod for the old one";
  }
  return "";
}

}  // namespace godwit::controller
