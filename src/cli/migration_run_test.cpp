#include "cli/migration_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "cli/agent_client.h"
#include "cli/verbs.h"
#include "os/file.h"

namespace godwit::cli {
namespace {

using ::testing::HasSubstr;

// A unix socket that plays an agent: answers each connection, on a thread of its own, by what `handler` says.
class ReplayAgent {
 public:
  using Say = std::function<void(const std::string& line)>;
  using Handler = std::function<void(const agent::Request&, const Say&)>;

  explicit ReplayAgent(Handler handler) : handler_(std::move(handler)) {
    EXPECT_NE(::mkdtemp(folder_.data()), nullptr);
    path = folder_ + "/agent.sock";
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~ReplayAgent() {
    stop_ = true;
    acceptor_.join();
    for (std::thread& connection : connections_) connection.join();
    EXPECT_TRUE(os::remove_tree(folder_).has_value());
  }

  std::string path;

 private:
  void accept_all() {
    while (!stop_) {
      pollfd waited{listener_.get(), POLLIN, 0};
      if (::poll(&waited, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      connections_.emplace_back([this, fd] { answer(UniqueFd(fd)); });
    }
  }
  void answer(UniqueFd fd) {
    std::string line;
    char byte = 0;
    while (::read(fd.get(), &byte, 1) == 1 && byte != '\n') line += byte;
    const Result<agent::Request> request = agent::decode_request(line);
    if (!request) return ADD_FAILURE() << request.error().message;
    handler_(*request,
             [&](const std::string& said) { ::send(fd.get(), (said + "\n").data(), said.size() + 1, MSG_NOSIGNAL); });
  }

  Handler handler_;
  std::string folder_ = "/tmp/godwit-agent-XXXXXX";
  UniqueFd listener_;
  std::atomic<bool> stop_ = false;
  std::thread acceptor_;
  std::vector<std::thread> connections_;
};

std::string line(const agent::Event& event) {
  return agent::encode_event(event);
}

// Runs a migration against `path` with its output in a file.
class MigrationRun : public ::testing::Test {
 protected:
  MigrationRun() : interrupts_(/*hangup_too=*/false) { out_ = UniqueFd(::mkstemp(out_path_.data())); }
  ~MigrationRun() override { ::unlink(out_path_.c_str()); }
  Result<> run(const std::string& path) {
    Screen screen(out_.get(), Look{});
    return run_migration(path, {"redis", "10.0.0.2:9876", "node-2", {}}, interrupts_, screen, record_);
  }
  std::string output() { return os::read_file(out_path_).value(); }

  Interrupts interrupts_;
  MigrationRecord record_;
  std::string out_path_ = "/tmp/godwit-out-XXXXXX";
  UniqueFd out_;
};

const agent::SessionEvent session_event{"5f2c91aa", "redis", "node-1", "node-2"};

TEST_F(MigrationRun, ShowsTheEventsAndKeepsThem) {
  const ReplayAgent agent([](const agent::Request& request, const ReplayAgent::Say& say) {
    EXPECT_EQ(std::get<agent::MigrateRequest>(request).to, "10.0.0.2:9876");
    say(line(session_event));
    // Two events in one write, and one in two.
    say(line(agent::PhaseEvent{agent::Phase::pre_copy, 5}) + "\n" + line(agent::RoundEvent{.round = 1}));
    say(line(agent::ResultEvent{.ok = true, .session = "5f2c91aa", .to = "node-2", .pause_ms = 38.1, .rounds = 1}));
  });
  ASSERT_TRUE(run(agent.path).has_value());
  EXPECT_EQ(exit_status_of(record_), exit_ok);
  EXPECT_EQ(record_.rounds.size(), 1U);
  EXPECT_THAT(output(), HasSubstr("redis runs on node-2, after a pause of 38.1 ms"));
  const nlohmann::ordered_json json = record_json(record_);
  EXPECT_EQ(json["pause_ms"], 38.1);
  EXPECT_EQ(json["session"], "5f2c91aa");
}

TEST_F(MigrationRun, AFailureIsAFailure) {
  const ReplayAgent agent([](const agent::Request&, const ReplayAgent::Say& say) {
    say(line(agent::ResultEvent{.reason = "no container 'redis' on this node"}));
  });
  ASSERT_TRUE(run(agent.path).has_value());
  EXPECT_EQ(exit_status_of(record_), exit_failed);
  EXPECT_THAT(output(), HasSubstr("redis was not moved: no container 'redis'"));
}

TEST_F(MigrationRun, AContainerThatIsLostIsMoreThanAFailure) {
  const ReplayAgent agent([](const agent::Request&, const ReplayAgent::Say& say) {
    say(line(agent::ResultEvent{.session = "5f2c91aa", .lost = true, .reason = "node-2 was restarted"}));
  });
  ASSERT_TRUE(run(agent.path).has_value());
  EXPECT_EQ(exit_status_of(record_), exit_lost);
  EXPECT_EQ(record_json(record_)["lost"], true);
}

TEST_F(MigrationRun, AnAgentThatGoesAwayLeavesTheOutcomeUnknown) {
  const ReplayAgent agent([](const agent::Request&, const ReplayAgent::Say& say) { say(line(session_event)); });
  ASSERT_TRUE(run(agent.path).has_value());
  EXPECT_EQ(exit_status_of(record_), exit_unknown);
  EXPECT_THAT(output(), HasSubstr("Whether redis moved is not known: the agent closed the connection"));
  EXPECT_THAT(output(), HasSubstr("godwit inspect 5f2c91aa"));
}

TEST_F(MigrationRun, NonsenseLeavesTheOutcomeUnknown) {
  const ReplayAgent agent([](const agent::Request&, const ReplayAgent::Say& say) { say("HTTP/1.1 200 OK"); });
  ASSERT_TRUE(run(agent.path).has_value());
  EXPECT_EQ(exit_status_of(record_), exit_unknown);
  EXPECT_THAT(output(), HasSubstr("event is not JSON"));
}

TEST_F(MigrationRun, WithoutAnAgentNothingBegins) {
  const Result<> ran = run("/tmp/godwit-no-such.sock");
  ASSERT_FALSE(ran.has_value());
  EXPECT_THAT(ran.error().message, HasSubstr("start godwit-agent"));
}

TEST_F(MigrationRun, CtrlCBeforeItsRequestBeginsNothing) {
  const ReplayAgent agent([](const agent::Request&, const ReplayAgent::Say&) { ADD_FAILURE() << "was asked"; });
  ::kill(::getpid(), SIGINT);
  const Result<> ran = run(agent.path);
  ASSERT_FALSE(ran.has_value());
  EXPECT_THAT(ran.error().message, HasSubstr("nothing was begun"));
}

TEST_F(MigrationRun, CtrlCCancelsAndWaitsForTheOutcome) {
  std::atomic<bool> cancelled = false;
  const ReplayAgent agent([&](const agent::Request& request, const ReplayAgent::Say& say) {
    if (const auto* cancel = std::get_if<agent::CancelRequest>(&request)) {
      EXPECT_EQ(cancel->session, "5f2c91aa");
      cancelled = true;
      return say(line(agent::ResultEvent{.ok = true}));
    }
    // The interrupt comes before the session has a name; the cancel must still reach it.
    ::kill(::getpid(), SIGINT);
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_FALSE(cancelled);
    say(line(session_event));
    for (int i = 0; i < 500 && !cancelled; ++i) std::this_thread::sleep_for(milliseconds(10));
    say(line(agent::ResultEvent{.session = "5f2c91aa", .from = "node-1", .reason = "cancelled"}));
  });
  ASSERT_TRUE(run(agent.path).has_value());
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(exit_status_of(record_), exit_failed);
  EXPECT_THAT(output(), HasSubstr("Cancelling; waiting for the outcome"));
  EXPECT_THAT(output(), HasSubstr("redis was not moved: cancelled\n  It was never frozen and stays on node-1."));
}

TEST_F(MigrationRun, ASecondCtrlCStopsWaiting) {
  std::atomic<bool> over = false;
  const ReplayAgent agent([&](const agent::Request& request, const ReplayAgent::Say& say) {
    if (std::holds_alternative<agent::CancelRequest>(request)) {
      say(line(agent::ResultEvent{.ok = true}));
      ::kill(::getpid(), SIGINT);
      return;
    }
    say(line(session_event));
    ::kill(::getpid(), SIGINT);
    while (!over) std::this_thread::sleep_for(milliseconds(10));
  });
  const Result<> ran = run(agent.path);
  over = true;
  ASSERT_TRUE(ran.has_value());
  EXPECT_EQ(exit_status_of(record_), exit_unknown);
  EXPECT_THAT(output(), HasSubstr("not waited for"));
}

int command_line(std::vector<std::string> words) {
  words.insert(words.begin(), "godwit");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int status = run_command_line(static_cast<int>(argv.size()), argv.data(), "1.2.3");
  std::fflush(stdout);
  ::testing::internal::GetCapturedStdout();
  ::testing::internal::GetCapturedStderr();
  return status;
}

TEST(CommandLine, ExitStatusTellsUsageFromFailure) {
  EXPECT_EQ(command_line({"version"}), exit_ok);
  EXPECT_EQ(command_line({"--help"}), exit_ok);
  EXPECT_EQ(command_line({"migrate", "--help"}), exit_ok);
  EXPECT_EQ(command_line({}), exit_usage);
  EXPECT_EQ(command_line({"dance"}), exit_usage);
  EXPECT_EQ(command_line({"migrate", "redis"}), exit_usage);
  EXPECT_EQ(command_line({"migrate", "redis", "--to", "10.0.0.2", "--bandwidth", "1G"}), exit_usage);
  EXPECT_EQ(command_line({"migrate", "redis", "--to", "10.0.0.2", "--lanes", "0"}), exit_usage);
  EXPECT_EQ(command_line({"migrate", "redis", "--to", "10.0.0.2", "--deadline", "5"}), exit_usage);
  EXPECT_EQ(command_line({"migrate", "redis", "--to", "nowhere-at-all"}), exit_usage);
  EXPECT_EQ(command_line({"--socket", "/tmp/godwit-no-such.sock", "ps"}), exit_failed);
  EXPECT_EQ(command_line({"--socket", "/tmp/godwit-no-such.sock", "migrate", "redis", "--to", "10.0.0.2"}),
            exit_failed);
}

TEST(CommandLine, ADestinationIsNotAbandonedByAccident) {
  EXPECT_EQ(command_line({"abandon", "5f2c91aa"}), exit_usage);
  EXPECT_EQ(command_line({"abandon", "5f2c91aa", "--destination-is-dead"}), exit_usage) << "and what then?";
  EXPECT_EQ(command_line({"abandon", "5f2c91aa", "--destination-is-dead", "--keep", "--end"}), exit_usage);
  bool asked = false;
  const ReplayAgent agent([&](const agent::Request&, const ReplayAgent::Say& say) {
    asked = true;
    say(line(agent::ResultEvent{.ok = true}));
  });
  EXPECT_EQ(command_line({"--socket", agent.path, "abandon", "5f2c91aa", "--keep"}), exit_usage);
  EXPECT_FALSE(asked) << "the agent was asked although nobody had said that the destination is dead";
}

TEST(CommandLine, OptionsReachTheAgent) {
  agent::MigrateRequest seen;
  const ReplayAgent agent([&](const agent::Request& request, const ReplayAgent::Say& say) {
    seen = std::get<agent::MigrateRequest>(request);
    say(line(agent::ResultEvent{.ok = true, .to = "10.0.0.2"}));
  });
  EXPECT_EQ(
      command_line({"--socket", agent.path, "migrate", "redis", "--to", "10.0.0.2", "--bandwidth", "1Gbit/s", "--lanes",
                    "2", "--page-store", "2GiB", "--deadline", "5m", "--iterations", "7", "--freeze-time", "40"}),
      exit_ok);
  EXPECT_EQ(seen.container, "redis");
  EXPECT_EQ(seen.to, "10.0.0.2:9876");
  EXPECT_EQ(seen.options.bandwidth_bytes_per_s, 125000000U);
  EXPECT_EQ(seen.options.lanes, 2U);
  EXPECT_EQ(seen.options.page_store_bytes, uint64_t{2} << 30);
  EXPECT_EQ(seen.options.deadline_ms, 300000);
  EXPECT_EQ(seen.options.iterations, 7U);
  EXPECT_EQ(seen.options.freeze_time_ms, 40);
}

}  // namespace
}  // namespace godwit::cli
