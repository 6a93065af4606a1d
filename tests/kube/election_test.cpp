#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <mutex>
#include <optional>
#include <sstream>

#include "fault_proxy.h"
#include "kube/json_path.h"
#include "kube/leader_election.h"
#include "kube/scratch.h"
#include "objects.h"

namespace godwit::kube {
namespace {

ElectionOptions options_for(const std::string& lease, const std::string& identity) {
  ElectionOptions options;
  options.namespace_name = "default";
  options.lease_name = lease;
  options.terms = {identity, seconds(4)};
  options.renew_within = seconds(2);
  options.retry_interval = milliseconds(300);
  return options;
}

// A candidate in this process, and when it gained and lost.
struct Candidate {
  Candidate(Client& client, const ElectionOptions& options)
      : election(client, options,
                 {.on_gained = [this](const FencingToken&) { note(gained_); }, .on_lost = [this] { note(lost_); }}) {}

  // When it was told so last; nothing: never. It is told a moment after leads() has changed.
  std::optional<Clock::time_point> gained() { return last(gained_); }
  std::optional<Clock::time_point> lost() { return last(lost_); }

 private:
  void note(std::optional<Clock::time_point>& when) {
    const std::lock_guard lock(mutex_);
    when = Clock::now();
  }
  std::optional<Clock::time_point> last(const std::optional<Clock::time_point>& when) {
    const std::lock_guard lock(mutex_);
    return when;
  }
  std::mutex mutex_;
  std::optional<Clock::time_point> gained_;
  std::optional<Clock::time_point> lost_;

