// How a node gets a certificate without its key ever leaving it: PKCS #10 requests (RFC 2986), PEM text in and out.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "transfer/certificates.h"

namespace godwit::transfer {

struct CertificateRequest {
  std::string key_pem;      // secret
  std::string request_pem;  // not
};

// A new key and the request for a certificate of it. `name` is for people: who signs decides what the certificate says.
Result<CertificateRequest> make_certificate_request(const std::string& name);

// The certificate of the key that the request is of. The names are those given here, whatever the request asks for.
// Errors: no request, one that was not made by the holder of the key, a key that is not P-256.
Result<std::string> sign_certificate_request(const CertifiedKey& ca, const std::string& request_pem,
                                             const NodeNames& names, Validity validity);

struct CertificateTimes {
  std::chrono::system_clock::time_point from;
  std::chrono::system_clock::time_point until;
};
// Of the first certificate of the text.
Result<CertificateTimes> certificate_times(const std::string& certificate_pem);
// Whether it was signed with the key of one of the certificates in the other text.
bool signed_by_one_of(const std::string& certificate_pem, const std::string& authorities_pem);

}  // namespace godwit::transfer
