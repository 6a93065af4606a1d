#include "lab/certificates.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>

#include <gtest/gtest.h>

namespace godwit::lab {
namespace {

struct FreeAny {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
template <typename T>
using Owned = std::unique_ptr<T, FreeAny>;

Owned<X509> parse_certificate(const std::string& pem) {
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Owned<X509>(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

bool verifies(const std::string& authority_pem, const std::string& certificate_pem, X509_PURPOSE* purpose) {
  const Owned<X509> authority = parse_certificate(authority_pem);
  const Owned<X509> certificate = parse_certificate(certificate_pem);
  const Owned<X509_STORE> store(X509_STORE_new());
  const Owned<X509_STORE_CTX> context(X509_STORE_CTX_new());
  X509_STORE_add_cert(store.get(), authority.get());
  X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_get_id(purpose));
  return X509_verify_cert(context.get()) == 1;
}

class CertificatesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto authority = CertificateAuthority::create("test authority");
    ASSERT_TRUE(authority) << authority.error().message;
    authority_ = std::make_unique<CertificateAuthority>(std::move(*authority));
    auto issued = authority_->issue("node-1", "10.88.0.11");
    ASSERT_TRUE(issued) << issued.error().message;
    issued_ = *issued;
  }
  std::unique_ptr<CertificateAuthority> authority_;
  NodeCertificate issued_;
};

TEST_F(CertificatesTest, IsGoodForServerAndClientAndNothingElse) {
  const std::string& authority = authority_->certificate_pem();
  EXPECT_TRUE(verifies(authority, issued_.certificate_pem, X509_PURPOSE_get0(X509_PURPOSE_get_by_sname("sslserver"))));
  EXPECT_TRUE(verifies(authority, issued_.certificate_pem, X509_PURPOSE_get0(X509_PURPOSE_get_by_sname("sslclient"))));
  EXPECT_FALSE(verifies(authority, issued_.certificate_pem, X509_PURPOSE_get0(X509_PURPOSE_get_by_sname("smimesign"))));
}

TEST_F(CertificatesTest, NamesAClientsOrganizationAndNoHost) {
  const auto client = authority_->issue({.common_name = "someone", .organization = "some group"});
  ASSERT_TRUE(client) << client.error().message;
  const Owned<X509> certificate = parse_certificate(client->certificate_pem);
  std::array<char, 256> name{};
  X509_NAME_oneline(X509_get_subject_name(certificate.get()), name.data(), name.size());
  EXPECT_STREQ(name.data(), "/O=some group/CN=someone");
  EXPECT_EQ(X509_get_ext_by_NID(certificate.get(), NID_subject_alt_name, -1), -1);
}

TEST_F(CertificatesTest, NamesTheNodeAndItsAddress) {
  const Owned<X509> certificate = parse_certificate(issued_.certificate_pem);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-1", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-2", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "10.88.0.11", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "10.88.0.12", 0), 0);
}

TEST_F(CertificatesTest, KeyBelongsToTheCertificate) {
  const Owned<BIO> bio(BIO_new_mem_buf(issued_.key_pem.data(), static_cast<int>(issued_.key_pem.size())));
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(X509_check_private_key(parse_certificate(issued_.certificate_pem).get(), key.get()), 1);
}

TEST_F(CertificatesTest, AnotherAuthorityDoesNotVouchForIt) {
  const auto other = CertificateAuthority::create("test authority");
  ASSERT_TRUE(other);
  EXPECT_FALSE(verifies(other->certificate_pem(), issued_.certificate_pem,
                        X509_PURPOSE_get0(X509_PURPOSE_get_by_sname("sslserver"))));
}

}  // namespace
}  // namespace godwit::lab
