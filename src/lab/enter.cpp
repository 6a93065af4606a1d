#include "lab/enter.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>
#include <array>
#include <charconv>

#include "lab/layout.h"
#include "lab/place_server.h"

extern char** environ;

namespace godwit::lab {
namespace {

struct Entry {
  std::string socket_path;
  ProgramRequest request;
};

// A place has an environment of its own; only what steers the project's own programs comes along.
std::vector<std::string> place_environment() {
  std::vector<std::string> result = {
      fmt::format("PATH={}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", binaries_in_node),
      "HOME=/root", "LANG=C.UTF-8"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (name == "TERM" || name.starts_with("GODWIT_") || name.ends_with("SAN_OPTIONS")) result.emplace_back(text);
  }
  return result;
}

Result<Entry> parse(const std::vector<std::string>& arguments) {
  constexpr size_t fixed_words = 3;
  if (arguments.size() < fixed_words) return fail("godwit-lab enter is for the lab's own use; see `godwit-lab exec`");
  Entry entry{.socket_path = arguments[0]};
  entry.request.directory = arguments[1];
  entry.request.environment = place_environment();
  entry.request.numbers = {0, 1, 2};
  for (const char *at = arguments[2].data(), *end = at + arguments[2].size(); at < end;) {
    int number = -1;
    const auto parsed = std::from_chars(at, end, number);
    if (parsed.ec != std::errc{}) return fail("\"{}\" are no descriptor numbers", arguments[2]);
    entry.request.numbers.push_back(number);
    at = parsed.ptr + 1;
  }
  if (entry.request.numbers.size() > request_descriptors_max) return fail("too many descriptors");
  size_t at = fixed_words;
  for (; at < arguments.size() && arguments[at] != "--"; ++at) entry.request.environment.push_back(arguments[at]);
  if (at + 1 >= arguments.size()) return fail("no command to run was given");
  entry.request.argv.assign(arguments.begin() + static_cast<ptrdiff_t>(at) + 1, arguments.end());
  return entry;
}

Result<UniqueFd> connect_to(const std::string& path) {
  UniqueFd connection(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("{} is too long for a socket", path);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("{} (has the node been killed?)", path);
  }
  return connection;
}

Result<> send_request(int connection, const ProgramRequest& request) {
  std::string text = encode_request(request);
  if (text.size() > request_bytes_max) return fail("arguments and environment are too long");
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * request_descriptors_max)> ancillary{};
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary.data();
  header.msg_controllen = CMSG_SPACE(sizeof(int) * request.numbers.size());
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int) * request.numbers.size());
  std::memcpy(CMSG_DATA(rights), request.numbers.data(), sizeof(int) * request.numbers.size());
  if (::sendmsg(connection, &header, MSG_NOSIGNAL) < 0) return fail_errno("send the command");
  return {};
}

// The signals that are passed on; the others do to this process what they do to any.
sigset_t passed_on() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, pass_on_kill_signal()}) {
    sigaddset(&set, signal);
  }
  return set;
}

Result<int> stand_in(int connection, int signals) {
  for (;;) {
    pollfd events[2] = {{connection, POLLIN, 0}, {signals, POLLIN, 0}};
    if (::poll(events, 2, -1) < 0) continue;  // as long as the program runs: its caller has the deadline
    if (events[0].revents != 0) {
      unsigned char status = 0;
      return ::recv(connection, &status, 1, 0) == 1 ? status : lost_place_status;
    }
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    const bool kill = static_cast<int>(info.ssi_signo) == pass_on_kill_signal();
    const char number = static_cast<char>(kill ? SIGKILL : info.ssi_signo);
    ::send(connection, &number, 1, MSG_NOSIGNAL);
  }
}

Result<int> enter(const std::vector<std::string>& arguments) {
  const sigset_t set = passed_on();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  GODWIT_ASSIGN(const Entry entry, parse(arguments));
  GODWIT_ASSIGN(const UniqueFd connection, connect_to(entry.socket_path));
  GODWIT_TRY(send_request(connection.get(), entry.request));
  // The program has them now; kept here, a pipe's reader would not see its end when the program closes it.
  for (const int number : entry.request.numbers) {
    if (number != 2) ::close(number);
  }
  const UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals) return fail_errno("signalfd");
  return stand_in(connection.get(), signals.get());
}

}  // namespace

std::vector<std::string> enter_arguments(const std::string& program, const std::string& socket_path,
                                         const std::string& directory, const std::vector<int>& numbers,
                                         const std::vector<std::string>& environment) {
  std::vector<std::string> result = {program, "enter", socket_path, directory,
                                     fmt::format("{}", fmt::join(numbers, ","))};
  result.insert(result.end(), environment.begin(), environment.end());
  result.emplace_back("--");
  return result;
}

int enter_main(const std::vector<std::string>& arguments) {
  const auto status = enter(arguments);
  if (status) return *status;
  fmt::print(stderr, "godwit-lab: {}\n", status.error().message);
  return start_failed_status;
}

}  // namespace godwit::lab
