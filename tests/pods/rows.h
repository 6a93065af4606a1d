// What the tests of the interface's rows have in common: pods of one container that belong to nobody, and Migrations
// that a test makes, looks at while they run, and waits for.
#pragma once

#include <string>
#include <vector>

#include "pods_cluster.h"

namespace godwit {

class RowTest : public PodsTest {
 protected:
  void TearDown() override;

  // A pod and its Service "redis", Ready. `changes`: merged into the pod; its only container is `container`, merged
  // into what every redis needs.
  void start_pod(const std::string& name, const json& changes = json::object(),
                 const json& container = json::object()) const;
  // So that phases last: memory that is worth its transfer, and links that take seconds for it.
  void start_large_pod(const std::string& name) const;
  void fill_memory(const std::string& pod) const;
  // At the usual rate 96 MiB take some four seconds.
  void slow_links_down(int rate_kbit_s = 200'000) const;
  void slow_links_up() const;

  // Makes a Migration of that pod and returns its name.
  [[nodiscard]] std::string order(const std::string& pod, const json& spec = json::object()) const;
  [[nodiscard]] json migration(const std::string& name) const { return get({"migration", name}); }
  // Until it says so; an error otherwise.
  void wait_for_phase(const std::string& name, const std::string& phase) const;
  // Until some of the pod's memory has come to that node.
  void wait_for_copying(int node) const;
  // Until at least one round of copying is reported.
  void wait_for_round(const std::string& name) const;
  // Until it is over; its status.
  [[nodiscard]] json outcome(const std::string& name) const;
  // Of that Migration with that reason, in order of their time; waits until there is one, because they are written a
  // moment later.
  [[nodiscard]] std::vector<json> events(const std::string& name, const std::string& reason) const;
  // That there is one, in that phase, whose text has these words.
  void expect_event(const std::string& name, const std::string& reason, const std::string& phase,
                    const std::string& words) const;

  // Another node than the pod's.
  [[nodiscard]] int other_node(const std::string& pod) const;
  [[nodiscard]] std::string uid_of(const std::string& pod) const { return this->pod(pod)["metadata"].value("uid", ""); }
  [[nodiscard]] int restarts(const std::string& pod) const;
  // Of this namespace, names in order.
  [[nodiscard]] std::vector<std::string> pod_names() const;

 private:
  mutable int count_ = 0;
  mutable bool slow_ = false;
};

}  // namespace godwit
