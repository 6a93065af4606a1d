#include "api/label_selector.h"

#include <algorithm>
#include <optional>
#include <string>

#include "kube/json_path.h"

namespace godwit::api {
namespace {

using nlohmann::json;

std::optional<std::string> value_of(const json& labels, const std::string& label) {
  if (!labels.is_object()) return std::nullopt;
  const auto at = labels.find(label);
  return at != labels.end() && at->is_string() ? std::optional(at->get<std::string>()) : std::nullopt;
}

Result<bool> meets(const json& expression, const json& labels) {
  const std::string op = kube::text_at(expression, "/operator");
  const std::optional<std::string> value = value_of(labels, kube::text_at(expression, "/key"));
  if (op == "Exists") return value.has_value();
  if (op == "DoesNotExist") return !value.has_value();
  const json* values = kube::value_at(expression, "/values");
  const bool listed = value && values != nullptr && std::ranges::find(*values, json(*value)) != values->end();
  if (op == "In") return listed;
  if (op == "NotIn") return !listed;
  return fail("a label selector has no operator \"{}\"", op);
}

}  // namespace

Result<bool> selects(const json& selector, const json& labels) {
  bool all = true;
  if (const json* wanted = kube::value_at(selector, "/matchLabels"); wanted != nullptr && wanted->is_object()) {
    for (const auto& [label, value] : wanted->items()) {
      const auto found = value_of(labels, label);
      all = all && found && value == *found;
    }
  }
  if (const json* expressions = kube::value_at(selector, "/matchExpressions");
      expressions != nullptr && expressions->is_array()) {
    for (const json& expression : *expressions) {
      GODWIT_ASSIGN(const bool met, meets(expression, labels));
      all = all && met;
    }
  }
  return all;
}

}  // namespace godwit::api
