// The objects of one resource as an informer has last seen them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kube/api_error.h"

namespace godwit::kube {

// Never changed after it was stored, so it may be kept and read by any thread.
using Object = std::shared_ptr<const json>;

// Any thread may read; the informer's thread writes.
class Store {
 public:
  // The values under which an object is to be found, e.g. the name of its node.
  using IndexFunction = std::function<std::vector<std::string>(const json&)>;

  [[nodiscard]] Object get(const std::string& key) const;  // null if absent
  [[nodiscard]] std::vector<Object> list() const;
  [[nodiscard]] size_t size() const;
  // Objects for which the index function gave `value`. The index must exist.
  [[nodiscard]] std::vector<Object> find(const std::string& index, const std::string& value) const;

  // Before the first object is put.
  void add_index(const std::string& name, IndexFunction function);

  // What was there before, or null.
  Object put(const std::string& key, Object object);
  Object erase(const std::string& key);
  // Keys that `keep` lacks.
  [[nodiscard]] std::vector<std::string> keys_not_in(const std::unordered_set<std::string>& keep) const;

 private:
  struct Index {
    IndexFunction function;
    std::unordered_map<std::string, std::set<std::string>> keys;
  };

  void unindex(const std::string& key, const json& object);

  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, Object> objects_;
  std::map<std::string, Index> indexes_;
};

}  // namespace godwit::kube
