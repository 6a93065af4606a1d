#include "kube/http.h"

#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <mutex>

namespace godwit::kube {
namespace {

constexpr long connect_ms_max = 10'000;
constexpr long idle_connection_s_max = 60;  // API servers close idle connections after 90 s
constexpr long keepalive_s = 15;
constexpr int poll_ms_max = 1000;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using EasyPtr = std::unique_ptr<CURL, EasyDeleter>;

struct HeadersDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeadersPtr = std::unique_ptr<curl_slist, HeadersDeleter>;

void set_blob(CURL* easy, CURLoption option, const std::string& pem) {
  if (pem.empty()) return;
  curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_COPY};
  curl_easy_setopt(easy, option, &blob);
}

HeadersPtr make_headers(const std::vector<std::string>& lines) {
  HeadersPtr headers;
  // Without this, curl waits a second for "100 Continue" before a larger body.
  curl_slist* first = curl_slist_append(nullptr, "Expect:");
  for (const std::string& line : lines) first = curl_slist_append(first, line.c_str());
  headers.reset(first);
  return headers;
}

// "https://10.0.0.1:6443" and the name "kubernetes": connect there, but speak to that name.
struct Renamed {
  std::string server;
  std::string connect_to;
  std::string host_header;
};

Renamed rename_server(const Endpoint& endpoint) {
  Renamed renamed{endpoint.server, "", ""};
  const size_t start = endpoint.server.find("://");
  if (endpoint.tls_server_name.empty() || start == std::string::npos) return renamed;
  const std::string authority = endpoint.server.substr(start + 3, endpoint.server.find('/', start + 3) - start - 3);
  const size_t colon = authority.find(':', authority.find(']') == std::string::npos ? 0 : authority.find(']'));
  const std::string port = colon == std::string::npos ? ":443" : authority.substr(colon);
  renamed.server = endpoint.server.substr(0, start + 3) + endpoint.tls_server_name + port +
                   endpoint.server.substr(start + 3 + authority.size());
  renamed.connect_to = "::" + authority.substr(0, colon) + port;
  renamed.host_header = "Host: " + authority;
  return renamed;
}

// As libcurl would, but programs that are started meanwhile do not inherit it.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

ApiErrorKind kind_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return ApiErrorKind::timeout;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CERTPROBLEM:
      return ApiErrorKind::local;
    default:
      return ApiErrorKind::transport;
  }
}

}  // namespace

// One request and its answer; lives on the stack of exchange().
struct HttpConnection::Exchange {
  CURL* easy = nullptr;
  const BodySink* sink = nullptr;
  size_t body_bytes_max = 0;
  HttpResponse response;
  size_t body_bytes = 0;
  bool too_large = false;
  bool ended_by_sink = false;
  Clock::time_point last_byte = Clock::now();
  std::array<char, CURL_ERROR_SIZE> error_text{};

  static size_t on_header(char* data, size_t, size_t size, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    exchange.last_byte = Clock::now();
    std::string line(data, size);
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return size;
    std::ranges::transform(line.begin(), line.begin() + static_cast<ptrdiff_t>(colon), line.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!line.starts_with("retry-after:")) return size;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    const size_t end = line.find_last_not_of(" \t\r\n");
    if (begin != std::string::npos && end >= begin) {
      exchange.response.retry_after = line.substr(begin, end - begin + 1);
    }
    return size;
  }

  static size_t on_body(char* data, size_t, size_t size, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    exchange.last_byte = Clock::now();
    long status = 0;
    curl_easy_getinfo(exchange.easy, CURLINFO_RESPONSE_CODE, &status);
    if (*exchange.sink && status >= 200 && status < 300) {
      exchange.ended_by_sink = !(*exchange.sink)({data, size});
      exchange.last_byte = Clock::now();  // the time that the sink took is not the server's
      return exchange.ended_by_sink ? 0 : size;
    }
    exchange.body_bytes += size;
    exchange.too_large = exchange.body_bytes > exchange.body_bytes_max;
    if (exchange.too_large) return 0;
    exchange.response.body.append(data, size);
    return size;
  }
};

