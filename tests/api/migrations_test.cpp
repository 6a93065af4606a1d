#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/conditions.h"
#include "api/merge_patch.h"
#include "api/migration.h"
#include "api/names.h"
#include "kube/json_path.h"
#include "manifests.h"
#include "objects.h"
#include "os/file.h"

namespace godwit::api {
namespace {

using kube::ObjectPath;
using kube::PatchType;
using kube::soon;
using kube::succeeded;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

struct MigrationsTest : testing::Test {
  kube::Client client{kube::control_plane().access()};

  static void SetUpTestSuite() { install_definitions(); }

  static json migration(const std::string& name, const json& options = json::object()) {
    return {{"apiVersion", "live.cast.ai/v1"},
            {"kind", "Migration"},
            {"metadata", {{"name", name}}},
            {"spec", {{"podName", "web-0"}, {"options", options}}}};
  }
  static ObjectPath path(const std::string& name, const std::string& subresource = "") {
    return {migrations, "default", name, subresource};
  }
  std::string objection_to(const json& options) {
    return objection(client, migrations, migration(fmt::format("options-{}", number_++), options));
  }
  json make(const std::string& name, const json& options = json::object()) {
    EXPECT_EQ(objection(client, migrations, migration(name, options)), "accepted");
    return client.get(path(name), soon()).value();
  }
  // As the controller does it.
  std::string set_status(const std::string& name, const MigrationStatus& status) {
    const json before = client.get(path(name), soon()).value();
    json after = before;
    write_status(after, status);
    return objection_to_change(client, path(name, "status"), merge_patch_between(before, after));
  }

