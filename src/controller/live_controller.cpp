#include "controller/live_controller.h"

#include "base/log.h"

namespace godwit::controller {

kube::ElectionOptions election_options(const std::string& namespace_name) {
  kube::ElectionOptions options;
  options.namespace_name = namespace_name;
  options.lease_name = lease_name;
  options.terms = {.identity = kube::election_identity(), .duration = std::chrono::seconds(10)};
  options.renew_within = std::chrono::seconds(8);
  options.retry_interval = std::chrono::seconds(1);
  return options;
}

LiveController::Term::Term(const RunContext& context, ClusterView& view, const LiveControllerOptions& options)
    : controller(context, options.controller), assessment(context.client, view, context.agents, options.assessment) {
  if (options.authority != nullptr) {
    signer.emplace(context.client, *options.authority, options.election.namespace_name);
  }
}

LiveController::LiveController(const RunContext& context, const LiveControllerOptions& options)
    : context_(context),
      options_(options),
      election_(
          context.client, options.election,
          {.on_gained = [this](const kube::FencingToken& token) { begin(token); }, .on_lost = [this] { end(); }}) {}

void LiveController::begin(const kube::FencingToken& token) {
  context_.agents.set_fence(token.sequence);
  if (view_ == nullptr) view_ = std::make_unique<ClusterView>(context_.client);
  term_ = std::make_unique<Term>(context_, *view_, options_);
  term_->controller.start();
  term_->assessment.start();
  if (term_->signer) term_->signer->start();
}

void LiveController::end() {
  term_.reset();
  log_info("no longer leading: migrations under way go on, and the next leader takes them up");
}

}  // namespace godwit::controller
