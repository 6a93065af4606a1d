#pragma once

#include <string>

namespace godwit::network {

// Whether two addresses with prefix lengths, "10.0.0.5/24", are of one and the same network: of one family and prefix.
bool same_network(const std::string& a, const std::string& b);
bool same_family(const std::string& a, const std::string& b);

}  // namespace godwit::network
