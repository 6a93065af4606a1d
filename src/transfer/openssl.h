// Owning pointers for OpenSSL's objects, and its error queue as our Error. For this room's sources only: no other room
// sees OpenSSL.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include <fmt/core.h>

#include "base/c_object.h"
#include "base/result.h"

namespace godwit::transfer {

using BioPtr = std::unique_ptr<BIO, FreeBy<BIO_free_all>>;
using BignumPtr = std::unique_ptr<BIGNUM, FreeBy<BN_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, FreeBy<X509_free>>;
using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX_free>>;
using X509ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, FreeBy<GENERAL_NAMES_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, FreeBy<SSL_free>>;

// Empties this thread's queue of OpenSSL errors into one line; "no details" if there are none.
std::string take_openssl_errors();

// fail() for an OpenSSL call that has just failed: what was being done, then OpenSSL's reasons.
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail_openssl(fmt::format_string<Args...> format, Args&&... args) {
  return fail("{}: {}", fmt::format(format, std::forward<Args>(args)...), take_openssl_errors());
}

}  // namespace godwit::transfer
