// TLS 1.3 between the two workers of a session, both sides with a certificate of the same authority. The cryptography,
// the handshake and the checking of certificates are OpenSSL's; what is here moves bytes with a limit on every wait.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "os/byte_stream.h"

struct ssl_ctx_st;
struct ssl_st;

namespace godwit::transfer {

// What a node proves itself by and whom it trusts. Loaded once a process; copies share it; any thread.
class TlsIdentity {
 public:
  // Reads PEM files: the authority (or several), this node's certificate (with its chain after it, if any), its key.
  // Errors: missing, unreadable or malformed files, a key of another certificate, a certificate that is not of the
  // authority, has expired or is not valid yet.
  static Result<TlsIdentity> load(const std::string& ca_path, const std::string& certificate_path,
                                  const std::string& key_path);

  [[nodiscard]] ssl_ctx_st* context() const { return context_.get(); }

 private:
  explicit TlsIdentity(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

// An encrypted connection. One thread may write while another reads; shutdown() may come from any thread.
//
// write() encrypts straight from the caller's memory into a buffer of some records, which goes out when it is full or
// by flush(); read_exact() and read_some() decrypt into the caller's memory. OpenSSL's object is guarded by a mutex
// that is never held while waiting.
//
// Errors carry a code: ETIMEDOUT (a limit passed), ECONNABORTED (shutdown() here), ECONNRESET (the peer went away).
class TlsStream final : public os::ByteStream {
 public:
  // Handshake on a connected socket, as client or as server. `expected_node`: a DNS name, or an IP address, that the
  // server's certificate must have; empty: any certificate of the authority. connect() returns only once the server has
  // accepted this node's certificate (it says so by its first byte).
  //
  // `purpose`: what the connection is for, the same on both sides or the server refuses. It travels as the server name
  // of the handshake, which nobody between the two can change; empty: not said, not checked.
  static Result<std::unique_ptr<TlsStream>> connect(UniqueFd socket, const TlsIdentity& identity,
                                                    const std::string& expected_node, Deadline deadline,
                                                    const std::string& purpose = "");
  static Result<std::unique_ptr<TlsStream>> accept(UniqueFd socket, const TlsIdentity& identity, Deadline deadline,
                                                   const std::string& purpose = "");
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // The first DNS name of the peer's certificate.
  [[nodiscard]] const std::string& peer_name() const { return peer_name_; }

  // Grows by the time for which the peer, and not the network, was what held the writing up.
  [[nodiscard]] std::chrono::microseconds peer_limited_time() const;

  // How long a write, a flush or read_exact() may see no progress. 30 s unless set; before other threads use it.
  void set_idle_timeout(milliseconds timeout) { idle_timeout_ = timeout; }

  Result<> write(const void* data, size_t size) override;
  Result<> flush() override;
  Result<> read_exact(void* data, size_t size) override;
  // As read_exact(), bounded by a moment too.
  Result<> read_exact(void* data, size_t size, Deadline deadline);
  // At least one byte and at most `size`; 0 if the peer has closed in good order.
  Result<size_t> read_some(void* data, size_t size, Deadline deadline);

  // Says goodbye, so that the peer's read_some() returns 0 rather than an error. From the writing thread.
  Result<> close();
  // Ends it at once: whoever waits in a read or write of it returns with ECONNABORTED, now and later.
  void shutdown();

 private:
  struct SslFree {
    void operator()(ssl_st* ssl) const;
  };
  friend struct StreamBio;

  static constexpr size_t record_header_bytes = 5;

  explicit TlsStream(UniqueFd socket) : socket_(std::move(socket)) {}
  static Result<std::unique_ptr<TlsStream>> make(UniqueFd socket, const TlsIdentity& identity);
  size_t take_header(char* to, size_t size);
  Result<> handshake(Deadline deadline);
  Result<> take_peer_name();
  Result<> check_purpose(const std::string& purpose);
  Result<> send_buffered(Deadline deadline);
  Result<> check_open() const;
  [[nodiscard]] Deadline idle_limit() const { return Deadline::after(idle_timeout_); }
  Error describe_failure(int ssl_error, const char* doing);

  UniqueFd socket_;
  std::atomic<bool> stopped_ = false;
  milliseconds idle_timeout_{30'000};
  std::string peer_name_;

  std::mutex ssl_mutex_;  // guards what follows, up to filling_
  std::unique_ptr<ssl_st, SslFree> ssl_;
  std::array<char, record_header_bytes> header_{};  // what came after a record, not yet asked for by OpenSSL
  size_t header_size_ = 0;
  size_t header_taken_ = 0;
  std::vector<std::byte> filling_;  // encrypted records, not yet handed to the socket
  // The writing thread's:
  std::vector<std::byte> sending_;
  size_t sent_bytes_ = 0;
};

}  // namespace godwit::transfer
