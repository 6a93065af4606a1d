// Stands where the agents of nodes would that have no kubelet, no runtime and no containers: speaks their protocol over
// TLS as they do, and lets a test say how a session goes.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/events.h"
#include "agent/requests.h"
#include "transfer/loopback.h"
#include "transfer/tcp.h"
#include "transfer/tls.h"

namespace godwit::controller {

// Owned by a test. Listens on all addresses of the loopback interface: each node has one of its own.
class FakeAgents {
 public:
  explicit FakeAgents(const transfer::Authority& authority);
  ~FakeAgents();
  FakeAgents(const FakeAgents&) = delete;
  FakeAgents& operator=(const FakeAgents&) = delete;

  // The agent of this node answers, or does not.
  void answer(const std::string& node, const std::string& address);
  void fall_silent(const std::string& address);

  // Ends a session that a `migrate` began; whoever waits for it is told.
  void finish(const std::string& session, agent::ResultEvent result);
  // What `cancel` does: ends the session where it is, or comes too late.
  void set_handed_over(bool yes) { handed_over_ = yes; }
  // The next `inspect` is answered as if the session were not known yet.
  void overlook_once() { overlook_ = true; }
  // As a node does whose machine was started anew.
  void forget();

  [[nodiscard]] std::vector<std::string> sessions() const;
  [[nodiscard]] int orders() const { return orders_; }  // to migrate, refused ones too
  [[nodiscard]] int cancellations() const { return cancellations_; }
  [[nodiscard]] std::optional<agent::MigrateOptions> new_options() const;  // of the last `reconfigure`
  [[nodiscard]] int questions() const { return questions_; }               // whether it answers at all

 private:
  struct Session {
    std::vector<agent::Event> events;
    std::optional<agent::ResultEvent> result;
  };

  void accept_all();
  void serve(UniqueFd socket);
  std::optional<transfer::TlsIdentity> identity_at(int socket) const;
  Result<> answer_request(transfer::TlsStream& stream, const agent::Request& request);
  Result<> migrate(transfer::TlsStream& stream, const agent::MigrateRequest& request);
  agent::ResultEvent cancel(const std::string& session);

  const transfer::Authority& authority_;
  std::optional<transfer::Listener> listener_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> nodes_;  // by address
  std::map<std::string, transfer::TlsIdentity> identities_;
  std::map<std::string, Session> sessions_;
  std::optional<agent::MigrateOptions> new_options_;
  std::atomic<bool> handed_over_ = false;
  std::atomic<bool> overlook_ = false;
  std::atomic<int> orders_ = 0;
  std::atomic<int> cancellations_ = 0;
  std::atomic<int> questions_ = 0;
  std::atomic<int> serving_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace godwit::controller
