// One of several replicas leads: election by a Lease, with a fencing token for orders to others.
//
// The leader counts on its Lease only for `renew_within` after it sent the last renewal that succeeded, which is less
// than the time after which another may take it. So it stops being the leader before another can become it, also when
// it was suspended or cut off: token() asks the clock. An order that was under way at that moment is what the fencing
// token is for: whoever takes orders remembers the highest sequence and refuses lower ones.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "kube/backoff.h"
#include "kube/client.h"
#include "kube/lease_record.h"

namespace godwit::kube {

struct FencingToken {
  std::string holder;
  int64_t transitions = 0;  // the Lease's count of holders
  // Higher is later. Made of the transitions and of when the Lease was made, so that it does not fall back when someone
  // deletes the Lease.
  int64_t sequence = 0;

  bool operator==(const FencingToken&) const = default;
};
FencingToken fencing_token(const LeaseRecord& record);

struct ElectionOptions {
  std::string namespace_name;
  std::string lease_name;
  LeaseTerms terms;
  std::chrono::seconds renew_within{10};  // less than terms.duration
  milliseconds retry_interval{2000};      // between renewals, and between looks at another's Lease
};

// A host's name and 8 random bytes: another after every start.
std::string election_identity();

// Owns a thread from start() to stop(). `client` must outlive it.
class LeaderElection {
 public:
  // Both run on the election's thread and must return soon, because the Lease is not renewed meanwhile. on_lost() says
  // that leadership is already over; on_gained() is called again when it is won again.
  struct Handlers {
    std::function<void(const FencingToken&)> on_gained;
    std::function<void()> on_lost;
  };

  LeaderElection(Client& client, ElectionOptions options, Handlers handlers);
  ~LeaderElection();  // as stop()
  LeaderElection(const LeaderElection&) = delete;
  LeaderElection& operator=(const LeaderElection&) = delete;

  void start();
  // A leader calls on_lost(), then gives the Lease up, so that another can take it at once.
  void stop();

  // Any thread. Nothing: not the leader at this moment.
  [[nodiscard]] std::optional<FencingToken> token() const;
  [[nodiscard]] bool leads() const { return token().has_value(); }
  // Who holds the Lease as far as is known; "" if nobody.
  [[nodiscard]] std::string holder() const;

 private:
  void run(const std::stop_token& stop);
  void tell_what_changed(const ApiResult<>& tried);
  [[nodiscard]] milliseconds next_wait();
  ApiResult<> try_once(const std::stop_token& stop);
  ApiResult<> read_lease(const Call& call);
  ApiResult<json> write_lease(const json& spec, const Call& call);
  void adopt(const json& lease, Clock::time_point sent);
  void end_leadership(const char* why);
  void release();
  [[nodiscard]] ObjectPath lease_path() const;

  Client& client_;
  const ElectionOptions options_;
  const Handlers handlers_;
  Jitter jitter_;
  // What on_gained() was told, until on_lost() is called; only the election's thread.
  std::optional<FencingToken> told_;

  mutable std::mutex mutex_;  // guards what follows
  std::optional<LeaseSighting> sighting_;
  std::optional<FencingToken> token_;
  Clock::time_point good_until_{};  // for token_
  std::jthread thread_;             // last: it ends before the rest goes
};

}  // namespace godwit::kube
