// Workers and supervisors are killed in each phase, on each side. The container runs in exactly one place when all has
// been cleared up, and both nodes' sessions have ended and say so.
#include "fault_fixture.h"

namespace godwit::moves {
namespace {

using agent::Phase;

struct Victims {
  bool source_worker = false;
  bool source_agent = false;
  bool destination_worker = false;
  bool destination_agent = false;
};

class KillTest : public FaultTest {
 protected:
  void SetUp() override {
    FaultTest::SetUp();
    make_counter(1);
  }

  [[nodiscard]] int there() const { return 3 - here_; }

  // A move from where the container is to the other node, with something killed `delay` after a phase has begun.
  void kill_in(Phase phase, milliseconds delay, const Victims& victims) {
    SCOPED_TRACE(testing::Message() << agent::phase_name(phase) << " + " << delay.count() << " ms");
    const auto move = begin_until(phase, here_, there());
    if (!move) return;
    std::this_thread::sleep_for(delay);
    kill(victims, move->session());
    // With only an agent killed the move would go on for very long.
    const bool lives = !victims.source_worker && !victims.destination_worker;
    if (lives && phase == Phase::pre_copy) EXPECT_TRUE(nodes().cancel(here_, move->session()).has_value());
    settle(move->session());
  }

  void kill(const Victims& victims, const std::string& session) {
    // The supervisors first: a worker's must not get the time to recover it.
    if (victims.source_agent) ASSERT_TRUE(nodes().kill_agent(here_).has_value());
    if (victims.destination_agent) ASSERT_TRUE(nodes().kill_agent(there()).has_value());
    if (victims.source_worker) hits_ += nodes().kill_worker(here_, session).value_or(false) ? 1 : 0;
    if (victims.destination_worker) hits_ += nodes().kill_worker(there(), session).value_or(false) ? 1 : 0;
    if (victims.source_agent) ASSERT_TRUE(nodes().start_agent(here_).has_value());
    if (victims.destination_agent) ASSERT_TRUE(nodes().start_agent(there()).has_value());
  }

  [[nodiscard]] bool knows(int node, const std::string& session) {
    return std::ranges::any_of(nodes().sessions(node), [&](const auto& known) { return known.session == session; });
  }

  // Waits until both sides' sessions have ended; finds out where the container is, and that it is there alone.
  void settle(const std::string& session) {
    const auto result = nodes().outcome(here_, session, Deadline::after(settle_time));
    ASSERT_TRUE(result.has_value()) << result.error().message;
    bool ended_there = false;
    for (const agent::SessionInfo& known : nodes().sessions(there())) {
      if (known.session != session) continue;
      const auto other = nodes().outcome(there(), session, Deadline::after(settle_time));
      if (!other && !knows(there(), session)) continue;  // killed before the two had spoken
      ASSERT_TRUE(other.has_value()) << other.error().message;
      ended_there = other->reason.find("before all memory was in place") != std::string::npos;
      if (!ended_there) EXPECT_EQ(other->ok, result->ok) << other->reason << " / " << result->reason;
    }
    if (ended_there) {
      // It ran there, without all of its memory, when the worker that had the rest was killed. The source's operator is
      // told so too, unless RUNNING had reached the source before.
      if (!result->ok) EXPECT_THAT(result->reason, testing::HasSubstr("before all memory was in place"));
      for (const int node : {1, 2}) EXPECT_THAT(nodes().lasting_traces_of("counter", node), testing::IsEmpty());
      here_ = 1;
      make_counter(1);
      return;
    }
    if (result->ok) {
      ++moved_;
      here_ = there();
    } else {
      ++stayed_;
      EXPECT_THAT(result->reason, testing::Not(testing::IsEmpty()));
    }
    expect_runs_only_on(here_, there());
  }

