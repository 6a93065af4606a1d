#include "kube/fields.h"

#include <map>
#include <memory>
#include <string_view>

namespace godwit::kube {
namespace {

using nlohmann::json;

// Paths that begin alike share their beginning.
struct Branch {
  std::map<std::string, Branch> branches;  // empty: a path ends here

  [[nodiscard]] const Branch* find(const std::string& step) const {
    auto at = branches.find(step);
    if (at == branches.end()) at = branches.find("*");
    return at == branches.end() ? nullptr : &at->second;
  }
};

void add(Branch& root, std::string_view path) {
  Branch* at = &root;
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    at = &at->branches[std::string(path.substr(0, end))];
    path.remove_prefix(end);
  }
}

std::shared_ptr<const Branch> tree_of(std::initializer_list<const char*> paths) {
  auto root = std::make_shared<Branch>();
  for (const char* path : paths) add(*root, path);
  return root;
}

void drop(json& value, const Branch& branch) {
  if (value.is_array()) {
    const Branch* every = branch.find("*");
    for (json& element : value) {
      if (every != nullptr) drop(element, *every);
    }
    return;
  }
  if (!value.is_object()) return;
  for (auto member = value.begin(); member != value.end();) {
    const Branch* further = branch.find(member.key());
    if (further != nullptr && further->branches.empty()) {
      member = value.erase(member);
      continue;
    }
    if (further != nullptr) drop(*member, *further);
    ++member;
  }
}

void keep(json& value, const Branch& branch) {
  if (branch.branches.empty()) return;
  if (value.is_array()) {
    const Branch* every = branch.find("*");
    for (json& element : value) {
      if (every != nullptr) keep(element, *every);
    }
    return;
  }
  if (!value.is_object()) return;
  for (auto member = value.begin(); member != value.end();) {
    if (const Branch* further = branch.find(member.key()); further != nullptr) {
      keep(*member, *further);
      ++member;
    } else {
      member = value.erase(member);
    }
  }
}

}  // namespace

std::function<void(json&)> drop_fields(std::initializer_list<const char*> paths) {
  return [tree = tree_of(paths)](json& object) { drop(object, *tree); };
}

std::function<void(json&)> keep_fields(std::initializer_list<const char*> paths) {
  auto root = std::make_shared<Branch>();
  for (const char* path : paths) add(*root, path);
  // A path that ends at /metadata keeps all of it.
  const auto metadata = root->branches.find("metadata");
  const bool whole_metadata = metadata != root->branches.end() && metadata->second.branches.empty();
  for (const char* path : {"/apiVersion", "/kind"}) add(*root, path);
  for (const char* path : {"/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/resourceVersion",
                           "/metadata/generation", "/metadata/creationTimestamp", "/metadata/deletionTimestamp"}) {
    if (!whole_metadata) add(*root, path);
  }
  return [tree = std::shared_ptr<const Branch>(std::move(root))](json& object) { keep(object, *tree); };
}

}  // namespace godwit::kube
