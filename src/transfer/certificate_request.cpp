#include "transfer/certificate_request.h"

#include <openssl/ec.h>
#include <openssl/pem.h>

#include <ctime>

#include "transfer/openssl.h"

namespace godwit::transfer {
namespace {

using RequestPtr = std::unique_ptr<X509_REQ, FreeBy<X509_REQ_free>>;

BioPtr reader_of(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Result<X509Ptr> parse_certificate(const std::string& pem) {
  X509Ptr certificate(PEM_read_bio_X509(reader_of(pem).get(), nullptr, nullptr, nullptr));
  if (!certificate) return fail_openssl("read a certificate");
  return certificate;
}

Result<std::chrono::system_clock::time_point> time_of(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return fail_openssl("read a certificate's time");
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

}  // namespace

Result<CertificateRequest> make_certificate_request(const std::string& name) {
  const PkeyPtr key(EVP_EC_gen("P-256"));
  const RequestPtr request(X509_REQ_new());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!key || !request || !bio) return fail_openssl("make a certificate request");
  const auto* text = reinterpret_cast<const unsigned char*>(name.data());
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, static_cast<int>(name.size()), -1, 0) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return fail_openssl("make a certificate request for {}", name);
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  CertificateRequest made{.key_pem = "", .request_pem = std::string(data, static_cast<size_t>(size))};
  GODWIT_ASSIGN(made.key_pem, private_key_pem(key.get()));
  return made;
}

Result<std::string> sign_certificate_request(const CertifiedKey& ca, const std::string& request_pem,
                                             const NodeNames& names, Validity validity) {
  const RequestPtr request(PEM_read_bio_X509_REQ(reader_of(request_pem).get(), nullptr, nullptr, nullptr));
  if (!request) return fail_openssl("read a certificate request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    take_openssl_errors();
    return fail("the request was not made by the holder of its key");
  }
  char group[32] = {};
  size_t length = 0;
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, group, sizeof group, &length) != 1 ||
      std::string(group, length) != "prime256v1") {
    take_openssl_errors();
    return fail("the request's key is not of the curve P-256");
  }
  return certify_key(ca, key, names, validity);
}

Result<CertificateTimes> certificate_times(const std::string& certificate_pem) {
  GODWIT_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
  CertificateTimes times;
  GODWIT_ASSIGN(times.from, time_of(X509_get0_notBefore(certificate.get())));
  GODWIT_ASSIGN(times.until, time_of(X509_get0_notAfter(certificate.get())));
  return times;
}

bool signed_by_one_of(const std::string& certificate_pem, const std::string& authorities_pem) {
  const auto certificate = parse_certificate(certificate_pem);
  const BioPtr authorities = reader_of(authorities_pem);
  bool verified = false;
  while (certificate && !verified) {
    const X509Ptr authority(PEM_read_bio_X509(authorities.get(), nullptr, nullptr, nullptr));
    if (!authority) break;
    verified = X509_verify(certificate->get(), X509_get0_pubkey(authority.get())) == 1;
  }
  take_openssl_errors();
  return verified;
}

}  // namespace godwit::transfer
