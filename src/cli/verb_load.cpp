// `godwit load` (hidden): the demo's clients. The demo starts it where the clients are, in another network namespace,
// and tells it what to do, a JSON object a line on standard input: {"do":"populate","bytes":N}, {"do":"start"},
// {"do":"mark"}, {"do":"end"}, {"do":"stop"}, {"do":"verify"}. Each is answered by {"done":...,"report":{...}} or
// {"failed":"..."} on standard output, before which {"progress":0.5} may come. The end of standard input ends it.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <thread>

#include "cli/load_dataset.h"
#include "cli/load_engine.h"
#include "cli/verbs.h"
#include "os/file.h"

namespace godwit::cli {
namespace {

using nlohmann::json;

constexpr milliseconds connect_max{5000};
constexpr milliseconds connect_retry_interval{20};
constexpr milliseconds drain_max{15000};
constexpr milliseconds data_max{600000};  // populate, verify
constexpr size_t command_bytes_max = 65536;

struct Options {
  std::string target;
  LoadOptions load;
};

// The program: one thread, which runs the engine and obeys.
class LoadProgram {
 public:
  explicit LoadProgram(Options options) : options_(std::move(options)) {}

  ExitStatus run() {
    for (;;) {
      if (!wait_for_input()) return exit_failed;
      std::array<char, 4096> chunk;
      const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
      if (got == 0) return exit_ok;
      if (got < 0 && errno != EINTR && errno != EAGAIN) return exit_failed;
      if (got > 0) input_.append(chunk.data(), static_cast<size_t>(got));
      for (size_t end; (end = input_.find('\n')) != std::string::npos; input_.erase(0, end + 1)) {
        obey(input_.substr(0, end));
      }
      if (input_.size() > command_bytes_max) return exit_failed;
    }
  }

 private:
  // Runs the clients until there is something to read.
  bool wait_for_input() {
    if (!engine_) {
      pollfd waited{STDIN_FILENO, POLLIN, 0};
      return ::poll(&waited, 1, -1) > 0 || errno == EINTR;
    }
    for (;;) {
      const Result<bool> readable = engine_->step(milliseconds(100));
      if (!readable) {
        complain(readable.error().message);
        return false;
      }
      if (*readable) return true;
    }
  }

  static void say(const json& object) {
    const std::string line = object.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
    // Without a reader the end of standard input comes as well, and ends the program.
    [[maybe_unused]] const Result<> written = os::write_all(STDOUT_FILENO, line.data(), line.size());
  }

  void obey(const std::string& line) {
    const json command = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const std::string name = command.is_object() && command.contains("do") && command["do"].is_string()
                                 ? command["do"].get<std::string>()
                                 : "";
    const Result<json> report = perform(name, command);
    if (report) {
      say({{"done", name}, {"report", *report}});
    } else {
      say({{"failed", fmt::format("{}: {}", name.empty() ? "command" : name, report.error().message)}});
    }
  }

  Result<json> perform(const std::string& name, const json& command) {
    if (name == "populate") return do_populate(command);
    if (name == "start") return do_start();
    if (name == "verify") return do_verify();
    if (name != "mark" && name != "end" && name != "stop") return fail("unknown");
    if (!engine_) return fail("no clients were started");
    if (name == "mark") {
      engine_->begin_window();
      return json::object();
    }
    if (name == "end") return to_json(engine_->end_window());
    const Result<> drained = engine_->drain(Deadline::after(drain_max));
    return to_json(engine_->totals());  // says what is lost, if it did not drain
  }

  Result<json> do_populate(const json& command) {
    if (!command.contains("bytes") || !command["bytes"].is_number_unsigned()) return fail("'bytes' is missing");
    const Deadline deadline = Deadline::after(data_max);
    GODWIT_ASSIGN(RedisLink link, connect_when_ready());
    GODWIT_ASSIGN(run_id_, redis_info(link, "server", "run_id", deadline));
    GODWIT_ASSIGN(const PopulateReport report,
                  populate(link, command["bytes"].get<uint64_t>(), deadline, [](double p) { say({{"progress", p}}); }));
    options_.load.data_keys = report.keys;
    return to_json(report);
  }

  // A redis that has just been started does not listen at once.
  Result<RedisLink> connect_when_ready() {
    const Deadline deadline = Deadline::after(connect_max);
    for (;;) {
      Result<RedisLink> link = RedisLink::connect(options_.target, deadline);
      const Result<Reply> pong = link ? link->ask({"PING"}, deadline) : std::unexpected(link.error());
      if (pong) return link;
      if (deadline.expired()) return std::unexpected(pong.error());
      std::this_thread::sleep_for(connect_retry_interval);
    }
  }

  Result<json> do_start() {
    if (engine_) return fail("the clients run already");
    GODWIT_ASSIGN(LoadEngine engine, LoadEngine::start(options_.target, options_.load, Deadline::after(connect_max)));
    GODWIT_TRY(engine.watch(STDIN_FILENO));
    engine_ = std::make_unique<LoadEngine>(std::move(engine));
    return json::object();
  }

  Result<json> do_verify() {
    GODWIT_ASSIGN(RedisLink link, RedisLink::connect(options_.target, Deadline::after(connect_max)));
    const std::vector<LoadClient> none;
    GODWIT_ASSIGN(const VerifyReport report,
                  verify(link, options_.load.data_keys, engine_ ? engine_->clients() : none, run_id_,
                         Deadline::after(data_max), [](double p) { say({{"progress", p}}); }));
    return to_json(report);
  }

  Options options_;
  std::string input_;
  std::string run_id_;
  std::unique_ptr<LoadEngine> engine_;
};

}  // namespace

void add_load(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("load", "The demo's clients")->group("");
  const auto options = std::make_shared<Options>();
  verb->add_option("--target", options->target, "ADDRESS:PORT of the redis")->required();
  verb->add_option("--clients", options->load.clients)->check(CLI::Range(size_t{1}, load_clients_max));
  verb->add_option("--rate", options->load.rate_per_s)->check(CLI::Range(1.0, 1e6));
  const auto set_reply_max = [options](double ms) {
    options->load.reply_max =
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(ms));
  };
  verb->add_option_function<double>("--reply-max-ms", set_reply_max)->check(CLI::Range(1.0, 1e6));
  verb->callback([&chosen, options] {
    chosen.run = [options] {
      // Ctrl-C in the demo's terminal reaches this process too, but it is the demo that decides when it ends.
      ::signal(SIGINT, SIG_IGN);
      return LoadProgram(*options).run();
    };
  });
}

}  // namespace godwit::cli
