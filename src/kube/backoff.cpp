#include "kube/backoff.h"

#include <algorithm>
#include <cmath>

namespace godwit::kube {

milliseconds backoff_delay(const BackoffLimits& limits, int failures, double random) {
  constexpr int doublings_max = 40;
  const double doubled = static_cast<double>(limits.first.count()) * std::exp2(std::clamp(failures, 0, doublings_max));
  const auto most = static_cast<double>(limits.most.count());
  const double factor = 1 - limits.jitter + 2 * limits.jitter * random;
  return milliseconds(std::llround(std::min(std::min(doubled, most) * factor, most)));
}

}  // namespace godwit::kube
