// Reading members of a JSON object that came over a socket: every member is checked for presence, type and range, and
// the first thing wrong is kept in words, so that a decoder is a list of members and one check at the end.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::agent {

// Members that may be missing: what is not there, or of another type, is empty or 0.
inline std::string optional_text(const nlohmann::json& object, const char* name) {
  const auto at = object.is_object() ? object.find(name) : object.end();
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}
inline double optional_number(const nlohmann::json& object, const char* name) {
  const auto at = object.is_object() ? object.find(name) : object.end();
  return at != object.end() && at->is_number() ? at->get<double>() : 0;
}

// Lives for one decode, on one thread; `object` must outlive it.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string what, size_t text_bytes_max)
      : object_(object), what_(std::move(what)), text_bytes_max_(text_bytes_max) {
    if (!object.is_object()) blame("is not an object");
  }

  std::string text(const char* name) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return {};
    if (!value->is_string()) return blame_member(name, "is not a string"), std::string();
    const auto& found = value->get_ref<const std::string&>();
    if (found.size() > text_bytes_max_) return blame_member(name, "is too long"), std::string();
    return found;
  }

  uint64_t count(const char* name, uint64_t least = 0, uint64_t most = std::numeric_limits<uint64_t>::max()) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return least;
    if (!value->is_number_unsigned()) return blame_member(name, "is not a whole number from 0 up"), least;
    const auto found = value->get<uint64_t>();
    if (found < least || found > most) {
      blame_member(name, fmt::format("is {}, not in {} to {}", found, least, most));
      return least;
    }
    return found;
  }

  // A finite number; not negative unless `negative_too`.
  double number(const char* name, bool negative_too = false) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return 0;
    if (!value->is_number()) return blame_member(name, "is not a number"), 0;
    const auto found = value->get<double>();
    if (!std::isfinite(found) || (found < 0 && !negative_too)) return blame_member(name, "is out of range"), 0;
    return found;
  }

  bool flag(const char* name) {
    const nlohmann::json* value = find(name);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return blame_member(name, "is not true or false"), false;
    return value->get<bool>();
  }

  std::vector<std::string> texts(const char* name) {
    std::vector<std::string> all;
    const nlohmann::json* value = find(name);
    if (value == nullptr) return all;
    if (!value->is_array()) return blame_member(name, "is not a list"), all;
    for (const nlohmann::json& one : *value) {
      if (!one.is_string()) return blame_member(name, "is not a list of strings"), all;
      const auto& text = one.get_ref<const std::string&>();
      if (text.size() > text_bytes_max_) return blame_member(name, "has a string that is too long"), all;
      all.push_back(text);
    }
    return all;
  }

  // A member that must be there; nullptr (and blamed) if not.
  const nlohmann::json* find(const char* name) {
    if (error_) return nullptr;
    const auto at = object_.find(name);
    if (at == object_.end()) return blame_member(name, "is missing"), nullptr;
    return &*at;
  }

  [[nodiscard]] bool has(const char* name) const { return object_.is_object() && object_.contains(name); }
  void blame_member(const char* name, const std::string& problem) { blame(fmt::format("'{}' {}", name, problem)); }
  void blame(const std::string& problem) {
    if (!error_) error_ = Error{what_ + ": " + problem};
  }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  const nlohmann::json& object_;
  std::string what_;
  size_t text_bytes_max_;
  std::optional<Error> error_;
};

}  // namespace godwit::agent
