#include "controller/admission_server.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/ssl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "agent/peer_address.h"
#include "base/c_object.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "os/file.h"
#include "transfer/certificates.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr ev_ssize_t review_bytes_max = 8 << 20;  // an object is at most 1.5 MiB, and an update has two
constexpr ev_ssize_t header_bytes_max = 16 << 10;
constexpr int connection_timeout_s = 10;
constexpr const char* review_path = "/review";

using ContextPtr = std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>>;
using BasePtr = std::unique_ptr<event_base, FreeBy<event_base_free>>;
using EventPtr = std::unique_ptr<event, FreeBy<event_free>>;
using HttpPtr = std::unique_ptr<evhttp, FreeBy<evhttp_free>>;

// A file that exists only for this process.
Result<UniqueFd> in_memory(const std::string& name, const std::string& text) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!fd) return fail_errno("memfd {}", name);
  GODWIT_TRY(os::write_all(fd.get(), text.data(), text.size()));
  return fd;
}

Result<ContextPtr> server_context(const transfer::CertifiedKey& own) {
  GODWIT_ASSIGN(const UniqueFd certificate, in_memory("certificate", own.certificate_pem));
  GODWIT_ASSIGN(const UniqueFd key, in_memory("key", own.key_pem));
  const auto path = [](const UniqueFd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); };
  ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_use_certificate_chain_file(context.get(), path(certificate).c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), path(key).c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail("OpenSSL does not take the admission server's own certificate");
  }
  return context;
}

// An IPv4 or IPv6 address and the port that was chosen.
uint16_t port_of(evutil_socket_t socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

void answer_review(evhttp_request* asked, void* decide) {
  evbuffer* body = evhttp_request_get_input_buffer(asked);
  std::string text(evbuffer_get_length(body), '\0');
  evbuffer_remove(body, text.data(), text.size());
  const json review = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!review.is_object() || !review.contains("request") || !review["request"].is_object()) {
    evhttp_send_error(asked, HTTP_BADREQUEST, "not an AdmissionReview");
    return;
  }
  json response = (*static_cast<const AdmissionServer::Answer*>(decide))(review["request"]);
  response["uid"] = review["request"].value("uid", "");
  const std::string answer =
      json{{"apiVersion", "admission.k8s.io/v1"}, {"kind", "AdmissionReview"}, {"response", response}}.dump();
  evhttp_add_header(evhttp_request_get_output_headers(asked), "Content-Type", "application/json");
  evbuffer* out = evhttp_request_get_output_buffer(asked);
  evbuffer_add(out, answer.data(), answer.size());
  evhttp_send_reply(asked, HTTP_OK, "OK", nullptr);
}

bufferevent* encrypted(event_base* base, void* context) {
  return bufferevent_openssl_socket_new(base, -1, SSL_new(static_cast<SSL_CTX*>(context)), BUFFEREVENT_SSL_ACCEPTING,
                                        BEV_OPT_CLOSE_ON_FREE);
}

void end_loop(evutil_socket_t, short, void* base) {
  event_base_loopbreak(static_cast<event_base*>(base));
}

}  // namespace

// In the order in which they need each other.
struct AdmissionServer::Implementation {
  Answer decide;
  ContextPtr context;
  UniqueFd stop;
  BasePtr base;
  EventPtr stopping;
  HttpPtr http;
  std::thread thread;
};

AdmissionServer::AdmissionServer() = default;

Result<std::unique_ptr<AdmissionServer>> AdmissionServer::start(const std::string& address, uint16_t port,
                                                                Answer answer) {
  GODWIT_ASSIGN(const transfer::CertifiedKey ca, transfer::make_ca("godwit-admission"));
  GODWIT_ASSIGN(const transfer::CertifiedKey own,
                transfer::make_node_certificate(ca, {.dns = {"godwit-controller"}, .addresses = {address}}));
  std::unique_ptr<AdmissionServer> made(new AdmissionServer());
  made->implementation_ = std::make_unique<Implementation>();
  Implementation& server = *made->implementation_;
  server.decide = std::move(answer);
  GODWIT_ASSIGN(server.context, server_context(own));
  server.stop = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  server.base.reset(event_base_new());
  if (!server.stop || !server.base) return fail_errno("the admission server's event loop");
  server.stopping.reset(event_new(server.base.get(), server.stop.get(), EV_READ, end_loop, server.base.get()));
  server.http.reset(evhttp_new(server.base.get()));
  if (!server.stopping || !server.http || event_add(server.stopping.get(), nullptr) != 0) {
    return fail("the admission server has no memory");
  }
  evhttp_set_bevcb(server.http.get(), encrypted, server.context.get());
  evhttp_set_timeout(server.http.get(), connection_timeout_s);
  evhttp_set_max_body_size(server.http.get(), review_bytes_max);
  evhttp_set_max_headers_size(server.http.get(), header_bytes_max);
  evhttp_set_allowed_methods(server.http.get(), EVHTTP_REQ_POST);
  evhttp_set_cb(server.http.get(), review_path, answer_review, &server.decide);
  evhttp_bound_socket* bound = evhttp_bind_socket_with_handle(server.http.get(), address.c_str(), port);
  if (bound == nullptr) return fail_errno("the admission server cannot listen on {} port {}", address, port);
  made->url_ = fmt::format(
      "https://{}{}",
      agent::peer_address_text({.address = address, .port = port_of(evhttp_bound_socket_get_fd(bound))}), review_path);
  made->ca_pem_ = ca.certificate_pem;
  server.thread = std::thread([base = server.base.get()] { event_base_dispatch(base); });
  return made;
}

AdmissionServer::~AdmissionServer() {
  if (!implementation_ || !implementation_->thread.joinable()) return;
  const uint64_t one = 1;
  if (::write(implementation_->stop.get(), &one, sizeof one) != sizeof one) log_error("the admission server runs on");
  implementation_->thread.join();
}

}  // namespace godwit::controller
