// Answers HTTP requests as a test says: for answers that current API servers do not give, or only at moments that
// cannot be brought about, but older ones, proxies and load balancers do.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "kube/cluster_access.h"

namespace godwit::kube {

// Owned by a test; serves one connection at a time, one request a connection, on a thread of its own.
class ScriptedServer {
 public:
  // From the request line ("GET /x HTTP/1.1") and the number of the request (from 0) to the bytes of the answer.
  using Script = std::function<std::string(const std::string& line, size_t number)>;

  explicit ScriptedServer(Script script);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] ClusterAccess access() const;
  [[nodiscard]] std::vector<std::string> lines() const;  // of the requests so far

  static std::string answer(int status, const std::string& body, const std::string& header = "");

 private:
  void serve();

  Script script_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace godwit::kube
