// godwit-cni: gives a clone pod the address of its source (src/cni/plugin.h).
#include <cstdlib>
#include <iostream>
#include <iterator>

#include "cni/plugin.h"

namespace {

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

}  // namespace

int main() {
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  const auto output = godwit::cni::run({.command = variable("CNI_COMMAND"),
                                        .netns = variable("CNI_NETNS"),
                                        .interface = variable("CNI_IFNAME"),
                                        .path = variable("CNI_PATH"),
                                        .container_id = variable("CNI_CONTAINERID"),
                                        .arguments = variable("CNI_ARGS")},
                                       input);
  if (output) {
    std::cout << *output;
    return 0;
  }
  // A code of our own, as the specification has it from 100 on.
  std::cout << nlohmann::json{{"cniVersion", "1.0.0"}, {"code", 100}, {"msg", output.error().message}}.dump();
  return 1;
}
