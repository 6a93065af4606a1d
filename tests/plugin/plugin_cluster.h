// A person at this machine's shell, with kubectl and the plugin in the PATH and the cluster in $KUBECONFIG.
#pragma once

#include <string>
#include <vector>

#include "os/subprocess.h"
#include "pods_cluster.h"

namespace godwit {

// `kubectl godwit ...` while it runs.
class Session {
 public:
  Session(os::Subprocess process, std::string log) : process_(std::move(process)), log_(std::move(log)) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] std::string output() const;
  // Waits until this has been said.
  [[nodiscard]] bool says(const std::string& words, Deadline deadline) const;
  void interrupt();  // Ctrl-C
  // Its exit status.
  int wait(Deadline deadline);

 private:
  os::Subprocess process_;
  std::string log_;
};

class PluginTest : public PodsTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Runs `kubectl godwit ARGUMENTS` in the test's namespace to its end.
  [[nodiscard]] os::Output godwit(const std::vector<std::string>& arguments) const;
  [[nodiscard]] std::unique_ptr<Session> start_godwit(const std::vector<std::string>& arguments) const;

  // A user who may create Migrations and read pods in the test's namespace, and read nodes: no more.
  [[nodiscard]] std::string make_user() const;

  std::string folder_;  // of this machine, for the test's files

 private:
  [[nodiscard]] os::Command command(const std::vector<std::string>& arguments) const;
};

}  // namespace godwit
