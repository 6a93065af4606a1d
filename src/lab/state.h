// What is written down about a lab, in /run/godwit-lab/<name>/, and who may touch it: `lab.json` says what it consists
// of, `lock` is held by its janitor as long as the lab exists. A folder whose lock is free is what a dead lab left.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "lab/cgroups.h"

namespace godwit::lab {

// A file or folder of the machine that every place shows, too.
struct Bind {
  std::string source;  // on the machine
  std::string target;  // in each place; made if it is not there
  bool read_only = true;
};

// What a lab shall be.
struct LabPlan {
  std::string name;  // letters, digits and '-', at most 40
  int nodes = 0;
  std::string image;                   // folder with the nodes' root file system
  std::string binaries;                // folder with the project's bin/ and lib/
  unsigned long data_limit_bytes = 0;  // size of each node's /var/lib/godwit; 0: the kernel's default for tmpfs
  int start_limit_ms = 0;
  std::vector<Bind> binds;
};
nlohmann::json to_json(const LabPlan& plan);
Result<LabPlan> plan_from_json(const nlohmann::json& json);
Result<> check_name(const std::string& name);

// What it has become; pids as this machine sees them.
struct LabState {
  LabPlan plan;
  pid_t janitor = -1;
  std::vector<pid_t> places;  // first process of each place: [0] outside, [i] node i
};
Result<> write_state(const LabState& state);
Result<LabState> read_state(const std::string& name);

// The right to be the lab of a name; as long as it lives, nobody else can have it.
class LabClaim {
 public:
  // Makes the state directory; sweeps what a dead lab of this name left. Error if one is alive.
  static Result<LabClaim> take(const std::string& name);

 private:
  explicit LabClaim(UniqueFd lock) : lock_(std::move(lock)) {}
  UniqueFd lock_;
};

// Names of labs whose janitor lives.
std::vector<std::string> living_labs();
bool lab_lives(const std::string& name);
// Ends every process of the lab, removes its cgroups and its state directory. For its janitor, or who holds its claim.
Result<> remove_remains(const std::string& name, Deadline deadline);
// Removes what labs without a living janitor left on this machine.
void sweep_dead_labs();
// What of a lab can still be found on this machine, for people; empty: nothing.
std::vector<std::string> find_leftovers(const std::string& name);

}  // namespace godwit::lab
