// Small objects and waits for the tests of the client.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "control_plane.h"
#include "kube/client.h"

namespace godwit::kube {

using std::chrono::seconds;

inline Call soon() {
  return within(seconds(20));
}

inline bool wait_until(const std::function<bool()>& condition, Clock::duration span = seconds(20)) {
  const Deadline deadline = Deadline::after(span);
  while (!condition()) {
    if (deadline.expired()) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

inline ObjectPath config_map(const std::string& name, const std::string& namespace_name = "default") {
  return {resources::config_maps, namespace_name, name, ""};
}
inline ObjectPath secret(const std::string& name) {
  return {resources::secrets, "default", name, ""};
}
// Where objects like this one are created.
inline ObjectPath collection_of(const ObjectPath& object) {
  return {object.resource, object.namespace_name, "", ""};
}

inline json object_at(const ObjectPath& path, json data = json::object()) {
  return {{"apiVersion", path.resource.api_version()},
          {"kind", path.resource.kind},
          {"metadata", {{"name", path.name}}},
          {path.resource.kind == "Secret" ? "stringData" : "data", std::move(data)}};
}

template <typename T>
testing::AssertionResult succeeded(const ApiResult<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().message;
}
inline testing::AssertionResult succeeded(const Result<>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().message;
}

inline void make(Client& client, const ObjectPath& path, json data = json::object()) {
  EXPECT_TRUE(succeeded(client.create(collection_of(path), object_at(path, std::move(data)), soon())));
}

// A namespace of the test's own, so that tests do not see each other's objects.
inline std::string make_namespace(Client& client, const std::string& name) {
  const ObjectPath path{resources::namespaces, "", name, ""};
  json object = object_at(path);
  object.erase("data");
  EXPECT_TRUE(succeeded(client.create(collection_of(path), object, soon())));
  return name;
}

}  // namespace godwit::kube
