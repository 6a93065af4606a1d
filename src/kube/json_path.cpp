#include "kube/json_path.h"

#include <string_view>

namespace godwit::kube {
using nlohmann::json;

namespace {

std::string unescape(std::string_view step) {
  std::string text;
  for (size_t i = 0; i < step.size(); ++i) {
    if (step[i] == '~' && i + 1 < step.size()) {
      text += step[++i] == '1' ? '/' : '~';
    } else {
      text += step[i];
    }
  }
  return text;
}

const json* element(const json& array, std::string_view step) {
  size_t index = 0;
  if (step.empty() || step.size() > 9) return nullptr;
  for (const char digit : step) {
    if (digit < '0' || digit > '9') return nullptr;
    index = index * 10 + static_cast<size_t>(digit - '0');
  }
  return index < array.size() ? &array[index] : nullptr;
}

std::string member_of_map(const json& object, const char* map_pointer, const std::string& name) {
  const json* map = value_at(object, map_pointer);
  if (map == nullptr || !map->is_object()) return {};
  const auto at = map->find(name);
  return at != map->end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

const json* value_at(const json& object, const char* pointer) {
  const json* at = &object;
  std::string_view rest = pointer;
  while (!rest.empty() && at != nullptr) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view step = rest.substr(0, end);
    rest.remove_prefix(end);
    if (at->is_object()) {
      const auto member = at->find(step.contains('~') ? unescape(step) : std::string(step));
      at = member != at->end() ? &*member : nullptr;
    } else {
      at = at->is_array() ? element(*at, step) : nullptr;
    }
  }
  return at == nullptr || at->is_null() ? nullptr : at;
}

std::string text_at(const json& object, const char* pointer) {
  const json* value = value_at(object, pointer);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

int64_t number_at(const json& object, const char* pointer) {
  const json* value = value_at(object, pointer);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : 0;
}

bool flag_at(const json& object, const char* pointer) {
  const json* value = value_at(object, pointer);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::string name_of(const json& object) {
  return text_at(object, "/metadata/name");
}

std::string namespace_of(const json& object) {
  return text_at(object, "/metadata/namespace");
}

std::string uid_of(const json& object) {
  return text_at(object, "/metadata/uid");
}

std::string resource_version_of(const json& object) {
  return text_at(object, "/metadata/resourceVersion");
}

std::string key_of(const std::string& namespace_name, const std::string& name) {
  return namespace_name.empty() ? name : namespace_name + "/" + name;
}

std::string key_of(const json& object) {
  return key_of(namespace_of(object), name_of(object));
}

std::string label_of(const json& object, const std::string& label) {
  return member_of_map(object, "/metadata/labels", label);
}

std::string annotation_of(const json& object, const std::string& annotation) {
  return member_of_map(object, "/metadata/annotations", annotation);
}

}  // namespace godwit::kube
