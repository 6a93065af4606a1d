// The certificates with which agents prove to each other who they are: an authority for one lab, and a key and a
// certificate for each node.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;
struct x509_st;

namespace godwit::lab {

struct NodeCertificate {
  std::string certificate_pem;
  std::string key_pem;  // secret: files that hold it are for their owner only
};

struct CertificateRequest {
  std::string common_name;
  std::string organization;            // empty: none; Kubernetes reads a user's group from it
  std::vector<std::string> names;      // DNS names that it is good for
  std::vector<std::string> addresses;  // and IP addresses
};

// Signs node certificates. The authority's key never leaves the object. Plain value, one thread at a time.
class CertificateAuthority {
 public:
  // ECDSA P-256; everything it signs is good from a day ago (clocks differ) for `days`.
  static Result<CertificateAuthority> create(const std::string& common_name, int days = 30);
  CertificateAuthority(CertificateAuthority&&) noexcept = default;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept = default;
  ~CertificateAuthority() = default;

  [[nodiscard]] const std::string& certificate_pem() const { return certificate_pem_; }
  // For a node that is both client and server: subject alternative names are its name and its address.
  [[nodiscard]] Result<NodeCertificate> issue(const std::string& node_name, const std::string& address) const;
  [[nodiscard]] Result<NodeCertificate> issue(const CertificateRequest& request) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const;
    void operator()(x509_st* certificate) const;
  };
  using Key = std::unique_ptr<evp_pkey_st, Free>;
  using Certificate = std::unique_ptr<x509_st, Free>;
  CertificateAuthority(Key key, Certificate certificate, std::string pem, int days)
      : key_(std::move(key)), certificate_(std::move(certificate)), certificate_pem_(std::move(pem)), days_(days) {}

  Key key_;
  Certificate certificate_;
  std::string certificate_pem_;
  int days_;
};

}  // namespace godwit::lab
