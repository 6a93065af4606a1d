#include "plugin_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "lab/layout.h"
#include "os/file.h"

namespace godwit {

Session::~Session() {
  process_.kill_and_wait();
}

std::string Session::output() const {
  return os::read_file(log_).value_or("");
}

bool Session::says(const std::string& words, Deadline deadline) const {
  return eventually(deadline, [&] { return output().find(words) != std::string::npos; });
}

void Session::interrupt() {
  ::kill(process_.pid(), SIGINT);
}

int Session::wait(Deadline deadline) {
  const auto status = process_.wait(deadline);
  EXPECT_TRUE(status) << "it does not end; it said:\n" << output();
  return status.value_or(-1);
}

void PluginTest::SetUp() {
  PodsTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  std::string path = testing::TempDir() + "godwit-plugin-XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  folder_ = path;
  // As a person installs them: two files in the PATH.
  const std::string kubectl = lab::built("cluster-image") + "/usr/bin/kubectl";
  ASSERT_EQ(::symlink(kubectl.c_str(), (folder_ + "/kubectl").c_str()), 0);
  ASSERT_EQ(::symlink(GODWIT_PLUGIN, (folder_ + "/kubectl-godwit").c_str()), 0);
}

void PluginTest::TearDown() {
  if (!folder_.empty()) EXPECT_TRUE(os::remove_tree(folder_));
  PodsTest::TearDown();
}

os::Command PluginTest::command(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {folder_ + "/kubectl", "godwit"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  if (std::ranges::find(arguments, "-A") == arguments.end()) argv.insert(argv.end(), {"-n", space_});
  return {.argv = argv,
          .environment = {"PATH=" + folder_ + ":/usr/bin:/bin", "KUBECONFIG=" + cluster().kubeconfig_path()},
          .directory = folder_};
}

os::Output PluginTest::godwit(const std::vector<std::string>& arguments) const {
  const auto output = os::run(command(arguments), patient());
  EXPECT_TRUE(output) << testing::PrintToString(arguments) << ": " << output.error().message;
  return output.value_or(os::Output{.status = -1, .text = ""});
}

std::unique_ptr<Session> PluginTest::start_godwit(const std::vector<std::string>& arguments) const {
  const std::string log = folder_ + "/output";
  auto file = os::open_file(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  EXPECT_TRUE(file) << file.error().message;
  os::Command what = command(arguments);
  what.descriptors = {{file->get(), STDOUT_FILENO}, {file->get(), STDERR_FILENO}};
  auto process = os::Subprocess::start(what);
  EXPECT_TRUE(process) << process.error().message;
  return process ? std::make_unique<Session>(std::move(*process), log) : nullptr;
}

std::string PluginTest::make_user() const {
  const std::string user = "user-of-" + space_;
  apply(fmt::format(R"(
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: migrator}}
rules:
- {{apiGroups: [live.cast.ai], resources: [migrations], verbs: [create, get, list, watch]}}
- {{apiGroups: [""], resources: [pods], verbs: [get, list]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: migrator}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: migrator}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {0}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: nodes-{0}}}
rules: [{{apiGroups: [""], resources: [nodes], verbs: [get, list]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: nodes-{0}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nodes-{0}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {0}}}]
)",
                    user));
  return user;
}

}  // namespace godwit
