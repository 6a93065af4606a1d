#include "cli/demo.h"

#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>

#include "cli/demo_nodes.h"
#include "cli/demo_report.h"
#include "cli/load_driver.h"
#include "cli/units.h"
#include "cli/verbs.h"
#include "os/file.h"

namespace godwit::cli {
namespace {

constexpr milliseconds clean_max{10000};  // for the node that was left to be rid of its copy
constexpr milliseconds clean_look_interval{20};
constexpr size_t progress_cells = 24;

// Two copies while a move runs, and what the programs need.
Result<> check_memory(uint64_t memory_bytes) {
  GODWIT_ASSIGN(const std::string text, os::read_file("/proc/meminfo"));
  const size_t at = text.find("MemAvailable:");
  if (at == std::string::npos) return {};
  uint64_t kib = 0;
  const size_t digits = text.find_first_of("0123456789", at);
  std::from_chars(text.data() + std::min(digits, text.size()), text.data() + text.size(), kib);
  const uint64_t needed = memory_bytes / 10 * 22 + (uint64_t{512} << 20);
  if (kib * 1024 >= needed) return {};
  return fail("--memory {} needs about {} free, this machine has {}", format_bytes(memory_bytes), format_bytes(needed),
              format_bytes(kib * 1024));
}

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options),
        interrupts_(/*hangup_too=*/true),
        screen_(output_for_people(options.json_path), detect_look(output_for_people(options.json_path))) {}

  ExitStatus run() {
    introduce();
    const Result<> played = play();
    screen_.set_live({});
    if (!played) report_.expect("the demo runs to its end", played.error().message);
    show_moves();
    clean_up();
    if (interrupts_.count() > 0) {
      screen_.print({Line(), Line("Interrupted; the nodes are gone.", Tone::warning)});
    } else {
      screen_.print(demo_verdict(report_, screen_.look()));
    }
    if (!logs_.empty()) screen_.print(Line("  The agents' logs are in " + logs_));
    if (!options_.json_path.empty()) {
      if (const Result<> written = write_json(options_.json_path, demo_json(report_)); !written) {
        complain(written.error().message);
        return exit_failed;
      }
    }
    return report_.all_held() ? exit_ok : exit_failed;
  }

 private:
  Result<> play() {
    GODWIT_TRY(set_up());
    for (uint64_t number = 1; number <= options_.moves; ++number) {
      GODWIT_ASSIGN(const bool moved, move(number));
      if (!moved) break;  // redis is not where the next move begins
    }
    return check_data();
  }

  void introduce() {
    screen_.print(
        Line("Godwit moves a running redis between two nodes while its clients stay connected.", Tone::strong));
    screen_.print(Line());
    const std::string what = fmt::format(
        "Both nodes are made on this machine, of Linux namespaces; each has its own agent. {} clients outside of them "
        "keep one TCP connection each, the whole time, and check every reply: a counter of their own must go up by "
        "one, values must be those written last. A reply that is lost, wrong or out of order fails the demo.",
        options_.clients);
    screen_.print(wrap(what, std::min<size_t>(screen_.look().width, 100) - 1, 0));
    screen_.print(Line());
  }

  // --- steps of the set-up: a live line while it runs, a finished one after ---------------------------------------

  void show_step(const std::string& doing, double part) {
    Line line;
    line.add("  ").add(signs(screen_.look().unicode).current, Tone::strong).add(" " + doing + " ");
    if (part >= 0) {
      const Signs& sign = signs(screen_.look().unicode);
      std::string full;
      std::string open;
      for (size_t i = 0; i < progress_cells; ++i) {
        const bool done = static_cast<double>(i) < part * progress_cells;
        (done ? full : open) += done ? sign.bar_full : sign.bar_empty;
      }
      line.add(full, Tone::good).add(open, Tone::faint).add(fmt::format(" {:3.0f} %", part * 100));
    }
    screen_.set_live({line});
  }

  void step_done(const std::string& done, Clock::time_point began) {
    Line line;
    line.add("  ").add(signs(screen_.look().unicode).done, Tone::good).add(" " + done);
    constexpr size_t time_columns = 10;
    line.pad_to(std::min<size_t>(screen_.look().width, 80) - 1 - time_columns);
    line.right(format_ms(elapsed_ms(began)), time_columns, Tone::faint);
    screen_.draw({line}, {});
  }

  Result<> set_up() {
    if (::geteuid() != 0) return fail("the demo makes nodes of namespaces and needs root; use sudo");
    GODWIT_TRY(check_memory(options_.memory_bytes));
    Clock::time_point began = Clock::now();
    show_step("starting two nodes", -1);
    GODWIT_ASSIGN(nodes_, DemoNodes::start());
    GODWIT_TRY(check_interrupted());
    GODWIT_TRY(nodes_->start_agents());
    step_done(fmt::format("{} and {}, an agent on each", nodes_->node(1).name(), nodes_->node(2).name()), began);

    began = Clock::now();
    show_step("starting redis", -1);
    GODWIT_TRY(nodes_->start_redis());
    GODWIT_ASSIGN(const std::string program, os::read_link("/proc/self/exe"));
    GODWIT_ASSIGN(LoadDriver load, LoadDriver::start({.program = program,
                                                      .network_namespace = nodes_->clients_network(),
                                                      .target = DemoNodes::redis_target(),
                                                      .clients = options_.clients,
                                                      .rate_per_s = options_.rate_per_s}));
    load_ = std::make_unique<LoadDriver>(std::move(load));
    GODWIT_ASSIGN(const PopulateReport data, load_->populate(options_.memory_bytes, [&](double part) {
      show_step("filling redis", part);
      return interrupts_.count() == 0;
    }));
    step_done(fmt::format("redis on {}, {} in {} keys", nodes_->node(1).name(), format_bytes(data.used_memory_bytes),
                          format_count(data.keys)),
              began);

    began = Clock::now();
    GODWIT_TRY(load_->start_clients());
    GODWIT_TRY(settle("clients at work"));
    step_done(fmt::format("{} clients, {} requests/s in all", options_.clients,
                          format_count(static_cast<uint64_t>(options_.rate_per_s))),
              began);
    return {};
  }

