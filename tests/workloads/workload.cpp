#include "workload.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <charconv>
#include <iostream>
#include <thread>

#include "os/file.h"

namespace godwit::workloads {
namespace {

using std::chrono::seconds;
using testing::IsEmpty;

constexpr auto poll_interval = milliseconds(20);
constexpr auto open_time = seconds(30);
constexpr auto reply_time = seconds(15);
constexpr auto finish_time = seconds(30);
constexpr auto command_time = seconds(20);
constexpr int64_t replies_between_moves = 20;

int64_t to_number(const std::string& text) {
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

std::string script(const std::string& name) {
  const auto text = os::read_file(std::string(GODWIT_WORKLOAD_SCRIPTS "/") + name);
  EXPECT_TRUE(text.has_value()) << text.error().message;
  return text.value_or("");
}

Result<std::unique_ptr<Load>> Load::start(const lab::Node& outside, const std::string& kind, uint16_t port,
                                          int clients) {
  std::string log = "/tmp/godwit-load-XXXXXX";
  const UniqueFd made(::mkstemp(log.data()));
  if (!made) return fail_errno("make a log for the load");
  GODWIT_ASSIGN(os::Subprocess program, outside.spawn({"python3", "-c", script("load.py"), kind, container_address,
                                                       std::to_string(port), std::to_string(clients)},
                                                      {.log_path = log}));
  std::unique_ptr<Load> load(new Load(log, std::move(program)));
  const Deadline deadline = Deadline::after(open_time);
  while (!load->said("replies")) {
    GODWIT_TRY(load->check_alive());
    if (deadline.expired()) return fail("the clients of {} had no reply in time", kind);
    std::this_thread::sleep_for(poll_interval);
  }
  return load;
}

Load::~Load() {
  program_.kill_and_wait();
  ::unlink(log_.c_str());
}

Result<> Load::check_alive() const {
  pollfd ended{program_.pidfd(), POLLIN, 0};
  if (::poll(&ended, 1, 0) == 0) return {};
  return fail("the load has ended: {}", os::read_file(log_).value_or("its log cannot be read"));
}

std::optional<std::string> Load::said(const std::string& word) const {
  // The first line has no newline before it.
  const std::string text = "\n" + os::read_file(log_).value_or("");
  const std::string start = "\n" + word + " ";
  const size_t at = text.rfind(start);
  if (at == std::string::npos) return std::nullopt;
  const size_t end = text.find('\n', at + 1);
  if (end == std::string::npos) return std::nullopt;  // a line that is being written
  return text.substr(at + start.size(), end - at - start.size());
}

int64_t Load::replies() const {
  return to_number(said("replies").value_or("0"));
}

Result<> Load::wait_for_replies(int64_t count) {
  const Deadline deadline = Deadline::after(reply_time);
  const int64_t wanted = replies() + count;
  while (replies() < wanted) {
    GODWIT_TRY(check_alive());
    if (deadline.expired()) return fail("only {} replies of {} in time", replies(), wanted);
    std::this_thread::sleep_for(poll_interval);
  }
  return {};
}

Result<> Load::finish() {
  GODWIT_TRY(check_alive());
  if (::kill(program_.pid(), SIGTERM) != 0) return fail_errno("end the load");
  GODWIT_ASSIGN(const int status, program_.wait(Deadline::after(finish_time)));
  if (status == 0 && said("done")) return {};
  return fail("the load ended with status {}: {}", status, os::read_file(log_).value_or(""));
}

void WorkloadTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "a lab needs root";
  auto started = moves::TwoNodes::start();
  ASSERT_TRUE(started.has_value()) << started.error().message;
  nodes_ = std::move(*started);
}

void WorkloadTest::TearDown() {
  if (HasFailure() && nodes_ && nodes_->state_of(container, at_) == "running") {
    std::cerr << in_container("tail -n 5 /tmp/wrong /tmp/*.log 2>/dev/null; ps ax").value_or("") << "\n";
  }
}

void WorkloadTest::start(lab::ContainerSpec spec) {
  spec.name = container;
  spec.address = std::string(container_address) + "/16";
  const auto made = nodes_->node(1).make_container(spec);
  ASSERT_TRUE(made.has_value()) << made.error().message;
}

void WorkloadTest::start_load(const std::string& kind, uint16_t port, int clients) {
  auto load = Load::start(nodes_->outside(), kind, port, clients);
  ASSERT_TRUE(load.has_value()) << load.error().message;
  load_ = std::move(*load);
}

void WorkloadTest::move(int from, int to) {
  const auto moved = nodes_->move(container, from, to);
  ASSERT_TRUE(moved.has_value()) << moved.error().message;
  ASSERT_TRUE(moved->ok) << moved->reason;
  at_ = to;
  RecordProperty(fmt::format("pause_ms_to_node_{}", to), fmt::format("{:.1f}", moved->pause_ms));
  ASSERT_EQ(nodes_->state_of(container, to), "running");
  EXPECT_THAT(nodes_->lasting_traces_of(container, from), IsEmpty());
}

void WorkloadTest::move_there_and_back() {
  for (const int to : {2, 1}) {
    ASSERT_NO_FATAL_FAILURE(move(3 - to, to));
    if (!load_) continue;
    const auto goes_on = load_->wait_for_replies(replies_between_moves);
    ASSERT_TRUE(goes_on.has_value()) << "after the move to node " << to << ": " << goes_on.error().message;
  }
}

void WorkloadTest::finish_load() {
  const auto finished = load_->finish();
  ASSERT_TRUE(finished.has_value()) << finished.error().message;
}

Result<std::string> WorkloadTest::in_container(const std::string& line) const {
  return nodes_->node(at_).exec_checked({"runc", "exec", container, "sh", "-c", line}, Deadline::after(command_time));
}

Result<std::string> WorkloadTest::outside(const std::string& line) const {
  return nodes_->outside().exec_checked({"sh", "-c", line}, Deadline::after(command_time));
}

}  // namespace godwit::workloads
