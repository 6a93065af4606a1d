#include "controller/authority.h"

#include "kube/base64.h"
#include "transfer/certificate_request.h"

namespace godwit::controller {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr const char* name = "Godwit agents";
constexpr const char* separator = "-----BEGIN CERTIFICATE-----";
constexpr auto clocks_differ = std::chrono::hours(1);  // by which certificates begin earlier

Result<transfer::CertifiedKey> make(const AuthorityTerms& terms) {
  return transfer::make_ca(name, {.from = -clocks_differ, .until = terms.life});
}

std::vector<std::string> split_certificates(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = text.find(separator); start != std::string::npos;) {
    const size_t end = text.find(separator, start + 1);
    parts.push_back(text.substr(start, end == std::string::npos ? end : end - start));
    start = end;
  }
  return parts;
}

Result<bool> over(const std::string& certificate_pem, system_clock::time_point now) {
  GODWIT_ASSIGN(const transfer::CertificateTimes times, transfer::certificate_times(certificate_pem));
  return times.until <= now;
}

}  // namespace

std::string Authority::trusted() const {
  std::string text = current.certificate_pem;
  if (next) text += next->certificate_pem;
  for (const std::string& certificate : retired) text += certificate;
  return text;
}

Result<bool> due_for_renewal(const std::string& certificate_pem, system_clock::time_point now) {
  GODWIT_ASSIGN(const transfer::CertificateTimes times, transfer::certificate_times(certificate_pem));
  return now < times.from || times.until - now < (times.until - times.from) / 3;
}

Result<Authority> authority_at(std::optional<Authority> authority, const AuthorityTerms& terms,
                               system_clock::time_point now) {
  if (!authority) {
    GODWIT_ASSIGN(transfer::CertifiedKey first, make(terms));
    return Authority{.current = std::move(first), .next = std::nullopt, .retired = {}};
  }
  GODWIT_ASSIGN(const bool expired, over(authority->current.certificate_pem, now));
  if (authority->next) {
    GODWIT_ASSIGN(const transfer::CertificateTimes times,
                  transfer::certificate_times(authority->next->certificate_pem));
    // Nobody trusts one that has expired: waiting would help nobody.
    if (expired || now >= times.from + clocks_differ + terms.overlap) {
      authority->retired.push_back(authority->current.certificate_pem);
      authority->current = std::move(*authority->next);
      authority->next.reset();
    }
  } else {
    GODWIT_ASSIGN(const bool due, due_for_renewal(authority->current.certificate_pem, now));
    if (due) {
      GODWIT_ASSIGN(authority->next, make(terms));
    }
  }
  std::vector<std::string> kept;
  for (std::string& certificate : authority->retired) {
    GODWIT_ASSIGN(const bool gone, over(certificate, now));
    if (!gone) kept.push_back(std::move(certificate));
  }
  authority->retired = std::move(kept);
  return std::move(*authority);
}

json encode_authority(const Authority& authority) {
  std::string retired;
  for (const std::string& certificate : authority.retired) retired += certificate;
  const transfer::CertifiedKey next = authority.next.value_or(transfer::CertifiedKey{});
  return {{"current.pem", kube::encode_base64(authority.current.certificate_pem)},
          {"current.key", kube::encode_base64(authority.current.key_pem)},
          {"next.pem", kube::encode_base64(next.certificate_pem)},
          {"next.key", kube::encode_base64(next.key_pem)},
          {"retired.pem", kube::encode_base64(retired)}};
}

Result<Authority> decode_authority(const json& data) {
  const auto part = [&](const char* key) -> Result<std::string> {
    const auto at = data.is_object() ? data.find(key) : data.end();
    if (!data.is_object() || at == data.end() || !at->is_string()) return fail("the Secret has no \"{}\"", key);
    return kube::decode_base64(at->get<std::string>());
  };
  Authority authority;
  transfer::CertifiedKey next;
  GODWIT_ASSIGN(authority.current.certificate_pem, part("current.pem"));
  GODWIT_ASSIGN(authority.current.key_pem, part("current.key"));
  GODWIT_ASSIGN(next.certificate_pem, part("next.pem"));
  GODWIT_ASSIGN(next.key_pem, part("next.key"));
  GODWIT_ASSIGN(const std::string retired, part("retired.pem"));
  if (!next.certificate_pem.empty()) authority.next = std::move(next);
  authority.retired = split_certificates(retired);
  return authority;
}

}  // namespace godwit::controller
