// What a Migration asks of the agents, and what it hears from them.
#include <algorithm>
#include <utility>

#include "agent/peer_address.h"
#include "api/names.h"
#include "base/log.h"
#include "controller/finalizer.h"
#include "controller/migration_run.h"
#include "controller/pod_trouble.h"
#include "controller/session_orders.h"
#include "controller/side_watch.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto migration_time = std::chrono::hours(2);
constexpr auto follow_poll = std::chrono::milliseconds(500);
constexpr auto place_poll = std::chrono::milliseconds(300);
constexpr auto node_poll = std::chrono::seconds(2);

bool all_run(const json& pod) {
  const json statuses = pod.value("/status/containerStatuses"_json_pointer, json::array());
  const auto runs = [](const json& status) { return kube::value_at(status, "/state/running") != nullptr; };
  return !statuses.empty() && std::ranges::all_of(statuses, runs);
}

}  // namespace

Result<NodeAgent> MigrationRun::agent_of(const std::string& node) {
  return find_agent(context_.client, node, call());
}

const std::string& MigrationRun::target_node() const {
  return status_.recovering ? status_.source_node : status_.destination_node;
}

// A node that is source and destination needs two names for the session, and everyone must find the same ones.
std::string MigrationRun::target_session() const {
  return status_.recovering ? std::string(status_.session.rbegin(), status_.session.rend()) : status_.session;
}

Result<agent::ResultEvent> MigrationRun::order() {
  GODWIT_ASSIGN(const NodeAgent source, agent_of(status_.source_node));
  GODWIT_ASSIGN(const NodeAgent destination, agent_of(target_node()));
  agent::MigrateRequest request{
      .container = status_.source_container,
      .to = agent::peer_address_text({.address = destination.address, .port = destination.port}),
      .to_name = destination.node,
      .session = status_.session,
      .to_session = target_session(),
      .to_addresses = destination.addresses,
      .companions = status_.companions};
  request.options = agent_options(spec_.options);
  const SessionWatch watch = watch_session(source);
  auto result = context_.agents.ask(
      source, request, [this](const agent::Event& event) { on_event(event); }, Deadline::after(migration_time), stop_);
  if (result) result = explain(std::move(*result), watch);
  // Refused before it became a session: maybe because it is one already, by an order that was late.
  if (!result || result->ok || !result->session.empty()) return result;
  auto followed = follow();
  return followed && followed->session.empty() ? result : followed;
}

Result<agent::ResultEvent> MigrationRun::follow() {
  GODWIT_ASSIGN(const NodeAgent source, agent_of(status_.source_node));
  const SessionWatch watch = watch_session(source);
  size_t heard = 0;  // every answer tells all from the beginning
  for (;;) {
    size_t told = 0;
    const auto on_new_event = [&](const agent::Event& event) {
      if (told++ >= heard) on_event(event);
    };
    GODWIT_ASSIGN(const agent::ResultEvent result,
                  context_.agents.ask(source, agent::InspectRequest{status_.session}, on_new_event,
                                      Deadline::after(call_time), stop_));
    if (!result.unknown) return explain(result, watch);
    heard = std::max(heard, told);
    if (!kube::sleep_unless_stopped(follow_poll, Deadline::never(), stop_)) return fail("stopped");
  }
}

// Of the destination: that its kubelet refuses the pod, or that the pod was deleted there, so that nothing may arrive;
// and that it died when it had been given the pod. To be abandoned the source's agent agrees only if the session was
// handed over and has no answer, and asks the destination once more.
MigrationRun::SessionWatch MigrationRun::watch_session(const NodeAgent& source) {
  const auto tell = [this, source](const agent::Request& request) {
    const auto done = context_.agents.tell(source, request, Deadline::after(call_time), stop_);
    return done && done->ok;
  };
  const kube::ObjectPath place = pod_path(status_.clone_name);
  const kube::ObjectPath node{kube::resources::nodes, "", target_node(), ""};
  const bool may_be_made_again = keeps_name();
  const auto look_at_place = [=, this](const std::stop_token& stop) -> std::optional<std::string> {
    const auto pod = find_object(place, kube::within(call_time, stop));
    if (!pod || (pod->is_null() && may_be_made_again)) return std::nullopt;
    return refusal_of(*pod);
  };
  const auto look_at_node = [=, this](const std::stop_token& stop) -> std::optional<std::string> {
    const auto machine = find_object(node, kube::within(call_time, stop));
    const auto pod = find_object(place, kube::within(call_time, stop));
    return machine && pod ? loss_of(*pod, *machine) : std::nullopt;
  };
  const std::string& session = status_.session;
  return {.place = std::make_unique<SideWatch>(place_poll, look_at_place,
                                               [=] { return tell(agent::CancelRequest{session}); }),
          .node = std::make_unique<SideWatch>(
              node_poll, look_at_node, [=] { return tell(agent::AbandonRequest{.session = session, .keep = false}); })};
}

