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

#include <array>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "lab/layout.h"
#include "lab/place_server.h"
#include "lab/state.h"
#include "lab/supervisor.h"
#include "os/file.h"

namespace godwit::lab {
namespace {

using nlohmann::json;

constexpr auto removal_limit = std::chrono::seconds(30);

struct Message {
  std::string text;  // empty: the other end is closed
  pid_t sender = -1;
};

// `sender` is filled in if the socket has SO_PASSCRED.
Result<Message> receive(int socket, Deadline deadline) {
  pollfd ready{socket, POLLIN, 0};
  int count = 0;
  while ((count = ::poll(&ready, 1, deadline.poll_timeout_ms())) < 0 && errno == EINTR) {
  }
  if (count < 0) return fail_errno("wait for a message");
  if (count == 0) return fail("no answer in time");
  Message message{.text = std::string(control_bytes_max, '\0')};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> ancillary{};
  iovec part{message.text.data(), message.text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary.data();
  header.msg_controllen = ancillary.size();
  const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0) return fail_errno("receive a message");
  message.text.resize(static_cast<size_t>(got));
  const cmsghdr* credentials = CMSG_FIRSTHDR(&header);
  if (credentials != nullptr && credentials->cmsg_type == SCM_CREDENTIALS) {
    ucred from{};
    std::memcpy(&from, CMSG_DATA(credentials), sizeof from);
    message.sender = from.pid;
  }
  return message;
}

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
  Result<> wait_for_reports(int socket, Deadline deadline);
  // Reads what the starter sent; false when its end of the socket is closed.
  bool starter_still_there();

  int control_;
  bool detached_ = false;
  LabState state_;
  std::optional<LabClaim> claim_;
  UniqueFd image_in_use_;
  UniqueFd supervisor_;  // pidfd
};

Result<SupervisorSetup> make_setup(const LabPlan& plan) {
  SupervisorSetup setup{.plan = plan};
  GODWIT_ASSIGN(setup.hierarchies, find_hierarchies());
  GODWIT_ASSIGN(const CertificateAuthority authority, CertificateAuthority::create("Godwit lab " + plan.name));
  for (int index = 0; index <= plan.nodes; ++index) {
    PlaceIdentity place{.index = index, .authority_pem = authority.certificate_pem()};
    GODWIT_ASSIGN(place.certificate, authority.issue(place_name(index), place_address(index)));
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

  // Keeps tools/node-image.sh from removing the image of a running lab.
  GODWIT_ASSIGN(image_in_use_, os::open_file(plan.image, O_RDONLY | O_DIRECTORY));
  if (::flock(image_in_use_.get(), LOCK_SH | LOCK_NB) != 0) return fail_errno("lock image {}", plan.image);

  GODWIT_ASSIGN(SupervisorSetup setup, make_setup(plan));
  for (int index = 0; index <= plan.nodes; ++index) {
    GODWIT_TRY(create_cgroup(setup.hierarchies, place_cgroup(plan.name, index)));
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socketpair");
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const int yes = 1;
  if (::setsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0) return fail_errno("SO_PASSCRED");
  GODWIT_ASSIGN(const pid_t pid, start_supervisor(std::move(setup), theirs.get()));
  supervisor_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!supervisor_) return fail_errno("pidfd of the supervisor");
  theirs.reset();
  GODWIT_TRY(wait_for_reports(ours.get(), deadline));
  return write_state(state_);
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
