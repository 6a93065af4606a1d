#include <openssl/err.h>
#include <openssl/pem.h>

#include <utility>

#include "os/file.h"
#include "transfer/openssl.h"
#include "transfer/tls.h"

namespace godwit::transfer {
namespace {

constexpr size_t pem_bytes_max = size_t{1} << 20;
constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

BioPtr memory_bio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<std::vector<X509Ptr>> read_certificates(const std::string& path, const char* what) {
  auto text = os::read_file(path, pem_bytes_max);
  if (!text) return std::unexpected(std::move(text).error().context(what));
  const BioPtr bio = memory_bio(*text);
  std::vector<X509Ptr> certificates;
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    certificates.push_back(std::move(certificate));
  }
  // The end of the text is reported as an error too; anything else is a malformed certificate.
  const unsigned long code = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  const std::string reasons = take_openssl_errors();
  if (!at_end) return fail("{}: {} is malformed: {}", what, path, reasons);
  if (certificates.empty()) return fail("{}: {} holds no PEM certificate", what, path);
  return certificates;
}

Result<PkeyPtr> read_key(const std::string& path) {
  auto text = os::read_file(path, pem_bytes_max);
  if (!text) return std::unexpected(std::move(text).error().context("node key"));
  const BioPtr bio = memory_bio(*text);
  // No passphrase is ever asked for on the terminal: an encrypted key is an error.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  OPENSSL_cleanse(text->data(), text->size());
  if (!key) return fail_openssl("node key: {} holds no unencrypted PEM key", path);
  return key;
}

std::string printed(const ASN1_TIME* time) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(bio.get(), time);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

Result<> check_times(const X509* certificate, const std::string& path) {
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return fail("certificate {} has expired on {}: issue a new one", path, printed(X509_get0_notAfter(certificate)));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return fail("certificate {} is not valid before {}: is this node's clock right?", path,
                printed(X509_get0_notBefore(certificate)));
  }
  return {};
}

// The check that a peer will make, made here too, where it can be said clearly.
Result<> check_issued(SSL_CTX* context, const std::string& ca_path, const std::string& certificate_path) {
  const StoreCtxPtr verification(X509_STORE_CTX_new());
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  if (!verification || X509_STORE_CTX_init(verification.get(), SSL_CTX_get_cert_store(context),
                                           SSL_CTX_get0_certificate(context), chain) != 1) {
    return fail_openssl("verify certificate {}", certificate_path);
  }
  const int verified = X509_verify_cert(verification.get());
  take_openssl_errors();
  if (verified == 1) return {};
  return fail("certificate {} is not one of the authority in {}: {}", certificate_path, ca_path,
              X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification.get())));
}

Result<SslCtxPtr> make_context() {
  SslCtxPtr context(SSL_CTX_new(TLS_method()));
  if (!context) return fail_openssl("make a TLS context");
  SSL_CTX* raw = context.get();
  if (SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1 || SSL_CTX_set_ciphersuites(raw, cipher_suites) != 1 ||
      SSL_CTX_set_num_tickets(raw, 0) != 1) {
    return fail_openssl("configure TLS");
  }
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

}  // namespace

Result<TlsIdentity> TlsIdentity::load(const std::string& ca_path, const std::string& certificate_path,
                                      const std::string& key_path) {
  GODWIT_ASSIGN(const std::vector<X509Ptr> authorities, read_certificates(ca_path, "certificate authority"));
  GODWIT_ASSIGN(std::vector<X509Ptr> chain, read_certificates(certificate_path, "node certificate"));
  GODWIT_ASSIGN(const PkeyPtr key, read_key(key_path));
  GODWIT_TRY(check_times(chain.front().get(), certificate_path));
  for (const X509Ptr& authority : authorities) GODWIT_TRY(check_times(authority.get(), ca_path));
  if (X509_check_private_key(chain.front().get(), key.get()) != 1) {
    take_openssl_errors();
    return fail("key {} does not belong to certificate {}", key_path, certificate_path);
  }
  GODWIT_ASSIGN(const SslCtxPtr context, make_context());
  for (const X509Ptr& authority : authorities) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get()) != 1) {
      return fail_openssl("trust the certificates of {}", ca_path);
    }
  }
  if (SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    return fail_openssl("use certificate {}", certificate_path);
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) != 1) {
      return fail_openssl("use the chain in {}", certificate_path);
    }
  }
  GODWIT_TRY(check_issued(context.get(), ca_path, certificate_path));
  SSL_CTX* counted = context.get();
  SSL_CTX_up_ref(counted);
  return TlsIdentity(std::shared_ptr<ssl_ctx_st>(counted, SSL_CTX_free));
}

}  // namespace godwit::transfer
