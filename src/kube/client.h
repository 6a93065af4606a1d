// Reads and writes API objects. Objects are JSON and stay JSON: what this program does not know about is never lost,
// because nothing is ever written back whole (no PUT): changes are patches or server-side apply.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "kube/api_error.h"
#include "kube/cluster_access.h"
#include "kube/resource.h"
#include "kube/transport.h"

namespace godwit::kube {

// How long a call may take and who may end it.
struct Call {
  Deadline deadline;
  std::stop_token stop = {};
  // A request that the server refused because it is busy (429, or 503 for reads, with Retry-After) is sent again within
  // the deadline. Off for evictions, where 429 is the answer.
  bool wait_when_throttled = true;
};

inline Call within(Clock::duration span, std::stop_token stop = {}) {
  return {.deadline = Deadline::after(span), .stop = std::move(stop)};
}

struct DeleteOptions {
  // Preconditions: the object is deleted only if it still has these; error conflict() otherwise. Empty: any.
  std::string uid;
  std::string resource_version;
  std::optional<int> grace_period_s;
  std::string propagation_policy;  // Orphan, Background, Foreground; empty: the resource's default
};

struct ListOptions {
  std::string namespace_name;  // empty: all
  std::string label_selector;
  std::string field_selector;
  size_t chunk_items = 500;
};

struct ListSummary {
  std::string resource_version;  // where a watch goes on
  size_t items = 0;
  size_t requests = 0;
};

// Gets one chunk of a list. `first`: the list begins, or begins again (its continue token had grown too old): what came
// before does not count.
using ChunkSink = std::function<void(json::array_t items, bool first)>;

enum class PatchType {
  merge,  // RFC 7386; a metadata.resourceVersion in it makes it conditional
  json    // RFC 6902
};

// An object that is created for a trial goes through everything, admission included, but is not stored.
enum class DryRun : bool { no, yes };

struct ApplyOptions {
  std::string field_manager;
  bool force = false;  // take fields over that others manage
};

// Any thread may call it. All errors carry the verb and the object.
class Client {
 public:
  explicit Client(ClusterAccess access);

  ApiResult<json> get(const ObjectPath& object, const Call& call);
  // `object.name` only for a subresource, e.g. pods/eviction.
  ApiResult<json> create(const ObjectPath& object, const json& body, const Call& call, DryRun dry_run = DryRun::no);
  ApiResult<json> remove(const ObjectPath& object, const DeleteOptions& options, const Call& call);
  ApiResult<json> patch(const ObjectPath& object, PatchType type, const json& patch, const Call& call,
                        const std::string& field_manager = "godwit");
  // Server-side apply: creates the object, or makes our fields in it what `fields` says.
  ApiResult<json> apply(const ObjectPath& object, const json& fields, const ApplyOptions& options, const Call& call);
  // Everything, chunk by chunk; the deadline is for all of it. Items get apiVersion and kind, which lists leave out.
  ApiResult<ListSummary> list(const Resource& resource, const ListOptions& options, const ChunkSink& sink,
                              const Call& call);
  // All items at once, for lists that are known to be short.
  ApiResult<std::vector<json>> list_all(const Resource& resource, const ListOptions& options, const Call& call);
  // Any path of the server, e.g. /version or /readyz; the answer's text.
  ApiResult<std::string> get_raw(const std::string& path, const Call& call);

  // For watch.h: one request, its answer streamed to `sink`.
  ApiResult<> stream(const std::string& path, const HttpLimits& limits, const BodySink& sink);

  [[nodiscard]] const ClusterAccess& access() const { return access_; }

 private:
  ApiResult<json> send(HttpRequest request, const Call& call);
  ApiResult<HttpResponse> send_patiently(const HttpRequest& request, const Call& call);
  ApiResult<json> get_chunk(const Resource& resource, const ListOptions& options, const std::string& continue_token,
                            const Call& call);

  const ClusterAccess access_;
  Transport transport_;
};

// Of a change or removal of one very object: that it has gone, or is another one by now, is as good as done.
inline ApiResult<> unless_gone(const ApiResult<json>& done) {
  if (done || done.error().not_found() || done.error().conflict()) return {};
  return std::unexpected(done.error());
}

// Sleeps, but not past the deadline and not when asked to stop: then false.
bool sleep_unless_stopped(milliseconds span, const Deadline& deadline, const std::stop_token& stop);

}  // namespace godwit::kube
