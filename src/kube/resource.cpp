#include "kube/resource.h"

#include <fmt/core.h>

namespace godwit::kube {

std::string percent_encode(std::string_view text) {
  constexpr std::string_view unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    if (unreserved.contains(c)) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string url_path(const ObjectPath& object) {
  const Resource& resource = object.resource;
  std::string path =
      resource.group.empty() ? "/api/" + resource.version : "/apis/" + resource.group + "/" + resource.version;
  if (resource.namespaced && !object.namespace_name.empty()) {
    path += "/namespaces/" + percent_encode(object.namespace_name);
  }
  path += "/" + resource.plural;
  if (!object.name.empty()) path += "/" + percent_encode(object.name);
  if (!object.subresource.empty()) path += "/" + object.subresource;
  return path;
}

std::string shown(const ObjectPath& object) {
  std::string text = object.resource.plural;
  if (!object.subresource.empty()) text += "/" + object.subresource;
  if (object.name.empty() && object.namespace_name.empty()) return text;
  if (object.name.empty()) return text + " in " + object.namespace_name;
  return text + " " + (object.namespace_name.empty() ? "" : object.namespace_name + "/") + object.name;
}

Query& Query::add(std::string_view name, std::string_view value) {
  if (value.empty()) return *this;
  text_ += text_.empty() ? '?' : '&';
  text_ += fmt::format("{}={}", name, percent_encode(value));
  return *this;
}

}  // namespace godwit::kube
