// Makes a certificate authority and the nodes' certificates: for the lab, for tests, and for whoever runs Godwit
// without a PKI of their own. ECDSA P-256 throughout; PEM text in and out.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;

namespace godwit::transfer {

struct CertifiedKey {
  std::string certificate_pem;
  std::string key_pem;  // PKCS #8, not encrypted
};

// Both relative to now. It begins in the past because the clocks of two nodes differ.
struct Validity {
  std::chrono::seconds from = -std::chrono::hours(1);
  std::chrono::seconds until = std::chrono::days(3650);
};

// What the certificate's holder may be called (subject alternative names). At least one; the first DNS name is also
// the common name. A peer is known by its DNS names.
struct NodeNames {
  std::vector<std::string> dns;        // e.g. "node-a"
  std::vector<std::string> addresses;  // e.g. "10.1.0.2", "fd00::2"
};

Result<CertifiedKey> make_ca(const std::string& common_name, Validity validity = {});

// For both ends of a connection (serverAuth and clientAuth). Errors: `ca` is not a CA, a name or an address is not one.
Result<CertifiedKey> make_node_certificate(const CertifiedKey& ca, const NodeNames& names, Validity validity = {});

// The same for a key that another has, as its public half: for this room's sources, which have OpenSSL's objects.
Result<std::string> certify_key(const CertifiedKey& ca, evp_pkey_st* key, const NodeNames& names, Validity validity);
// A key as PEM text, PKCS #8, not encrypted.
Result<std::string> private_key_pem(const evp_pkey_st* key);

// The certificate with mode 0644, the key with mode 0600; existing files are replaced.
Result<> write_certified_key(const CertifiedKey& pair, const std::string& certificate_path,
                             const std::string& key_path);

}  // namespace godwit::transfer
