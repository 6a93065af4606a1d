#include "plugin/migration_request.h"

#include <gtest/gtest.h>

#include "api/migration.h"

namespace godwit::plugin {
namespace {

using nlohmann::json;

TEST(MigrationRequest, LeavesTheDefaultsToTheResourceDefinition) {
  EXPECT_EQ(make_migration({.pod = "web-1"}, "shop"), json::parse(R"({
    "apiVersion": "live.cast.ai/v1", "kind": "Migration",
    "metadata": {"generateName": "web-1-", "namespace": "shop"},
    "spec": {"podName": "web-1"}})"));
}

TEST(MigrationRequest, SaysWhatIsWantedInTheResourcesOwnWords) {
  const json migration = make_migration({.pod = "web-1",
                                         .destination = "node-2",
                                         .network_mode = "Reconnect",
                                         .optimize_for = "DumpTime",
                                         .iterations = 7,
                                         .dirty_pages_threshold = 100,
                                         .freeze_time_ms = 1.5,
                                         .without_tcp = true},
                                        "shop");
  const auto spec = api::read_spec(migration);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->destination, "node-2");
  EXPECT_EQ(spec->options, (api::MigrationOptions{.iterations = 7,
                                                  .dirty_pages_threshold = 100,
                                                  .requested_freeze_ms = 1.5,
                                                  .optimize_for = api::OptimizeFor::dump_time,
                                                  .with_tcp = false,
                                                  .network_mode = api::NetworkMode::reconnect}));
}

}  // namespace
}  // namespace godwit::plugin
