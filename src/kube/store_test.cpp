#include "kube/store.h"

#include <gtest/gtest.h>

#include "kube/fields.h"
#include "kube/informer.h"
#include "kube/json_path.h"

namespace godwit::kube {
namespace {

Object pod(const std::string& name, const std::string& node) {
  return std::make_shared<const json>(json{{"metadata", {{"name", name}}}, {"spec", {{"nodeName", node}}}});
}

std::set<std::string> names(const std::vector<Object>& objects) {
  std::set<std::string> found;
  for (const Object& object : objects) found.insert(name_of(*object));
  return found;
}

struct StoreTest : testing::Test {
  Store store;
  void SetUp() override {
    store.add_index("node", [](const json& object) -> std::vector<std::string> {
      const std::string node = text_at(object, "/spec/nodeName");
      if (node.empty()) return {};
      return {node};
    });
  }
};

TEST_F(StoreTest, PutAndEraseGiveWhatWasThere) {
  const Object first = pod("a", "n1");
  EXPECT_EQ(store.put("a", first), nullptr);
  const Object second = pod("a", "n1");
  EXPECT_EQ(store.put("a", second), first);
  EXPECT_EQ(store.get("a"), second);
  EXPECT_EQ(store.erase("a"), second);
  EXPECT_EQ(store.erase("a"), nullptr);
  EXPECT_EQ(store.get("a"), nullptr);
}

TEST_F(StoreTest, AnIndexFollowsTheObjects) {
  store.put("a", pod("a", "n1"));
  store.put("b", pod("b", "n1"));
  store.put("c", pod("c", ""));
  EXPECT_EQ(names(store.find("node", "n1")), (std::set<std::string>{"a", "b"}));
  store.put("a", pod("a", "n2"));
  EXPECT_EQ(names(store.find("node", "n1")), (std::set<std::string>{"b"}));
  EXPECT_EQ(names(store.find("node", "n2")), (std::set<std::string>{"a"}));
  store.erase("b");
  EXPECT_TRUE(store.find("node", "n1").empty());
  EXPECT_TRUE(store.find("node", "").empty());
}

TEST_F(StoreTest, KeysThatAListLacksAreFound) {
  store.put("a", pod("a", ""));
  store.put("b", pod("b", ""));
  EXPECT_EQ(store.keys_not_in({"a", "z"}), std::vector<std::string>{"b"});
}

TEST(Transform, ManagedFieldsAreDropped) {
  json object = {{"metadata", {{"name", "a"}, {"managedFields", {1, 2}}}}};
  drop_managed_fields(object);
  EXPECT_EQ(object, (json{{"metadata", {{"name", "a"}}}}));
  json odd = json::object();
  drop_managed_fields(odd);
  EXPECT_EQ(odd, json::object());
}

json small_pod() {
  return json::parse(R"({"kind":"Pod","metadata":{"name":"p","uid":"u","managedFields":[1],"labels":{"a":"b"}},
      "spec":{"nodeName":"n","containers":[{"name":"x","env":[1],"tty":true},{"name":"y"}],"new":1},
      "status":{"phase":"Running","conditions":[1]}})");
}

TEST(Transform, DroppedFieldsGoAndUnknownOnesStay) {
  json pod = small_pod();
  drop_fields({"/metadata/managedFields", "/spec/containers/*/env", "/status/conditions", "/spec/absent/deep"})(pod);
  EXPECT_EQ(pod, json::parse(R"({"kind":"Pod","metadata":{"name":"p","uid":"u","labels":{"a":"b"}},
      "spec":{"nodeName":"n","containers":[{"name":"x","tty":true},{"name":"y"}],"new":1},
      "status":{"phase":"Running"}})"));
}

TEST(Transform, OnlyKeptFieldsAndTheIdentityStay) {
  json pod = small_pod();
  keep_fields({"/spec/containers/*/name", "/metadata/labels", "/status/phase"})(pod);
  EXPECT_EQ(pod, json::parse(R"({"kind":"Pod","metadata":{"name":"p","uid":"u","labels":{"a":"b"}},
      "spec":{"containers":[{"name":"x"},{"name":"y"}]},"status":{"phase":"Running"}})"));
  json whole = small_pod();
  keep_fields({"/metadata"})(whole);
  EXPECT_EQ(whole, json::parse(R"({"kind":"Pod","metadata":{"name":"p","uid":"u","managedFields":[1],
      "labels":{"a":"b"}}})"));
}

}  // namespace
}  // namespace godwit::kube
