// The Migration resource as typed values (deploy/helm/godwit/definitions/migrations.yaml says what each field means).
//
// The JSON object stays the truth: what is read here is a view, and writing changes only the fields that are named
// here, so that fields of other versions and other writers are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::api {

enum class OptimizeFor : uint8_t { freeze_time, dump_time };
enum class NetworkMode : uint8_t { automatic, preserve, reconnect };
enum class MigrationState : uint8_t { pending, running, completed, failed };
enum class MigrationPhase : uint8_t { none, pre_dump, checkpoint, restore, complete, failed };

const char* to_string(OptimizeFor value);
const char* to_string(NetworkMode value);
const char* to_string(MigrationState value);
const char* to_string(MigrationPhase value);

struct MigrationOptions {
  int iterations = 30;
  int64_t dirty_pages_threshold = 0;
  std::optional<double> requested_freeze_ms;
  OptimizeFor optimize_for = OptimizeFor::freeze_time;
  bool with_tcp = true;
  NetworkMode network_mode = NetworkMode::automatic;

  bool operator==(const MigrationOptions&) const = default;
};

struct MigrationSpec {
  std::string pod_name;
  std::string destination;  // empty: to be chosen
  MigrationOptions options;
};

// A `requestedFreezeTime` such as "150ms", "1.5s" or "1s200ms", in milliseconds.
Result<double> parse_freeze_time(const std::string& text);

// Errors name the field: a value that the resource definition would have refused (it may be older than this program).
Result<MigrationSpec> read_spec(const nlohmann::json& migration);

struct MigrationRound {
  int64_t number = 0;  // from 1
  int64_t pages = 0;
  int64_t bytes = 0;
  double seconds = 0;
};

// Empty texts and nothing: the field is absent.
struct MigrationStatus {
  int64_t observed_generation = 0;
  MigrationState state = MigrationState::pending;
  MigrationPhase phase = MigrationPhase::none;
  std::string reason;   // CamelCase
  std::string message;  // in words
  std::string source_node;
  std::string destination_node;
  std::string pod_uid;  // of the pod that moves
  std::string clone_name;
  std::string session;                      // what the source's agent calls it
  std::string source_container;             // as the source's container engine calls it
  std::vector<std::string> companions;      // the other containers of its pod, likewise
  bool recovering = false;                  // the pod is being brought back to life where it was
  std::string restarting;                   // the session that is ended for the Migration to begin anew
  std::optional<NetworkMode> network_mode;  // as it was wanted, then what Auto came to
  std::vector<MigrationRound> rounds;
  std::optional<double> pause_ms;
  std::optional<double> client_gap_ms;
  std::string start_time;  // these four as kube::format_time()
  std::string checkpoint_time;
  std::string resume_time;
  std::string completion_time;

  [[nodiscard]] bool over() const { return state == MigrationState::completed || state == MigrationState::failed; }
};

// What is missing or makes no sense is as if absent: the status is ours to write anew.
MigrationStatus read_status(const nlohmann::json& migration);
// Sets `migration`.status to `status`; conditions (conditions.h) and unknown fields stay, those of a round too. The
// patch to send is merge_patch_between() of the object before and after.
void write_status(nlohmann::json& migration, const MigrationStatus& status);

}  // namespace godwit::api