  // Load without a move, for a while.
  Result<> settle(const std::string& doing) {
    const Deadline deadline = Deadline::after(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(options_.settle_ms)));
    show_step(doing, -1);
    while (!deadline.expired()) {
      GODWIT_TRY(check_interrupted());
      pollfd waited{interrupts_.fd(), POLLIN, 0};
      ::poll(&waited, 1, deadline.poll_timeout_ms());
    }
    return {};
  }

  Result<> check_interrupted() {
    if (interrupts_.count() > 0) return fail("interrupted");
    return {};
  }

  // --- moves ------------------------------------------------------------------------------------------------------

  // False if redis is not where it should be now. An error ends the demo.
  Result<bool> move(uint64_t number) {
    const int from = number % 2 == 1 ? 1 : 2;
    const int to = 3 - from;
    const std::string name = fmt::format("move {}", number);
    screen_.print({Line(), Line(fmt::format("Move {} of {}", number, options_.moves), Tone::strong)});

    GODWIT_TRY(load_->begin_window());
    const agent::MigrateRequest request{demo_container,
                                        fmt::format("{}:{}", nodes_->node(to).address(), agent::agent_port),
                                        nodes_->node(to).name(), options_.limits};
    MigrationRecord record;
    GODWIT_TRY(run_migration(nodes_->agent_socket(from), request, interrupts_, screen_, record));
    Move move;
    move.result = record.result.value_or(
        agent::ResultEvent{.unknown = true, .reason = "the agent went away before it told the outcome"});
    if (move.result.from.empty()) move.result.from = nodes_->node(from).name();
    if (move.result.to.empty()) move.result.to = nodes_->node(to).name();
    GODWIT_TRY(settle("clients go on"));
    GODWIT_ASSIGN(move.clients, load_->end_window());
    screen_.draw({clients_line(move.clients)}, {});
    check_move(report_, name, move);
    report_.moves.push_back(move);
    const bool clean = move.result.ok && check_copies(name, from, to);
    report_.expect(name + ": both agents run on", nodes_->dead_agents());
    return clean;
  }

  Line clients_line(const WindowReport& clients) {
    const bool clean = clients.lost + clients.reordered + clients.resets == 0;
    const Signs& sign = signs(screen_.look().unicode);
    Line line;
    line.add(clean ? sign.done : sign.failed, clean ? Tone::good : Tone::bad);
    line.add(fmt::format(" Clients: {} requests, ", format_count(clients.requests)), clean ? Tone::good : Tone::bad);
    line.add(fmt::format("{} lost, {} reordered, {} resets; ", clients.lost, clients.reordered, clients.resets),
             clean ? Tone::good : Tone::bad);
    line.add(fmt::format("longest wait {}", format_ms(clients.client_gap_ms_max)), clean ? Tone::good : Tone::bad);
    return line;
  }

  bool check_copies(const std::string& name, int from, int to) {
    const Deadline deadline = Deadline::after(clean_max);
    std::vector<std::string> left = nodes_->traces_of_redis(from);
    while (!left.empty() && !deadline.expired()) {
      std::this_thread::sleep_for(clean_look_interval);
      left = nodes_->traces_of_redis(from);
    }
    report_.expect(fmt::format("{}: {} has no copy of redis any more", name, nodes_->node(from).name()),
                   left.empty() ? "" : fmt::format("{}", fmt::join(left, ", ")));
    const size_t there = nodes_->traces_of_redis(to).size();
    report_.expect(fmt::format("{}: {} has one redis process and its container", name, nodes_->node(to).name()),
                   there == 2 ? "" : fmt::format("{} of the two", there));
    return left.empty() && there == 2;
  }

  Result<> check_data() {
    const Clock::time_point began = Clock::now();
    screen_.print(Line());
    GODWIT_ASSIGN(report_.clients, load_->stop_clients());
    Result<VerifyReport> data = load_->verify([&](double part) {
      show_step("reading all of redis back", part);
      return interrupts_.count() == 0;
    });
    if (data) report_.data = *data;
    check_end(report_);
    if (!data) return std::unexpected(std::move(data).error().context("read redis back"));
    step_done(fmt::format("{} keys read back and compared", format_count(data->keys_read)), began);
    return {};
  }

  void show_moves() {
    if (report_.moves.empty()) return;
    Lines lines = moves_table(report_, screen_.look());
    lines.insert(lines.begin(), Line());
    lines.emplace_back();
    screen_.print(lines);
  }

  void clean_up() {
    load_.reset();
    if (!nodes_) return;
    if (!report_.all_held() && interrupts_.count() == 0) logs_ = nodes_->keep_logs();
    show_step("removing the nodes", -1);
    const Result<> stopped = nodes_->stop();
    screen_.set_live({});
    report_.expect("nothing of the nodes is left on this machine", stopped ? "" : stopped.error().message);
    nodes_.reset();
  }

  const DemoOptions& options_;
  Interrupts interrupts_;
  Screen screen_;
  DemoReport report_;
  std::unique_ptr<DemoNodes> nodes_;
  std::unique_ptr<LoadDriver> load_;
  std::string logs_;  // the folder, if it is kept
};

}  // namespace

ExitStatus run_demo(const DemoOptions& options) {
  return Demo(options).run();
}

}  // namespace godwit::cli
