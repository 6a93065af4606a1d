#include "scripted_server.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "fault_proxy.h"

namespace godwit::kube {
namespace {

// A request's head and, if it says how long it is, its body.
std::string read_request(int fd) {
  std::string request;
  std::array<char, 8192> chunk;
  for (;;) {
    const size_t head_end = request.find("\r\n\r\n");
    if (head_end != std::string::npos) {
      const size_t length = request.find("Content-Length: ");
      const size_t body = length < head_end ? std::stoul(request.substr(length + 16)) : 0;
      if (request.size() >= head_end + 4 + body) return request;
    }
    const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (got <= 0) return {};
    request.append(chunk.data(), static_cast<size_t>(got));
  }
}

}  // namespace

ScriptedServer::ScriptedServer(Script script) : script_(std::move(script)), listener_(listen_on_loopback(port_)) {
  thread_ = std::thread([this] { serve(); });
}

ScriptedServer::~ScriptedServer() {
  stop_ = true;
  thread_.join();
}

ClusterAccess ScriptedServer::access() const {
  ClusterAccess access;
  access.server = fmt::format("http://127.0.0.1:{}", port_);
  return access;
}

std::vector<std::string> ScriptedServer::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

std::string ScriptedServer::answer(int status, const std::string& body, const std::string& header) {
  return fmt::format(
      "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n{}", status,
      header.empty() ? "" : header + "\r\n", body.size(), body);
}

void ScriptedServer::serve() {
  while (!stop_) {
    pollfd ready{listener_.get(), POLLIN, 0};
    if (::poll(&ready, 1, 20) <= 0) continue;
    const UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::string request = read_request(client.get());
    if (request.empty()) continue;
    const std::string line = request.substr(0, request.find("\r\n"));
    size_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = lines_.size();
      lines_.push_back(line);
    }
    const std::string answer = script_(line, number);
    ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  }
}

}  // namespace godwit::kube