 public:
  LeaderElection election;  // last: its thread uses the rest
};

struct ElectionTest : testing::Test {
  ControlPlane& plane = control_plane();
  Client client{plane.access()};
};

TEST_F(ElectionTest, OneLeadsAndTheOtherFollowsWhenItLeaves) {
  Candidate first(client, options_for("leaves", "first"));
  Candidate second(client, options_for("leaves", "second"));
  first.election.start();
  ASSERT_TRUE(wait_until([&] { return first.election.leads(); }));
  second.election.start();
  std::this_thread::sleep_for(seconds(5));
  EXPECT_FALSE(second.election.leads()) << "the first one renews";
  EXPECT_EQ(second.election.holder(), "first");
  const FencingToken before = first.election.token().value();
  const auto left = Clock::now();
  first.election.stop();
  EXPECT_FALSE(first.election.leads());
  ASSERT_TRUE(wait_until([&] { return second.election.leads(); }));
  EXPECT_LT(elapsed_ms(left), 2000) << "a Lease that was given up need not run out";
  EXPECT_GT(second.election.token()->sequence, before.sequence);
  EXPECT_EQ(second.election.token()->transitions, before.transitions + 1);
  second.election.stop();
  ASSERT_TRUE(first.lost() && second.gained());
  EXPECT_LT(*first.lost(), *second.gained());
}

TEST_F(ElectionTest, ALeaderThatIsCutOffHasLostBeforeAnotherGains) {
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  Candidate first(through, options_for("cut", "first"));
  Candidate second(client, options_for("cut", "second"));
  first.election.start();
  ASSERT_TRUE(wait_until([&] { return first.election.leads(); }));
  second.election.start();
  for (const Fault fault : {Fault::stall, Fault::cut}) {
    Candidate& leader = first.election.leads() ? first : second;
    Candidate& other = &leader == &first ? second : first;
    ASSERT_EQ(&leader, &first);
    const FencingToken before = leader.election.token().value();
    proxy.set(fault);
    const auto cut = Clock::now();
    ASSERT_TRUE(wait_until([&] {
      EXPECT_FALSE(leader.election.leads() && other.election.leads());
      return other.election.leads();
    }));
    EXPECT_LT(elapsed_ms(cut), 4000 + 2000) << "within the Lease's duration and one look at it";
    EXPECT_GT(other.election.token()->sequence, before.sequence);
    ASSERT_TRUE(wait_until([&] { return other.gained() > cut; }));
    ASSERT_TRUE(leader.lost() > cut);
    EXPECT_LT(*leader.lost(), *other.gained());
    proxy.set(Fault::none);
    std::this_thread::sleep_for(seconds(2));
    EXPECT_FALSE(leader.election.leads()) << "it sees that another leads";
    // Back to the first for the next fault.
    second.election.stop();
    ASSERT_TRUE(wait_until([&] { return first.election.leads(); }));
    second.election.start();
  }
}

TEST_F(ElectionTest, ALeaseThatSomebodyDeletesDoesNotLowerTheSequence) {
  Candidate candidate(client, options_for("deleted", "first"));
  candidate.election.start();
  ASSERT_TRUE(wait_until([&] { return candidate.election.leads(); }));
  const int64_t before = candidate.election.token()->sequence;
  std::this_thread::sleep_for(milliseconds(1100));  // creation times have whole seconds
  ASSERT_TRUE(succeeded(client.remove({resources::leases, "default", "deleted", ""}, {}, soon())));
  ASSERT_TRUE(wait_until([&] {
    const auto token = candidate.election.token();
    return token && token->sequence != before;
  }));
  EXPECT_GT(candidate.election.token()->sequence, before);
}

TEST_F(ElectionTest, WhatOthersWriteIntoTheLeaseStays) {
  Candidate candidate(client, options_for("annotated", "first"));
  candidate.election.start();
  ASSERT_TRUE(wait_until([&] { return candidate.election.leads(); }));
  const ObjectPath path{resources::leases, "default", "annotated", ""};
  const json patch = {{"metadata", {{"annotations", {{"who", "admin"}}}}},
                      {"spec", {{"strategy", "OldestEmulationVersion"}}}};
  ASSERT_TRUE(succeeded(client.patch(path, PatchType::merge, patch, soon())));
  const std::string renewed = text_at(client.get(path, soon()).value(), "/spec/renewTime");
  ASSERT_TRUE(wait_until([&] { return text_at(client.get(path, soon()).value(), "/spec/renewTime") != renewed; }));
  const json lease = client.get(path, soon()).value();
  EXPECT_EQ(annotation_of(lease, "who"), "admin");
  EXPECT_EQ(text_at(lease, "/spec/holderIdentity"), "first");
  EXPECT_TRUE(candidate.election.leads());
}

// A candidate in a process of its own (program.cpp), which writes a line each time it sees that it leads.
struct Process {
  Process(const ControlPlane& plane, const std::string& identity, const std::string& log_path) : path(log_path) {
    output = os::open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600).value();
    os::Command command{.argv = {KUBE_TEST_PROGRAM, "elect", plane.kubeconfig(), "suspended", identity}};
    command.descriptors = {{output.get(), STDOUT_FILENO}};
    auto started = os::Subprocess::start(command);
    EXPECT_TRUE(started.has_value());
    child.emplace(*std::move(started));
  }
  // The moments of the lines that begin with `what`, in ms of the steady clock.
  [[nodiscard]] std::vector<double> moments(const std::string& what) const {
    std::istringstream lines(os::read_file(path).value_or(""));
    std::vector<double> found;
    std::string word;
    double moment = 0;
    int64_t sequence = 0;
    while (lines >> word >> moment >> sequence) {
      if (word == what) found.push_back(moment);
    }
    return found;
  }
  [[nodiscard]] int64_t last_sequence() const {
    std::istringstream lines(os::read_file(path).value_or(""));
    std::string word;
    double moment = 0;
    int64_t sequence = 0;
    int64_t last = 0;
    while (lines >> word >> moment >> sequence) {
      if (word == "leads") last = sequence;
    }
    return last;
  }

  std::string path;
  UniqueFd output;
  std::optional<os::Subprocess> child;
};

TEST_F(ElectionTest, ALeaderThatWasSuspendedNeverLeadsBesideItsSuccessor) {
  const Scratch scratch;
  Process first(plane, "first", scratch.path() + "/first");
  ASSERT_TRUE(wait_until([&] { return !first.moments("leads").empty(); }));
  Process second(plane, "second", scratch.path() + "/second");
  std::this_thread::sleep_for(seconds(1));
  ASSERT_EQ(::kill(first.child->pid(), SIGSTOP), 0);
  const auto stopped = Clock::now();
  ASSERT_TRUE(wait_until([&] { return !second.moments("leads").empty(); }));
  EXPECT_LT(elapsed_ms(stopped), 4000 + 2000);
  ASSERT_EQ(::kill(first.child->pid(), SIGCONT), 0);
  ASSERT_TRUE(wait_until([&] { return !first.moments("lost").empty(); }));
  std::this_thread::sleep_for(seconds(2));
  const double succeeded_at = second.moments("leads").front();
  EXPECT_LT(first.moments("leads").back(), succeeded_at) << "not even for the moment after it woke up";
  EXPECT_GT(second.last_sequence(), first.last_sequence());
}

}  // namespace
}  // namespace godwit::kube
