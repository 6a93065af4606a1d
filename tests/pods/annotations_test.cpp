// The rows of the annotations: what runs again when a pod is restored.
#include <gmock/gmock.h>

#include "rows.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class AnnotationsTest : public RowTest {
 protected:
  // Whose init container, postStart hook and startup probe each write a line when they run: two to a file, and the
  // init container, whose file the arriving one replaces, to its log.
  void start_talkative_pod(const json& annotations) const {
    const auto says = [](const std::string& what) {
      return json{{"command", {"sh", "-c", "echo " + what + " >>/data/log"}}};
    };
    start_pod("cache",
              {{"metadata", {{"annotations", annotations}}},
               {"spec",
                {{"initContainers",
                  {{{"name", "prepare"},
                    {"image", "godwit.test/tiny:1"},
                    {"imagePullPolicy", "Never"},
                    {"command", {"sh", "-c", "echo prepared"}}}}}}}},
              {{"lifecycle", {{"postStart", {{"exec", says("started")}}}}},
               {"startupProbe", {{"exec", says("probed")}, {"periodSeconds", 1}}}});
    ASSERT_THAT(lines(), UnorderedElementsAre("started", "probed"));
  }
  [[nodiscard]] std::vector<std::string> lines(const std::string& name = "cache") const {
    std::istringstream text(kubectl({"exec", name, "-c", "redis", "--", "cat", "/data/log"}));
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);) all.push_back(line);
    return all;
  }
  // Moves it, and returns the lines of the clone once it is Ready.
  [[nodiscard]] std::vector<std::string> lines_after_move() const {
    const json status = migrate("cache")["status"];
    EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    return lines("cache-clone-1");
  }
  [[nodiscard]] json clone_spec() const { return pod("cache-clone-1")["spec"]; }
};

TEST_F(AnnotationsTest, ByDefaultNothingRunsAgain) {
  start_talkative_pod(json::object());
  EXPECT_THAT(lines_after_move(), UnorderedElementsAre("started", "probed"));
  EXPECT_FALSE(clone_spec().contains("initContainers"));
  EXPECT_FALSE(pod("cache-clone-1")["status"].contains("initContainerStatuses"));
  EXPECT_EQ(restarts("cache-clone-1"), 0);
}

TEST_F(AnnotationsTest, RestoreRunStartupProbe) {
  start_talkative_pod({{"cast.ai/restore-run-startup-probe", "redis"}});
  EXPECT_THAT(lines_after_move(), UnorderedElementsAre("started", "probed", "probed"));
}

TEST_F(AnnotationsTest, RestoreRunPostStartExec) {
  start_talkative_pod({{"cast.ai/restore-run-post-start-exec", "redis"}});
  EXPECT_THAT(lines_after_move(), UnorderedElementsAre("started", "probed", "started"));
}

TEST_F(AnnotationsTest, RestoreRunPostStartExecMeansExecHooksOnly) {
  start_pod("cache", {{"metadata", {{"annotations", {{"cast.ai/restore-run-post-start-exec", "redis"}}}}}},
            {{"lifecycle", {{"postStart", {{"sleep", {{"seconds", 1}}}}}}}});
  EXPECT_EQ(migrate("cache")["status"].value("state", ""), "Completed");
  EXPECT_FALSE(clone_spec()["containers"][0].contains("lifecycle")) << clone_spec().dump(1);
}

TEST_F(AnnotationsTest, RestoreRunInitContainers) {
  start_talkative_pod({{"cast.ai/restore-run-init-containers", "prepare"}});
  EXPECT_THAT(lines_after_move(), UnorderedElementsAre("started", "probed"));
  EXPECT_EQ(kubectl({"logs", "cache-clone-1", "-c", "prepare"}), "prepared\n");
}

TEST_F(AnnotationsTest, UnknownContainer) {
  start_talkative_pod({{"cast.ai/restore-run-post-start-exec", "sidecar, redis"}});
  EXPECT_THAT(lines_after_move(), UnorderedElementsAre("started", "probed", "started")) << "it goes on with the others";
  const json warning = events("m1", "UnknownContainer").at(0);
  EXPECT_EQ(warning.value("type", ""), "Warning");
  EXPECT_THAT(warning.value("note", ""),
              AllOf(HasSubstr("'sidecar'"), HasSubstr("cast.ai/restore-run-post-start-exec")));
}

}  // namespace
}  // namespace godwit
