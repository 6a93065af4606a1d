#include "transfer/connect_peer.h"

#include "transfer/tcp.h"

namespace godwit::transfer {

Result<std::unique_ptr<TlsStream>> connect_peer(const PeerAddress& peer, const Preamble& preamble,
                                                const TlsIdentity& identity, const std::string& expected_node,
                                                Deadline deadline) {
  GODWIT_ASSIGN(UniqueFd socket, connect_tcp(peer.address, peer.port, deadline));
  GODWIT_TRY(write_preamble(socket.get(), preamble, deadline));
  auto stream = TlsStream::connect(std::move(socket), identity, expected_node, deadline, tls_purpose(preamble));
  if (stream) return stream;
  return std::unexpected(std::move(stream).error().context(
      fmt::format("{} connection to {} port {}", role_name(preamble.role), peer.address, peer.port)));
}

}  // namespace godwit::transfer