HttpConnection::HttpConnection(Endpoint endpoint)
    : endpoint_(std::move(endpoint)), multi_(nullptr, [](void* multi) { curl_multi_cleanup(multi); }) {
  static std::once_flag initialized;
  std::call_once(initialized, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  multi_.reset(curl_multi_init());
  GODWIT_CHECK(multi_ != nullptr);
  curl_multi_setopt(static_cast<CURLM*>(multi_.get()), CURLMOPT_MAXCONNECTS, 1L);
}

HttpConnection::~HttpConnection() = default;

ApiResult<HttpResponse> HttpConnection::exchange(const HttpRequest& request, const HttpLimits& limits,
                                                 const BodySink& sink) {
  const EasyPtr easy(curl_easy_init());
  GODWIT_CHECK(easy != nullptr);
  CURL* handle = easy.get();
  Exchange exchange;
  exchange.easy = handle;
  exchange.sink = &sink;
  exchange.body_bytes_max = limits.body_bytes_max;

  const Renamed renamed = rename_server(endpoint_);
  std::vector<std::string> lines = request.headers;
  if (!renamed.host_header.empty()) lines.push_back(renamed.host_header);
  const HeadersPtr headers = make_headers(lines);
  HeadersPtr connect_to(renamed.connect_to.empty() ? nullptr : curl_slist_append(nullptr, renamed.connect_to.c_str()));
  curl_easy_setopt(handle, CURLOPT_URL, (renamed.server + request.path).c_str());
  curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  if (connect_to) curl_easy_setopt(handle, CURLOPT_CONNECT_TO, connect_to.get());
  if (!endpoint_.proxy_url.empty()) curl_easy_setopt(handle, CURLOPT_PROXY, endpoint_.proxy_url.c_str());
  if (!request.body.empty()) {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
  }
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPIDLE, keepalive_s);
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPINTVL, keepalive_s);
  curl_easy_setopt(handle, CURLOPT_MAXAGE_CONN, idle_connection_s_max);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, connect_ms_max);
  curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, endpoint_.verify ? 1L : 0L);
  curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, endpoint_.verify ? 2L : 0L);
  set_blob(handle, CURLOPT_CAINFO_BLOB, endpoint_.ca_pem);
  set_blob(handle, CURLOPT_SSLCERT_BLOB, endpoint_.certificate_pem);
  set_blob(handle, CURLOPT_SSLKEY_BLOB, endpoint_.key_pem);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, exchange.error_text.data());
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);

  GODWIT_CHECK(curl_multi_add_handle(multi_.get(), handle) == CURLM_OK);
  ApiResult<> driven = drive(exchange, limits);
  curl_multi_remove_handle(multi_.get(), handle);
  if (!driven) return std::unexpected(std::move(driven).error().context(request.method + " " + renamed.server));
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  return std::move(exchange.response);
}

ApiResult<> HttpConnection::drive(const Exchange& exchange, const HttpLimits& limits) {
  CURLM* multi = multi_.get();
  const std::stop_callback wake(limits.stop, [multi] { curl_multi_wakeup(multi); });
  for (;;) {
    int running = 0;
    curl_multi_perform(multi, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      if (code == CURLE_OK || exchange.ended_by_sink) return {};
      if (exchange.too_large) {
        return api_fail(ApiErrorKind::answer, "the answer is larger than {} bytes", exchange.body_bytes_max);
      }
      const std::string text = exchange.error_text[0] != '\0' ? exchange.error_text.data() : curl_easy_strerror(code);
      return std::unexpected(ApiError(kind_of(code), text));
    }
    if (limits.stop.stop_requested()) return api_fail(ApiErrorKind::stopped, "given up: asked to stop");
    if (limits.deadline.expired()) return api_fail(ApiErrorKind::timeout, "no complete answer in time");
    const Deadline silence = Deadline::at(exchange.last_byte + limits.silence_max);
    if (silence.expired()) {
      return api_fail(ApiErrorKind::timeout, "no byte for {} ms", limits.silence_max.count());
    }
    const int wait_ms = limits.deadline.sooner(silence).poll_timeout_ms();
    curl_multi_poll(multi, nullptr, 0, wait_ms < 0 ? poll_ms_max : std::min(wait_ms, poll_ms_max), nullptr);
  }
}

}  // namespace godwit::kube
