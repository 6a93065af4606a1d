#include "cli/load_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "os/file.h"

namespace godwit::cli {
namespace {

using nlohmann::json;

constexpr milliseconds short_command_max{20000};
constexpr milliseconds long_command_max{660000};
constexpr milliseconds look_interval{100};
constexpr size_t line_bytes_max = 65536;

bool always(double) {
  return true;
}

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

Result<LoadDriver> LoadDriver::start(const LoadSettings& settings) {
  GODWIT_ASSIGN(Pipe commands, make_pipe());
  GODWIT_ASSIGN(Pipe answers, make_pipe());
  os::Command command;
  command.argv = {settings.program, "load",
                  "--target",       settings.target,
                  "--clients",      std::to_string(settings.clients),
                  "--rate",         fmt::format("{}", settings.rate_per_s),
                  "--reply-max-ms", fmt::format("{}", settings.reply_max_ms)};
  command.network_namespace = settings.network_namespace;
  command.descriptors = {
      {commands.reader.get(), STDIN_FILENO}, {answers.writer.get(), STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  GODWIT_ASSIGN(os::Subprocess process, os::Subprocess::start(command));
  return LoadDriver(std::move(process), std::move(commands.writer), std::move(answers.reader));
}

Result<std::string> LoadDriver::read_line(Deadline deadline, double part, const Continue& go_on) {
  for (;;) {
    if (const size_t end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (received_.size() > line_bytes_max) return fail("the load program answers nonsense");
    if (!go_on(part)) return fail("interrupted");
    if (deadline.expired()) return fail("the load program does not answer");
    pollfd waited{answers_.get(), POLLIN, 0};
    if (::poll(&waited, 1, static_cast<int>(look_interval.count())) <= 0) continue;
    std::array<char, 4096> chunk;
    const ssize_t got = ::read(answers_.get(), chunk.data(), chunk.size());
    if (got == 0) return fail("the load program has ended");
    if (got < 0 && errno != EINTR) return fail_errno("read from the load program");
    if (got > 0) received_.append(chunk.data(), static_cast<size_t>(got));
  }
}

Result<json> LoadDriver::command(const json& object, Deadline deadline, const Continue& go_on) {
  const std::string line = object.dump() + "\n";
  GODWIT_TRY(os::write_all(commands_.get(), line.data(), line.size()));
  double part = 0;
  for (;;) {
    GODWIT_ASSIGN(const std::string answer, read_line(deadline, part, go_on));
    json parsed = json::parse(answer, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) return fail("the load program answers nonsense: {}", answer.substr(0, 80));
    if (parsed.contains("failed")) return fail("clients: {}", parsed["failed"].dump());
    if (parsed.contains("done") && parsed.contains("report")) return std::move(parsed["report"]);
    if (parsed.contains("progress") && parsed["progress"].is_number()) part = parsed["progress"].get<double>();
  }
}

Result<PopulateReport> LoadDriver::populate(uint64_t memory_bytes, const Continue& go_on) {
  GODWIT_ASSIGN(const json report,
                command({{"do", "populate"}, {"bytes", memory_bytes}}, Deadline::after(long_command_max), go_on));
  return populate_report_from(report);
}

Result<> LoadDriver::start_clients() {
  GODWIT_TRY(command({{"do", "start"}}, Deadline::after(short_command_max), always));
  return {};
}

Result<> LoadDriver::begin_window() {
  GODWIT_TRY(command({{"do", "mark"}}, Deadline::after(short_command_max), always));
  return {};
}

Result<WindowReport> LoadDriver::end_window() {
  GODWIT_ASSIGN(const json report, command({{"do", "end"}}, Deadline::after(short_command_max), always));
  return window_report_from(report);
}

Result<WindowReport> LoadDriver::stop_clients() {
  GODWIT_ASSIGN(const json report, command({{"do", "stop"}}, Deadline::after(short_command_max), always));
  return window_report_from(report);
}

Result<VerifyReport> LoadDriver::verify(const Continue& go_on) {
  GODWIT_ASSIGN(const json report, command({{"do", "verify"}}, Deadline::after(long_command_max), go_on));
  return verify_report_from(report);
}

}  // namespace godwit::cli
