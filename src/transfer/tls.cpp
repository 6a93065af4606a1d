#include "transfer/tls.h"

#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "transfer/openssl.h"
#include "transfer/tcp.h"

namespace godwit::transfer {
namespace {

// What collects before a send(2): some records, so that the call's cost is shared, yet within a core's cache.
constexpr size_t send_buffer_bytes = size_t{128} << 10;
// The first byte that the server sends inside TLS: the version of what follows.
constexpr std::byte greeting{1};

std::unexpected<Error> stopped() {
  errno = ECONNABORTED;
  return fail_errno("connection ended here");
}

}  // namespace

// OpenSSL's view of a stream: it reads from the socket and writes into the stream's buffer. Never waits.
struct StreamBio {
  static TlsStream& stream(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

  // OpenSSL asks for a record's header, then for its body. With each body comes, into a place of its own, the header
  // that follows it: so a record costs one system call, and is decrypted where the kernel put it.
  static int read(BIO* bio, char* data, int size) {
    BIO_clear_retry_flags(bio);
    TlsStream& self = stream(bio);
    const auto wanted = static_cast<size_t>(size);
    const size_t first = self.take_header(data, wanted);
    if (first == wanted) return size;
    std::array<iovec, 2> parts{iovec{.iov_base = data + first, .iov_len = wanted - first},
                               iovec{.iov_base = self.header_.data(), .iov_len = self.header_.size()}};
    for (;;) {
      const ssize_t got = ::readv(self.socket_.get(), parts.data(), parts.size());
      if (got >= 0) {
        const size_t body = std::min(static_cast<size_t>(got), wanted - first);
        self.header_taken_ = 0;
        self.header_size_ = static_cast<size_t>(got) - body;
        return static_cast<int>(first + body);
      }
      if (errno == EINTR) continue;
      if (first > 0) return static_cast<int>(first);
      if (errno == EAGAIN) BIO_set_retry_read(bio);
      return -1;
    }
  }

  static int write(BIO* bio, const char* data, int size) {
    BIO_clear_retry_flags(bio);
    std::vector<std::byte>& buffer = stream(bio).filling_;
    const auto bytes = static_cast<size_t>(size);
    // A record fits an empty buffer, so after a send there is always room.
    if (!buffer.empty() && buffer.size() + bytes > send_buffer_bytes) {
      BIO_set_retry_write(bio);
      return -1;
    }
    const auto* first = reinterpret_cast<const std::byte*>(data);
    buffer.insert(buffer.end(), first, first + bytes);
    return size;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static BIO_METHOD* const shared = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "godwit stream");
      GODWIT_CHECK(made != nullptr);
      BIO_meth_set_read(made, read);
      BIO_meth_set_write(made, write);
      BIO_meth_set_ctrl(made, control);
      return made;
    }();
    return shared;
  }
};

void TlsStream::SslFree::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

TlsStream::~TlsStream() = default;

size_t TlsStream::take_header(char* to, size_t size) {
  const size_t taken = std::min(size, header_size_ - header_taken_);
  std::memcpy(to, &header_[header_taken_], taken);
  header_taken_ += taken;
  return taken;
}

Result<std::unique_ptr<TlsStream>> TlsStream::make(UniqueFd socket, const TlsIdentity& identity) {
  GODWIT_TRY(prepare_socket(socket.get()));
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(socket)));
  stream->filling_.reserve(send_buffer_bytes);
  stream->sending_.reserve(send_buffer_bytes);
  stream->ssl_.reset(SSL_new(identity.context()));
  BIO* bio = BIO_new(StreamBio::method());
  if (!stream->ssl_ || bio == nullptr) return fail_openssl("make a TLS connection");
  BIO_set_data(bio, stream.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(stream->ssl_.get(), bio, bio);
  return stream;
}

