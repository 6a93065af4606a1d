#include "two_nodes.h"

#include <signal.h>
#include <stdlib.h>

#include <condition_variable>
#include <iostream>
#include <mutex>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/agent_client.h"
#include "os/file.h"

namespace godwit::moves {
namespace {

constexpr auto agent_start_time = std::chrono::seconds(15);
constexpr auto clear_up_time = std::chrono::seconds(10);
constexpr auto command_time = std::chrono::seconds(20);

// The pids of a node's processes whose command line holds all `words`, as the node numbers them.
std::vector<pid_t> find_processes(const lab::Node& node, const std::vector<std::string>& words) {
  std::vector<pid_t> found;
  const std::string proc = node.root_path() + "/proc/";
  for (const std::string& name : os::list_directory(proc).value_or(std::vector<std::string>{})) {
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const Result<std::string> line = os::read_file(proc + name + "/cmdline");
    if (!line) continue;
    bool all = true;
    for (const std::string& word : words) all = all && line->find(word) != std::string::npos;
    if (all) found.push_back(std::stoi(name));
  }
  return found;
}

}  // namespace

struct Move::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<agent::Event> events;
  std::optional<Result<agent::ResultEvent>> result;

  template <typename Found>
  Result<> wait(Deadline deadline, const std::string& what, Found found) {
    std::unique_lock lock(mutex);
    const auto there = [&] {
      for (const agent::Event& event : events) {
        if (found(event)) return true;
      }
      return false;
    };
    if (!changed.wait_until(lock, deadline.when(), [&] { return result || there(); }))
      return fail("no {} in time", what);
    if (there()) return {};
    return fail("the move ended before {}: {}", what, *result ? (*result)->reason : result->error().message);
  }
};

Move::Move(std::string socket, agent::MigrateRequest request, Deadline deadline)
    : shared_(std::make_shared<Shared>()),
      thread_([shared = shared_, socket = std::move(socket), request = std::move(request), deadline] {
        auto result = cli::ask_agent(socket, request, deadline, [&](const agent::Event& event) {
          const std::lock_guard lock(shared->mutex);
          shared->events.push_back(event);
          shared->changed.notify_all();
        });
        const std::lock_guard lock(shared->mutex);
        shared->result = std::move(result);
        shared->changed.notify_all();
      }) {}

Move::~Move() {
  thread_.join();
}

Result<> Move::wait_for_phase(agent::Phase phase, Deadline deadline) {
  return shared_->wait(deadline, fmt::format("phase {}", static_cast<int>(phase)), [&](const agent::Event& event) {
    const auto* begun = std::get_if<agent::PhaseEvent>(&event);
    return begun != nullptr && begun->phase == phase;
  });
}

Result<> Move::wait_for_round(uint64_t round, Deadline deadline) {
  return shared_->wait(deadline, fmt::format("round {}", round), [&](const agent::Event& event) {
    const auto* ended = std::get_if<agent::RoundEvent>(&event);
    return ended != nullptr && ended->round >= round;
  });
}

std::string Move::session() const {
  const std::lock_guard lock(shared_->mutex);
  for (const agent::Event& event : shared_->events) {
    if (const auto* known = std::get_if<agent::SessionEvent>(&event)) return known->session;
  }
  return "";
}

Result<agent::ResultEvent> Move::result() {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait(lock, [&] { return shared_->result.has_value(); });
  return *shared_->result;
}

std::vector<agent::Event> Move::events() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->events;
}

Result<std::unique_ptr<TwoNodes>> TwoNodes::start(const lab::LabOptions& options) {
  GODWIT_ASSIGN(lab::Lab lab, lab::Lab::start(options));
  std::string folder = "/tmp/godwit-moves-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return fail_errno("make a folder for logs");
  std::unique_ptr<TwoNodes> all(new TwoNodes(std::move(lab), std::move(folder)));
  for (int index = 1; index <= options.nodes; ++index) GODWIT_TRY(all->start_agent(index));
  return all;
}

TwoNodes::~TwoNodes() {
  agents_.clear();
  if (testing::Test::HasFailure()) {
    std::cerr << "the agents' logs are kept in " << folder_ << "\n";
    return;
  }
  if (const Result<> removed = os::remove_tree(folder_); !removed) std::cerr << removed.error().message << "\n";
}

