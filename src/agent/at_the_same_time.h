// What is done to each of a pod's containers, to all of them at the same time.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "base/result.h"

namespace godwit::agent {

// Calls `act` with 0 to `count` - 1, each on a thread of its own but for the first. The outcomes, when all have
// returned.
inline std::vector<Result<>> at_the_same_time(size_t count, const std::function<Result<>(size_t)>& act) {
  std::vector<Result<>> outcomes(count);
  std::vector<std::jthread> others;
  for (size_t i = 1; i < count; ++i) others.emplace_back([&, i] { outcomes[i] = act(i); });
  outcomes[0] = act(0);
  for (std::jthread& other : others) other.join();
  return outcomes;
}

}  // namespace godwit::agent
