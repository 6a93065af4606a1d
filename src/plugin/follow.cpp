#include "plugin/follow.h"

#include <poll.h>

#include <array>

#include "api/names.h"
#include "kube/informer.h"
#include "kube/json_path.h"
#include "plugin/cluster_options.h"
#include "plugin/inbox.h"

namespace godwit::plugin {
namespace {

using nlohmann::json;

constexpr milliseconds redraw_interval{80};
constexpr auto delete_time = std::chrono::seconds(10);
constexpr milliseconds delete_again{1000};

struct News {
  bool about_event = false;
  kube::Object state;  // of a Migration that has vanished its last
  bool vanished = false;
};

class Follower {
 public:
  Follower(kube::Client& client, const json& migration, const FollowOptions& options, cli::Interrupts& interrupts,
           cli::Screen& screen)
      : client_(client),
        options_(options),
        path_{api::migrations, kube::namespace_of(migration), kube::name_of(migration), ""},
        uid_(kube::uid_of(migration)),
        interrupts_(interrupts),
        screen_(screen),
        view_(kube::text_at(migration, "/spec/podName")),
        migrations_(client, api::migrations, {.list = selected("metadata.name=" + path_.name)}),
        events_(client, kube::resources::events, {.list = selected("regarding.name=" + path_.name)}) {
    view_.on_migration(migration, now_ms(), screen.look());
    migrations_.add_handler([this](const kube::Change& change) {
      const bool vanished = change.now == nullptr;
      inbox_.post({.state = vanished ? change.before : change.now, .vanished = vanished});
    });
    events_.add_handler([this](const kube::Change& change) {
      if (change.now != nullptr && change.before == nullptr) inbox_.post({.about_event = true, .state = change.now});
    });
  }

  Outcome to_the_end() {
    migrations_.start();
    events_.start();
    while (!view_.outcome()) {
      wait();
      take_news();
      look_at_the_time();
      obey_interrupts();
      look_for_trouble();
      redraw();
    }
    screen_.draw(view_.take_finished(), {});
    return *view_.outcome();
  }

 private:
  [[nodiscard]] double now_ms() const { return elapsed_ms(began_); }
  [[nodiscard]] const cli::Look& look() const { return screen_.look(); }
  [[nodiscard]] kube::ListOptions selected(const std::string& field_selector) const {
    return {.namespace_name = path_.namespace_name, .field_selector = field_selector};
  }

  void wait() {
    std::array<pollfd, 2> waited{{{inbox_.fd(), POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), static_cast<int>(redraw_interval.count()));
  }

  void take_news() {
    for (const News& news : inbox_.take()) {
      if (news.about_event) {
        if (kube::text_at(*news.state, "/regarding/uid") == uid_) view_.on_event(*news.state, look());
        continue;
      }
      if (kube::uid_of(*news.state) != uid_) continue;  // another one of its name
      view_.on_migration(*news.state, now_ms(), look());
      if (news.vanished) view_.on_vanished(look());
    }
  }

  void look_at_the_time() {
    if (view_.outcome()) return;
    const auto longer_than = [&](milliseconds span) { return now_ms() > static_cast<double>(span.count()); };
    if (options_.timeout && !cancel_ && longer_than(*options_.timeout)) cancel("It has taken too long: cancelling");
    if (view_.waiting() && !waiting_said_ && !cancel_ && longer_than(options_.waiting_max)) {
      waiting_said_ = true;
      view_.note(
          "Nobody has taken it up yet: the live controller (godwit-controller) does not run, or is busy with others.",
          look());
    }
    if (cancel_ && !cancel_sent_ && Clock::now() >= cancel_due_) send_cancel();
  }

  void obey_interrupts() {
    const int count = interrupts_.count();
    if (count > 0 && !cancel_) cancel("Cancelling");
    if (count > 1) view_.give_up("not waited for", look());
  }

  void cancel(const std::string& why) {
    cancel_ = true;
    view_.cancelling();
    view_.note(why + "; waiting for what comes of it (Ctrl-C leaves it to the live controller).", look());
    screen_.draw(view_.take_finished(), view_.live(now_ms(), look()));
    send_cancel();
  }

  void send_cancel() {
    const auto removed = client_.remove(path_, {.uid = uid_}, kube::within(delete_time));
    if (removed || removed.error().not_found() || removed.error().conflict()) {
      cancel_sent_ = true;
    } else if (removed.error().temporary()) {
      cancel_due_ = Clock::now() + delete_again;
    } else {
      cancel_sent_ = true;
      view_.note(fmt::format("It cannot be cancelled, and goes on: {}", in_words(removed.error())), look());
    }
  }

  // What keeps us from hearing of it.
  void look_for_trouble() {
    if (view_.outcome()) return;
    if (const auto trouble = events_.trouble(); trouble && !trouble->temporary() && !events_said_) {
      events_said_ = true;
      view_.note(fmt::format("Its events cannot be shown: {}", in_words(*trouble)), look());
    }
    const auto trouble = migrations_.trouble();
    if (!trouble) {
      silent_since_.reset();
      return;
    }
    if (!trouble->temporary() && !trouble->gone()) {
      view_.give_up(fmt::format("it cannot be followed: {}", in_words(*trouble)), look());
      return;
    }
    if (!silent_since_) {
      silent_since_ = Clock::now();
      view_.note(fmt::format("Not heard of for the moment, and going on: {}", trouble->message), look());
    }
    if (elapsed_ms(*silent_since_) > static_cast<double>(options_.silence_max.count())) {
      view_.give_up(fmt::format("the API server does not answer: {}", trouble->message), look());
    }
  }

  void redraw() {
    screen_.update_width();
    cli::Lines finished = view_.take_finished();
    if (finished.empty() && Clock::now() - last_redraw_ < redraw_interval) return;
    last_redraw_ = Clock::now();
    screen_.draw(finished, view_.live(now_ms(), look()));
  }

  kube::Client& client_;
  const FollowOptions options_;
  const kube::ObjectPath path_;
  const std::string uid_;
  cli::Interrupts& interrupts_;
  cli::Screen& screen_;
  ProgressView view_;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point last_redraw_;
  bool cancel_ = false;
  bool cancel_sent_ = false;
  Clock::time_point cancel_due_;
  bool waiting_said_ = false;
  bool events_said_ = false;
  std::optional<Clock::time_point> silent_since_;
  Inbox<News> inbox_;
  kube::Informer migrations_;  // last: they post into the inbox until they are gone
  kube::Informer events_;
};

}  // namespace

Outcome follow(kube::Client& client, const json& migration, const FollowOptions& options, cli::Interrupts& interrupts,
               cli::Screen& screen) {
  return Follower(client, migration, options, interrupts, screen).to_the_end();
}

}  // namespace godwit::plugin
