// What criu and runc wrote when a dump or a restore failed, kept beyond the session's working files:
//
//   /run/godwit/failures/<session>/dump.log, restore.log, runc.log
//
// In RAM, mode 0600 in directories of mode 0700: the logs name files, addresses and numbers of the container, but hold
// no contents of its memory. The newest are kept, and of each the end.
#pragma once

#include <cstddef>
#include <string>

#include "agent/session_directory.h"
#include "base/result.h"

namespace godwit::agent {

constexpr size_t failures_kept_max = 8;
constexpr size_t failure_log_bytes_max = size_t{1} << 20;

// Copies the logs of the session and removes the oldest failures beyond the limit. The directory; empty: the session
// has no logs. An older copy of the same session's is replaced.
Result<std::string> keep_failure_logs(const SessionDirectory& session);

// The outcome of something that criu did; an error also says, for an operator who may be at another node, where its
// logs are.
Result<> with_failure_logs(Result<> outcome, const SessionDirectory& session, const std::string& node_name);

}  // namespace godwit::agent
