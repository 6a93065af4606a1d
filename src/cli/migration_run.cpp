#include "cli/migration_run.h"

#include <poll.h>

#include <array>

#include "cli/agent_client.h"
#include "cli/migration_view.h"

namespace godwit::cli {
namespace {

constexpr milliseconds redraw_interval{80};
constexpr milliseconds local_answer_max{5000};

// One migration while it runs.
class Run {
 public:
  Run(const std::string& socket_path, AgentClient client, const std::string& container, Interrupts& interrupts,
      Screen& screen, MigrationRecord& record)
      : socket_path_(socket_path),
        client_(std::move(client)),
        view_(container),
        interrupts_(interrupts),
        screen_(screen),
        record_(record) {}

  void to_the_end() {
    while (!view_.result()) {
      wait();
      if (!take_events() || !obey_interrupts()) break;
      if (elapsed_ms(last_event_) > static_cast<double>(agent_silence_max.count())) {
        give_up("the agent has been silent for two minutes");
        break;
      }
      redraw();
    }
    screen_.draw(view_.take_finished(), {});
  }

 private:
  [[nodiscard]] double now_ms() const { return elapsed_ms(began_); }

  void wait() {
    std::array<pollfd, 2> waited{{{client_.fd(), POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), static_cast<int>(redraw_interval.count()));
  }

  // False when the stream has ended without a result.
  bool take_events() {
    while (!view_.result()) {
      Result<std::optional<agent::Event>> event = client_.next(Deadline::after(milliseconds(0)));
      if (!event) {
        give_up(event.error().message);
        return false;
      }
      if (!*event) return true;
      last_event_ = Clock::now();
      record_.on_event(**event);
      view_.on_event(**event, now_ms(), screen_.look());
    }
    return true;
  }

  // False when the person does not want to wait any longer.
  bool obey_interrupts() {
    const int count = interrupts_.count();
    if (count > 0 && !cancel_said_) {
      cancel_said_ = true;
      view_.note("Cancelling; waiting for the outcome (Ctrl-C again to leave it to the agent).", screen_.look());
    }
    // Before the session has a name there is nothing to cancel yet.
    if (cancel_said_ && !cancel_sent_ && !view_.session().session.empty()) {
      cancel_sent_ = true;
      send_cancel();
    }
    if (count < 2 || view_.result()) return true;
    give_up("not waited for");
    return false;
  }

  void send_cancel() {
    const Result<agent::ResultEvent> answer = ask_agent(socket_path_, agent::CancelRequest{view_.session().session},
                                                        Deadline::after(local_answer_max), [](const agent::Event&) {});
    if (!answer) {
      view_.note("Cancel did not reach the agent: " + answer.error().message, screen_.look());
    } else if (!answer->ok) {
      view_.note("Not cancelled: " + answer->reason, screen_.look());
    }
  }

  void give_up(const std::string& reason) {
    const std::string& session = view_.session().session;
    view_.on_event(agent::ResultEvent{.unknown = true, .reason = reason}, now_ms(), screen_.look());
    if (!session.empty()) view_.note("See `godwit inspect " + session + "`.", screen_.look(), Tone::plain);
  }

  void redraw() {
    screen_.update_width();
    Lines finished = view_.take_finished();
    if (finished.empty() && Clock::now() - last_redraw_ < redraw_interval) return;
    last_redraw_ = Clock::now();
    screen_.draw(finished, view_.live(now_ms(), screen_.look()));
  }

  const std::string& socket_path_;
  AgentClient client_;
  MigrationView view_;
  Interrupts& interrupts_;
  Screen& screen_;
  MigrationRecord& record_;
  Clock::time_point began_ = Clock::now();
  Clock::time_point last_event_ = began_;
  Clock::time_point last_redraw_;
  bool cancel_said_ = false;
  bool cancel_sent_ = false;
};

}  // namespace

Result<> run_migration(const std::string& socket_path, const agent::MigrateRequest& request, Interrupts& interrupts,
                       Screen& screen, MigrationRecord& record) {
  if (interrupts.count() > 0) return fail("interrupted, and nothing was begun");
  GODWIT_ASSIGN(AgentClient client, AgentClient::connect(socket_path));
  GODWIT_TRY(client.send(request, Deadline::after(local_answer_max)));
  Run(socket_path, std::move(client), request.container, interrupts, screen, record).to_the_end();
  return {};
}

ExitStatus exit_status_of(const MigrationRecord& record) {
  if (!record.result || record.result->unknown) return exit_unknown;
  if (record.result->lost) return exit_lost;
  return record.result->ok ? exit_ok : exit_failed;
}

}  // namespace godwit::cli
