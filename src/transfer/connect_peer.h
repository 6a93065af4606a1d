// A connection to another node's agent, from nothing to an encrypted stream: TCP, preamble, TLS.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "transfer/preamble.h"
#include "transfer/tls.h"

namespace godwit::transfer {

struct PeerAddress {
  std::string address;  // numeric, IPv4 or IPv6
  uint16_t port = 0;
};

// `expected_node`: the name or address that the peer's certificate must have; empty: any certificate of the authority.
Result<std::unique_ptr<TlsStream>> connect_peer(const PeerAddress& peer, const Preamble& preamble,
                                                const TlsIdentity& identity, const std::string& expected_node,
                                                Deadline deadline);

}  // namespace godwit::transfer
