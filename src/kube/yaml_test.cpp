#include "kube/yaml.h"

#include <gtest/gtest.h>

namespace godwit::kube {
namespace {

using nlohmann::json;

TEST(Yaml, PlainScalarsAreTypedAndQuotedOnesAreText) {
  const json parsed = parse_yaml_document(R"(
text: word
quoted: "true"
number: "12"
yes: true
no: False
nothing: ~
empty:
whole: -12
hex: 0x1F
real: 1.5e3
version: 1.2.3
infinity: .inf
word: infinity
block: |
  two
  lines
)")
                          .value();
  const json expected = {{"text", "word"},     {"quoted", "true"},       {"number", "12"},     {"yes", true},
                         {"no", false},        {"nothing", nullptr},     {"empty", nullptr},   {"whole", -12},
                         {"hex", 31},          {"real", 1500.0},         {"version", "1.2.3"}, {"infinity", ".inf"},
                         {"word", "infinity"}, {"block", "two\nlines\n"}};
  EXPECT_EQ(parsed, expected);
}

TEST(Yaml, DocumentsAreSeparateAndEmptyOnesLeftOut) {
  const auto documents = parse_yaml("---\na: 1\n---\n---\n# nothing\n---\n- b\n").value();
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_EQ(documents[0], json({{"a", 1}}));
  EXPECT_EQ(documents[1], json::array({"b"}));
}

TEST(Yaml, MistakesNameTheirLine) {
  EXPECT_EQ(parse_yaml("a: 1\nb: [1, 2\n").error().message.substr(0, 20), "no valid YAML: line ");
  EXPECT_EQ(parse_yaml("a: 1\nb: 2\na: 3\n").error().message, "line 3: \"a\" stands there twice");
}

// Eight levels of nine aliases each: 43 million values from 300 bytes.
TEST(Yaml, ATextThatGrowsImmenseThroughAliasesIsRefused) {
  std::string text = "l0: &l0 [x, x, x, x, x, x, x, x, x]\n";
  for (int level = 1; level < 8; ++level) {
    text += fmt::format("l{0}: &l{0} [", level);
    for (int i = 0; i < 9; ++i) text += fmt::format("{}*l{}", i == 0 ? "" : ", ", level - 1);
    text += "]\n";
  }
  const auto parsed = parse_yaml(text);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_TRUE(parsed.error().message.contains("too large")) << parsed.error().message;
}

}  // namespace
}  // namespace godwit::kube
