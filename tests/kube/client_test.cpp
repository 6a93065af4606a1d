#include <gtest/gtest.h>

#include "fault_proxy.h"
#include "kube/json_path.h"
#include "objects.h"
#include "scripted_server.h"

namespace godwit::kube {
namespace {

struct ClientTest : testing::Test {
  Client client{control_plane().access()};
};

TEST_F(ClientTest, ObjectsAreMadeReadAndDeleted) {
  const ObjectPath path = config_map("lives");
  make(client, path, {{"a", "1"}});
  const auto read = client.get(path, soon());
  ASSERT_TRUE(succeeded(read));
  EXPECT_EQ(text_at(*read, "/data/a"), "1");
  const auto again = client.create(collection_of(path), object_at(path), soon());
  ASSERT_FALSE(again.has_value());
  EXPECT_TRUE(again.error().already_exists()) << again.error().message;
  EXPECT_TRUE(succeeded(client.remove(path, {}, soon())));
  const auto gone = client.get(path, soon());
  ASSERT_FALSE(gone.has_value());
  EXPECT_TRUE(gone.error().not_found());
  EXPECT_EQ(gone.error().message, "get configmaps default/lives: configmaps \"lives\" not found");
}

TEST_F(ClientTest, ADeletionWithPreconditionsSparesWhatHasChanged) {
  const ObjectPath path = config_map("preconditions");
  make(client, path);
  const json read = client.get(path, soon()).value();
  const auto wrong_uid = client.remove(path, {.uid = "another"}, soon());
  ASSERT_FALSE(wrong_uid.has_value());
  EXPECT_TRUE(wrong_uid.error().conflict()) << wrong_uid.error().message;
  ASSERT_TRUE(succeeded(client.patch(path, PatchType::merge, {{"data", {{"b", "2"}}}}, soon())));
  const auto old_version = client.remove(path, {.resource_version = resource_version_of(read)}, soon());
  ASSERT_FALSE(old_version.has_value());
  EXPECT_TRUE(old_version.error().conflict());
  EXPECT_TRUE(succeeded(client.remove(path, {.uid = uid_of(read)}, soon())));
}

TEST_F(ClientTest, APatchLeavesAloneWhatItDoesNotName) {
  const ObjectPath path = config_map("patched");
  make(client, path, {{"ours", "1"}, {"theirs", "1"}});
  ASSERT_TRUE(succeeded(client.patch(path, PatchType::merge, {{"data", {{"ours", "2"}}}}, soon())));
  const json patch = json::array({{{"op", "test"}, {"path", "/data/ours"}, {"value", "2"}},
                                  {{"op", "add"}, {"path", "/metadata/labels"}, {"value", {{"l", "v"}}}}});
  const auto patched = client.patch(path, PatchType::json, patch, soon());
  ASSERT_TRUE(succeeded(patched));
  EXPECT_EQ(patched->at("data"), json({{"ours", "2"}, {"theirs", "1"}}));
  EXPECT_EQ(label_of(*patched, "l"), "v");
  const auto failed = client.patch(path, PatchType::json,
                                   json::array({{{"op", "test"}, {"path", "/data/ours"}, {"value", "9"}}}), soon());
  ASSERT_FALSE(failed.has_value());
  EXPECT_TRUE(failed.error().invalid()) << failed.error().message;
}

TEST_F(ClientTest, AMergePatchWithAResourceVersionIsConditional) {
  const ObjectPath path = config_map("conditional");
  make(client, path);
  const json read = client.get(path, soon()).value();
  const json patch = {{"metadata", {{"resourceVersion", resource_version_of(read)}}}, {"data", {{"a", "1"}}}};
  EXPECT_TRUE(succeeded(client.patch(path, PatchType::merge, patch, soon())));
  const json late = {{"metadata", {{"resourceVersion", resource_version_of(read)}}}, {"data", {{"a", "2"}}}};
  const auto refused = client.patch(path, PatchType::merge, late, soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().conflict());
}

TEST_F(ClientTest, ServerSideApplyOwnsItsFieldsAndTakesOthersOnlyByForce) {
  const ObjectPath path = config_map("applied");
  const auto apply = [&](const json& data, const std::string& manager, bool force) {
    return client.apply(path, object_at(path, data), {manager, force}, soon());
  };
  ASSERT_TRUE(succeeded(apply({{"a", "1"}, {"b", "1"}}, "one", false)));
  const auto conflict = apply({{"a", "2"}}, "two", false);
  ASSERT_FALSE(conflict.has_value());
  EXPECT_TRUE(conflict.error().conflict());
  ASSERT_TRUE(succeeded(apply({{"a", "2"}}, "two", true)));
  const auto dropped = apply({}, "one", false);
  ASSERT_TRUE(succeeded(dropped));
  EXPECT_EQ(dropped->at("data"), json({{"a", "2"}})) << "what one manager no longer applies goes, the other's stays";
}

TEST_F(ClientTest, TheStatusSubresourceChangesTheStatusAlone) {
  const ObjectPath node{resources::nodes, "", "status-node", ""};
  json object = object_at(node);
  object.erase("data");
  ASSERT_TRUE(succeeded(client.create(collection_of(node), object, soon())));
  const json patch = {{"status", {{"phase", "Running"}}}, {"spec", {{"unschedulable", true}}}};
  const auto patched = client.patch({resources::nodes, "", "status-node", "status"}, PatchType::merge, patch, soon());
  ASSERT_TRUE(succeeded(patched));
  EXPECT_EQ(text_at(*patched, "/status/phase"), "Running");
  EXPECT_FALSE(flag_at(*patched, "/spec/unschedulable"));
}

TEST_F(ClientTest, AListComesInChunksAndEveryItemOnce) {
  const std::string space = make_namespace(client, "chunks");
  for (int i = 0; i < 23; ++i) make(client, config_map(fmt::format("m{:02}", i), space));
  std::vector<std::string> names;
  std::vector<size_t> chunks;
  const auto summary = client.list(
      resources::config_maps, {.namespace_name = space, .chunk_items = 10},
      [&](const json::array_t& items, bool first) {
        EXPECT_EQ(first, chunks.empty());
        chunks.push_back(items.size());
        for (const json& item : items) {
          EXPECT_EQ(text_at(item, "/kind"), "ConfigMap");
          names.push_back(name_of(item));
        }
      },
      soon());
  ASSERT_TRUE(succeeded(summary));
  EXPECT_EQ(chunks, (std::vector<size_t>{10, 10, 3}));
  EXPECT_EQ(summary->items, 23U);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 23U);
  EXPECT_FALSE(summary->resource_version.empty());
}

// The rest of a list that was begun before a compaction cannot be had any more (410): it begins again.
TEST_F(ClientTest, AListWhoseContinuationIsGoneBeginsAgain) {
  for (int i = 0; i < 6; ++i) make(client, secret(fmt::format("compacted-{}", i)));
  std::set<std::string> names;
  int begun = 0;
  const auto summary = client.list(
      resources::secrets, {.namespace_name = "default", .chunk_items = 4},
      [&](const json::array_t& items, bool first) {
        if (first) names.clear();
        for (const json& item : items) names.insert(name_of(item));
        if (!first || ++begun > 1) return;
        make(client, secret("compacted-late"));  // so that the list's resource version is not the last one
        ASSERT_TRUE(succeeded(control_plane().compact()));
      },
      soon());
  ASSERT_TRUE(succeeded(summary));
  EXPECT_EQ(begun, 2);
  EXPECT_EQ(names.size(), 7U);
  EXPECT_TRUE(names.contains("compacted-late"));
}

TEST_F(ClientTest, SelectorsNarrowAList) {
  const std::string space = make_namespace(client, "selectors");
  make(client, config_map("a", space));
  make(client, config_map("b", space));
  ASSERT_TRUE(succeeded(
      client.patch(config_map("b", space), PatchType::merge, {{"metadata", {{"labels", {{"app", "x"}}}}}}, soon())));
  const auto by_label =
      client.list_all(resources::config_maps, {.namespace_name = space, .label_selector = "app in (x)"}, soon());
  ASSERT_TRUE(succeeded(by_label));
  ASSERT_EQ(by_label->size(), 1U);
  EXPECT_EQ(name_of(by_label->at(0)), "b");
  const auto by_field =
      client.list_all(resources::config_maps, {.namespace_name = space, .field_selector = "metadata.name=a"}, soon());
  ASSERT_TRUE(succeeded(by_field));
  EXPECT_EQ(by_field->size(), 1U);
}

TEST_F(ClientTest, WithoutPermissionTheReasonIsForbidden) {
  ClusterAccess access = control_plane().access();
  access.token.data = powerless_token;
  Client powerless(access);
  const auto refused = powerless.get(config_map("any"), soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().forbidden());
  EXPECT_TRUE(refused.error().message.contains("User \"nobody\" cannot get")) << refused.error().message;
}

TEST_F(ClientTest, ConnectionsAreKeptAlive) {
  const FaultProxy proxy(ControlPlane::port);
  Client through(control_plane().access(proxy.port()));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(succeeded(through.get_raw("/version", soon())));
  EXPECT_EQ(proxy.connections(), 1);
}

TEST_F(ClientTest, AStalledServerCostsNoMoreThanTheDeadline) {
  FaultProxy proxy(ControlPlane::port);
  Client through(control_plane().access(proxy.port()));
  ASSERT_TRUE(succeeded(through.get_raw("/version", soon())));
  proxy.set(Fault::stall);
  const auto began = Clock::now();
  const auto stalled = through.get_raw("/version", within(milliseconds(300)));
  ASSERT_FALSE(stalled.has_value());
  EXPECT_EQ(stalled.error().kind, ApiErrorKind::timeout);
  EXPECT_LT(elapsed_ms(began), 1000);
  proxy.set(Fault::none);
  EXPECT_TRUE(succeeded(through.get_raw("/version", soon()))) << "and the next request has a new connection";
}

TEST_F(ClientTest, AStopEndsARequestAtOnce) {
  FaultProxy proxy(ControlPlane::port);
  proxy.set(Fault::stall);
  Client through(control_plane().access(proxy.port()));
  std::stop_source stop;
  std::thread stopping([&] {
    std::this_thread::sleep_for(milliseconds(100));
    stop.request_stop();
  });
  const auto began = Clock::now();
  const auto stopped = through.get_raw("/version", within(seconds(30), stop.get_token()));
  stopping.join();
  ASSERT_FALSE(stopped.has_value());
  EXPECT_TRUE(stopped.error().stopped());
  EXPECT_LT(elapsed_ms(began), 500);
}

TEST_F(ClientTest, AResetIsATemporaryError) {
  FaultProxy proxy(ControlPlane::port);
  proxy.set(Fault::cut);
  Client through(control_plane().access(proxy.port()));
  const auto cut = through.get_raw("/version", soon());
  ASSERT_FALSE(cut.has_value());
  EXPECT_EQ(cut.error().kind, ApiErrorKind::transport);
  EXPECT_TRUE(cut.error().temporary());
}

TEST_F(ClientTest, AnAnswerBeyondAllMeasureIsRefused) {
  const ScriptedServer server(
      [](const std::string&, size_t) { return ScriptedServer::answer(200, std::string(size_t{70} << 20, ' ')); });
  Client scripted(server.access());
  const auto refused = scripted.get(config_map("any"), soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ApiErrorKind::answer);
  EXPECT_TRUE(refused.error().message.contains("larger than")) << refused.error().message;
}

TEST_F(ClientTest, ARequestRefusedForBusynessIsSentAgainWhenTheServerSaid) {
  const ScriptedServer server([](const std::string&, size_t number) {
    return number == 0 ? ScriptedServer::answer(429, "busy", "Retry-After: 1") : ScriptedServer::answer(200, "{}");
  });
  Client scripted(server.access());
  const auto began = Clock::now();
  EXPECT_TRUE(succeeded(scripted.create({resources::pods, "n", "", ""}, json::object(), soon())));
  EXPECT_GE(elapsed_ms(began), 1000);
  EXPECT_EQ(server.lines().size(), 2U);
}

TEST_F(ClientTest, AnEvictionRefusedForBusynessIsTheAnswer) {
  const ScriptedServer server(
      [](const std::string&, size_t) { return ScriptedServer::answer(429, "budget", "Retry-After: 1"); });
  Client scripted(server.access());
  Call call = soon();
  call.wait_when_throttled = false;
  const auto refused = scripted.create({resources::pods, "n", "p", "eviction"}, json::object(), call);
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().throttled());
  EXPECT_EQ(refused.error().retry_after, seconds(1));
  EXPECT_EQ(server.lines(), std::vector<std::string>{"POST /api/v1/namespaces/n/pods/p/eviction HTTP/1.1"});
}

TEST_F(ClientTest, AWriteIsNotSentAgainWhenItMayHaveBeenDone) {
  const ScriptedServer server(
      [](const std::string&, size_t) { return ScriptedServer::answer(503, "down", "Retry-After: 1"); });
  Client scripted(server.access());
  EXPECT_FALSE(scripted.create({resources::pods, "n", "", ""}, json::object(), soon()).has_value());
  EXPECT_EQ(server.lines().size(), 1U);
}

}  // namespace
}  // namespace godwit::kube
