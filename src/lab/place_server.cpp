#include "lab/place_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

namespace godwit::lab {
namespace {

constexpr size_t programs_max = 256;

// A program and who asked for it. Without connection: the asker is gone; without pid: the request is still to come.
struct Session {
  UniqueFd connection;
  pid_t pid = -1;
};

struct Received {
  std::string text;
  std::vector<UniqueFd> descriptors;
};

Result<Received> receive(int connection) {
  Received received{.text = std::string(request_bytes_max, '\0')};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * request_descriptors_max)> ancillary{};
  iovec part{received.text.data(), received.text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary.data();
  header.msg_controllen = ancillary.size();
  const ssize_t got = ::recvmsg(connection, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return fail_errno("receive a request");
  received.text.resize(static_cast<size_t>(got));
  for (cmsghdr* message = CMSG_FIRSTHDR(&header); message != nullptr; message = CMSG_NXTHDR(&header, message)) {
    if (message->cmsg_level != SOL_SOCKET || message->cmsg_type != SCM_RIGHTS) continue;
    std::vector<int> numbers((message->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(numbers.data(), CMSG_DATA(message), numbers.size() * sizeof(int));
    for (const int fd : numbers) received.descriptors.emplace_back(fd);
  }
  return received;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void program_main(ProgramRequest& request, const std::vector<UniqueFd>& descriptors) {
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // First out of the way of the wanted numbers, then to them.
  std::array<int, request_descriptors_max> parked{};
  for (size_t i = 0; i < descriptors.size(); ++i) {
    parked[i] = ::fcntl(descriptors[i].get(), F_DUPFD_CLOEXEC, 1000);
  }
  for (size_t i = 0; i < descriptors.size(); ++i) ::dup2(parked[i], request.numbers[i]);
  const auto give_up = [](const std::string& what) {
    fmt::print(stderr, "{}: {}\n", what, std::strerror(errno));
    _exit(start_failed_status);
  };
  if (::chdir(request.directory.c_str()) != 0) give_up(request.directory);
  for (const std::string& entry : request.environment) {
    // execvpe() searches the PATH of the caller, not that of the new environment.
    if (entry.starts_with("PATH=")) ::setenv("PATH", entry.c_str() + 5, 1);
  }
  ::execvpe(request.argv[0].c_str(), pointers(request.argv).data(), pointers(request.environment).data());
  give_up(request.argv[0]);
  std::abort();
}

// Owned by serve_place(), single-threaded.
class PlaceServer {
 public:
  explicit PlaceServer(UniqueFd listener) : listener_(std::move(listener)) {
    sigset_t child_ended;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    signals_ = UniqueFd(::signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  void step() {
    std::vector<pollfd> events = {{signals_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const Session& session : sessions_) events.push_back({session.connection.get(), POLLIN, 0});
    if (::poll(events.data(), events.size(), -1) < 0) return;  // waits as long as the place exists
    // Sessions in the order of `events`: none is removed or added before all have been looked at.
    for (size_t i = 0; i < sessions_.size(); ++i) {
      if (events[i + 2].revents != 0) hear(sessions_[i]);
    }
    if (events[0].revents != 0) reap();
    std::erase_if(sessions_, [](const Session& session) { return !session.connection && session.pid < 0; });
    if (events[1].revents != 0) accept_one();
  }

 private:
  void accept_one() {
    UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection && sessions_.size() < programs_max) sessions_.push_back({.connection = std::move(connection)});
  }

  static void hear(Session& session) {
    auto received = receive(session.connection.get());
    if (!received || received->text.empty()) {
      session.connection.reset();
      if (session.pid > 0) ::kill(session.pid, SIGKILL);
    } else if (session.pid > 0) {
      ::kill(session.pid, received->text[0]);
    } else {
      start(session, *received);
    }
  }

  static void start(Session& session, const Received& received) {
    auto request = decode_request(received.text);
    if (!request || request->numbers.size() != received.descriptors.size()) {
      session.connection.reset();
      return;
    }
    session.pid = ::fork();
    if (session.pid == 0) program_main(*request, received.descriptors);
    if (session.pid < 0) session.connection.reset();
  }

  void reap() {
    signalfd_siginfo info{};
    [[maybe_unused]] const ssize_t got = ::read(signals_.get(), &info, sizeof info);
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      const auto session = std::ranges::find(sessions_, pid, &Session::pid);
      if (session == sessions_.end()) continue;  // an orphan
      const auto code = static_cast<unsigned char>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
      if (session->connection) ::send(session->connection.get(), &code, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
      *session = Session{};
    }
  }

  UniqueFd listener_;
  UniqueFd signals_;
  std::vector<Session> sessions_;
};

}  // namespace

std::string encode_request(const ProgramRequest& request) {
  std::string message = request.directory + '\0';
  for (const int number : request.numbers) message += fmt::format("{},", number);
  message += '\0' + std::to_string(request.environment.size()) + '\0';
  for (const std::string& entry : request.environment) message += entry + '\0';
  for (const std::string& word : request.argv) message += word + '\0';
  return message;
}

Result<ProgramRequest> decode_request(const std::string& message) {
  std::vector<std::string> words;
  for (size_t at = 0; at < message.size();) {
    const size_t end = message.find('\0', at);
    if (end == std::string::npos) return fail("a request that is cut off");
    words.push_back(message.substr(at, end - at));
    at = end + 1;
  }
  ProgramRequest request;
  size_t entries = 0;
  constexpr size_t fixed_words = 3;
  if (words.size() <= fixed_words ||
      std::from_chars(words[2].data(), words[2].data() + words[2].size(), entries).ec != std::errc{} ||
      words.size() - fixed_words <= entries) {
    return fail("a request without a program");
  }
  request.directory = words[0];
  for (const char *at = words[1].data(), *end = at + words[1].size(); at < end;) {
    int number = -1;
    const auto parsed = std::from_chars(at, end, number);
    if (parsed.ec != std::errc{} || number < 0) return fail("a request with a bad descriptor number");
    request.numbers.push_back(number);
    at = parsed.ptr + 1;
  }
  const auto first_entry = words.begin() + fixed_words;
  const auto first_word = first_entry + static_cast<ptrdiff_t>(entries);
  request.environment.assign(first_entry, first_word);
  request.argv.assign(first_word, words.end());
  return request;
}

Result<UniqueFd> listen_at(const std::string& socket_path) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!listener) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return fail("{} is too long for a socket", socket_path);
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("bind {}", socket_path);
  }
  if (::listen(listener.get(), SOMAXCONN) != 0) return fail_errno("listen at {}", socket_path);
  return listener;
}

void serve_place(UniqueFd listener) {
  for (PlaceServer server(std::move(listener));;) server.step();
}

}  // namespace godwit::lab
