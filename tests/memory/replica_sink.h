// A destination for tests: keeps what it is sent, the way that lanes would bring it (later, in any order between two
// barriers), and compares the outcome with the frozen processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "memory/precopy.h"

namespace godwit::test {

class ReplicaSink : public memory::RunSink {
 public:
  explicit ReplicaSink(uint64_t seed) : random_(seed) {}

  Result<> add_process(const memory::ProcessIdentity& process) override;
  Result<> add_shared(const memory::SharedIdentity& object) override;
  Result<> submit(const memory::ProcessIdentity& process, const memory::Run& run) override;
  Result<> submit_shared(const memory::SharedIdentity& object, uint64_t offset,
                         std::span<const std::byte> data) override;
  Result<> submit_shared_absent(const memory::SharedIdentity& object, uint64_t offset, uint64_t pages) override;
  Result<> drop_process(const memory::ProcessIdentity& process) override;
  Result<> drop_shared(const memory::SharedIdentity& object) override;

  // Whether a run that cannot be read is a failure of the test.
  void expect_all_readable(bool expected) { all_readable_ = expected; }
  // Carries out what was submitted since the last one, in random order.
  void barrier();
  // Compares every page of every private mapping and shared object with the original; counts pages.
  void compare(const memory::FinalReport& report, uint64_t& pages);

 private:
  struct Page {
    std::array<char, 4096> bytes;
  };
  using Pages = std::map<uint64_t, Page>;  // by address or offset
  struct Replica {
    bool announced = false;
    Pages pages;
  };
  struct Order {
    bool shared = false;
    uint32_t index = 0;
    pid_t pid = 0;
    uint64_t address = 0;
    uint64_t pages = 0;
    bool absent = false;
    std::vector<char> contents;  // of a shared object
  };

  void note(const Order& order);
  void carry_out(const Order& order);
  void compare_process(const memory::FinalProcess& process, uint64_t& pages);
  void compare_shared(const memory::FinalReport& report, const memory::SharedObject& object, uint64_t& pages);

  std::mt19937_64 random_;
  bool all_readable_ = false;
  std::map<uint32_t, Replica> processes_;
  std::map<uint32_t, Replica> shared_;
  std::vector<Order> orders_;
  std::set<std::pair<uint64_t, uint64_t>> named_;  // {object, page}: since the last barrier
};

}  // namespace godwit::test
