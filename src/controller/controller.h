// The live controller: takes up each Migration and carries it through, several at a time; cancels those that are
// deleted while they run, and passes on changes of their options.
#pragma once

#include <stop_token>
#include <string>

#include "controller/migration_run.h"
#include "controller/work_loop.h"
#include "kube/informer.h"

namespace godwit::controller {

struct ControllerOptions {
  size_t migrations_max = 8;  // at a time
};

// Owned by whoever leads; all it uses outlives it.
class Controller {
 public:
  Controller(const RunContext& context, ControllerOptions options);
  ~Controller() { stop(); }
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Returns at once; what keeps it from knowing the Migrations (a missing CRD, a missing permission) is logged, and
  // tried again.
  void start();
  // Leaves migrations under way to the agents, and to whoever leads next.
  void stop();

 private:
  void on_change(const kube::Change& change);
  Result<> carry_on(const std::string& key, const std::stop_token& stop);
  Result<> cancel(const std::string& key, const std::stop_token& stop);
  Result<> reconfigure(const std::string& key, const std::stop_token& stop);
  kube::ApiResult<nlohmann::json> read(const std::string& key, const std::stop_token& stop);

  const RunContext& context_;
  const ControllerOptions options_;
  WorkLoop runs_;
  WorkLoop cancellations_;
  WorkLoop reconfigurations_;
  kube::Informer migrations_;  // its handler uses all three
};

}  // namespace godwit::controller
