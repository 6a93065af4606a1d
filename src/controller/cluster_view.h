// The nodes, node templates, pods and claims of the cluster, as far as their assessment must know them, followed by
// watches.
//
// It outlasts a term of leadership. A leader loses its Lease when the API server is too slow to renew it; if it then
// forgot all and began anew with a list of everything, the server would be slower still.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "kube/informer.h"

namespace godwit::controller {

class ClusterView {
 public:
  // Called by the informers' threads, by one at a time; must be quick.
  struct Listener {
    kube::Informer::Handler on_node;
    kube::Informer::Handler on_template;
    kube::Informer::Handler on_pod;
    kube::Informer::Handler on_claim;
  };

  // Begins to list and to watch. `client` must outlive it.
  explicit ClusterView(kube::Client& client);
  ~ClusterView() = default;
  ClusterView(const ClusterView&) = delete;
  ClusterView& operator=(const ClusterView&) = delete;

  // Tells `listener` of all that is known as if it had just appeared, then of every change. One listener at a time.
  void listen(Listener listener);
  // When it returns the listener is not called any more.
  void listen_no_more();

  // Whether everything has been listed, and the listener, if there is one, was told of it.
  [[nodiscard]] bool has_synced() const;
  // Says in the log what keeps it from listing or watching, if anything does.
  void log_trouble() const;

  [[nodiscard]] const kube::Store& nodes() const { return nodes_.store(); }
  [[nodiscard]] const kube::Store& templates() const { return templates_.store(); }
  // Summaries (summarize_pod()), with the indexes of pod_assessor.h and pods_by_address.
  [[nodiscard]] const kube::Store& pods() const { return pods_.store(); }
  // Of each no more than its access modes.
  [[nodiscard]] const kube::Store& claims() const { return claims_.store(); }

 private:
  void pass_on(kube::Informer& informer, kube::Informer::Handler Listener::* handler);

  std::mutex mutex_;  // guards listener_
  std::optional<Listener> listener_;
  // Last: their threads end before the rest goes.
  kube::Informer nodes_;
  kube::Informer templates_;
  kube::Informer pods_;
  kube::Informer claims_;
};

}  // namespace godwit::controller
