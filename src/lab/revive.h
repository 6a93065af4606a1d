// The helper program that switches a killed node on again: `godwit-lab revive LAB NUMBER`. The new node is made as the
// supervisor made the first one, and becomes the supervisor's child, so that it ends with the lab like any other.
#pragma once

#include <string>
#include <vector>

namespace godwit::lab {

// A program of its own, because it forks without exec and enters namespaces: both need a single thread.
int revive_main(const std::vector<std::string>& arguments);

}  // namespace godwit::lab
