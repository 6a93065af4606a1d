#include "kube/yaml.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <optional>

namespace godwit::kube {
namespace {

using nlohmann::json;

constexpr size_t values_max = 1'000'000;  // aliases of aliases can make a short text immense
constexpr int depth_max = 200;

std::optional<json> number_of(const std::string& text) {
  const char* first = text.data() + (text.starts_with('+') ? 1 : 0);
  const char* last = text.data() + text.size();
  int64_t whole = 0;
  const bool hex = text.starts_with("0x");
  const auto as_whole = hex ? std::from_chars(text.data() + 2, last, whole, 16) : std::from_chars(first, last, whole);
  if (as_whole.ec == std::errc() && as_whole.ptr == last) return whole;
  // from_chars() would take "inf", "nan" and "infinity" as numbers, which JSON cannot say.
  if (text.find_first_not_of("0123456789+-.eE") != std::string::npos) return std::nullopt;
  double real = 0;
  const auto as_real = std::from_chars(first, last, real);
  if (as_real.ec == std::errc() && as_real.ptr == last) return real;
  return std::nullopt;
}

json scalar_of(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") return text;  // quoted, or said to be text
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (auto number = number_of(text)) return *number;
  return text;
}

class Converter {
 public:
  Result<json> convert(const YAML::Node& node, int depth = 0) {
    if (++values_ > values_max || depth > depth_max) return fail("line {}: too large or too deep", line_of(node));
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        return scalar_of(node);
      case YAML::NodeType::Sequence:
        return sequence(node, depth);
      case YAML::NodeType::Map:
        return map(node, depth);
      default:
        return json(nullptr);
    }
  }

 private:
  static int line_of(const YAML::Node& node) { return node.Mark().line + 1; }

  Result<json> sequence(const YAML::Node& node, int depth) {
    json array = json::array();
    for (const YAML::Node& element : node) {
      GODWIT_ASSIGN(json value, convert(element, depth + 1));
      array.push_back(std::move(value));
    }
    return array;
  }

  Result<json> map(const YAML::Node& node, int depth) {
    json object = json::object();
    for (const auto& member : node) {
      if (!member.first.IsScalar()) return fail("line {}: a key that is no text", line_of(member.first));
      const std::string& key = member.first.Scalar();
      if (object.contains(key)) return fail("line {}: \"{}\" stands there twice", line_of(member.first), key);
      GODWIT_ASSIGN(object[key], convert(member.second, depth + 1));
    }
    return object;
  }

  size_t values_ = 0;
};

}  // namespace

Result<std::vector<json>> parse_yaml(const std::string& text) {
  std::vector<json> documents;
  try {
    for (const YAML::Node& node : YAML::LoadAll(text)) {
      GODWIT_ASSIGN(json document, Converter().convert(node));
      if (!document.is_null()) documents.push_back(std::move(document));
    }
  } catch (const YAML::Exception& error) {
    return fail("no valid YAML: line {}: {}", error.mark.line + 1, error.msg);
  }
  return documents;
}

Result<json> parse_yaml_document(const std::string& text) {
  GODWIT_ASSIGN(std::vector<json> documents, parse_yaml(text));
  if (documents.size() != 1) return fail("{} YAML documents where one is expected", documents.size());
  return std::move(documents[0]);
}

}  // namespace godwit::kube
