#include "replica.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "agent/remote_command.h"
#include "control_plane.h"
#include "os/file.h"

namespace godwit::controller {

Replica::Replica(const transfer::Authority& authority, const std::string& space, const std::string& name)
    : log_path_(authority.path(name + ".log")) {
  const auto log = os::open_file(log_path_, O_WRONLY | O_CREAT | O_APPEND, 0600);
  GODWIT_CHECK(log.has_value());
  const std::string certificate = authority.path(agent::controller_name);
  os::Command command{.argv = {GODWIT_CONTROLLER, "--kubeconfig", kube::control_plane().kubeconfig(), "--ca",
                               authority.ca_path(), "--certificate", certificate + ".pem", "--key",
                               certificate + ".key", "--lease-namespace", space}};
  command.descriptors = {{log->get(), STDOUT_FILENO}, {log->get(), STDERR_FILENO}};
  auto started = os::Subprocess::start(command);
  GODWIT_CHECK(started.has_value());
  process_.emplace(*std::move(started));
}

Replica::~Replica() {
  kill();
  if (testing::Test::HasFailure()) std::printf("--- %s\n%s\n", log_path_.c_str(), log().c_str());
}

std::string Replica::log() const {
  return os::read_file(log_path_).value_or("");
}

long Replica::status_kb(const std::string& field) const {
  std::ifstream status(fmt::format("/proc/{}/status", process_->pid()));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stol(line.substr(field.size() + 1));
  }
  ADD_FAILURE() << "the controller has ended: " << log();
  return 0;
}

double Replica::cpu_s() const {
  std::istringstream stat(os::read_file(fmt::format("/proc/{}/stat", process_->pid())).value_or(""));
  std::string word;
  for (int i = 0; i < 13; ++i) stat >> word;  // its name has no blanks
  double user = 0;
  double system = 0;
  stat >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

void Replica::kill() {
  process_.reset();
}

int Replica::end() {
  ::kill(process_->pid(), SIGTERM);
  const auto status = process_->wait(Deadline::after(std::chrono::seconds(20)));
  EXPECT_TRUE(status.has_value()) << log();
  process_.reset();
  return status.value_or(-1);
}

}  // namespace godwit::controller
