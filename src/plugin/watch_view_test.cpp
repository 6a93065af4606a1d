#include "plugin/watch_view.h"

#include <gtest/gtest.h>

namespace godwit::plugin {
namespace {

using nlohmann::json;

constexpr cli::Look plain{.live = false, .colour = false, .unicode = false, .width = 80};

std::string text_of(const cli::Lines& lines) {
  std::string text;
  for (const cli::Line& line : lines) text += line.render(false) + "\n";
  return text;
}

json migration(const char* status, bool deleted = false) {
  json object = {{"metadata", {{"name", "m1"}, {"namespace", "shop"}}},
                 {"spec", {{"podName", "web-1"}, {"destination", "node-2"}}},
                 {"status", json::parse(status)}};
  if (deleted) object["metadata"]["deletionTimestamp"] = "2024-05-01T12:00:00Z";
  return object;
}

constexpr const char* running = R"({"state": "Running", "sourceNode": "node-1", "destinationNode": "node-2"})";

TEST(WatchView, ALineForEachChangeOfState) {
  const WatchView view(/*all_namespaces=*/false);
  const auto shown = [&](const json& before, const json& after) {
    return text_of(view.on_change(before, after, "12:00:00", plain));
  };
  EXPECT_EQ(shown(nullptr, migration("{}")), "12:00:00  m1  Pending: web-1 to node-2\n");
  EXPECT_EQ(shown(migration("{}"), migration(running)), "12:00:00  m1  Running: web-1 from node-1 to node-2\n");
  EXPECT_EQ(shown(migration(running), migration(running)), "") << "another round is told by its event";
  EXPECT_EQ(shown(migration(running), migration(running, true)), "12:00:00  m1  cancelling: it is being deleted\n");
  EXPECT_EQ(shown(migration(running), migration(R"({"state": "Completed", "cloneName": "web-1-clone-1",
                                                    "destinationNode": "node-2", "pauseMs": 40})")),
            "12:00:00  m1  Completed: web-1-clone-1 runs on node-2, pause 40.0 ms\n");
  EXPECT_EQ(shown(migration(running), migration(R"({"state": "Failed", "reason": "X", "message": "y"})")),
            "12:00:00  m1  Failed (X): y\n");
  EXPECT_EQ(shown(migration(running), nullptr), "12:00:00  m1  deleted\n");
}

TEST(WatchView, EventsOfMigrationsAlone) {
  const WatchView view(/*all_namespaces=*/true);
  json event = json::parse(R"({"reason": "PreDumpFinished", "note": "iteration 1",
    "regarding": {"apiVersion": "live.cast.ai/v1", "kind": "Migration", "namespace": "shop", "name": "m1"}})");
  EXPECT_EQ(text_of(view.on_event(event, "12:00:00", plain)), "12:00:00  shop/m1  PreDumpFinished: iteration 1\n");
  event["regarding"]["apiVersion"] = "other/v1";
  EXPECT_TRUE(view.on_event(event, "12:00:00", plain).empty());
}

}  // namespace
}  // namespace godwit::plugin
