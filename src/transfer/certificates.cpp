#include "transfer/certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string_view>

#include "os/file.h"
#include "transfer/openssl.h"

namespace godwit::transfer {
namespace {

constexpr size_t name_length_max = 64;  // X.520's bound of a common name, and a node's name is shorter than that
constexpr int serial_bits = 127;        // positive, and within the 20 octets of RFC 5280

struct Extension {
  int nid;
  const char* value;
};

Result<std::string> to_pem(const X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return fail_openssl("encode certificate");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<> check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= name_length_max && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
  if (!good) {
    return fail("\"{}\" cannot stand in a certificate: a name has 1 to {} letters, digits, '-', '.' or '_'", name,
                name_length_max);
  }
  return {};
}

// A certificate with a new key's public half, its subject, a random serial number and its times; not yet signed.
Result<X509Ptr> new_certificate(EVP_PKEY* key, const std::string& common_name, Validity validity) {
  X509Ptr certificate(X509_new());
  const BignumPtr serial(BN_new());
  if (!certificate || !serial || BN_rand(serial.get(), serial_bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) == nullptr) {
    return fail_openssl("make a serial number");
  }
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  if (X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), validity.from.count()) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(certificate.get()), validity.until.count()) == nullptr ||
      X509_set_pubkey(certificate.get(), key) != 1 ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, static_cast<int>(common_name.size()), -1, 0) !=
          1) {
    return fail_openssl("fill the certificate of {}", common_name);
  }
  return certificate;
}

Result<> add_extensions(X509* certificate, X509* issuer, std::initializer_list<Extension> extensions) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const auto& [nid, value] : extensions) {
    const X509ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
    if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
      return fail_openssl("add extension {}", OBJ_nid2sn(nid));
    }
  }
  return {};
}

Result<> push_name(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  GODWIT_CHECK(name != nullptr);
  GENERAL_NAME_set0_value(name, type, value);
  if (sk_GENERAL_NAME_push(names, name) == 0) {
    GENERAL_NAME_free(name);
    return fail_openssl("add a subject alternative name");
  }
  return {};
}

Result<> add_alternative_names(X509* certificate, const NodeNames& names) {
  const GeneralNamesPtr list(sk_GENERAL_NAME_new_null());
  GODWIT_CHECK(list != nullptr);
  for (const auto& dns : names.dns) {
    GODWIT_TRY(check_name(dns));
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    GODWIT_CHECK(value != nullptr && ASN1_STRING_set(value, dns.data(), static_cast<int>(dns.size())) == 1);
    GODWIT_TRY(push_name(list.get(), GEN_DNS, value));
  }
  for (const auto& address : names.addresses) {
    ASN1_OCTET_STRING* value = a2i_IPADDRESS(address.c_str());
    if (value == nullptr) {
      take_openssl_errors();
      return fail("\"{}\" cannot stand in a certificate: not an IPv4 or IPv6 address", address);
    }
    GODWIT_TRY(push_name(list.get(), GEN_IPADD, value));
  }
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return fail_openssl("add subject alternative names");
  }
  return {};
}

struct Issuer {
  X509Ptr certificate;
  PkeyPtr key;
};

Result<Issuer> parse_issuer(const CertifiedKey& ca) {
  const BioPtr certificate_bio(BIO_new_mem_buf(ca.certificate_pem.data(), static_cast<int>(ca.certificate_pem.size())));
  const BioPtr key_bio(BIO_new_mem_buf(ca.key_pem.data(), static_cast<int>(ca.key_pem.size())));
  Issuer issuer{.certificate = X509Ptr(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr)),
                .key = PkeyPtr(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr))};
  if (!issuer.certificate || !issuer.key) return fail_openssl("read the CA's certificate and key");
  if (X509_check_ca(issuer.certificate.get()) == 0) return fail("cannot issue: the given certificate is not a CA");
  if (X509_check_private_key(issuer.certificate.get(), issuer.key.get()) != 1) {
    return fail_openssl("the CA's key is not that of its certificate");
  }
  return issuer;
}

Result<std::string> sign(X509* certificate, const X509* issuer, EVP_PKEY* issuer_key) {
  if (X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
      X509_sign(certificate, issuer_key, EVP_sha256()) == 0) {
    return fail_openssl("sign certificate");
  }
  return to_pem(certificate);
}

}  // namespace

Result<std::string> private_key_pem(const EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail_openssl("encode key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<CertifiedKey> make_ca(const std::string& common_name, Validity validity) {
  if (common_name.empty() || common_name.size() > name_length_max) {
    return fail("a CA's name has 1 to {} characters", name_length_max);
  }
  const PkeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return fail_openssl("make a P-256 key");
  GODWIT_ASSIGN(const X509Ptr certificate, new_certificate(key.get(), common_name, validity));
  GODWIT_TRY(add_extensions(certificate.get(), certificate.get(),
                            {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                             {NID_key_usage, "critical,keyCertSign,cRLSign"},
                             {NID_subject_key_identifier, "hash"}}));
  CertifiedKey pair;
  GODWIT_ASSIGN(pair.certificate_pem, sign(certificate.get(), certificate.get(), key.get()));
  GODWIT_ASSIGN(pair.key_pem, private_key_pem(key.get()));
  return pair;
}

Result<std::string> certify_key(const CertifiedKey& ca, EVP_PKEY* key, const NodeNames& names, Validity validity) {
  if (names.dns.empty()) return fail("a node's certificate needs at least one DNS name");
  GODWIT_TRY(check_name(names.dns.front()));
  GODWIT_ASSIGN(const Issuer issuer, parse_issuer(ca));
  GODWIT_ASSIGN(const X509Ptr certificate, new_certificate(key, names.dns.front(), validity));
  GODWIT_TRY(add_extensions(certificate.get(), issuer.certificate.get(),
                            {{NID_basic_constraints, "critical,CA:FALSE"},
                             {NID_key_usage, "critical,digitalSignature"},
                             {NID_ext_key_usage, "serverAuth,clientAuth"},
                             {NID_subject_key_identifier, "hash"},
                             {NID_authority_key_identifier, "keyid"}}));
  GODWIT_TRY(add_alternative_names(certificate.get(), names));
  return sign(certificate.get(), issuer.certificate.get(), issuer.key.get());
}

Result<CertifiedKey> make_node_certificate(const CertifiedKey& ca, const NodeNames& names, Validity validity) {
  const PkeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return fail_openssl("make a P-256 key");
  CertifiedKey pair;
  GODWIT_ASSIGN(pair.certificate_pem, certify_key(ca, key.get(), names, validity));
  GODWIT_ASSIGN(pair.key_pem, private_key_pem(key.get()));
  return pair;
}

Result<> write_certified_key(const CertifiedKey& pair, const std::string& certificate_path,
                             const std::string& key_path) {
  GODWIT_TRY(os::write_file_atomic(certificate_path, pair.certificate_pem, 0644));
  return os::write_file_atomic(key_path, pair.key_pem, 0600);
}

}  // namespace godwit::transfer
