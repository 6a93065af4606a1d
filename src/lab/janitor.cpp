#include "lab/janitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "lab/layout.h"
#include "lab/messages.h"
#include "lab/place_server.h"
#include "lab/state.h"
#include "lab/supervisor.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::lab {
namespace {

using nlohmann::json;

constexpr auto removal_limit = std::chrono::seconds(30);

void send_text(int socket, const std::string& text) {
  [[maybe_unused]] const ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
}

// One lab, from claim to last remains. Owned by janitor_main(), single-threaded.
class Janitor {
 public:
  explicit Janitor(int control) : control_(control) {}

  Result<> start(const LabPlan& plan);
  void wait_for_the_end();
  Result<> remove_everything();

 private:
  // Keeps tools/node-image.sh and its like from removing what a running lab uses.
  Result<> lock_folders(const LabPlan& plan);
  Result<> wait_for_reports(int socket, Deadline deadline);
  // Reads what the starter sent; false when its end of the socket is closed.
  bool starter_still_there();

  int control_;
  bool detached_ = false;
  LabState state_;
  std::optional<LabClaim> claim_;
  std::vector<UniqueFd> in_use_;  // locked folders
  UniqueFd supervisor_;           // pidfd
};

Result<SupervisorSetup> make_setup(const LabPlan& plan) {
  SupervisorSetup setup{.plan = plan};
  GODWIT_ASSIGN(setup.hierarchies, find_hierarchies());
  GODWIT_ASSIGN(const CertificateAuthority authority, CertificateAuthority::create("Godwit lab " + plan.name));
  for (int index = 0; index <= plan.nodes; ++index) {
    PlaceIdentity place{.index = index, .authority_pem = authority.certificate_pem()};
    // Orders to the nodes' agents are given from outside.
    const std::string name = index == outside_index ? "godwit-controller" : place_name(index);
    GODWIT_ASSIGN(place.certificate, authority.issue(name, place_address(index)));
    if (index != outside_index) GODWIT_TRY(write_identity_file(plan.name, place));
    setup.places.push_back(std::move(place));
    GODWIT_ASSIGN(UniqueFd listener, listen_at(place_socket(plan.name, index)));
    setup.listeners.push_back(std::move(listener));
  }
  return setup;
}

Result<> Janitor::start(const LabPlan& plan) {
  const Deadline deadline = Deadline::after(milliseconds(plan.start_limit_ms));
  sweep_dead_labs();
  GODWIT_ASSIGN(LabClaim claim, LabClaim::take(plan.name));
  claim_ = std::move(claim);
  state_ = LabState{.plan = plan, .janitor = ::getpid()};
  state_.places.assign(static_cast<size_t>(plan.nodes) + 1, -1);
  GODWIT_TRY(write_state(state_));

  GODWIT_TRY(lock_folders(plan));
  GODWIT_TRY(os::make_directories(shared_directory(plan.name), 0755));

  GODWIT_ASSIGN(SupervisorSetup setup, make_setup(plan));
  for (int index = 0; index <= plan.nodes; ++index) {
    GODWIT_TRY(create_cgroup(setup.hierarchies, place_cgroup(plan.name, index)));
  }
  GODWIT_ASSIGN(os::SocketPair reports, pair_with_senders());
  GODWIT_ASSIGN(const pid_t pid, start_supervisor(std::move(setup), reports.theirs.get()));
  GODWIT_ASSIGN(supervisor_, os::open_pidfd(pid));
  reports.theirs.reset();
  GODWIT_TRY(wait_for_reports(reports.ours.get(), deadline));
  return write_state(state_);
}

Result<> Janitor::lock_folders(const LabPlan& plan) {
  std::vector<std::string> folders = {plan.image};
  for (const Bind& bind : plan.binds) {
    if (std::filesystem::is_directory(bind.source)) folders.push_back(bind.source);
  }
  for (const std::string& folder : folders) {
    GODWIT_ASSIGN(UniqueFd fd, os::open_file(folder, O_RDONLY | O_DIRECTORY));
    if (::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) return fail_errno("lock {}, which the lab uses", folder);
    in_use_.push_back(std::move(fd));
  }
  return {};
}

Result<> Janitor::wait_for_reports(int socket, Deadline deadline) {
  for (size_t missing = state_.places.size(); missing > 0; --missing) {
    auto message = receive(socket, deadline);
    if (!message) {
      return fail("the lab did not come up within {} ms: {} places are missing", state_.plan.start_limit_ms, missing);
    }
    if (message->text.empty()) return fail("the lab's first process was killed while it started");
    const json report = json::parse(message->text, nullptr, false);
    if (!report.is_object()) return fail("a place sent nonsense");
    const int index = report.value("place", -1);
    if (index < 0 || index > state_.plan.nodes) return fail("a place sent nonsense");
    if (const std::string error = report.value("error", ""); !error.empty()) {
      return fail("{}: {}", place_name(index), error);
    }
    state_.places[static_cast<size_t>(index)] = message->sender;
  }
  return {};
}

bool Janitor::starter_still_there() {
  const auto message = receive(control_, Deadline::after({}));
  if (message && message->text == "detach") {
    detached_ = true;
    send_text(control_, R"({"error": ""})");
    return true;
  }
  return message && !message->text.empty();
}

void Janitor::wait_for_the_end() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  const UniqueFd signals(::signalfd(-1, &ending, SFD_CLOEXEC));
  for (;;) {
    // A lab may stay for days: this is the one wait without a limit.
    pollfd events[3] = {
        {signals.get(), POLLIN, 0}, {supervisor_.get(), POLLIN, 0}, {detached_ ? -1 : control_, POLLIN, 0}};
    if (::poll(events, 3, -1) < 0) continue;
    if (events[0].revents != 0 || events[1].revents != 0) return;
    if (events[2].revents != 0 && !starter_still_there()) return;
  }
}

