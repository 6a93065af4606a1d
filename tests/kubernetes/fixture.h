// What the tests share: one cluster for each kind of network, started when the first test needs it and ended with the
// program, and for each test a Kubernetes namespace of its own, removed behind it.
#pragma once

#include <string>
#include <vector>

#include "space.h"

namespace godwit::cluster {

class ClusterTest : public SpaceTest {
 protected:
  void use(NetworkMode mode);
  // Waits for `kubectl wait --for=condition=Ready`.
  void wait_for_pods(const std::string& selector) const;
  [[nodiscard]] bool node_has(int node, const std::string& condition, const std::string& status) const;

  // A web server on each of so many nodes, and a Service "web" for all; each answers with its pod's name.
  void start_web_servers(int replicas) const;
  // What the pod gets from a URL; empty: no answer within 2 s.
  std::string fetch(const std::string& pod, const std::string& url) const;
  // As fetch(), from the place outside all nodes.
  std::string fetch_outside(const std::string& url) const;
  [[nodiscard]] std::vector<std::string> names_of(const std::string& selector) const;
};

}  // namespace godwit::cluster
