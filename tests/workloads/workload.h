// A program in a container that is moved there and back while clients outside load it and check every reply.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <string>

#include "two_nodes.h"

namespace godwit::workloads {

constexpr const char* container = "work";
constexpr const char* container_address = "10.88.1.9";
constexpr uint16_t service_port = 7000;

// A script of this folder, whole.
std::string script(const std::string& name);

// A program in `outside` that checks a service (scripts/load.py says what it prints). Owned by one test.
class Load {
 public:
  // Returns when each client has had its first reply.
  static Result<std::unique_ptr<Load>> start(const lab::Node& outside, const std::string& kind, uint16_t port,
                                             int clients);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Waits until `count` more replies than now have come. Errors: what was wrong with one.
  Result<> wait_for_replies(int64_t count);
  // Lets the clients make their last checks. Error: any reply was wrong.
  Result<> finish();
  // The number after the last line "WORD NUMBER", e.g. "lost"; the text after it as a string.
  [[nodiscard]] std::optional<std::string> said(const std::string& word) const;

 private:
  Load(std::string log, os::Subprocess program) : log_(std::move(log)), program_(std::move(program)) {}
  [[nodiscard]] Result<> check_alive() const;
  [[nodiscard]] int64_t replies() const;

  std::string log_;
  os::Subprocess program_;
};

class WorkloadTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Makes the container `container` on node 1. Fails the test if that fails.
  void start(lab::ContainerSpec spec);
  void start_load(const std::string& kind, uint16_t port, int clients);
  // 1 -> 2 -> 1, under the load if there is one: nothing of it stays on the node that it left, and replies keep coming
  // from the other.
  void move_there_and_back();
  void move(int from, int to);
  void finish_load();

  // Runs a shell line in the container where it is now.
  [[nodiscard]] Result<std::string> in_container(const std::string& line) const;
  // Runs a shell line in `outside`.
  [[nodiscard]] Result<std::string> outside(const std::string& line) const;

  std::unique_ptr<moves::TwoNodes> nodes_;
  std::unique_ptr<Load> load_;
  int at_ = 1;  // the node that it is on
};

}  // namespace godwit::workloads
