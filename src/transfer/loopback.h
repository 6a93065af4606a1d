// Two ends of a real connection on this machine, with certificates made for it: for tests and benchmarks only.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "os/file.h"
#include "transfer/certificates.h"
#include "transfer/tcp.h"
#include "transfer/tls.h"

namespace godwit::transfer {

// A temporary directory with the files of an authority and of the nodes that it certified; removed with the object.
class Authority {
 public:
  static Result<Authority> create(const std::string& name = "test authority") {
    std::string path = std::filesystem::temp_directory_path() / "godwit-authority-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return fail_errno("make {}", path);
    Authority authority(path);
    GODWIT_ASSIGN(authority.ca_, make_ca(name));
    GODWIT_TRY(write_certified_key(authority.ca_, authority.ca_path(), path + "/ca.key"));
    return authority;
  }
  Authority(Authority&& other) noexcept : directory_(std::exchange(other.directory_, {})), ca_(std::move(other.ca_)) {}
  Authority& operator=(Authority&&) = delete;
  ~Authority() {
    if (!directory_.empty()) (void)os::remove_tree(directory_);
  }

  [[nodiscard]] std::string ca_path() const { return directory_ + "/ca.pem"; }
  [[nodiscard]] std::string path(const std::string& file) const { return directory_ + "/" + file; }

  // Writes <node>.pem and <node>.key.
  Result<> certify(const std::string& node, Validity validity = {}) const {
    GODWIT_ASSIGN(const CertifiedKey pair,
                  make_node_certificate(ca_, {.dns = {node}, .addresses = {"127.0.0.1"}}, validity));
    return write_certified_key(pair, path(node + ".pem"), path(node + ".key"));
  }
  Result<TlsIdentity> identity(const std::string& node, Validity validity = {}) const {
    GODWIT_TRY(certify(node, validity));
    return TlsIdentity::load(ca_path(), path(node + ".pem"), path(node + ".key"));
  }

 private:
  explicit Authority(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
  CertifiedKey ca_;
};

struct SocketPair {
  UniqueFd client;
  UniqueFd server;
};

inline Result<SocketPair> connect_sockets(Deadline deadline) {
  GODWIT_ASSIGN(Listener listener, Listener::open("127.0.0.1", 0));
  GODWIT_ASSIGN(UniqueFd client, connect_tcp("127.0.0.1", listener.port(), deadline));
  GODWIT_ASSIGN(Connection server, listener.accept(deadline));
  return SocketPair{.client = std::move(client), .server = std::move(server.socket)};
}

struct StreamPair {
  std::unique_ptr<TlsStream> client;
  std::unique_ptr<TlsStream> server;
};

inline Result<StreamPair> connect_streams(const TlsIdentity& client, const TlsIdentity& server, Deadline deadline) {
  GODWIT_ASSIGN(SocketPair sockets, connect_sockets(deadline));
  auto accepting =
      std::async(std::launch::async, [&] { return TlsStream::accept(std::move(sockets.server), server, deadline); });
  auto connected = TlsStream::connect(std::move(sockets.client), client, "", deadline);
  auto accepted = accepting.get();
  if (!connected) return std::unexpected(std::move(connected).error());
  if (!accepted) return std::unexpected(std::move(accepted).error());
  return StreamPair{.client = std::move(*connected), .server = std::move(*accepted)};
}

}  // namespace godwit::transfer
