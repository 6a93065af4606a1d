// One HTTP/1.1 connection to an API server, on libcurl.
//
// HTTP/1.1 and not HTTP/2: every request has a connection to itself, so a stalled watch cannot hold up a renewal of a
// Lease, and giving a request up is closing its connection. The pool (transport.h) keeps connections alive in between.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "kube/api_error.h"

namespace godwit::kube {

// How to reach the server and to know it, and what to show it. Compared by value: a connection serves one of them.
struct Endpoint {
  std::string server;           // https://host:port, no slash at the end
  std::string tls_server_name;  // the name in its certificate where it is not the URL's host
  std::string proxy_url;        // empty: as the environment says (https_proxy, no_proxy)
  bool verify = true;           // false: accepts any certificate
  std::string ca_pem;           // empty: the system's authorities
  std::string certificate_pem;  // the client's own; empty: none
  std::string key_pem;

  bool operator==(const Endpoint&) const = default;
};

struct HttpRequest {
  std::string method;
  std::string path;                  // with its query
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
};

struct HttpResponse {
  int status = 0;
  std::string retry_after;  // the header's text
  std::string body;         // empty if it went to a sink
};

struct HttpLimits {
  Deadline deadline;
  // The longest time without a byte from the server.
  milliseconds silence_max = std::chrono::hours(24);
  size_t body_bytes_max = size_t{64} << 20;
  std::stop_token stop;
};

// Gets the body of a successful answer (2xx) piece by piece; false ends the exchange without an error.
using BodySink = std::function<bool(std::string_view)>;

// Used by one thread at a time.
class HttpConnection {
 public:
  explicit HttpConnection(Endpoint endpoint);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  // An answer of any status is a success. Errors: transport, timeout, stopped, answer (too large).
  ApiResult<HttpResponse> exchange(const HttpRequest& request, const HttpLimits& limits, const BodySink& sink = {});

 private:
  struct Exchange;
  ApiResult<> drive(const Exchange& exchange, const HttpLimits& limits);

  Endpoint endpoint_;
  std::unique_ptr<void, void (*)(void*)> multi_;  // a CURLM: it owns the TCP connection between exchanges
};

}  // namespace godwit::kube
