// Sends requests to one API server with the right credentials, over a pool of kept-alive connections.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kube/credentials.h"
#include "kube/http.h"

namespace godwit::kube {

// Any thread may call it; each request in flight has a connection of its own.
class Transport {
 public:
  explicit Transport(ClusterAccess access);

  // The answer to a success (2xx). An answer of 401 is tried once more with fresh credentials if there can be any.
  // Errors: as HttpConnection::exchange(); status for every other answer.
  ApiResult<HttpResponse> send(HttpRequest request, const HttpLimits& limits, const BodySink& sink = {});

 private:
  ApiResult<HttpResponse> send_once(const HttpRequest& request, const HttpLimits& limits, const BodySink& sink);
  std::unique_ptr<HttpConnection> take(const Endpoint& endpoint);
  void give_back(std::unique_ptr<HttpConnection> connection);

  CredentialSource credentials_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<HttpConnection>> idle_;
};

}  // namespace godwit::kube
