#include "lab/place_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "base/deadline.h"
#include "os/file.h"

namespace godwit::lab {
namespace {

TEST(PlaceRequest, ComesOutAsItWentIn) {
  const ProgramRequest request{.directory = "/a b",
                               .environment = {"X=1=2", "EMPTY=", ""},
                               .argv = {"program", "", "two words", "\xff\n"},
                               .numbers = {0, 1, 2, 77}};
  const auto decoded = decode_request(encode_request(request));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->directory, request.directory);
  EXPECT_EQ(decoded->environment, request.environment);
  EXPECT_EQ(decoded->argv, request.argv);
  EXPECT_EQ(decoded->numbers, request.numbers);
}

TEST(PlaceRequest, RefusesWhatIsNone) {
  const std::string good = encode_request({.directory = "/", .environment = {"A=1"}, .argv = {"x"}, .numbers = {0}});
  EXPECT_FALSE(decode_request(""));
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(decode_request(good.substr(0, length))) << length;
  EXPECT_FALSE(decode_request(encode_request({.directory = "/", .environment = {"A=1"}})));
  EXPECT_FALSE(
      decode_request(std::string("/\0zero,\0"
                                 "0\0x\0",
                                 13)));
}

// A real server in a child process; programs are real, too.
class PlaceServerTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fmt::format("/tmp/godwit-place-test-{}", ::getpid());
    auto listener = listen_at(path_);
    ASSERT_TRUE(listener) << listener.error().message;
    server_ = ::fork();
    if (server_ == 0) {
      sigset_t all;
      sigfillset(&all);
      ::sigprocmask(SIG_SETMASK, &all, nullptr);
      serve_place(std::move(*listener));
    }
  }
  void TearDown() override {
    ::kill(server_, SIGKILL);
    ::waitpid(server_, nullptr, 0);
    ::unlink(path_.c_str());
  }

  // Starts `argv` with `output` as its standard output.
  [[nodiscard]] UniqueFd ask(const std::vector<std::string>& argv, int output) const {
    UniqueFd connection(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    std::string text =
        encode_request({.directory = "/tmp", .environment = {"PATH=/usr/bin:/bin"}, .argv = argv, .numbers = {1}});
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> ancillary{};
    iovec part{text.data(), text.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = ancillary.data();
    header.msg_controllen = ancillary.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &output, sizeof output);
    EXPECT_GT(::sendmsg(connection.get(), &header, 0), 0);
    return connection;
  }

  static int status_from(const UniqueFd& connection) {
    pollfd ready{connection.get(), POLLIN, 0};
    unsigned char status = 0;
    if (::poll(&ready, 1, 10'000) != 1 || ::recv(connection.get(), &status, 1, 0) != 1) return -1;
    return status;
  }

  std::string path_;
  pid_t server_ = -1;
};

struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    reader = UniqueFd(ends[0]);
    writer = UniqueFd(ends[1]);
  }
  // Everything until the last writer closes.
  std::string drain() {
    writer.reset();
    std::string text(1000, '\0');
    size_t size = 0;
    for (pollfd ready{reader.get(), POLLIN, 0}; ::poll(&ready, 1, 10'000) == 1;) {
      const ssize_t got = ::read(reader.get(), text.data() + size, text.size() - size);
      if (got <= 0) break;
      size += static_cast<size_t>(got);
    }
    return text.substr(0, size);
  }
  UniqueFd reader;
  UniqueFd writer;
};

TEST_F(PlaceServerTest, RunsProgramsAndTellsTheirStatus) {
  Pipe pipe;
  const UniqueFd connection = ask({"sh", "-c", "pwd; exit 9"}, pipe.writer.get());
  EXPECT_EQ(status_from(connection), 9);
  EXPECT_EQ(pipe.drain(), "/tmp\n");
  const UniqueFd missing = ask({"no-such-program"}, 2);
  EXPECT_EQ(status_from(missing), start_failed_status);
}

TEST_F(PlaceServerTest, PassesSignalsOn) {
  const UniqueFd connection = ask({"sleep", "100"}, 2);
  const char number = SIGTERM;
  ASSERT_EQ(::send(connection.get(), &number, 1, 0), 1);
  EXPECT_EQ(status_from(connection), 128 + SIGTERM);
}

TEST_F(PlaceServerTest, ClosingTheConnectionKillsTheProgram) {
  Pipe pipe;
  UniqueFd connection = ask({"sh", "-c", "echo on; exec sleep 100"}, pipe.writer.get());
  char word[3] = {};
  ASSERT_TRUE(os::read_exact(pipe.reader.get(), word, sizeof word));
  const auto closed = Clock::now();
  connection.reset();
  EXPECT_EQ(pipe.drain(), "");  // the end of the pipe: nobody holds it any more
  EXPECT_LT(elapsed_ms(closed), 9'000);
}

TEST_F(PlaceServerTest, RunsManyAtOnceAndSurvivesNonsense) {
  std::vector<UniqueFd> connections;
  for (int i = 0; i < 20; ++i) connections.push_back(ask({"sh", "-c", fmt::format("exit {}", i)}, 2));
  const UniqueFd nonsense = ask({}, 2);
  EXPECT_EQ(status_from(nonsense), -1);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(status_from(connections[static_cast<size_t>(i)]), i);
}

}  // namespace
}  // namespace godwit::lab
