// Each test runs inside a node of its own lab: this program starts the lab and then itself in the node.
#include <cstdlib>
#include <iostream>

#include <gtest/gtest.h>

#include "lab/lab.h"

namespace {

constexpr const char* in_node = "GODWIT_TEST_IN_NODE";
constexpr int skipped = 77;

int run_in_node(const std::vector<std::string>& arguments) {
  auto lab = godwit::lab::Lab::start({.nodes = 1});
  if (!lab) {
    std::cerr << "SKIPPED: no lab: " << lab.error().message << "\n";
    return skipped;
  }
  std::vector<std::string> command{"/opt/godwit/bin/criu_root_test"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  auto test =
      lab->node(1).spawn(command, {.environment = {std::string(in_node) + "=1"}, .descriptors = {{1, 1}, {2, 2}}});
  if (!test) {
    std::cerr << test.error().message << "\n";
    return 1;
  }
  const auto status = test->wait(godwit::Deadline::after(std::chrono::minutes(5)));
  if (!status) std::cerr << status.error().message << "\n";
  return status.value_or(1);
}

}  // namespace

int main(int argc, char** argv) {
  // Before gtest takes its own arguments out of them.
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests) || std::getenv(in_node) != nullptr) return RUN_ALL_TESTS();
  return run_in_node(arguments);
}
