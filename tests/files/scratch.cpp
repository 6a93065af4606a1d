#include "scratch.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "os/file.h"

namespace godwit::files {
namespace {

// Once a process, before any thread is started: gtest runs environments first.
class PrivateMounts : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "these tests need root";
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
};
[[maybe_unused]] const auto* const environment = ::testing::AddGlobalTestEnvironment(new PrivateMounts);

}  // namespace

Scratch::Scratch() : base_("/tmp/godwit-files-XXXXXX") {
  GODWIT_CHECK(::mkdtemp(base_.data()) != nullptr);
  GODWIT_CHECK(::mount("scratch", base_.c_str(), "tmpfs", 0, "mode=755") == 0);
}

Scratch::~Scratch() {
  ::umount2(base_.c_str(), MNT_DETACH);  // with all that is mounted below
  ::rmdir(base_.c_str());
}

std::string Scratch::directory(const std::string& name) const {
  std::filesystem::create_directories(path(name));
  return path(name);
}

std::string Scratch::tmpfs(const std::string& name, const std::string& options) const {
  const std::string where = directory(name);
  GODWIT_CHECK(::mount("tmpfs", where.c_str(), "tmpfs", 0, options.c_str()) == 0);
  return where;
}

Overlay::Overlay(const Scratch& scratch, const std::string& name)
    : lower(scratch.directory(name + "/lower")),
      upper(scratch.directory(name + "/upper")),
      work(scratch.directory(name + "/work")),
      merged(scratch.directory(name + "/merged")) {}

void Overlay::mount() const {
  const std::string options = fmt::format("lowerdir={},upperdir={},workdir={}", lower, upper, work);
  GODWIT_CHECK(::mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) == 0);
}

SocketStream::SocketStream(UniqueFd fd) : fd_(std::move(fd)) {
  const timeval limit{.tv_sec = 30, .tv_usec = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Result<> SocketStream::write(const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = ::send(fd_.get(), at, size, MSG_NOSIGNAL);
    if (sent < 0) return fail_errno("send");
    at += sent;
    size -= static_cast<size_t>(sent);
  }
  return {};
}

Result<> SocketStream::read_exact(void* data, size_t size) {
  return os::read_exact(fd_.get(), data, size);
}

std::pair<std::unique_ptr<SocketStream>, std::unique_ptr<SocketStream>> make_streams() {
  int fds[2];
  GODWIT_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {std::make_unique<SocketStream>(UniqueFd(fds[0])), std::make_unique<SocketStream>(UniqueFd(fds[1]))};
}

Copy::Copy(std::vector<SourceRoot> roots, const std::vector<DestinationRoot>& destinations,
           const SourceOptions& options, const ReceiverOptions& receiver_options)
    : receiver_end_(fail("still running")) {
  std::tie(source_stream_, receiver_stream_) = make_streams();
  auto source = FileSource::open(std::move(roots), options, *source_stream_);
  GODWIT_CHECK(source.has_value());
  source_ = std::move(*source);
  auto receiver = FileReceiver::open(destinations, receiver_options, *receiver_stream_);
  GODWIT_CHECK(receiver.has_value());
  receiver_ = std::move(*receiver);
  thread_ = std::thread([this] {
    // A final pass may be followed by another; the stream's end after one is what is wanted.
    for (;;) {
      auto pass = receiver_->receive_pass();
      const bool ended_well = !pass && receiver_end_ && receiver_end_->final;
      if (!ended_well) receiver_end_ = std::move(pass);
      if (ended_well || !receiver_end_) break;
    }
    receiver_stream_->close();
  });
}

Copy::~Copy() {
  source_stream_->close();
  if (thread_.joinable()) thread_.join();
}

namespace {
PassStats checked(Result<PassStats> stats) {
  EXPECT_TRUE(stats) << stats.error().message;
  return stats.value_or(PassStats());
}
}  // namespace

PassStats Copy::first(const std::vector<FileInUse>& in_use) {
  return checked(source_->first_pass(in_use, soon()));
}
PassStats Copy::next() {
  return checked(source_->next_pass(soon()));
}
PassStats Copy::final(const std::vector<FileInUse>& in_use) {
  return checked(source_->final_pass(in_use, soon()));
}

Result<AppliedPass> Copy::receiver_end() {
  source_stream_->close();
  if (thread_.joinable()) thread_.join();
  return receiver_end_;
}

void write_file(const std::string& path, std::string_view text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string differences(const std::string& left, const std::string& right, RootKind kind) {
  const auto lines = compare_trees(left, right, kind);
  if (!lines) return lines.error().message;
  std::string text;
  for (const std::string& line : *lines) text += line + "\n";
  return text;
}

}  // namespace godwit::files
