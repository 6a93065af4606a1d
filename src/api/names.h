// Every name that users and other programs know Godwit's objects by, in one place.
#pragma once

#include "kube/resource.h"

namespace godwit::api {

inline constexpr const char* group = "live.cast.ai";
inline const kube::Resource migrations{group, "v1", "migrations", "Migration"};
inline const kube::Resource node_templates{group, "v1", "nodetemplates", "NodeTemplate", false};

// Of a Migration that runs.
inline constexpr const char* migration_finalizer = "live.cast.ai/migration";

namespace labels {
// On nodes and pods: set by the live controller.
inline constexpr const char* migration_enabled = "live.cast.ai/migration-enabled";
// On nodes: pods get their addresses from dedicated pod subnets.
inline constexpr const char* custom_network = "live.cast.ai/custom-network";
// On pods: set by users.
inline constexpr const char* migration_disabled = "autoscaling.cast.ai/live-migration-disabled";
inline constexpr const char* removal_disabled = "autoscaling.cast.ai/removal-disabled";
}  // namespace labels

namespace annotations {
// On pods, set by users: names of containers, separated by commas.
inline constexpr const char* run_startup_probe = "cast.ai/restore-run-startup-probe";
inline constexpr const char* run_post_start_exec = "cast.ai/restore-run-post-start-exec";
inline constexpr const char* run_init_containers = "cast.ai/restore-run-init-containers";
// On clone pods: set by the live controller alone.
inline constexpr const char* restore = "cast.ai/restore";
}  // namespace annotations

// Of pods that godwit-runc runs.
inline constexpr const char* runtime_class = "live";

namespace event_reasons {
inline constexpr const char* pre_dump_skipped = "PreDumpSkipped";
inline constexpr const char* pre_dump_finished = "PreDumpFinished";
inline constexpr const char* pre_dump_failed = "PreDumpFailed";
inline constexpr const char* migration_reconfigured = "MigrationReconfigured";
inline constexpr const char* pod_create_finished = "PodCreateFinished";
inline constexpr const char* pod_create_failed = "PodCreateFailed";
inline constexpr const char* migration_finished = "MigrationFinished";
inline constexpr const char* migration_failed = "MigrationFailed";
}  // namespace event_reasons

// What the parts of an installation know each other by; the chart in deploy/helm has the same names.
namespace installation {
inline constexpr const char* agent = "godwit-agent";  // DaemonSet and service account
inline constexpr const char* controller = "godwit-controller";
inline constexpr const char* authority_secret = "godwit-authority";
inline constexpr const char* trust_config_map = "godwit-trust";
inline constexpr const char* trust_key = "ca.pem";
inline constexpr const char* signer = "live.cast.ai/agent";
}  // namespace installation

}  // namespace godwit::api
