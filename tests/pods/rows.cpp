#include "rows.h"

#include <algorithm>
#include <map>

#include "cluster/faults.h"

namespace godwit {
namespace {

using testing::HasSubstr;

}  // namespace

void RowTest::TearDown() {
  if (slow_) slow_links_up();
  PodsTest::TearDown();
}

void RowTest::start_pod(const std::string& name, const json& changes, const json& container) const {
  json only = {{"name", "redis"},
               {"image", "godwit.test/redis:1"},
               {"imagePullPolicy", "Never"},
               {"readinessProbe", {{"tcpSocket", {{"port", 6379}}}, {"periodSeconds", 1}}},
               {"volumeMounts", {{{"name", "data"}, {"mountPath", "/data"}}}}};
  only.merge_patch(container);
  json pod = {{"apiVersion", "v1"},
              {"kind", "Pod"},
              {"metadata", {{"name", name}, {"labels", {{"app", "redis"}}}}},
              {"spec",
               {{"runtimeClassName", "live"},
                {"terminationGracePeriodSeconds", 1},
                {"containers", {only}},
                {"volumes", {{{"name", "data"}, {"emptyDir", json::object()}}}}}}};
  pod.merge_patch(changes);
  const json service = {{"apiVersion", "v1"},
                        {"kind", "Service"},
                        {"metadata", {{"name", "redis"}}},
                        {"spec", {{"selector", {{"app", "redis"}}}, {"ports", {{{"port", 6379}}}}}}};
  apply(json{{"apiVersion", "v1"}, {"kind", "List"}, {"items", {pod, service}}}.dump());
  kubectl({"wait", "--for=condition=Ready", "pod/" + name, "--timeout=60s"});
}

void RowTest::start_large_pod(const std::string& name) const {
  start_pod(name);
  fill_memory(name);
}

void RowTest::fill_memory(const std::string& pod) const {
  // Of random bytes, because everything else is sent in less.
  kubectl({"exec", pod, "--", "sh", "-ec",
           "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 8388608 /dev/urandom | redis-cli -x set large-$i; done"});
}

void RowTest::slow_links_down(int rate_kbit_s) const {
  slow_ = true;
  for (int i = 1; i <= cluster().node_count(); ++i) {
    const auto done = cluster::slow_link(cluster(), i, {.rate_kbit_s = rate_kbit_s, .loss_percent = 0});
    ASSERT_TRUE(done) << done.error().message;
  }
}

void RowTest::slow_links_up() const {
  slow_ = false;
  for (int i = 1; i <= cluster().node_count(); ++i) {
    const auto done = cluster::slow_link(cluster(), i, {});
    EXPECT_TRUE(done) << done.error().message;
  }
}

std::string RowTest::order(const std::string& pod, const json& spec) const {
  std::string name = fmt::format("row-{}", ++count_);
  json whole = {{"podName", pod}};
  whole.update(spec);
  apply_migration(name, std::move(whole));
  return name;
}

void RowTest::wait_for_phase(const std::string& name, const std::string& phase) const {
  json last;
  EXPECT_TRUE(eventually(patient(), [&] {
    last = migration(name);
    return last.value("/status/phase"_json_pointer, "") == phase;
  })) << last.dump(1);
}

void RowTest::wait_for_copying(int node) const {
  const auto received = [&] {
    const auto said = this->node(node).exec_checked({"sed", "-n", "s/^ *uplink: *//p", "/proc/net/dev"}, soon());
    return said ? std::stoull(*said) : 0ULL;
  };
  constexpr unsigned long long enough_bytes = 8 << 20;
  const auto before = received();
  EXPECT_TRUE(eventually(patient(), [&] { return received() > before + enough_bytes; }));
}

void RowTest::wait_for_round(const std::string& name) const {
  json last;
  EXPECT_TRUE(eventually(patient(), [&] {
    last = migration(name);
    return last.value("/status/iterationsDone"_json_pointer, 0) > 0;
  })) << last.dump(1);
}

json RowTest::outcome(const std::string& name) const {
  return finished_migration(name).value("status", json::object());
}

std::vector<json> RowTest::events(const std::string& name, const std::string& reason) const {
  std::multimap<std::string, json> by_time;
  EXPECT_TRUE(eventually(soon(),
                         [&] {
                           by_time.clear();
                           const std::string which = fmt::format("regarding.name={},reason={}", name, reason);
                           for (const json& event : get({"events.events.k8s.io", "--field-selector", which})["items"]) {
                             by_time.emplace(event.value("eventTime", ""), event);
                           }
                           return !by_time.empty();
                         }))
      << "there is no event " << reason << " of " << name << "\n"
      << kubectl({"get", "events"});
  std::vector<json> all;
  for (const auto& [time, event] : by_time) all.push_back(event);
  return all;
}

void RowTest::expect_event(const std::string& name, const std::string& reason, const std::string& phase,
                           const std::string& words) const {
  const std::vector<json> found = events(name, reason);
  if (found.empty()) return;
  EXPECT_EQ(found.front().value("action", ""), phase) << found.front().dump(1);
  EXPECT_THAT(found.front().value("note", ""), HasSubstr(words));
  const bool bad = reason.ends_with("Failed");
  EXPECT_EQ(found.front().value("type", ""), bad ? "Warning" : "Normal");
}

int RowTest::other_node(const std::string& pod) const {
  return node_of(pod) % cluster().node_count() + 1;
}

int RowTest::restarts(const std::string& pod) const {
  return this->pod(pod).value("/status/containerStatuses/0/restartCount"_json_pointer, -1);
}

std::vector<std::string> RowTest::pod_names() const {
  std::vector<std::string> names;
  for (const json& pod : get({"pods"})["items"]) names.push_back(pod["metadata"].value("name", ""));
  std::ranges::sort(names);
  return names;
}

}  // namespace godwit