  int number_ = 0;
};

TEST_F(MigrationsTest, TheDefaultsAreThoseOfTheProgram) {
  json object = migration("defaults");
  object["spec"].erase("options");
  ASSERT_EQ(objection(client, migrations, object), "accepted");
  const json made = client.get(path("defaults"), soon()).value();
  EXPECT_EQ(made["spec"]["options"], json::parse(R"({"iterations":30,"dirtyPagesThreshold":0,
      "optimizeFor":"FreezeTime","withTcp":true,"networkMode":"Auto"})"));
  const auto spec = read_spec(made);
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->options, MigrationOptions{});
}

TEST_F(MigrationsTest, OneThatNobodyHasTakenUpIsPending) {
  EXPECT_EQ(make("new")["status"], json({{"state", "Pending"}}));
}

TEST_F(MigrationsTest, WhatTheServerTakesTheProgramReads) {
  for (const json& options :
       {json{{"iterations", 1}}, json{{"iterations", 1000}}, json{{"requestedFreezeTime", "1ms"}},
        json{{"requestedFreezeTime", "1.5s"}}, json{{"requestedFreezeTime", "1s200ms"}},
        json{{"requestedFreezeTime", "60s"}}, json{{"optimizeFor", "FreezeTime"}}, json{{"optimizeFor", "DumpTime"}},
        json{{"networkMode", "Auto"}}, json{{"networkMode", "Preserve"}}, json{{"networkMode", "Reconnect"}},
        json{{"dirtyPagesThreshold", 5'000'000'000}}}) {
    const std::string name = fmt::format("taken-{}", number_++);
    const auto spec = read_spec(make(name, options));
    EXPECT_TRUE(spec.has_value()) << options << ": " << spec.error().message;
  }
}

TEST_F(MigrationsTest, IterationsBelowOneOrBeyondAThousandAreRefused) {
  EXPECT_THAT(objection_to({{"iterations", 0}}),
              HasSubstr("spec.options.iterations: Invalid value: 0: spec.options.iterations in body should be greater "
                        "than or equal to 1"));
  EXPECT_THAT(objection_to({{"iterations", 1001}}), HasSubstr("should be less than or equal to 1000"));
  EXPECT_THAT(objection_to({{"iterations", "many"}}), HasSubstr("spec.options.iterations"));
}

TEST_F(MigrationsTest, ANegativeThresholdIsRefused) {
  EXPECT_THAT(objection_to({{"dirtyPagesThreshold", -1}}),
              AllOf(HasSubstr("spec.options.dirtyPagesThreshold"), HasSubstr("greater than or equal to 0")));
}

TEST_F(MigrationsTest, AFreezeTimeThatIsNoneIsRefused) {
  for (const char* text : {"soon", "5", "5m", "2 days", "-5ms", ""}) {
    EXPECT_THAT(objection_to({{"requestedFreezeTime", text}}), HasSubstr("spec.options.requestedFreezeTime")) << text;
  }
  EXPECT_THAT(objection_to({{"requestedFreezeTime", "0ms"}}), HasSubstr("requestedFreezeTime must be from 1ms to 60s"));
  EXPECT_THAT(objection_to({{"requestedFreezeTime", "61s"}}), HasSubstr("requestedFreezeTime must be from 1ms to 60s"));
}

TEST_F(MigrationsTest, WordsThatAreNoneOfTheChoicesAreRefusedAndTheChoicesNamed) {
  EXPECT_THAT(objection_to({{"networkMode", "Bridge"}}),
              HasSubstr("spec.options.networkMode: Unsupported value: \"Bridge\": supported values: \"Auto\", "
                        "\"Preserve\", \"Reconnect\""));
  EXPECT_THAT(objection_to({{"optimizeFor", "Money"}}), HasSubstr("supported values: \"FreezeTime\", \"DumpTime\""));
}

TEST_F(MigrationsTest, APodMustBeNamedAndTheNameMustBeOne) {
  json nameless = migration("nameless");
  nameless["spec"].erase("podName");
  EXPECT_THAT(objection(client, migrations, nameless), HasSubstr("spec.podName: Required value"));
  nameless["spec"]["podName"] = "";
  EXPECT_THAT(objection(client, migrations, nameless), HasSubstr("spec.podName"));
  nameless["spec"]["podName"] = "Web/0";
  EXPECT_THAT(objection(client, migrations, nameless), HasSubstr("podName must be the name of a pod"));
  json lost = migration("lost");
  lost["spec"]["destination"] = "Node 2";
  EXPECT_THAT(objection(client, migrations, lost), HasSubstr("destination must be the name of a node"));
  json empty = migration("empty");
  empty.erase("spec");
  EXPECT_THAT(objection(client, migrations, empty), HasSubstr("spec: Required value"));
}

TEST_F(MigrationsTest, ThePodCannotBeAnotherLater) {
  make("same-pod");
  EXPECT_THAT(objection_to_change(client, path("same-pod"), {{"spec", {{"podName", "web-1"}}}}),
              HasSubstr("podName cannot change; delete this Migration and create another"));
}

TEST_F(MigrationsTest, TheDestinationCanBeSetOnceAndNotChanged) {
  make("destination");
  const ObjectPath object = path("destination");
  EXPECT_EQ(objection_to_change(client, object, {{"spec", {{"destination", "node-2"}}}}), "accepted");
  const char* expected = "destination cannot change once it is set";
  EXPECT_THAT(objection_to_change(client, object, {{"spec", {{"destination", "node-3"}}}}), HasSubstr(expected));
  EXPECT_THAT(objection_to_change(client, object, {{"spec", {{"destination", nullptr}}}}), HasSubstr(expected));
  EXPECT_EQ(objection_to_change(client, object, {{"spec", {{"options", {{"iterations", 3}}}}}}), "accepted");
}

TEST_F(MigrationsTest, OptionsCanChangeUntilItIsOver) {
  make("options-change");
  ASSERT_EQ(set_status("options-change", {.state = MigrationState::running, .phase = MigrationPhase::pre_dump}),
            "accepted");
  const json before = client.get(path("options-change"), soon()).value();
  EXPECT_EQ(objection_to_change(client, path("options-change"), {{"spec", {{"options", {{"iterations", 3}}}}}}),
            "accepted");
  const json after = client.get(path("options-change"), soon()).value();
  EXPECT_EQ(kube::number_at(after, "/metadata/generation"), kube::number_at(before, "/metadata/generation") + 1);
  ASSERT_EQ(set_status("options-change", {.state = MigrationState::completed, .phase = MigrationPhase::complete}),
            "accepted");
  EXPECT_THAT(objection_to_change(client, path("options-change"), {{"spec", {{"options", {{"iterations", 4}}}}}}),
              HasSubstr("this Migration is over and cannot be changed"));
  EXPECT_EQ(objection_to_change(client, path("options-change"), {{"metadata", {{"labels", {{"a", "b"}}}}}}),
            "accepted");
}

TEST_F(MigrationsTest, OneThatIsOverStaysSo) {
  make("over");
  ASSERT_EQ(set_status("over", {.state = MigrationState::failed, .phase = MigrationPhase::failed}), "accepted");
  EXPECT_THAT(set_status("over", {.state = MigrationState::running}),
              HasSubstr("a Migration that is over stays as it is"));
  EXPECT_EQ(set_status("over", {.state = MigrationState::failed, .message = "explained later"}), "accepted");
}

TEST_F(MigrationsTest, TheStatusIsASubresourceAndEveryFieldIsKept) {
  make("status");
  MigrationStatus status{.observed_generation = 1,
                         .state = MigrationState::running,
                         .phase = MigrationPhase::checkpoint,
                         .reason = "Freezing",
                         .message = "the last pages follow",
                         .source_node = "node-1",
                         .destination_node = "node-2",
                         .pod_uid = "uid",
                         .clone_name = "web-0-clone-1",
                         .network_mode = NetworkMode::preserve,
                         .rounds = {{1, 100, 409600, 0.25}},
                         .pause_ms = 41.5,
                         .client_gap_ms = 60.25,
                         .start_time = "2024-05-01T12:00:00Z",
                         .checkpoint_time = "2024-05-01T12:00:01Z",
                         .resume_time = "2024-05-01T12:00:02Z",
                         .completion_time = "2024-05-01T12:00:03Z"};
  ASSERT_EQ(set_status("status", status), "accepted");
  const json read = client.get(path("status"), soon()).value();
  json expected = read;
  write_status(expected, status);
  EXPECT_EQ(read["status"], expected["status"]) << "nothing of it was pruned";
  ASSERT_TRUE(succeeded(client.patch(path("status"), PatchType::merge, {{"status", {{"state", "Failed"}}}}, soon())));
  EXPECT_EQ(kube::text_at(client.get(path("status"), soon()).value(), "/status/state"), "Running")
      << "the status changes only through its subresource";
  json wrong = {{"status", {{"phase", "Resting"}}}};
  EXPECT_THAT(objection_to_change(client, path("status", "status"), wrong), HasSubstr("status.phase"));
}

TEST_F(MigrationsTest, ConditionsAreTakenAsTheyAreWritten) {
  const json before = make("conditions");
  json after = before;
  write_status(after, {.state = MigrationState::running});
  const auto now = std::chrono::system_clock::now();
  set_condition(after["status"], {.type = "Copied", .status = "False", .reason = "Round2", .message = "half"}, now);
  ASSERT_EQ(objection_to_change(client, path("conditions", "status"), merge_patch_between(before, after)), "accepted");
  const json read = client.get(path("conditions"), soon()).value();
  EXPECT_EQ(find_condition(read["status"], "Copied")->reason, "Round2");
  const std::string waited = kubectl({"wait", "--for=condition=Copied=False", "migration/conditions", "--timeout=5s"});
  EXPECT_THAT(waited, HasSubstr("condition met"));
}

TEST_F(MigrationsTest, ATypingMistakeInAManifestIsRefused) {
  const std::string file = kube::control_plane().directory() + "/mistake.yaml";
  ASSERT_TRUE(os::write_file_atomic(file,
                                    "apiVersion: live.cast.ai/v1\nkind: Migration\nmetadata: {name: mistake}\n"
                                    "spec: {podName: p, options: {iteration: 3}}\n"));
  const auto output = kube::control_plane().kubectl({"apply", "-f", file});
  ASSERT_TRUE(output.has_value());
  EXPECT_NE(output->status, 0);
  EXPECT_THAT(output->text, HasSubstr("unknown field \"spec.options.iteration\""));
}

TEST_F(MigrationsTest, ColumnsAnswerWhatAnOperatorAsksFirst) {
  make("columns");
  ASSERT_EQ(set_status("columns", {.state = MigrationState::completed,
                                   .phase = MigrationPhase::complete,
                                   .reason = "Moved",
                                   .message = "the pod runs on node-2",
                                   .source_node = "node-1",
                                   .destination_node = "node-2",
                                   .clone_name = "web-0-clone-1",
                                   .network_mode = NetworkMode::preserve,
                                   .rounds = {{1, 1, 1, 1}, {2, 1, 1, 1}},
                                   .pause_ms = 41.5}),
            "accepted");
  // As users type it, and by the short name.
  const std::string all = kubectl({"get", "migrations", "-A"});
  EXPECT_THAT(all, testing::ContainsRegex("NAMESPACE +NAME +POD +STATE +PHASE +FROM +TO +PAUSE-MS +REASON +AGE"));
  EXPECT_THAT(all, testing::ContainsRegex("default +columns +web-0 +Completed +Complete +node-1 +node-2 +41.5 +Moved"));
  const std::string wide = kubectl({"get", "mig", "columns", "-o", "wide"});
  EXPECT_THAT(wide, testing::ContainsRegex("AGE +CLONE +ROUNDS +NETWORK +MESSAGE"));
  EXPECT_THAT(wide, testing::ContainsRegex("web-0-clone-1 +2 +Preserve +the pod runs on node-2"));
  EXPECT_THAT(kubectl({"get", "migrations", "-A", "--field-selector", "spec.podName=web-0,status.state=Completed"}),
              HasSubstr("columns"));
  EXPECT_THAT(kubectl({"describe", "migration", "columns", "-n", "default"}), HasSubstr("Clone Name:"));
}

TEST_F(MigrationsTest, KubectlExplainsEveryField) {
  EXPECT_THAT(kubectl({"explain", "migration"}), HasSubstr("Moves a running pod to another node"));
  EXPECT_THAT(kubectl({"explain", "migration.spec.options"}),
              AllOf(HasSubstr("iterations"), HasSubstr("The most rounds in which memory is copied"),
                    HasSubstr("enum: Auto, Preserve, Reconnect"), HasSubstr("The pause to aim at")));
  EXPECT_THAT(kubectl({"explain", "migration.status"}), HasSubstr("How long the pod stood still"));
  // No field without a word.
  EXPECT_THAT(kubectl({"explain", "migration.spec", "--recursive"}), HasSubstr("requestedFreezeTime"));
  for (const char* part : {"migration.spec", "migration.spec.options", "migration.status", "migration.status.rounds"}) {
    EXPECT_THAT(kubectl({"explain", part}), testing::Not(HasSubstr("<no description>"))) << part;
  }
}

}  // namespace
}  // namespace godwit::api
