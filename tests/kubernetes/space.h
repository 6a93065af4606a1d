// A test in a cluster: its own Kubernetes namespace, made for it and removed behind it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cluster/cluster.h"

namespace godwit::cluster {

using nlohmann::json;
using std::chrono::seconds;

// Nothing if everything is there; else what is missing, for a skipped test. CMakeLists.txt knows the words.
std::string missing_parts();
#define SKIP_WITHOUT_CLUSTER_PARTS()                                          \
  if (const std::string missing = cluster::missing_parts(); !missing.empty()) \
  GTEST_SKIP() << "no cluster can be made: " << missing
inline Deadline soon() {
  return Deadline::after(seconds(20));
}
// For what waits for Kubernetes to notice something.
inline Deadline patient() {
  return Deadline::after(seconds(90));
}

// With the components that the clusters run, and `version`.
std::string kubernetes_folder();

// Asks again and again until `holds` or the deadline.
bool eventually(Deadline deadline, const std::function<bool()>& holds);

class SpaceTest : public testing::Test {
 protected:
  // `cluster` outlives the test.
  void open_space(Cluster& cluster);
  void TearDown() override;

  [[nodiscard]] Cluster& cluster() const { return *cluster_; }
  // In the test's namespace. An error is a failure of the test, and an empty answer.
  std::string kubectl(const std::vector<std::string>& arguments, Deadline deadline = patient()) const;
  // As kubectl(), and an error is an answer: nothing.
  std::optional<std::string> try_kubectl(const std::vector<std::string>& arguments, Deadline deadline = soon()) const;
  json get(const std::vector<std::string>& arguments) const;
  void apply(const std::string& manifest) const;
  // Makes a Migration of that name.
  void apply_migration(const std::string& name, json spec) const;
  // Waits until that Migration is over. Returns the object.
  [[nodiscard]] json finished_migration(const std::string& name) const;

  std::string space_;  // the namespace

 private:
  Cluster* cluster_ = nullptr;
};

}  // namespace godwit::cluster
