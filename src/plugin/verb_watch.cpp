// `kubectl godwit watch`: migrations as they happen, with their events.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <memory>

#include "api/migration.h"
#include "api/names.h"
#include "cli/units.h"
#include "cli/verbs.h"
#include "kube/informer.h"
#include "kube/json_path.h"
#include "kube/timestamp.h"
#include "plugin/cluster_options.h"
#include "plugin/inbox.h"
#include "plugin/verbs.h"
#include "plugin/watch_view.h"

namespace godwit::plugin {
namespace {

using nlohmann::json;

constexpr milliseconds look_interval{200};

struct Options {
  ClusterOptions cluster;
  bool all_namespaces = false;
  double timeout_ms = 0;  // 0: none
};

struct News {
  bool about_event = false;
  bool known_before = false;  // there when the watch began
  kube::Change change;
};

std::string time_of_day(kube::WallTime when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

class Watching {
 public:
  Watching(kube::Client& client, const Options& options, cli::Interrupts& interrupts)
      : options_(options),
        interrupts_(interrupts),
        screen_(STDOUT_FILENO, cli::detect_look(STDOUT_FILENO)),
        view_(options.all_namespaces),
        migrations_(client, api::migrations, {.list = {.namespace_name = space_of(client, options)}}),
        events_(client, kube::resources::events,
                {.list = {.namespace_name = space_of(client, options),
                          .field_selector = "regarding.kind=" + api::migrations.kind}}) {
    listen(migrations_, false);
    listen(events_, true);
  }

  ExitStatus run() {
    const Deadline deadline =
        options_.timeout_ms > 0 ? Deadline::after(milliseconds(std::llround(options_.timeout_ms))) : Deadline::never();
    migrations_.start();
    events_.start();
    while (interrupts_.count() == 0 && !deadline.expired()) {
      std::array<pollfd, 2> waited{{{inbox_.fd(), POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}}};
      ::poll(waited.data(), waited.size(), static_cast<int>(look_interval.count()));
      screen_.update_width();
      for (const News& news : inbox_.take()) show(news);
      introduce();
      if (!look_for_trouble()) return cli::exit_failed;
    }
    return cli::exit_ok;
  }

 private:
  static std::string space_of(const kube::Client& client, const Options& options) {
    return options.all_namespaces ? "" : client.access().namespace_name;
  }

  void listen(kube::Informer& informer, bool about_event) {
    informer.add_handler([this, &informer, about_event](const kube::Change& change) {
      inbox_.post({.about_event = about_event, .known_before = !informer.has_synced(), .change = change});
    });
  }

  void show(const News& news) {
    static const json none;
    const auto& [key, before, now] = news.change;
    if (news.about_event) {
      if (news.known_before || before != nullptr || now == nullptr) return;
      const auto when = kube::parse_timestamp(kube::text_at(*now, "/eventTime"));
      screen_.print(view_.on_event(*now, time_of_day(when.value_or(std::chrono::system_clock::now())), screen_.look()));
      return;
    }
    if (news.known_before && now != nullptr && api::read_status(*now).over()) {
      ++ended_;
      return;
    }
    screen_.print(view_.on_change(before == nullptr ? none : *before, now == nullptr ? none : *now,
                                  time_of_day(std::chrono::system_clock::now()), screen_.look()));
  }

  // Once all that was there is known.
  void introduce() {
    if (introduced_ || !migrations_.has_synced()) return;
    introduced_ = true;
    screen_.print(cli::Line(
        fmt::format("Watching; {} {} over already (`kubectl get migrations{}` lists them). Ctrl-C ends.", ended_,
                    ended_ == 1 ? "migration is" : "migrations are", options_.all_namespaces ? " -A" : ""),
        cli::Tone::faint));
  }

  // False: there is nothing to watch.
  bool look_for_trouble() {
    if (const auto trouble = events_.trouble(); trouble && !trouble->temporary() && !events_said_) {
      events_said_ = true;
      complain(fmt::format("events cannot be shown: {}", in_words(*trouble)));
    }
    const auto trouble = migrations_.trouble();
    if (!trouble) {
      trouble_said_ = false;
      return true;
    }
    if (!trouble->temporary() && !trouble->gone()) {
      const bool everywhere = options_.all_namespaces && trouble->forbidden();
      complain(in_words(*trouble) + (everywhere ? "; without -A one namespace is watched" : ""));
      return false;
    }
    if (!std::exchange(trouble_said_, true)) complain(fmt::format("trying again: {}", trouble->message));
    return true;
  }

  const Options& options_;
  cli::Interrupts& interrupts_;
  cli::Screen screen_;
  WatchView view_;
  size_t ended_ = 0;
  bool introduced_ = false;
  bool events_said_ = false;
  bool trouble_said_ = false;
  Inbox<News> inbox_;
  kube::Informer migrations_;  // last: they post into the inbox until they are gone
  kube::Informer events_;
};

ExitStatus watch(const Options& options) {
  cli::Interrupts interrupts(/*hangup_too=*/true);  // before any thread is made
  auto access = find_access(options.cluster);
  if (!access) {
    complain(access.error().message);
    return cli::exit_failed;
  }
  kube::Client client(*std::move(access));
  return Watching(client, options, interrupts).run();
}

}  // namespace

void add_watch(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("watch", "Show migrations as they happen, with their events");
  const auto options = std::make_shared<Options>();
  verb->add_flag("-A,--all-namespaces", options->all_namespaces, "Those of all namespaces");
  cli::add_quantity(*verb, "--timeout", "TIME", cli::parse_duration_ms, options->timeout_ms, "End after this, e.g. 5m");
  add_cluster_options(*verb, options->cluster);
  verb->get_option("--namespace")->excludes("--all-namespaces");
  verb->footer("Ctrl-C ends it; nothing else does, without --timeout.");
  verb->callback([&chosen, options] { chosen.run = [options] { return watch(*options); }; });
}

}  // namespace godwit::plugin
