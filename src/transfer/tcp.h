// TCP between agents: connecting and accepting within a deadline. Addresses are numeric, because resolving a name
// cannot be bounded; who wants names resolves them first.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::transfer {

// Waits until one of `events` (POLLIN, POLLOUT) or an error is there. Errors: ETIMEDOUT, named after `what`.
Result<> wait_ready(int fd, short events, Deadline deadline, const char* what);

// A connected, non-blocking socket without Nagle's delay.
Result<UniqueFd> connect_tcp(const std::string& address, uint16_t port, Deadline deadline);

// Makes a connected socket what connect_tcp() returns: for sockets that another process accepted.
Result<> prepare_socket(int socket);

// How long, of all the time since it was connected, the peer was too slow in taking what had come: no network would
// have brought it more. 0 if the kernel does not tell.
std::chrono::microseconds receiver_limited_time(int socket);

struct Connection {
  UniqueFd socket;   // as from connect_tcp()
  std::string peer;  // "10.1.0.2:40312", for messages
};

// A listening socket. Move-only value; accept() from one thread at a time.
class Listener {
 public:
  // Port 0: the kernel chooses one.
  static Result<Listener> open(const std::string& address, uint16_t port);

  [[nodiscard]] int fd() const { return socket_.get(); }  // readable when accept() will not wait
  [[nodiscard]] uint16_t port() const { return port_; }
  Result<Connection> accept(Deadline deadline);

 private:
  Listener(UniqueFd socket, uint16_t port) : socket_(std::move(socket)), port_(port) {}
  UniqueFd socket_;
  uint16_t port_;
};

}  // namespace godwit::transfer
