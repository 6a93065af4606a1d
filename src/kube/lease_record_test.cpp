#include "kube/lease_record.h"

#include <gtest/gtest.h>

#include "kube/leader_election.h"

namespace godwit::kube {
namespace {

using nlohmann::json;
using std::chrono::seconds;

const Clock::time_point begin{seconds(1000)};
const LeaseTerms ours{"us", seconds(15)};

LeaseRecord held_by_another() {
  return decode_lease(json::parse(R"({"metadata":{"resourceVersion":"7","creationTimestamp":"2024-05-01T12:00:00Z"},
      "spec":{"holderIdentity":"them","leaseDurationSeconds":20,"leaseTransitions":4,
              "renewTime":"2024-05-01T12:00:00.000000Z"}})"));
}

TEST(LeaseRecord, AnothersLeaseIsTakenOnlyAfterItWasSeenUnchangedForItsWholeDuration) {
  LeaseSighting sighting = sight(std::nullopt, held_by_another(), begin);
  EXPECT_FALSE(may_acquire(sighting, ours, begin + seconds(19))) << "the holder counts on 20 s";
  EXPECT_TRUE(may_acquire(sighting, ours, begin + seconds(20)));
  sighting = sight(sighting, held_by_another(), begin + seconds(10));
  EXPECT_EQ(sighting.since, begin) << "looking again is not a change";
  LeaseRecord renewed = held_by_another();
  renewed.renew_time = "2024-05-01T12:00:10.000000Z";
  sighting = sight(sighting, renewed, begin + seconds(10));
  EXPECT_FALSE(may_acquire(sighting, ours, begin + seconds(29)));
  EXPECT_TRUE(may_acquire(sighting, ours, begin + seconds(30)));
}

TEST(LeaseRecord, AnOldRenewTimeAloneIsNoReasonToTakeIt) {
  const LeaseSighting sighting = sight(std::nullopt, held_by_another(), begin);
  EXPECT_FALSE(may_acquire(sighting, ours, begin)) << "the clocks of machines are not compared";
}

TEST(LeaseRecord, AHolderThatPromisesLittleIsStillGivenOurTime) {
  LeaseRecord hasty = held_by_another();
  hasty.duration = seconds(0);
  EXPECT_FALSE(may_acquire(sight(std::nullopt, hasty, begin), ours, begin + seconds(14)));
}

TEST(LeaseRecord, OursOrNobodysIsTakenAtOnce) {
  LeaseRecord record = held_by_another();
  record.holder = "us";
  EXPECT_TRUE(may_acquire(sight(std::nullopt, record, begin), ours, begin));
  record.holder = "";
  EXPECT_TRUE(may_acquire(sight(std::nullopt, record, begin), ours, begin));
}

TEST(LeaseRecord, ANewHolderCountsOneUpAndARenewalDoesNot) {
  const LeaseRecord theirs = held_by_another();
  const json taken = acquired_spec(theirs, ours, WallTime{});
  EXPECT_EQ(taken["leaseTransitions"], 5);
  EXPECT_TRUE(taken.contains("acquireTime"));
  LeaseRecord mine = theirs;
  mine.holder = "us";
  const json renewed = acquired_spec(mine, ours, WallTime{});
  EXPECT_FALSE(renewed.contains("leaseTransitions"));
  EXPECT_FALSE(renewed.contains("acquireTime"));
}

TEST(FencingToken, RisesWithTransitionsAndWhenTheLeaseWasDeletedAndMadeAgain) {
  LeaseRecord record = held_by_another();
  const FencingToken first = fencing_token(record);
  record.transitions = 2'000'000'000;
  const FencingToken second = fencing_token(record);
  record.transitions = 1;
  record.created = "2024-05-01T12:00:01Z";
  const FencingToken third = fencing_token(record);
  EXPECT_LT(first.sequence, second.sequence);
  EXPECT_LT(second.sequence, third.sequence);
  EXPECT_EQ(first.transitions, 4);
}

TEST(ElectionIdentity, IsAnotherEachTime) {
  EXPECT_NE(election_identity(), election_identity());
}

}  // namespace
}  // namespace godwit::kube
