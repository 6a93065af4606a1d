#include "kube/store.h"

#include <mutex>
#include <utility>

namespace godwit::kube {

Object Store::get(const std::string& key) const {
  const std::shared_lock lock(mutex_);
  const auto at = objects_.find(key);
  return at == objects_.end() ? nullptr : at->second;
}

std::vector<Object> Store::list() const {
  const std::shared_lock lock(mutex_);
  std::vector<Object> all;
  all.reserve(objects_.size());
  for (const auto& [key, object] : objects_) all.push_back(object);
  return all;
}

size_t Store::size() const {
  const std::shared_lock lock(mutex_);
  return objects_.size();
}

std::vector<Object> Store::find(const std::string& index, const std::string& value) const {
  const std::shared_lock lock(mutex_);
  const auto known = indexes_.find(index);
  GODWIT_CHECK(known != indexes_.end());
  std::vector<Object> found;
  const auto at = known->second.keys.find(value);
  if (at == known->second.keys.end()) return found;
  for (const std::string& key : at->second) found.push_back(objects_.at(key));
  return found;
}

void Store::add_index(const std::string& name, IndexFunction function) {
  const std::unique_lock lock(mutex_);
  GODWIT_CHECK(objects_.empty());
  indexes_[name].function = std::move(function);
}

void Store::unindex(const std::string& key, const json& object) {
  for (auto& [name, index] : indexes_) {
    for (const std::string& value : index.function(object)) {
      const auto at = index.keys.find(value);
      if (at == index.keys.end()) continue;
      at->second.erase(key);
      if (at->second.empty()) index.keys.erase(at);
    }
  }
}

Object Store::put(const std::string& key, Object object) {
  const std::unique_lock lock(mutex_);
  Object& place = objects_[key];
  if (place != nullptr) unindex(key, *place);
  for (auto& [name, index] : indexes_) {
    for (const std::string& value : index.function(*object)) index.keys[value].insert(key);
  }
  return std::exchange(place, std::move(object));
}

Object Store::erase(const std::string& key) {
  const std::unique_lock lock(mutex_);
  const auto at = objects_.find(key);
  if (at == objects_.end()) return nullptr;
  unindex(key, *at->second);
  Object before = std::move(at->second);
  objects_.erase(at);
  return before;
}

std::vector<std::string> Store::keys_not_in(const std::unordered_set<std::string>& keep) const {
  const std::shared_lock lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, object] : objects_) {
    if (!keep.contains(key)) keys.push_back(key);
  }
  return keys;
}

}  // namespace godwit::kube
