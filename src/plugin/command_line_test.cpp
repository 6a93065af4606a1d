// What people who mistype are told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kube/scratch.h"
#include "plugin/verbs.h"

namespace godwit::plugin {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Answer {
  int status;
  std::string out;
  std::string error;
};

Answer run(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "kubectl-godwit");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int status = run_command_line(static_cast<int>(arguments.size()), arguments.data(), "1.2.3");
  std::fflush(stdout);
  std::string out = testing::internal::GetCapturedStdout();
  return {status, std::move(out), testing::internal::GetCapturedStderr()};
}

TEST(CommandLine, EachVerbHasItsHelp) {
  for (const char* verb : {"migrate", "explain", "watch", "nodes", "bundle"}) {
    const Answer answer = run({verb, "--help"});
    EXPECT_EQ(answer.status, 0);
    EXPECT_THAT(answer.out, AllOf(HasSubstr(std::string("kubectl godwit ") + verb), HasSubstr("--kubeconfig"),
                                  HasSubstr("--context"), HasSubstr("--namespace")))
        << verb;
  }
  EXPECT_THAT(run({"--help"}).out, AllOf(HasSubstr("migrate"), HasSubstr("bundle")));
  EXPECT_EQ(run({"version"}).out, "kubectl-godwit 1.2.3\n");
}

TEST(CommandLine, UsageErrorsSayWhatIsWrongAndWhereHelpIs) {
  EXPECT_EQ(run({}).status, 2);
  EXPECT_THAT(run({}).error, HasSubstr("`kubectl godwit --help`"));
  const Answer no_pod = run({"migrate"});
  EXPECT_EQ(no_pod.status, 2);
  EXPECT_THAT(no_pod.error, AllOf(HasSubstr("POD is required"), HasSubstr("Run `kubectl godwit migrate --help`.")));
  EXPECT_THAT(run({"migrate", "web", "--network-mode", "Keep"}).error, AllOf(HasSubstr("Keep"), HasSubstr("Preserve")));
  EXPECT_THAT(run({"migrate", "web", "--timeout", "5"}).error, HasSubstr("--timeout"));
  EXPECT_THAT(run({"migrate", "web", "--iterations", "0"}).error, HasSubstr("--iterations"));
  EXPECT_THAT(run({"watch", "-A", "-n", "shop"}).error, HasSubstr("--all-namespaces"));
  const Answer no_verb = run({"frob"});
  EXPECT_EQ(no_verb.status, 2);
  EXPECT_THAT(no_verb.error, AllOf(HasSubstr("frob"), HasSubstr("Run `kubectl godwit --help`.")));
}

TEST(CommandLine, WhatIsNoPodIsRefusedBeforeAnythingIsAsked) {
  const Answer migrate = run({"migrate", "deployment/web"});
  EXPECT_EQ(migrate.status, 2);
  EXPECT_THAT(migrate.error, HasSubstr("deployment/web is no pod"));
  EXPECT_EQ(run({"migrate", "web", "--to", "pod/x"}).status, 2);
  EXPECT_EQ(run({"explain", "deployment/web"}).status, 2);
}

TEST(CommandLine, WithoutAClusterEachVerbSaysSo) {
  const kube::Scratch scratch;
  const std::string path = scratch.path() + "/none";
  for (const std::vector<const char*>& verb : std::vector<std::vector<const char*>>{
           {"migrate", "web"}, {"explain", "web"}, {"watch"}, {"nodes"}, {"bundle"}}) {
    std::vector<const char*> arguments = verb;
    arguments.insert(arguments.end(), {"--kubeconfig", path.c_str()});
    const Answer answer = run(arguments);
    EXPECT_EQ(answer.status, std::string(verb[0]) == "explain" ? 2 : 1) << verb[0];
    EXPECT_THAT(answer.error, HasSubstr("no cluster to talk to")) << verb[0];
  }
}

}  // namespace
}  // namespace godwit::plugin