Result<std::unique_ptr<TlsStream>> TlsStream::connect(UniqueFd socket, const TlsIdentity& identity,
                                                      const std::string& expected_node, Deadline deadline,
                                                      const std::string& purpose) {
  GODWIT_ASSIGN(std::unique_ptr<TlsStream> stream, make(std::move(socket), identity));
  SSL* ssl = stream->ssl_.get();
  if (!purpose.empty() && SSL_set_tlsext_host_name(ssl, purpose.c_str()) != 1) {
    return fail_openssl("say what the connection is for");
  }
  if (!expected_node.empty()) {
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (SSL_set1_host(ssl, expected_node.c_str()) != 1) return fail_openssl("expect node {}", expected_node);
  }
  SSL_set_connect_state(ssl);
  auto done = stream->handshake(deadline);
  if (!done) {
    const long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_ERR_HOSTNAME_MISMATCH && verified != X509_V_ERR_IP_ADDRESS_MISMATCH) {
      return std::unexpected(std::move(done).error());
    }
    return fail("TLS: the peer is another node: its certificate does not have the name \"{}\"", expected_node);
  }
  std::byte first{};
  auto greeted = stream->read_exact(&first, 1, deadline);
  if (!greeted) return std::unexpected(std::move(greeted).error().context("TLS: not accepted by the peer"));
  if (first != greeting) {
    return fail("TLS: the peer speaks version {}, this agent {}: run the same version on both nodes",
                std::to_integer<int>(first), std::to_integer<int>(greeting));
  }
  return stream;
}

Result<std::unique_ptr<TlsStream>> TlsStream::accept(UniqueFd socket, const TlsIdentity& identity, Deadline deadline,
                                                     const std::string& purpose) {
  GODWIT_ASSIGN(std::unique_ptr<TlsStream> stream, make(std::move(socket), identity));
  SSL_set_accept_state(stream->ssl_.get());
  GODWIT_TRY(stream->handshake(deadline));
  GODWIT_TRY(stream->check_purpose(purpose));
  GODWIT_TRY(stream->write(&greeting, 1));
  GODWIT_TRY(stream->send_buffered(deadline));
  return stream;
}

std::chrono::microseconds TlsStream::peer_limited_time() const {
  return receiver_limited_time(socket_.get());
}

Result<> TlsStream::handshake(Deadline deadline) {
  for (;;) {
    int result = 0;
    int error = SSL_ERROR_NONE;
    {
      const std::lock_guard lock(ssl_mutex_);
      ERR_clear_error();
      result = SSL_do_handshake(ssl_.get());
      if (result != 1) error = SSL_get_error(ssl_.get(), result);
    }
    if (result != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      Error failure = describe_failure(error, "TLS handshake");
      // The alert that tells the peer why is in the buffer; if it cannot be sent, the peer sees the connection end.
      (void)send_buffered(Deadline::after(milliseconds(100)));
      return std::unexpected(std::move(failure));
    }
    GODWIT_TRY(send_buffered(deadline));
    if (result == 1) return take_peer_name();
    if (error == SSL_ERROR_WANT_READ) GODWIT_TRY(wait_ready(socket_.get(), POLLIN, deadline, "TLS handshake"));
    GODWIT_TRY(check_open());
  }
}

Result<> TlsStream::take_peer_name() {
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  if (!certificate) return fail("TLS: the peer showed no certificate");
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    peer_name_.assign(text, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    const bool printable = std::ranges::all_of(peer_name_, [](char c) { return c > ' ' && c <= '~'; });
    if (!printable) return fail("TLS: the name in the peer's certificate is not printable");
    return {};
  }
  return fail("TLS: the peer's certificate has no DNS name, which would be its node's name");
}

// The server's: what came in clear before the handshake must be what the client meant.
Result<> TlsStream::check_purpose(const std::string& purpose) {
  const char* said = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  if (purpose.empty() || (said != nullptr && purpose == said)) return {};
  return fail("TLS: {} made this connection for something else than its first line says", peer_name_);
}

Result<> TlsStream::check_open() const {
  if (stopped_) return stopped();
  return {};
}

Error TlsStream::describe_failure(int ssl_error, const char* doing) {
  const int code = errno;
  if (stopped_) return stopped().error();
  if (ssl_error == SSL_ERROR_SYSCALL && code != 0) {
    return {fmt::format("{}: {}", doing, std::strerror(code)), code == EPIPE ? ECONNRESET : code};
  }
  const unsigned long first = ERR_peek_error();
  const int reason = ERR_GET_REASON(first);
  if (ssl_error == SSL_ERROR_SYSCALL || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    return {fmt::format("{}: the peer closed the connection unexpectedly", doing), ECONNRESET};
  }
  const long verified = SSL_get_verify_result(ssl_.get());
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
    ERR_clear_error();
    return {fmt::format("{}: the peer's certificate is refused: {}", doing, X509_verify_cert_error_string(verified))};
  }
  // Alerts that came from the peer are numbered from here.
  const bool from_peer = ERR_GET_LIB(first) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET;
  return {fmt::format("{}: {}{}", doing, from_peer ? "the peer refused: " : "", take_openssl_errors())};
}

