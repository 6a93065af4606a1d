// Enumerations that stand in API objects as words.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace godwit::api {

template <typename T, size_t n>
using EnumNames = std::array<std::pair<T, const char*>, n>;

template <typename T, size_t n>
const char* name_of_value(const EnumNames<T, n>& names, T value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "";
}

template <typename T, size_t n>
std::optional<T> value_of_name(const EnumNames<T, n>& names, std::string_view name) {
  for (const auto& [value, known] : names) {
    if (name == known) return value;
  }
  return std::nullopt;
}

}  // namespace godwit::api
