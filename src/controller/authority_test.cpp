#include "controller/authority.h"

#include <gmock/gmock.h>

#include "transfer/certificate_request.h"

namespace godwit::controller {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::system_clock;
using testing::HasSubstr;
using testing::Not;

constexpr AuthorityTerms terms{.life = hours(300), .overlap = hours(10), .certificate_life = hours(30)};

Authority at(std::optional<Authority> authority, hours later) {
  auto made = authority_at(std::move(authority), terms, system_clock::now() + later);
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : Authority{};
}

TEST(Authority, StaysTheSameForTwoThirdsOfItsLife) {
  const Authority first = at(std::nullopt, hours(0));
  const Authority later = at(first, hours(190));
  EXPECT_EQ(later.trusted(), first.trusted());
  EXPECT_EQ(later.current.key_pem, first.current.key_pem);
}

TEST(Authority, ANewOneIsTrustedBeforeItSigns) {
  const Authority first = at(std::nullopt, hours(0));
  const Authority announced = at(first, hours(210));
  ASSERT_TRUE(announced.next);
  EXPECT_EQ(announced.current.certificate_pem, first.current.certificate_pem) << "which signs still";
  EXPECT_THAT(announced.trusted(), HasSubstr(announced.next->certificate_pem));
  EXPECT_THAT(announced.trusted(), HasSubstr(first.current.certificate_pem));

  // The second was made now, whatever the time above: it signs ten hours from now.
  EXPECT_TRUE(at(announced, hours(9)).next);
  const Authority changed = at(announced, hours(11));
  EXPECT_EQ(changed.current.certificate_pem, announced.next->certificate_pem);
  EXPECT_FALSE(changed.next);
  EXPECT_THAT(changed.trusted(), HasSubstr(first.current.certificate_pem)) << "it has signed what is still good";
  EXPECT_THAT(at(changed, hours(301)).trusted(), Not(HasSubstr(first.current.certificate_pem)));
}

TEST(Authority, OneThatHasExpiredIsReplacedAtOnce) {
  Authority old = at(std::nullopt, hours(0));
  const auto expired = transfer::make_ca("Old", {.from = -hours(3), .until = -hours(1)});
  ASSERT_TRUE(expired);
  old.current = *expired;
  const Authority announced = at(old, hours(0));
  ASSERT_TRUE(announced.next);
  const Authority changed = at(announced, hours(0));
  EXPECT_EQ(changed.current.certificate_pem, announced.next->certificate_pem);
  EXPECT_TRUE(changed.retired.empty());
}

TEST(Authority, ComesOutOfItsSecretAsItWentIn) {
  Authority authority = at(at(at(std::nullopt, hours(0)), hours(210)), hours(210));
  authority.retired = {at(std::nullopt, hours(0)).current.certificate_pem,
                       at(std::nullopt, hours(0)).current.certificate_pem};
  const auto decoded = decode_authority(encode_authority(authority));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->trusted(), authority.trusted());
  EXPECT_EQ(decoded->retired, authority.retired);
  EXPECT_EQ(decoded->current.key_pem, authority.current.key_pem);
  const auto empty = decode_authority(nlohmann::json::object());
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("current.pem"));
}

TEST(Authority, ACertificateIsDueInTheLastThirdOfItsLife) {
  const auto ca = transfer::make_ca("CA", {.from = -hours(1), .until = hours(29)});
  ASSERT_TRUE(ca);
  const auto now = system_clock::now();
  EXPECT_FALSE(due_for_renewal(ca->certificate_pem, now + hours(18)).value());
  EXPECT_TRUE(due_for_renewal(ca->certificate_pem, now + hours(20)).value());
  EXPECT_TRUE(due_for_renewal(ca->certificate_pem, now + hours(40)).value());
  EXPECT_TRUE(due_for_renewal(ca->certificate_pem, now - hours(2)).value());
}

}  // namespace
}  // namespace godwit::controller