Result<> TwoNodes::start_agent(int index, const std::vector<std::string>& arguments,
                               const std::vector<std::string>& environment) {
  std::vector<std::string> command{"godwit-agent"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  GODWIT_ASSIGN(os::Subprocess agent,
                node(index).spawn(command, {.environment = environment,
                                            .log_path = fmt::format("{}/{}.log", folder_, node(index).name())}));
  agents_.insert_or_assign(index, std::move(agent));
  const Deadline deadline = Deadline::after(agent_start_time);
  for (;;) {
    const auto answer = cli::ask_agent(agent_socket(index), agent::PsRequest{}, deadline, [](const agent::Event&) {});
    if (answer && answer->ok) return {};
    if (deadline.expired()) return fail("the agent of {} does not start", node(index).name());
    std::this_thread::sleep_for(milliseconds(20));
  }
}

Result<> TwoNodes::kill_agent(int index) {
  const auto agent = agents_.find(index);
  if (agent == agents_.end()) return fail("no agent runs on node {}", index);
  for (const pid_t pid : find_processes(node(index), {"godwit-agent"})) {
    const auto line = os::read_file(fmt::format("{}/proc/{}/cmdline", node(index).root_path(), pid));
    if (!line || line->find("worker") != std::string::npos) continue;
    GODWIT_TRY(node(index).exec_checked({"kill", "-KILL", std::to_string(pid)}, Deadline::after(command_time)));
  }
  agents_.erase(agent);
  return {};
}

Result<bool> TwoNodes::signal_worker(int index, const std::string& session, const std::string& signal) {
  if (session.empty()) return fail("a worker of no session");
  const std::vector<pid_t> workers = find_processes(node(index), {"godwit-agent", "worker", session});
  if (workers.empty()) return false;
  std::vector<std::string> command{"kill", "-" + signal};
  for (const pid_t pid : workers) command.push_back(std::to_string(pid));
  // Not checked: one of them may have ended by itself meanwhile.
  GODWIT_TRY(node(index).exec(command, Deadline::after(command_time)));
  return true;
}

std::string TwoNodes::agent_socket(int index) const {
  return node(index).root_path() + agent::agent_socket_path;
}

std::unique_ptr<Move> TwoNodes::begin_move(const std::string& container, int from, int to,
                                           const agent::MigrateOptions& options) {
  return std::make_unique<Move>(agent_socket(from),
                                agent::MigrateRequest{.container = container,
                                                      .to = fmt::format("{}:{}", node(to).address(), agent::agent_port),
                                                      .to_name = node(to).name(),
                                                      .options = options},
                                Deadline::after(move_time));
}

Result<agent::ResultEvent> TwoNodes::move(const std::string& container, int from, int to,
                                          const agent::MigrateOptions& options) {
  return begin_move(container, from, to, options)->result();
}

Result<agent::ResultEvent> TwoNodes::cancel(int index, const std::string& session) {
  return cli::ask_agent(agent_socket(index), agent::CancelRequest{.session = session}, Deadline::after(command_time),
                        [](const agent::Event&) {});
}

Result<agent::ResultEvent> TwoNodes::abandon(int index, const std::string& session, bool keep) {
  return cli::ask_agent(agent_socket(index), agent::AbandonRequest{.session = session, .keep = keep},
                        Deadline::after(command_time), [](const agent::Event&) {});
}

Result<agent::ResultEvent> TwoNodes::outcome(int index, const std::string& session, Deadline deadline) const {
  for (;;) {
    const auto answer = cli::ask_agent(agent_socket(index), agent::InspectRequest{.session = session},
                                       Deadline::after(command_time), [](const agent::Event&) {});
    if (answer && answer->session.empty()) return fail("{} knows no session {}", node(index).name(), session);
    if (answer && !answer->unknown) return *answer;
    if (deadline.expired()) {
      return fail("session {} does not end on {}: {}", session, node(index).name(),
                  answer ? answer->reason : answer.error().message);
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
}

std::vector<agent::SessionInfo> TwoNodes::sessions(int index) const {
  std::vector<agent::SessionInfo> all;
  const auto answer = cli::ask_agent(agent_socket(index), agent::SessionsRequest{}, Deadline::after(command_time),
                                     [&](const agent::Event& event) {
                                       const auto* list = std::get_if<agent::SessionsEvent>(&event);
                                       if (list != nullptr) all = list->sessions;
                                     });
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
  return all;
}

std::vector<agent::ContainerInfo> TwoNodes::containers(int index) const {
  std::vector<agent::ContainerInfo> all;
  const auto answer = cli::ask_agent(agent_socket(index), agent::PsRequest{}, Deadline::after(command_time),
                                     [&](const agent::Event& event) {
                                       const auto* list = std::get_if<agent::ContainersEvent>(&event);
                                       if (list != nullptr) all = list->containers;
                                     });
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
  return all;
}

std::string TwoNodes::state_of(const std::string& container, int index) const {
  const auto output = node(index).exec({"runc", "state", container}, Deadline::after(command_time));
  if (!output || output->status != 0) return "";
  const auto state = nlohmann::json::parse(output->text, nullptr, false);
  return state.is_object() ? state.value("status", "") : "";
}

std::vector<std::string> TwoNodes::traces_of(const std::string& container, int index) const {
  const std::string root = node(index).root_path();
  std::vector<std::string> traces;
  const std::string paths[] = {"/run/runc/" + container, lab::container_netns_path(container),
                               lab::bundle_path(container), "/sys/fs/cgroup/freezer/" + container};
  for (const std::string& path : paths) {
    if (os::exists(root + path)) traces.push_back(path);
  }
  const Result<std::string> mounts = os::read_file(root + "/proc/1/mounts");
  if (mounts && mounts->find("/" + container + "/") != std::string::npos) traces.emplace_back("mounts");
  return traces;
}

std::vector<std::string> TwoNodes::lasting_traces_of(const std::string& container, int index) const {
  const Deadline deadline = Deadline::after(clear_up_time);
  for (;;) {
    std::vector<std::string> traces = traces_of(container, index);
    if (traces.empty() || deadline.expired()) return traces;
    std::this_thread::sleep_for(milliseconds(50));
  }
}

std::string TwoNodes::log_of(int index) const {
  return os::read_file(fmt::format("{}/{}.log", folder_, node(index).name())).value_or("");
}

}  // namespace godwit::moves
