#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::kube {

// Standard alphabet (RFC 4648, section 4); white space is passed over, padding may be missing.
Result<std::string> decode_base64(std::string_view text);
std::string encode_base64(std::string_view data);

}  // namespace godwit::kube
