// Reading members deep inside API objects, which may lack any of them: never throws, never inserts.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace godwit::kube {

// `pointer` is a JSON pointer (RFC 6901), e.g. "/metadata/name"; nullptr where there is nothing or null.
const nlohmann::json* value_at(const nlohmann::json& object, const char* pointer);
// "" where there is nothing or something that is no string.
std::string text_at(const nlohmann::json& object, const char* pointer);
// 0 where there is nothing or something that is no whole number.
int64_t number_at(const nlohmann::json& object, const char* pointer);
bool flag_at(const nlohmann::json& object, const char* pointer);

// What every API object has.
std::string name_of(const nlohmann::json& object);
std::string namespace_of(const nlohmann::json& object);
std::string uid_of(const nlohmann::json& object);
std::string resource_version_of(const nlohmann::json& object);
// "namespace/name", or "name" for objects of the cluster: unique within a resource.
std::string key_of(const nlohmann::json& object);
std::string key_of(const std::string& namespace_name, const std::string& name);
// The label's or the annotation's value, "" if absent.
std::string label_of(const nlohmann::json& object, const std::string& label);
std::string annotation_of(const nlohmann::json& object, const std::string& annotation);

}  // namespace godwit::kube