agent::ResultEvent MigrationRun::explain(agent::ResultEvent result, const SessionWatch& watch) {
  const auto refusal = watch.place->finding();
  const auto loss = watch.node->finding();
  if (loss && result.lost) {
    status_.reason = lost_with_node;
    result.reason =
        fmt::format("pod {} had been handed over to node {}, and is lost: {}", spec_.pod_name, target_node(), *loss);
  } else if (refusal && !result.ok && !result.lost && !result.session.empty()) {
    result.reason = note_no_place(*refusal);
  }
  return result;
}

// The order may have been given or not: the source's agent knows.
Result<agent::ResultEvent> MigrationRun::take_up() {
  GODWIT_ASSIGN(agent::ResultEvent result, follow());
  if (!result.session.empty()) return result;
  result = {.session = status_.session, .from = status_.source_node, .to = target_node()};
  GODWIT_ASSIGN(const json arrived, find_pod(status_.clone_name));
  // The source's node has forgotten that it gave the pod away, as after a restart of the machine.
  if (kube::annotation_of(arrived, api::annotations::restore) == target_session() && all_run(arrived)) {
    result.ok = true;
    return result;
  }
  const bool source_gone = source_.is_null() && !keeps_name();
  if (!is_deleted(migration_) && !source_gone) return begin();
  result.reason = source_gone ? fmt::format("pod {} has gone", spec_.pod_name) : "it had not begun";
  return result;
}

// The agents are not kept waiting by what is told of it here.
bool MigrationRun::enter(agent::Phase phase) {
  const auto before = status_.phase;
  if (phase == agent::Phase::pre_copy) status_.phase = api::MigrationPhase::pre_dump;  // again, after a freeze in vain
  if (phase == agent::Phase::freeze) status_.phase = api::MigrationPhase::checkpoint;
  if (phase == agent::Phase::restore) status_.phase = api::MigrationPhase::restore;
  if (phase == agent::Phase::freeze) {
    status_.checkpoint_time = kube::format_micro_time(std::chrono::system_clock::now());
  }
  return status_.phase != before;
}

void MigrationRun::on_event(const agent::Event& event) {
  if (status_.recovering) return;  // what users were told of is over
  if (const auto* round = std::get_if<agent::RoundEvent>(&event)) {
    // Told to an earlier leader already.
    if (!status_.rounds.empty() && std::cmp_less_equal(round->round, status_.rounds.back().number)) return;
    status_.rounds.push_back({.number = static_cast<int64_t>(round->round),
                              .pages = static_cast<int64_t>(round->dirty_pages),
                              .bytes = static_cast<int64_t>(round->bytes),
                              .seconds = round->seconds});
    note(false, api::event_reasons::pre_dump_finished,
         fmt::format(
             "iteration {}: {} dirty pages ({} KiB) captured in {:.0f} ms; a pause of about {:.0f} ms is expected",
             round->round, round->dirty_pages, round->bytes >> 10, round->seconds * 1000, round->predicted_pause_ms),
         std::to_string(round->round));
  } else if (const auto* phase = std::get_if<agent::PhaseEvent>(&event)) {
    if (!enter(phase->phase)) return;
  } else if (const auto* missed = std::get_if<agent::MissedRoundEvent>(&event)) {
    const auto* reason = missed->failed ? api::event_reasons::pre_dump_failed : api::event_reasons::pre_dump_skipped;
    note(missed->failed, reason,
         fmt::format("iteration {} {}: {}", missed->round, missed->failed ? "failed" : "and further ones are skipped",
                     missed->reason),
         std::to_string(missed->round));
    return;
  } else if (const auto* said = std::get_if<agent::NoteEvent>(&event)) {
    note(false, "PreDumpNote", said->text, said->text);
    return;
  } else {
    return;
  }
  if (auto written = write_status(); !written) {
    log_warning("status of {}/{}: {}", namespace_, name_, written.error().message);
  }
}

}  // namespace godwit::controller