// Sends all that is encrypted. No progress for the idle timeout, or the deadline: an error.
Result<> TlsStream::send_buffered(Deadline deadline) {
  for (;;) {
    if (sent_bytes_ == sending_.size()) {
      const std::lock_guard lock(ssl_mutex_);
      sending_.clear();
      sent_bytes_ = 0;
      sending_.swap(filling_);
      if (sending_.empty()) return {};
    }
    const std::span<const std::byte> rest = std::span(sending_).subspan(sent_bytes_);
    const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      sent_bytes_ += static_cast<size_t>(sent);
      continue;
    }
    const int code = errno;
    if (code == EINTR) continue;
    GODWIT_TRY(check_open());
    if (code != EAGAIN) {
      errno = code == EPIPE ? ECONNRESET : code;
      return fail_errno("send");
    }
    GODWIT_TRY(wait_ready(socket_.get(), POLLOUT, idle_limit().sooner(deadline), "send: the peer takes nothing"));
  }
}

Result<> TlsStream::write(const void* data, size_t size) {
  const auto* next = static_cast<const std::byte*>(data);
  while (size > 0) {
    GODWIT_TRY(check_open());
    size_t written = 0;
    {
      const std::lock_guard lock(ssl_mutex_);
      ERR_clear_error();
      if (const int result = SSL_write_ex(ssl_.get(), next, size, &written); result != 1) {
        const int error = SSL_get_error(ssl_.get(), result);
        if (error != SSL_ERROR_WANT_WRITE) return std::unexpected(describe_failure(error, "send"));
      }
    }
    next += written;
    size -= written;
    if (written == 0) GODWIT_TRY(send_buffered(Deadline::never()));
  }
  return {};
}

Result<> TlsStream::flush() {
  GODWIT_TRY(check_open());
  return send_buffered(Deadline::never());
}

Result<size_t> TlsStream::read_some(void* data, size_t size, Deadline deadline) {
  for (;;) {
    GODWIT_TRY(check_open());
    {
      const std::lock_guard lock(ssl_mutex_);
      ERR_clear_error();
      size_t got = 0;
      const int result = SSL_read_ex(ssl_.get(), data, size, &got);
      if (result == 1) return got;
      const int error = SSL_get_error(ssl_.get(), result);
      if (error == SSL_ERROR_ZERO_RETURN) return size_t{0};
      if (error != SSL_ERROR_WANT_READ) return std::unexpected(describe_failure(error, "receive"));
    }
    GODWIT_TRY(wait_ready(socket_.get(), POLLIN, deadline, "receive: nothing comes from the peer"));
  }
}

Result<> TlsStream::read_exact(void* data, size_t size, Deadline deadline) {
  auto* next = static_cast<std::byte*>(data);
  while (size > 0) {
    GODWIT_ASSIGN(const size_t got, read_some(next, size, idle_limit().sooner(deadline)));
    if (got == 0) {
      errno = ECONNRESET;
      return fail_errno("receive: the peer closed the connection with {} bytes missing", size);
    }
    next += got;
    size -= got;
  }
  return {};
}

Result<> TlsStream::read_exact(void* data, size_t size) {
  return read_exact(data, size, Deadline::never());
}

Result<> TlsStream::close() {
  GODWIT_TRY(check_open());
  {
    const std::lock_guard lock(ssl_mutex_);
    ERR_clear_error();
    if (const int result = SSL_shutdown(ssl_.get()); result < 0) {
      const int error = SSL_get_error(ssl_.get(), result);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        return std::unexpected(describe_failure(error, "close"));
      }
    }
  }
  return send_buffered(Deadline::never());
}

void TlsStream::shutdown() {
  stopped_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace godwit::transfer
