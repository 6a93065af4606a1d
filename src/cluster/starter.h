// The start of a cluster, from nothing to all nodes Ready, and of a single node when it comes back.
#pragma once

#include "cluster/cluster.h"
#include "cluster/credentials.h"

namespace godwit::cluster {

// Lives while the cluster starts; owned by Cluster::start(), single-threaded.
class Starter {
 public:
  // Makes the lab; nothing of Kubernetes runs yet.
  static Result<Starter> create(const ClusterOptions& options);
  Result<Cluster> run();

 private:
  Starter(const ClusterOptions& options, Cluster cluster);
  [[nodiscard]] Result<> write_credentials();
  [[nodiscard]] Result<> prepare_places();
  [[nodiscard]] Result<> start_control_plane();
  [[nodiscard]] Result<> start_workers();
  [[nodiscard]] Result<> wait_for_api_server();
  [[nodiscard]] Result<> wait_for_nodes();
  [[nodiscard]] bool set_routes() const;  // false: not yet
  [[nodiscard]] Result<> wait_for_service_account();
  // Calls `ready` until it says so, or a component has ended, or the time is over; `what` is waited for.
  [[nodiscard]] Result<> wait_until(const std::string& what, const std::string& suspect,
                                    const std::function<bool()>& ready);
  [[nodiscard]] Result<> check_components() const;
  void tell(const std::string& step) const;

  ClusterOptions options_;
  Deadline deadline_;
  Clock::time_point started_ = Clock::now();
  Cluster cluster_;
  std::vector<std::pair<int, std::string>> running_;  // place, component
};

}  // namespace godwit::cluster
