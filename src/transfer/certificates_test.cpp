#include "transfer/certificates.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/file.h"
#include "transfer/openssl.h"

namespace godwit::transfer {
namespace {

using testing::HasSubstr;

X509Ptr parse(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

TEST(Certificates, NodeCertificateIsSignedByTheCaAndCarriesItsNames) {
  const auto ca = make_ca("Test CA");
  ASSERT_TRUE(ca) << ca.error().message;
  const auto node = make_node_certificate(*ca, {.dns = {"node-a", "a.example"}, .addresses = {"10.1.0.2", "fd00::2"}});
  ASSERT_TRUE(node) << node.error().message;
  const X509Ptr ca_certificate = parse(ca->certificate_pem);
  const X509Ptr certificate = parse(node->certificate_pem);
  ASSERT_TRUE(ca_certificate && certificate);

  EXPECT_EQ(X509_verify(certificate.get(), X509_get0_pubkey(ca_certificate.get())), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-a", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "a.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "node-b", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "10.1.0.2", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "fd00::2", 0), 1);
  EXPECT_EQ(X509_check_ca(certificate.get()), 0);
  EXPECT_NE(X509_check_ca(ca_certificate.get()), 0);
  EXPECT_EQ(X509_cmp_current_time(X509_get0_notAfter(certificate.get())), 1);
}

TEST(Certificates, RefusesWhatCannotBeIssued) {
  const auto ca = make_ca("Test CA");
  ASSERT_TRUE(ca);
  const auto node = make_node_certificate(*ca, {.dns = {"node-a"}});
  ASSERT_TRUE(node);

  const auto no_ca = make_node_certificate(*node, {.dns = {"node-b"}});
  ASSERT_FALSE(no_ca);
  EXPECT_THAT(no_ca.error().message, HasSubstr("not a CA"));
  const auto other_key =
      make_node_certificate({.certificate_pem = ca->certificate_pem, .key_pem = node->key_pem}, {.dns = {"node-b"}});
  ASSERT_FALSE(other_key);
  EXPECT_THAT(other_key.error().message, HasSubstr("not that of its certificate"));
  EXPECT_FALSE(make_node_certificate(*ca, {}));
  EXPECT_FALSE(make_node_certificate(*ca, {.dns = {"a,IP:1.2.3.4"}}));
  EXPECT_FALSE(make_node_certificate(*ca, {.dns = {"node-a"}, .addresses = {"10.1.0.256"}}));
  EXPECT_FALSE(make_ca(""));
}

TEST(Certificates, WritesTheKeyForItsOwnerOnly) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "godwit-certificates-test";
  ASSERT_TRUE(os::make_directories(directory));
  const auto ca = make_ca("Test CA");
  ASSERT_TRUE(ca);
  const auto written = write_certified_key(*ca, directory / "ca.pem", directory / "ca.key");
  ASSERT_TRUE(written) << written.error().message;
  struct stat status{};
  ASSERT_EQ(::stat((directory / "ca.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(*os::read_file(directory / "ca.pem"), ca->certificate_pem);
  ASSERT_TRUE(os::remove_tree(directory));
}

}  // namespace
}  // namespace godwit::transfer
