#include "controller/replacement.h"

#include <utility>

#include "api/names.h"
#include "controller/endpoint_bridge.h"
#include "controller/migration_run.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto order_time = std::chrono::seconds(10);
// A StatefulSet may have other pods to see to first.
constexpr auto replacement_time = std::chrono::seconds(60);
constexpr auto poll = std::chrono::milliseconds(50);
constexpr auto services_time = std::chrono::seconds(15);
constexpr auto services_poll = std::chrono::milliseconds(200);

}  // namespace

Replacement::Replacement(const RunContext& context, std::string namespace_name, std::string pod,
                         std::string source_node, std::vector<std::string> containers, std::stop_token stop)
    : context_(context),
      namespace_(std::move(namespace_name)),
      pod_(std::move(pod)),
      source_node_(std::move(source_node)),
      containers_(std::move(containers)),
      stop_(std::move(stop)) {}

Result<> Replacement::hold() {
  return order(true);
}

Result<> Replacement::make(const Arrival& arrival) {
  GODWIT_TRY(context_.arrivals->expect(namespace_, pod_, arrival, call()));
  const Deadline deadline = Deadline::after(replacement_time);
  do {
    const auto there = context_.client.get(path(), call());
    if (!there && !there.error().not_found()) return std::unexpected(there.error());
    if (!there) continue;
    if (kube::annotation_of(*there, api::annotations::restore) == arrival.session) return {};
    const std::string uid = kube::uid_of(*there);
    GODWIT_TRY(bridge_endpoints(context_.client, namespace_, pod_, uid, call()));
    GODWIT_TRY(remove(uid));
  } while (kube::sleep_unless_stopped(poll, deadline, stop_));
  if (stop_.stop_requested()) return fail("stopped");
  return fail("its StatefulSet has not made pod {} anew within {} s", pod_, replacement_time.count());
}

// In this order: the StatefulSet may begin anew only once the container cannot run on.
Result<> Replacement::give_up() {
  GODWIT_TRY(let_go());
  GODWIT_TRY(forget());
  // Made to take a container that will not come.
  const auto there = context_.client.get(path(), call());
  if (!there) return there.error().not_found() ? Result<>{} : std::unexpected(Error(there.error()));
  if (kube::annotation_of(*there, api::annotations::restore).empty()) return {};
  return remove(kube::uid_of(*there));
}

Result<> Replacement::remove(const std::string& uid) {
  GODWIT_TRY(kube::unless_gone(context_.client.remove(path(), {.uid = uid, .grace_period_s = 0}, call())));
  return {};
}

Result<> Replacement::let_go() {
  return order(false);
}

// That it is Ready reaches Services by way of another controller.
Result<> Replacement::settle() {
  const Deadline deadline = Deadline::after(services_time);
  do {
    GODWIT_ASSIGN(const bool needed, bridge_is_needed(context_.client, namespace_, pod_, call()));
    if (!needed) break;
  } while (kube::sleep_unless_stopped(services_poll, deadline, stop_));
  return forget();
}

Result<> Replacement::forget() {
  GODWIT_TRY(remove_endpoint_bridge(context_.client, namespace_, pod_, call()));
  return context_.arrivals->forget(namespace_, pod_, call());
}

Result<> Replacement::order(bool hold) {
  GODWIT_ASSIGN(const NodeAgent source, find_agent(context_.client, source_node_, call()));
  for (const std::string& container : containers_) {
    GODWIT_ASSIGN(const agent::ResultEvent answer,
                  context_.agents.tell(source, agent::HoldRequest{.container = container, .hold = hold},
                                       Deadline::after(order_time), stop_));
    if (!answer.ok) return fail("node {}: {}", source_node_, answer.reason);
  }
  return {};
}

kube::Call Replacement::call() const {
  return kube::within(call_time, stop_);
}

}  // namespace godwit::controller
