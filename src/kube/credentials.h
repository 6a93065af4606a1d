// What to show the API server right now: re-reads files that were replaced (a pod's token lives an hour, a CA may be
// renewed) and runs the credential plugin again before its answer expires.
#pragma once

#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "kube/api_error.h"
#include "kube/cluster_access.h"
#include "kube/exec_plugin.h"
#include "kube/http.h"

namespace godwit::kube {

// A file whose contents are kept until the file changes. Not thread-safe.
class CachedFile {
 public:
  explicit CachedFile(std::string path) : path_(std::move(path)) {}

  // If the file cannot be read or is empty (it may be in the middle of being replaced), what it had before; an error
  // only if it never could be read.
  Result<std::string> read();
  void forget() { signature_.reset(); }

 private:
  // Enough to see a replaced file: projected volumes are replaced by a symbolic link to another folder.
  struct Signature {
    uint64_t device, inode, size;
    int64_t seconds, nanoseconds;
    bool operator==(const Signature&) const = default;
  };

  std::string path_;
  std::optional<Signature> signature_;
  std::optional<std::string> contents_;
};

struct Credentials {
  Endpoint endpoint;                 // with CA and client certificate
  std::vector<std::string> headers;  // Authorization and impersonation
};

// Any thread may call it.
class CredentialSource {
 public:
  explicit CredentialSource(ClusterAccess access);

  // Errors: a file cannot be read and never could be; the plugin fails, or still runs for another thread at the
  // deadline.
  Result<Credentials> current(Deadline deadline);
  // The server refused what current() gave: the next call reads files and runs the plugin again. False if that cannot
  // help, because everything stands in the configuration itself.
  bool renew();

 private:
  Result<std::string> read(const Material& material, CachedFile& file);
  Result<> run_plugin_if_due(Deadline deadline);

  const ClusterAccess access_;
  std::timed_mutex mutex_;  // held while the plugin runs
  CachedFile ca_;
  CachedFile certificate_;
  CachedFile key_;
  CachedFile token_;
  std::optional<PluginCredentials> from_plugin_;
  Clock::time_point plugin_ran_{};
};

}  // namespace godwit::kube
