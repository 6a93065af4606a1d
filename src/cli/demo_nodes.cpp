#include "cli/demo_nodes.h"

#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <cctype>
#include <thread>

#include "base/log.h"
#include "cli/agent_client.h"
#include "lab/container.h"
#include "os/file.h"

namespace godwit::cli {
namespace {

constexpr const char* redis_address = "10.88.1.7";
constexpr int redis_port = 6379;
constexpr int demo_nodes = 2;
constexpr milliseconds agent_start_max{15000};
constexpr milliseconds agent_poll_interval{20};
constexpr milliseconds copy_logs_max{10000};

bool all_digits(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool has_ended(const os::Subprocess& process) {
  pollfd waited{process.pidfd(), POLLIN, 0};
  return ::poll(&waited, 1, 0) > 0;
}

// The end of a log, for an error that the reader cannot look up any more.
std::string last_line(const std::string& path) {
  const Result<std::string> text = os::read_file(path);
  if (!text || text->empty()) return "it logged nothing";
  const size_t end = text->find_last_not_of('\n');
  if (end == std::string::npos) return "it logged nothing";
  const size_t newline = text->rfind('\n', end);
  return text->substr(newline == std::string::npos ? 0 : newline + 1, end - newline);
}

}  // namespace

Result<std::unique_ptr<DemoNodes>> DemoNodes::start() {
  GODWIT_ASSIGN(lab::Lab lab, lab::Lab::start({.nodes = demo_nodes}));
  std::string folder = "/tmp/godwit-demo-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return fail_errno("make a folder for logs");
  return std::unique_ptr<DemoNodes>(new DemoNodes(std::move(lab), std::move(folder)));
}

DemoNodes::~DemoNodes() {
  agents_.clear();
  if (keep_logs_) return;
  if (const Result<> removed = os::remove_tree(folder_); !removed) log_warning("{}", removed.error().message);
}

std::string DemoNodes::agent_socket(int index) const {
  return node(index).root_path() + agent::agent_socket_path;
}

std::string DemoNodes::redis_target() {
  return fmt::format("{}:{}", redis_address, redis_port);
}

Result<> DemoNodes::start_agents() {
  for (int index = 1; index <= demo_nodes; ++index) {
    const std::string log = fmt::format("{}/{}.log", folder_, node(index).name());
    // Apart from our terminal, whose Ctrl-C shall reach an agent as a cancel only. The lab's end is theirs too.
    GODWIT_ASSIGN(os::Subprocess agent,
                  node(index).spawn({"godwit-agent"}, {.log_path = log, .die_with_parent = false}));
    agents_.push_back(std::move(agent));
  }
  for (int index = 1; index <= demo_nodes; ++index) GODWIT_TRY(wait_for_agent(index));
  return {};
}

Result<> DemoNodes::wait_for_agent(int index) {
  const Deadline deadline = Deadline::after(agent_start_max);
  for (;;) {
    const Result<agent::ResultEvent> answer =
        ask_agent(agent_socket(index), agent::PsRequest{}, deadline, [](const agent::Event&) {});
    if (answer && answer->ok) return {};
    const std::string log = fmt::format("{}/{}.log", folder_, node(index).name());
    if (has_ended(agents_[static_cast<size_t>(index - 1)])) {
      return fail("the agent of {} ended at once: {}", node(index).name(), last_line(log));
    }
    if (deadline.expired()) {
      return fail("the agent of {} does not answer: {}", node(index).name(),
                  answer ? answer->reason : answer.error().message);
    }
    std::this_thread::sleep_for(agent_poll_interval);
  }
}

Result<> DemoNodes::start_redis() {
  return node(1).make_container({.name = demo_container,
                                 .args = {"redis-server", "--bind", "0.0.0.0", "--port", std::to_string(redis_port),
                                          "--protected-mode", "no", "--save", "", "--appendonly", "no"},
                                 .address = fmt::format("{}/16", redis_address)});
}

std::vector<std::string> DemoNodes::traces_of_redis(int index) const {
  std::vector<std::string> traces;
  const std::string root = node(index).root_path();
  for (const std::string& name : os::list_directory(root + "/proc").value_or(std::vector<std::string>{})) {
    if (!all_digits(name)) continue;
    const Result<std::string> command = os::read_file(root + "/proc/" + name + "/comm");
    if (command && command->starts_with("redis-server")) traces.push_back("process " + name + " (redis-server)");
  }
  if (os::exists(root + "/run/runc/" + demo_container)) {
    traces.push_back(fmt::format("runc's container '{}'", demo_container));
  }
  return traces;
}

std::string DemoNodes::dead_agents() {
  std::string dead;
  for (size_t i = 0; i < agents_.size(); ++i) {
    if (!has_ended(agents_[i])) continue;
    dead += fmt::format("{}the agent of {} has ended", dead.empty() ? "" : ", ", node(static_cast<int>(i) + 1).name());
  }
  return dead;
}

std::string DemoNodes::keep_logs() {
  keep_logs_ = true;
  for (int index = 1; index <= demo_nodes; ++index) {
    const std::string records = node(index).root_path() + "/run/godwit/sessions";
    if (!os::exists(records)) continue;
    const Result<std::string> copied =
        os::run_checked({.argv = {"cp", "-r", records, fmt::format("{}/{}-sessions", folder_, node(index).name())}},
                        Deadline::after(copy_logs_max));
    if (!copied) log_warning("keep the records of {}: {}", node(index).name(), copied.error().message);
  }
  return folder_;
}

Result<> DemoNodes::stop() {
  agents_.clear();
  return lab_.stop();
}

}  // namespace godwit::cli
