// What a bug report needs, read from a cluster: Migrations, their events, nodes and node templates, the pods concerned
// (redaction.h), the logs of Godwit's own pods, versions. Never Secrets, ConfigMaps, or what pods hold in memory.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/client.h"

namespace godwit::plugin {

struct BundleFile {
  std::string name;  // in the archive
  std::string what;  // in words
};

struct BundleReport {
  std::vector<BundleFile> files;
  std::vector<std::string> missing;  // what should be there and is not, and why
};

struct BundleOptions {
  bool all_namespaces = true;  // Migrations, events and pods; else of the client's namespace only
  std::string version;         // of this program
  int log_lines_max = 20'000;  // of each container
};

// Gets each file once. An error of it ends the gathering.
using BundleSink = std::function<Result<>(const std::string& name, std::string_view contents)>;

// What may not be read is left out, and stands in `missing`; an error is the sink's.
Result<BundleReport> gather_bundle(kube::Client& client, const BundleOptions& options, const BundleSink& sink);

}  // namespace godwit::plugin
