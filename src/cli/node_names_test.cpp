#include "cli/node_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/file.h"

namespace godwit::cli {
namespace {

using ::testing::HasSubstr;

class NodeNames : public ::testing::Test {
 protected:
  NodeNames() { EXPECT_NE(::mkdtemp(folder_.data()), nullptr); }
  ~NodeNames() override { EXPECT_TRUE(os::remove_tree(folder_).has_value()); }
  std::string file(std::string_view text) {
    EXPECT_TRUE(os::write_file_atomic(folder_ + "/nodes", text).has_value());
    return folder_ + "/nodes";
  }
  std::string folder_ = "/tmp/godwit-nodes-XXXXXX";
};

TEST(Address, WithAndWithoutPort) {
  EXPECT_EQ(parse_address("10.0.0.2"), "10.0.0.2:9876");
  EXPECT_EQ(parse_address("10.0.0.2:1234"), "10.0.0.2:1234");
  EXPECT_EQ(parse_address("fd00::2"), "[fd00::2]:9876");
  EXPECT_EQ(parse_address("[fd00::2]"), "[fd00::2]:9876");
  EXPECT_EQ(parse_address("[fd00::2]:7"), "[fd00::2]:7");
  for (const char* text : {"", "10.0.0", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:65536", "10.0.0.2:x", "[fd00::2", "[]:7",
                           "[10.0.0.2]:7", "[fd00::2]7", "[fd00::2]:", "node-2", "node-2:7"}) {
    EXPECT_FALSE(parse_address(text).has_value()) << text;
  }
}

TEST_F(NodeNames, NamesAreLookedUp) {
  const std::string nodes = file("# the two\nnode-1 10.0.0.1\n\n  node-2\t10.0.0.2:1234  # other port\n");
  const Result<NodeAddress> first = resolve_node("node-1", nodes);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  EXPECT_EQ(first->name, "node-1");
  EXPECT_EQ(first->address, "10.0.0.1:9876");
  EXPECT_EQ(resolve_node("node-2", nodes)->address, "10.0.0.2:1234");
}

TEST_F(NodeNames, AddressesNeedNoFile) {
  EXPECT_EQ(resolve_node("10.0.0.9:5", folder_ + "/none")->address, "10.0.0.9:5");
  EXPECT_EQ(resolve_node("10.0.0.9:5", folder_ + "/none")->name, "10.0.0.9:5");
}

TEST_F(NodeNames, ErrorsSayWhatToDo) {
  const std::string nodes = file("node-1 10.0.0.1\n");
  EXPECT_THAT(resolve_node("node-3", nodes).error().message, HasSubstr("add a line \"node-3 ADDRESS\""));
  EXPECT_THAT(resolve_node("10.0.0.1:x", nodes).error().message, HasSubstr("'x' is not a port"));
  EXPECT_THAT(resolve_node("node-1", file("node-1 10.0.0.1\nnode-2\n")).error().message, HasSubstr("line 2"));
  EXPECT_THAT(resolve_node("node-1", file("node-1 10.0.0.1 extra\n")).error().message, HasSubstr("line 1"));
  EXPECT_THAT(resolve_node("n", file("n 10.0.0.1\nn 10.0.0.2\n")).error().message, HasSubstr("two addresses"));
}

}  // namespace
}  // namespace godwit::cli
