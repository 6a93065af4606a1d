#include "kube/client.h"

#include <condition_variable>
#include <mutex>

#include "kube/json_path.h"

namespace godwit::kube {
namespace {

constexpr size_t answer_bytes_max = size_t{64} << 20;
constexpr milliseconds throttle_wait_min(100);

HttpLimits limits_of(const Call& call) {
  HttpLimits limits{.deadline = call.deadline, .stop = call.stop};
  limits.body_bytes_max = answer_bytes_max;
  return limits;
}

ApiResult<json> decode(const std::string& body) {
  json object = json::parse(body, nullptr, false);
  if (!object.is_object()) return api_fail(ApiErrorKind::answer, "the answer is no JSON object");
  return object;
}

template <typename T>
ApiResult<T> explain(ApiResult<T> result, const char* verb, const ObjectPath& object) {
  if (result) return result;
  return std::unexpected(std::move(result).error().context(fmt::format("{} {}", verb, shown(object))));
}

HttpRequest request_of(const char* method, std::string path, const json* body = nullptr,
                       const char* content_type = "application/json") {
  HttpRequest request{method, std::move(path), {"Accept: application/json"}, ""};
  if (body != nullptr) {
    request.headers.push_back(std::string("Content-Type: ") + content_type);
    request.body = body->dump();
  }
  return request;
}

// Whether the server said that it did nothing and when to come again.
bool may_send_again(const ApiError& error, const std::string& method) {
  if (!error.retry_after) return false;
  return error.throttled() || (method == "GET" && error.http_status == 503);
}

}  // namespace

bool sleep_unless_stopped(milliseconds span, const Deadline& deadline, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any condition;
  std::unique_lock lock(mutex);
  const auto until = std::min(Clock::now() + span, deadline.when());
  condition.wait_until(lock, stop, until, [] { return false; });
  return !stop.stop_requested() && !deadline.expired();
}

Client::Client(ClusterAccess access) : access_(std::move(access)), transport_(access_) {}

ApiResult<HttpResponse> Client::send_patiently(const HttpRequest& request, const Call& call) {
  for (;;) {
    auto response = transport_.send(request, limits_of(call));
    if (response || !call.wait_when_throttled || !may_send_again(response.error(), request.method)) return response;
    const milliseconds wait = std::max(*response.error().retry_after, throttle_wait_min);
    if (Clock::now() + wait >= call.deadline.when()) return response;
    if (!sleep_unless_stopped(wait, call.deadline, call.stop)) return response;
  }
}

ApiResult<json> Client::send(HttpRequest request, const Call& call) {
  GODWIT_ASSIGN(const HttpResponse response, send_patiently(request, call));
  return decode(response.body);
}

ApiResult<json> Client::get(const ObjectPath& object, const Call& call) {
  return explain(send(request_of("GET", url_path(object)), call), "get", object);
}

ApiResult<json> Client::create(const ObjectPath& object, const json& body, const Call& call, DryRun dry_run) {
  const Query query = Query().add("dryRun", dry_run == DryRun::yes ? "All" : "");
  return explain(send(request_of("POST", url_path(object) + query.text(), &body), call), "create", object);
}

ApiResult<json> Client::remove(const ObjectPath& object, const DeleteOptions& options, const Call& call) {
  json body = {{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty()) body["preconditions"]["resourceVersion"] = options.resource_version;
  if (options.grace_period_s) body["gracePeriodSeconds"] = *options.grace_period_s;
  if (!options.propagation_policy.empty()) body["propagationPolicy"] = options.propagation_policy;
  return explain(send(request_of("DELETE", url_path(object), &body), call), "delete", object);
}

ApiResult<json> Client::patch(const ObjectPath& object, PatchType type, const json& patch, const Call& call,
                              const std::string& field_manager) {
  const char* content_type = type == PatchType::merge ? "application/merge-patch+json" : "application/json-patch+json";
  const std::string path = url_path(object) + Query().add("fieldManager", field_manager).text();
  return explain(send(request_of("PATCH", path, &patch, content_type), call), "patch", object);
}

ApiResult<json> Client::apply(const ObjectPath& object, const json& fields, const ApplyOptions& options,
                              const Call& call) {
  const std::string path =
      url_path(object) +
      Query().add("fieldManager", options.field_manager).add("force", options.force ? "true" : "").text();
  // JSON is YAML.
  return explain(send(request_of("PATCH", path, &fields, "application/apply-patch+yaml"), call), "apply", object);
}

ApiResult<std::string> Client::get_raw(const std::string& path, const Call& call) {
  auto response = send_patiently({"GET", path, {}, ""}, call);
  if (!response) return std::unexpected(std::move(response).error().context("get " + path));
  return std::move(response->body);
}

ApiResult<> Client::stream(const std::string& path, const HttpLimits& limits, const BodySink& sink) {
  GODWIT_TRY(transport_.send({"GET", path, {"Accept: application/json"}, ""}, limits, sink));
  return {};
}

}  // namespace godwit::kube