Result<> Janitor::remove_everything() {
  if (!claim_) return {};  // nothing of this name is ours
  if (supervisor_) ::syscall(SYS_pidfd_send_signal, supervisor_.get(), SIGKILL, nullptr, 0);
  const auto removed = remove_remains(state_.plan.name, Deadline::after(removal_limit));
  // With the last process of its cgroups the supervisor has died, too: its wait ends.
  if (removed && supervisor_) ::waitid(P_PIDFD, static_cast<id_t>(supervisor_.get()), nullptr, WEXITED);
  return removed;
}

Result<> serve(int control) {
  Janitor janitor(control);
  GODWIT_ASSIGN(const Message request, receive(control, Deadline::after(std::chrono::seconds(10))));
  auto started = [&]() -> Result<> {
    GODWIT_ASSIGN(const LabPlan plan, plan_from_json(json::parse(request.text, nullptr, false)));
    return janitor.start(plan);
  }();
  const std::string error = started ? "" : started.error().message;
  if (!started) (void)janitor.remove_everything();
  send_text(control, json{{"error", error}}.dump(-1, ' ', false, json::error_handler_t::replace));
  if (!started) return started;
  janitor.wait_for_the_end();
  return janitor.remove_everything();
}

}  // namespace

int janitor_main() {
  const pid_t pid = ::fork();
  if (pid != 0) return pid < 0 ? 1 : 0;
  ::setsid();
  ::umask(022);
  if (::chdir("/") != 0) return 1;
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t handled;  // by signalfd; SIGHUP: a closing terminal ends nothing
  sigemptyset(&handled);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&handled, signal);
  ::sigprocmask(SIG_SETMASK, &handled, nullptr);
  ::fcntl(janitor_socket, F_SETFD, FD_CLOEXEC);
  set_log_name("lab janitor");
  const auto served = serve(janitor_socket);
  if (!served) log_error("{}", served.error().message);
  return served ? 0 : 1;
}

}  // namespace godwit::lab
