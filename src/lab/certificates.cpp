#include "lab/certificates.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <fmt/format.h>
#include <array>
#include <utility>
#include <vector>

namespace godwit::lab {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeBignum {
  void operator()(BIGNUM* number) const { BN_free(number); }
};
struct FreeExtension {
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};

std::unexpected<Error> openssl_failed(const char* doing) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return fail("{}: {}", doing, text.data());
}

// The PEM text that `write` puts out.
template <typename Write>
Result<std::string> to_pem(Write write) {
  const std::unique_ptr<BIO, FreeBio> memory(BIO_new(BIO_s_mem()));
  if (!memory || write(memory.get()) != 1) return openssl_failed("write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

bool set_random_serial(X509* certificate) {
  constexpr int serial_bits = 127;  // RFC 5280: at most 20 octets, positive
  const std::unique_ptr<BIGNUM, FreeBignum> number(BN_new());
  return number && BN_rand(number.get(), serial_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool add_to_name(X509_NAME* name, const char* field, const std::string& text) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

bool set_subject(X509_NAME* name, const CertificateRequest& request) {
  return (request.organization.empty() || add_to_name(name, "O", request.organization)) &&
         add_to_name(name, "CN", request.common_name);
}

// As the value of the extension; empty: none.
std::string alternative_names(const CertificateRequest& request) {
  std::vector<std::string> all;
  for (const std::string& name : request.names) all.push_back("DNS:" + name);
  for (const std::string& address : request.addresses) all.push_back("IP:" + address);
  return fmt::format("{}", fmt::join(all, ","));
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, FreeExtension> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

using Extensions = std::vector<std::pair<int, std::string>>;

// Fills in and signs; `issuer` is the certificate itself for an authority.
bool complete(X509* certificate, const CertificateRequest& subject, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
              int days, const Extensions& extensions) {
  constexpr long day_s = 24L * 60 * 60;
  if (X509_set_version(certificate, X509_VERSION_3) != 1 || !set_random_serial(certificate) ||
      X509_gmtime_adj(X509_getm_notBefore(certificate), -day_s) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(certificate), days * day_s) == nullptr ||
      !set_subject(X509_get_subject_name(certificate), subject) ||
      X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 || X509_set_pubkey(certificate, key) != 1) {
    return false;
  }
  for (const auto& [nid, value] : extensions) {
    if (!add_extension(certificate, issuer, nid, value)) return false;
  }
  return X509_sign(certificate, issuer_key, EVP_sha256()) != 0;
}

}  // namespace

void CertificateAuthority::Free::operator()(evp_pkey_st* key) const {
  EVP_PKEY_free(key);
}
void CertificateAuthority::Free::operator()(x509_st* certificate) const {
  X509_free(certificate);
}

Result<CertificateAuthority> CertificateAuthority::create(const std::string& common_name, int days) {
  Key key(EVP_EC_gen("P-256"));
  Certificate certificate(X509_new());
  if (!key || !certificate) return openssl_failed("make the authority's key");
  const Extensions extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                 {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                 {NID_subject_key_identifier, "hash"}};
  if (!complete(certificate.get(), {.common_name = common_name}, key.get(), certificate.get(), key.get(), days,
                extensions)) {
    return openssl_failed("make the authority's certificate");
  }
  GODWIT_ASSIGN(std::string pem, to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }));
  return CertificateAuthority(std::move(key), std::move(certificate), std::move(pem), days);
}

Result<NodeCertificate> CertificateAuthority::issue(const std::string& node_name, const std::string& address) const {
  return issue({.common_name = node_name, .names = {node_name}, .addresses = {address}});
}

Result<NodeCertificate> CertificateAuthority::issue(const CertificateRequest& request) const {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (!key || !certificate) return openssl_failed("make a key");
  Extensions extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                           {NID_key_usage, "critical,digitalSignature"},
                           {NID_ext_key_usage, "serverAuth,clientAuth"},
                           {NID_subject_key_identifier, "hash"},
                           {NID_authority_key_identifier, "keyid"}};
  if (const std::string names = alternative_names(request); !names.empty()) {
    extensions.emplace_back(NID_subject_alt_name, names);
  }
  if (!complete(certificate.get(), request, key.get(), certificate_.get(), key_.get(), days_, extensions)) {
    return openssl_failed("make a certificate");
  }
  NodeCertificate issued;
  GODWIT_ASSIGN(issued.certificate_pem, to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }));
  GODWIT_ASSIGN(issued.key_pem, to_pem([&](BIO* bio) {
                  return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
                }));
  return issued;
}

}  // namespace godwit::lab
