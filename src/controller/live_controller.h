// One replica of the live controller: waits until it leads, then assesses nodes and pods and carries Migrations through
// for as long as it does.
#pragma once

#include <memory>
#include <optional>

#include "controller/assessment.h"
#include "controller/certificate_signer.h"
#include "controller/controller.h"
#include "kube/leader_election.h"

namespace godwit::controller {

inline constexpr const char* lease_name = "godwit-controller";

struct LiveControllerOptions {
  ControllerOptions controller;
  AssessmentOptions assessment;
  kube::ElectionOptions election;
  // Whose certificates agents are given; null: they have theirs from elsewhere.
  const AuthorityKeeper* authority = nullptr;
};

// Short enough for a take-over within seconds, long enough for an API server that is slow for some.
kube::ElectionOptions election_options(const std::string& namespace_name);

// Owned by main(); all that `context` names outlives it.
class LiveController {
 public:
  LiveController(const RunContext& context, const LiveControllerOptions& options);
  ~LiveController() { stop(); }
  LiveController(const LiveController&) = delete;
  LiveController& operator=(const LiveController&) = delete;

  void start() { election_.start(); }
  // Gives the lead to another replica at once; migrations under way go on, and are taken up by that one.
  void stop() { election_.stop(); }
  [[nodiscard]] bool leads() const { return election_.leads(); }

 private:
  // From the moment that it leads to the moment that it does no longer.
  struct Term {
    Term(const RunContext& context, ClusterView& view, const LiveControllerOptions& options);
    Controller controller;
    Assessment assessment;
    std::optional<CertificateSigner> signer;
  };
  void begin(const kube::FencingToken& token);
  void end();

  const RunContext& context_;
  const LiveControllerOptions options_;
  // The election's thread. What a leader has seen of the cluster it goes on watching when it has lost the lead.
  std::unique_ptr<ClusterView> view_;
  std::unique_ptr<Term> term_;
  kube::LeaderElection election_;
};

}  // namespace godwit::controller
