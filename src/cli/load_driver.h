// The demo's end of the load program (verb_load.cpp): starts it in the clients' network namespace and tells it what to
// do, one command at a time.
#pragma once

#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "cli/load_report.h"
#include "os/subprocess.h"

namespace godwit::cli {

struct LoadSettings {
  std::string program;            // path of `godwit`
  std::string network_namespace;  // e.g. /proc/42/ns/net; empty: ours
  std::string target;             // address:port
  size_t clients = 16;
  double rate_per_s = 20000;
  double reply_max_ms = 10000;
};

// Owned by the demo, used by one thread. The program ends with it.
class LoadDriver {
 public:
  // Called while a long command runs, with the part that is done; false abandons the command (and the program).
  using Continue = std::function<bool(double part)>;

  static Result<LoadDriver> start(const LoadSettings& settings);

  Result<PopulateReport> populate(uint64_t memory_bytes, const Continue& go_on);
  Result<> start_clients();
  Result<> begin_window();
  Result<WindowReport> end_window();
  // Ends the clients' requests; what they saw since start_clients().
  Result<WindowReport> stop_clients();
  Result<VerifyReport> verify(const Continue& go_on);

 private:
  LoadDriver(os::Subprocess process, UniqueFd commands, UniqueFd answers)
      : process_(std::move(process)), commands_(std::move(commands)), answers_(std::move(answers)) {}
  Result<nlohmann::json> command(const nlohmann::json& object, Deadline deadline, const Continue& go_on);
  Result<std::string> read_line(Deadline deadline, double part, const Continue& go_on);

  os::Subprocess process_;
  UniqueFd commands_;
  UniqueFd answers_;
  std::string received_;
};

}  // namespace godwit::cli
