// The informer against a real server that is restarted, compacted and cut off.
#include "kube/informer.h"

#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "fault_proxy.h"
#include "kube/json_path.h"
#include "objects.h"
#include "scripted_server.h"

namespace godwit::kube {
namespace {

// What the handlers were told: "+name", "~name", "-name".
class Told {
 public:
  Informer::Handler handler() {
    return [this](const Change& change) {
      const std::lock_guard lock(mutex_);
      const char* what = change.before == nullptr ? "+" : change.now == nullptr ? "-" : "~";
      changes_.push_back(what + name_of(change.now == nullptr ? *change.before : *change.now));
    };
  }
  size_t count(const std::string& change) const {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::ranges::count(changes_, change));
  }
  bool was(const std::string& change) const { return count(change) > 0; }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> changes_;
};

InformerOptions quick(const std::string& space) {
  InformerOptions options;
  options.list.namespace_name = space;
  options.backoff = {milliseconds(50), milliseconds(1000), 0.5};
  return options;
}

struct InformerTest : testing::Test {
  ControlPlane& plane = control_plane();
  Client client{plane.access()};
  Told told;
  // A namespace for each test, named after it.
  std::string space;

  void SetUp() override {
    space = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::transform(space, space.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    make_namespace(client, space.substr(0, 60));
    space = space.substr(0, 60);
  }
  ObjectPath map(const std::string& name) const { return config_map(name, space); }
  ObjectPath hidden(const std::string& name) const { return {resources::secrets, space, name, ""}; }
};

TEST_F(InformerTest, TellsOfWhatIsThereAndOfEveryChange) {
  make(client, map("early"));
  Informer informer(client, resources::config_maps, quick(space));
  informer.add_handler(told.handler());
  EXPECT_FALSE(informer.has_synced());
  informer.start();
  ASSERT_TRUE(informer.wait_synced(Deadline::after(seconds(10))));
  EXPECT_TRUE(told.was("+early"));
  make(client, map("late"));
  EXPECT_TRUE(wait_until([&] { return told.was("+late"); }));
  ASSERT_TRUE(succeeded(client.patch(map("late"), PatchType::merge, {{"data", {{"a", "1"}}}}, soon())));
  EXPECT_TRUE(wait_until([&] { return told.was("~late"); }));
  EXPECT_EQ(text_at(*informer.store().get(space + "/late"), "/data/a"), "1");
  ASSERT_TRUE(succeeded(client.remove(map("early"), {}, soon())));
  EXPECT_TRUE(wait_until([&] { return told.was("-early"); }));
  EXPECT_EQ(informer.store().get(space + "/early"), nullptr);
  EXPECT_EQ(informer.figures().lists, 1U);
  EXPECT_FALSE(informer.store().get(space + "/late")->at("metadata").contains("managedFields"));
}

// Resource versions before a compaction are gone: the server says so in an event of the watch, and the informer finds
// out by a list what it missed.
TEST_F(InformerTest, ListsAgainAfterACompactionAndMissesNothing) {
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  for (const char* name : {"stays", "changes", "goes", "returns"}) make(client, hidden(name));
  Informer informer(through, resources::secrets, quick(space));
  informer.add_handler(told.handler());
  informer.start();
  ASSERT_TRUE(informer.wait_synced(Deadline::after(seconds(10))));
  ASSERT_TRUE(wait_until([&] { return informer.figures().watches >= 1; }));

  proxy.set(Fault::cut);
  make(client, hidden("comes"));
  ASSERT_TRUE(succeeded(client.patch(hidden("changes"), PatchType::merge, {{"stringData", {{"a", "1"}}}}, soon())));
  ASSERT_TRUE(succeeded(client.remove(hidden("goes"), {}, soon())));
  ASSERT_TRUE(succeeded(client.remove(hidden("returns"), {}, soon())));
  make(client, hidden("returns"));
  ASSERT_TRUE(succeeded(plane.compact()));
  proxy.set(Fault::none);

  EXPECT_TRUE(wait_until([&] { return told.was("+comes") && told.was("~changes") && told.was("-goes"); }));
  EXPECT_TRUE(wait_until([&] { return told.was("-returns") && told.count("+returns") == 2; }))
      << "one that was deleted and made again is another";
  EXPECT_EQ(told.count("+stays"), 1U);
  EXPECT_FALSE(told.was("~stays"));
  EXPECT_EQ(informer.figures().lists, 2U);
  make(client, hidden("afterwards"));
  EXPECT_TRUE(wait_until([&] { return told.was("+afterwards"); })) << "and watches on";
}

TEST_F(InformerTest, AConnectionThatIsCutGoesOnWithoutAList) {
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  Informer informer(through, resources::config_maps, quick(space));
  informer.add_handler(told.handler());
  informer.start();
  ASSERT_TRUE(informer.wait_synced(Deadline::after(seconds(10))));
  for (int i = 0; i < 3; ++i) {
    proxy.set(Fault::cut);
    make(client, map(fmt::format("missed-{}", i)));
    std::this_thread::sleep_for(milliseconds(100));
    proxy.set(Fault::none);
    EXPECT_TRUE(wait_until([&] { return told.was(fmt::format("+missed-{}", i)); }));
  }
  EXPECT_EQ(informer.figures().lists, 1U);
  EXPECT_GE(informer.figures().watches, 4U);
}

// No reset, no end: the connection is open and nothing comes. TCP alone would not notice for minutes.
TEST_F(InformerTest, AWatchThatStallsIsNoticedAndGoesOnWithoutAList) {
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  InformerOptions options = quick(space);
  options.watch_silence_max = milliseconds(500);
  Informer informer(through, resources::config_maps, options);
  informer.add_handler(told.handler());
  informer.start();
  ASSERT_TRUE(informer.wait_synced(Deadline::after(seconds(10))));
  make(client, map("before"));
  ASSERT_TRUE(wait_until([&] { return told.was("+before"); }));
  proxy.set(Fault::stall);
  std::this_thread::sleep_for(milliseconds(100));  // until the proxy has noticed
  make(client, map("during"));
  ASSERT_TRUE(wait_until([&] { return informer.figures().watches >= 2; }));
  EXPECT_FALSE(told.was("+during"));
  proxy.set(Fault::none);
  EXPECT_TRUE(wait_until([&] { return told.was("+during"); }, seconds(5)));
  EXPECT_EQ(informer.figures().lists, 1U);
}

TEST_F(InformerTest, ASlowNetworkLosesNothing) {
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  Informer informer(through, resources::config_maps, quick(space));
  informer.add_handler(told.handler());
  informer.start();
  ASSERT_TRUE(informer.wait_synced(Deadline::after(seconds(10))));
  proxy.set(Fault::slow);
  for (int i = 0; i < 20; ++i) make(client, map(fmt::format("slow-{}", i)), {{"a", std::string(500, 'x')}});
  EXPECT_TRUE(wait_until([&] { return told.was("+slow-19"); }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(told.count(fmt::format("+slow-{}", i)), 1U);
}

TEST_F(InformerTest, ARestartOfTheServerIsMetByNoStormOfLists) {
  constexpr size_t informers = 12;
  make(client, map("before"));
  std::vector<std::unique_ptr<Informer>> all;
  Told each[informers];
  for (Told& one : each) {
    InformerOptions options = quick(space);
    options.backoff = {milliseconds(200), milliseconds(5000), 0.5};
    all.push_back(std::make_unique<Informer>(client, resources::config_maps, options));
    all.back()->add_handler(one.handler());
    all.back()->start();
  }
  for (const auto& informer : all) ASSERT_TRUE(informer->wait_synced(Deadline::after(seconds(10))));
  ASSERT_TRUE(wait_until(
      [&] { return std::ranges::all_of(all, [](const auto& informer) { return informer->figures().watches >= 1; }); }));
  const size_t lists_before = plane.requests({"list", "configmaps"});

  plane.kill_server();
  std::this_thread::sleep_for(seconds(3));
  uint64_t tries = 0;
  for (const auto& informer : all) tries += informer->figures().watches - 1;
  EXPECT_LE(tries, informers * 6) << "the back-off grows while nobody answers";
  ASSERT_TRUE(succeeded(plane.start_server()));
  make(client, map("after"));
  for (const Told& one : each) EXPECT_TRUE(wait_until([&] { return one.was("+after"); }));
  for (const Told& one : each) EXPECT_EQ(one.count("+before"), 1U);
  const size_t lists = plane.requests({"list", "configmaps"}) - lists_before;
  // A server that has just started knows no changes from before: it may answer 410 once to each.
  EXPECT_LE(lists, informers);
  for (const auto& informer : all) EXPECT_FALSE(informer->trouble().has_value());
}

TEST_F(InformerTest, AMissingResourceIsSaidAndFoundWhenItComes) {
  const Resource widgets{"example.com", "v1", "widgets", "Widget"};
  InformerOptions options = quick("");
  options.backoff = {milliseconds(100), milliseconds(300), 0.5};
  Informer informer(client, widgets, options);
  informer.add_handler(told.handler());
  informer.start();
  ASSERT_TRUE(wait_until([&] { return informer.trouble().has_value(); }));
  EXPECT_TRUE(informer.trouble()->not_found());
  EXPECT_FALSE(informer.has_synced());
  const json crd = json::parse(R"({"metadata":{"name":"widgets.example.com"},"spec":{"group":"example.com",
      "scope":"Namespaced","names":{"plural":"widgets","singular":"widget","kind":"Widget"},
      "versions":[{"name":"v1","served":true,"storage":true,
        "schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}})");
  ASSERT_TRUE(succeeded(client.create({resources::custom_resource_definitions, "", "", ""}, crd, soon())));
  EXPECT_TRUE(informer.wait_synced(Deadline::after(seconds(20))));
  ASSERT_TRUE(wait_until([&] {
    return client
        .create({widgets, "default", "", ""},
                {{"apiVersion", "example.com/v1"}, {"kind", "Widget"}, {"metadata", {{"name", "w"}}}}, soon())
        .has_value();
  }));
  EXPECT_TRUE(wait_until([&] { return told.was("+w"); }));
  EXPECT_TRUE(wait_until([&] { return !informer.trouble().has_value(); }));
}

TEST_F(InformerTest, AResyncTellsOfEveryObjectAnew) {
  make(client, map("still"));
  InformerOptions options = quick(space);
  options.resync = seconds(1);
  Informer informer(client, resources::config_maps, options);
  informer.add_handler(told.handler());
  informer.start();
  EXPECT_TRUE(wait_until([&] { return told.count("~still") >= 2; }));
  EXPECT_EQ(informer.figures().lists, 1U);
}

TEST_F(InformerTest, ItsEndWaitsForNoServer) {
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  auto informer = std::make_unique<Informer>(through, resources::config_maps, quick(space));
  informer->start();
  ASSERT_TRUE(informer->wait_synced(Deadline::after(seconds(10))));
  proxy.set(Fault::stall);
  const auto began = Clock::now();
  informer.reset();
  EXPECT_LT(elapsed_ms(began), 500);
}

TEST_F(InformerTest, BookmarksKeepAQuietWatchsVersionYoung) {
  std::string version;
  const auto listed =
      client.list(resources::config_maps, {.namespace_name = space}, [](const json::array_t&, bool) {}, soon());
  ASSERT_TRUE(succeeded(listed));
  // Changes elsewhere that this watch does not get, after it has begun.
  std::thread elsewhere([&] {
    std::this_thread::sleep_for(seconds(1));
    for (int i = 0; i < 5; ++i) make(client, config_map("elsewhere-" + std::to_string(i)));
  });
  WatchOptions options{.namespace_name = space, .resource_version = listed->resource_version, .timeout = seconds(6)};
  const auto watched = watch(client, resources::config_maps, options, {}, [&](const WatchEvent& event) {
    EXPECT_EQ(event.type, WatchEventType::bookmark);
    version = resource_version_of(event.object);
  });
  elsewhere.join();
  EXPECT_TRUE(succeeded(watched)) << "the server ends it in time";
  ASSERT_FALSE(version.empty()) << "a bookmark comes before the end at the latest";
  EXPECT_GT(std::stoll(version), std::stoll(listed->resource_version));
}

// Older servers refuse a watch from a version that is too old by their answer's status.
TEST(ScriptedInformer, A410AsStatusOfAWatchIsAReasonToListAgain) {
  const auto list_of = [](int version) {
    return ScriptedServer::answer(200, fmt::format(R"({{"metadata":{{"resourceVersion":"{}"}},"items":[]}})", version));
  };
  const ScriptedServer server([&](const std::string& line, size_t number) {
    if (!line.contains("watch=true")) return list_of(static_cast<int>(number) + 10);
    return ScriptedServer::answer(410, R"({"kind":"Status","code":410,"reason":"Gone"})");
  });
  Client client(server.access());
  InformerOptions options;
  options.backoff = {milliseconds(30), milliseconds(30'000), 0};
  Informer informer(client, resources::pods, options);
  informer.start();
  std::this_thread::sleep_for(milliseconds(1000));
  const auto lists = informer.figures().lists;
  EXPECT_GE(lists, 2U);
  // 30 + 60 + 120 + 240 + 480 ms: a server that goes on saying so is asked less and less often.
  EXPECT_LE(lists, 6U);
  EXPECT_TRUE(server.lines()[1].contains("resourceVersion=10")) << server.lines()[1];
  EXPECT_TRUE(server.lines()[1].contains("allowWatchBookmarks=true"));
}

}  // namespace
}  // namespace godwit::kube
