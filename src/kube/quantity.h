// Amounts of resources as Kubernetes writes them: "100m", "1.5Gi", "2e3".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace godwit::kube {

// In thousandths, rounded up; what is larger than any amount that makes sense is the largest number. Nothing: it is no
// amount. Source: the API conventions on "Quantity".
std::optional<int64_t> parse_quantity(std::string_view text);

}  // namespace godwit::kube
