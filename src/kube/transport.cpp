#include "kube/transport.h"

namespace godwit::kube {
namespace {

constexpr size_t idle_connections_max = 8;
constexpr const char* user_agent = "User-Agent: godwit";

}  // namespace

Transport::Transport(ClusterAccess access) : credentials_(std::move(access)) {}

ApiResult<HttpResponse> Transport::send(HttpRequest request, const HttpLimits& limits, const BodySink& sink) {
  request.headers.emplace_back(user_agent);
  auto response = send_once(request, limits, sink);
  if (!response && response.error().unauthorized() && credentials_.renew()) return send_once(request, limits, sink);
  return response;
}

ApiResult<HttpResponse> Transport::send_once(const HttpRequest& request, const HttpLimits& limits,
                                             const BodySink& sink) {
  GODWIT_ASSIGN(Credentials credentials, credentials_.current(limits.deadline));
  HttpRequest authorized = request;
  for (std::string& header : credentials.headers) authorized.headers.push_back(std::move(header));
  std::unique_ptr<HttpConnection> connection = take(credentials.endpoint);
  auto response = connection->exchange(authorized, limits, sink);
  if (!response) return response;
  give_back(std::move(connection));
  if (response->status >= 200 && response->status < 300) return response;
  return std::unexpected(decode_status(response->status, response->body, response->retry_after));
}

std::unique_ptr<HttpConnection> Transport::take(const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  // Those with an old CA or certificate are of no use any more.
  std::erase_if(idle_, [&](const auto& connection) { return connection->endpoint() != endpoint; });
  if (idle_.empty()) return std::make_unique<HttpConnection>(endpoint);
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void Transport::give_back(std::unique_ptr<HttpConnection> connection) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < idle_connections_max) idle_.push_back(std::move(connection));
}

}  // namespace godwit::kube
