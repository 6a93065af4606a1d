// The certificate authority of a cluster's agents and controllers, as it is kept in a Secret: a value, and what time
// makes of it. What is new is trusted by everyone before anything is signed with it, and what is old for as long as it
// has signed anything that is still good.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "transfer/certificates.h"

namespace godwit::controller {

struct AuthorityTerms {
  std::chrono::seconds life = std::chrono::days(730);
  // A new authority is made when a third of the old one's life is left, and signs after this time: until then every
  // agent has read that it is to be trusted.
  std::chrono::seconds overlap = std::chrono::hours(24);
  std::chrono::seconds certificate_life = std::chrono::hours(168);
};

struct Authority {
  transfer::CertifiedKey current;              // signs
  std::optional<transfer::CertifiedKey> next;  // will sign
  std::vector<std::string> retired;            // has signed: certificates only

  // What everyone shall trust, as one text.
  [[nodiscard]] std::string trusted() const;
};

// What `authority` (nothing: none yet) shall be at `now`. Makes keys; asks nobody. Errors: it cannot be read.
Result<Authority> authority_at(std::optional<Authority> authority, const AuthorityTerms& terms,
                               std::chrono::system_clock::time_point now);
// Whether a certificate is to be renewed: less than a third of its life is left, or it is not good yet or any more.
Result<bool> due_for_renewal(const std::string& certificate_pem, std::chrono::system_clock::time_point now);

// The Secret's `data`.
nlohmann::json encode_authority(const Authority& authority);
Result<Authority> decode_authority(const nlohmann::json& data);

}  // namespace godwit::controller
