#include "transfer/openssl.h"

#include <openssl/err.h>

namespace godwit::transfer {

std::string take_openssl_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? std::string(reason) : fmt::format("OpenSSL error {:#x}", code);
  }
  return text.empty() ? "no details" : text;
}

}  // namespace godwit::transfer