  // Waits until pages are on their way, by all connections that a move needs.
  static bool copies(const Move& move) {
    for (const Deadline deadline = Deadline::after(std::chrono::seconds(20)); !deadline.expired();) {
      for (const agent::Event& event : move.events()) {
        const auto* progress = std::get_if<agent::ProgressEvent>(&event);
        if (progress != nullptr && progress->bytes_sent > 0) return true;
      }
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  // The short phases are hit at several moments.
  void kill_in_each_phase(const Victims& victims, const std::vector<int>& delays_ms) {
    kill_in(Phase::prepare, milliseconds(30), victims);
    kill_in(Phase::pre_copy, milliseconds(delays_ms.back()), victims);
    for (const Phase phase : {Phase::freeze, Phase::restore}) {
      for (const int delay_ms : delays_ms) kill_in(phase, milliseconds(delay_ms), victims);
    }
    EXPECT_GE(hits_, 3) << "hardly anything was killed";
    EXPECT_GE(stayed_, 2);
    expect_moves(here_, there());
  }

  int here_ = 1;
  int hits_ = 0;  // workers that were there to be killed
  int moved_ = 0;
  int stayed_ = 0;
};

TEST_F(KillTest, SourceWorkerInEachPhase) {
  kill_in_each_phase({.source_worker = true}, {0, 15, 35, 60});
}

TEST_F(KillTest, DestinationWorkerInEachPhase) {
  kill_in_each_phase({.destination_worker = true}, {0, 15, 35, 60});
}

TEST_F(KillTest, SourceWorkerAndItsAgentInEachPhase) {
  kill_in_each_phase({.source_worker = true, .source_agent = true}, {0, 35});
}

TEST_F(KillTest, DestinationWorkerAndItsAgentInEachPhase) {
  kill_in_each_phase({.destination_worker = true, .destination_agent = true}, {0, 35});
}

TEST_F(KillTest, BothWorkersInEachPhase) {
  kill_in_each_phase({.source_worker = true, .destination_worker = true}, {0, 35});
}

// `ip` takes long to make the network namespace; the worker dies meanwhile, with directories and mounts made and the
// slot half done. The agent clears it up when it is started, not the next move.
TEST_F(KillTest, ASlotThatWasBeingMadeIsClearedUpByTheNextAgent) {
  run(2, R"sh(cp $(command -v ip) /tmp/real-ip
cat >/tmp/slow-ip <<'END'
#!/bin/sh
case "$*" in *"netns add"*) sleep 3;; esac
exec /tmp/real-ip "$@"
END
chmod +x /tmp/slow-ip
mount --bind /tmp/slow-ip $(command -v ip))sh");
  const auto move = nodes().begin_move("counter", 1, 2);
  const Deadline deadline = Deadline::after(std::chrono::seconds(10));
  const auto mounted = [this] {
    const auto traces = nodes().traces_of("counter", 2);
    return std::find(traces.begin(), traces.end(), "mounts") != traces.end();
  };
  while (!mounted() && !deadline.expired()) std::this_thread::sleep_for(milliseconds(5));
  ASSERT_TRUE(mounted()) << "there is no slot to kill";
  ASSERT_TRUE(nodes().kill_agent(2).has_value());
  ASSERT_TRUE(nodes().kill_worker(2, move->session()).value_or(false)) << "the worker had made its slot already";
  run(2, "umount $(command -v ip)");
  EXPECT_THAT(nodes().traces_of("counter", 2), testing::Not(testing::IsEmpty()));
  ASSERT_TRUE(nodes().start_agent(2).has_value());
  settle(move->session());
  EXPECT_EQ(here_, 1);
  expect_moves(1, 2);
}

// A worker needs no supervisor, once its connections are there.
TEST_F(KillTest, AMoveGoesOnWhileBothAgentsAreStartedAgain) {
  agent::MigrateOptions options = slow;
  options.bandwidth_bytes_per_s = 8'000'000;
  const auto move = nodes().begin_move("counter", 1, 2, options);
  const auto begun = move->wait_for_phase(Phase::pre_copy, Deadline::after(std::chrono::seconds(20)));
  ASSERT_TRUE(begun.has_value()) << begun.error().message;
  ASSERT_TRUE(copies(*move));
  kill({.source_agent = true, .destination_agent = true}, move->session());
  const auto result = move->result();
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_TRUE(result->ok) << result->reason;
  expect_runs_only_on(2, 1);
  expect_moves(2, 1);
}

TEST_F(KillTest, AgentsKilledInEachPhase) {
  for (const Phase phase : {Phase::prepare, Phase::pre_copy, Phase::freeze, Phase::restore}) {
    kill_in(phase, milliseconds(10), {.source_agent = true});
    kill_in(phase, milliseconds(10), {.destination_agent = true});
  }
  expect_moves(here_, there());
}

}  // namespace
}  // namespace godwit::moves
