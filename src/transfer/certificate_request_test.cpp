#include "transfer/certificate_request.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>

#include "transfer/openssl.h"

namespace godwit::transfer {
namespace {

using std::chrono::hours;
using testing::HasSubstr;

X509Ptr parse(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

TEST(CertificateRequest, TheSignerDecidesWhatTheCertificateSays) {
  const auto ca = make_ca("Test CA");
  const auto other = make_ca("Other CA");
  const auto request = make_certificate_request("node-of-my-choice");
  ASSERT_TRUE(ca && other && request);
  const auto signed_pem = sign_certificate_request(*ca, request->request_pem, {.dns = {"node-a"}}, {.until = hours(2)});
  ASSERT_TRUE(signed_pem) << signed_pem.error().message;
  const X509Ptr certificate = parse(*signed_pem);
  ASSERT_TRUE(certificate);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-a", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-of-my-choice", 0, 0, nullptr), 0);
  const BioPtr bio(BIO_new_mem_buf(request->key_pem.data(), static_cast<int>(request->key_pem.size())));
  const PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  EXPECT_EQ(X509_check_private_key(certificate.get(), key.get()), 1) << "of the key that stayed where it was";
  EXPECT_TRUE(signed_by_one_of(*signed_pem, ca->certificate_pem));
  EXPECT_TRUE(signed_by_one_of(*signed_pem, other->certificate_pem + ca->certificate_pem));
  EXPECT_FALSE(signed_by_one_of(*signed_pem, other->certificate_pem));
  EXPECT_FALSE(signed_by_one_of(*signed_pem, ""));
}

TEST(CertificateRequest, RefusesWhatItsHolderHasNotMade) {
  const auto ca = make_ca("Test CA");
  const auto request = make_certificate_request("a");
  ASSERT_TRUE(ca && request);
  std::string forged = request->request_pem;
  // In the signature, the last thing in it.
  const size_t at = forged.rfind("\n-----END") - 8;
  forged[at] = forged[at] == 'A' ? 'B' : 'A';
  const auto signed_pem = sign_certificate_request(*ca, forged, {.dns = {"node-a"}}, {});
  EXPECT_FALSE(signed_pem);
  const auto none = sign_certificate_request(*ca, "no request", {.dns = {"node-a"}}, {});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("certificate request"));
}

TEST(CertificateRequest, TellsACertificatesTimes) {
  const auto ca = make_ca("Test CA", {.from = -hours(1), .until = hours(5)});
  ASSERT_TRUE(ca);
  const auto times = certificate_times(ca->certificate_pem);
  ASSERT_TRUE(times);
  const auto now = std::chrono::system_clock::now();
  EXPECT_LT(std::chrono::abs(times->from - (now - hours(1))), std::chrono::minutes(1));
  EXPECT_LT(std::chrono::abs(times->until - (now + hours(5))), std::chrono::minutes(1));
  EXPECT_FALSE(certificate_times(""));
}

}  // namespace
}  // namespace godwit::transfer
