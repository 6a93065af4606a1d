// What a move costs in memory beyond the container itself: the agents' own, and the page store of the destination.
#include <gmock/gmock.h>

#include <atomic>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "os/file.h"
#include "two_nodes.h"

namespace godwit::moves {
namespace {

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr uint64_t own_bytes_max = 64 * mib;
constexpr uint64_t container_bytes = 1024 * mib;
constexpr double store_share_max = 1.05;

// Of all of a node's agent processes, supervisor and workers; what several of them map counts once.
struct Usage {
  uint64_t own_bytes = 0;
  uint64_t store_bytes = 0;
  size_t processes = 0;
};

// Adds what /proc/PID/smaps says. The page store is the only memory of an agent that is kept from core dumps and from
// children (flags dd and dc).
void add_mappings(const std::string& smaps, Usage& usage) {
  std::istringstream lines(smaps);
  uint64_t pss_bytes = 0;
  for (std::string line; std::getline(lines, line);) {
    unsigned long kib = 0;
    if (std::sscanf(line.c_str(), "Pss: %lu kB", &kib) == 1) pss_bytes = kib * 1024;
    if (!line.starts_with("VmFlags:")) continue;
    const bool store = line.find(" dd") != std::string::npos && line.find(" dc") != std::string::npos;
    (store ? usage.store_bytes : usage.own_bytes) += pss_bytes;
  }
}

Usage usage_of(const lab::Node& node) {
  Usage usage;
  const std::string proc = node.root_path() + "/proc/";
  for (const std::string& name : os::list_directory(proc).value_or(std::vector<std::string>{})) {
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (os::read_file(proc + name + "/comm").value_or("") != "godwit-agent\n") continue;
    const auto smaps = os::read_file(proc + name + "/smaps");
    if (!smaps) continue;  // it has just ended
    ++usage.processes;
    add_mappings(*smaps, usage);
  }
  return usage;
}

// The most that was seen while it lived, looked at again and again by a thread of its own.
class Sampler {
 public:
  explicit Sampler(const lab::Node& node)
      : thread_([this, &node](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            const Usage now = usage_of(node);
            most_.own_bytes = std::max(most_.own_bytes, now.own_bytes);
            most_.store_bytes = std::max(most_.store_bytes, now.store_bytes);
            most_.processes = std::max(most_.processes, now.processes);
            ++samples_;
            std::this_thread::sleep_for(milliseconds(20));
          }
        }) {}
  Usage most() {
    thread_.request_stop();
    thread_.join();
    EXPECT_GT(samples_, 20) << "the move was over before it could be looked at";
    return most_;
  }

 private:
  Usage most_;
  int samples_ = 0;
  std::jthread thread_;
};

TEST(Memory, TheAgentsTakeLittleBesideThePageStoreAndThatHardlyMoreThanTheContainer) {
  auto started = TwoNodes::start();
  ASSERT_TRUE(started.has_value()) << started.error().message;
  TwoNodes& nodes = **started;
  // Contents that nothing makes smaller, an eighth of which is written again and again.
  const std::string program = fmt::format(R"(
import os, time
memory = bytearray(os.urandom({0}))
open("/root/ready", "w").close()
while True:
  for at in range(0, {0} // 8, 1 << 20):
    memory[at : at + (1 << 16)] = os.urandom(1 << 16)
    time.sleep(0.001)
)",
                                          container_bytes);
  const auto made = nodes.node(1).make_container(
      {.name = "large", .args = {"/usr/bin/python3", "-c", program}, .address = "10.88.1.9/16"});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  const auto ready = nodes.node(1).exec_checked(
      {"sh", "-c", "until test -e /var/lib/godwit/containers/large/upper/root/ready; do sleep 0.1; done"},
      Deadline::after(std::chrono::seconds(60)));
  ASSERT_TRUE(ready.has_value()) << ready.error().message;

  Sampler at_source(nodes.node(1));
  Sampler at_destination(nodes.node(2));
  const auto moved = nodes.move("large", 1, 2);
  const Usage source = at_source.most();
  const Usage destination = at_destination.most();
  ASSERT_TRUE(moved.has_value()) << moved.error().message;
  ASSERT_TRUE(moved->ok) << moved->reason;
  ASSERT_GE(moved->memory_bytes, container_bytes);
  const double share = static_cast<double>(destination.store_bytes) / static_cast<double>(moved->memory_bytes);
  fmt::print(
      "container {:.1f} MiB; agent of the source {:.1f} MiB; agent of the destination {:.1f} MiB and page store {:.1f} "
      "MiB, {:.3f} of the container\n",
      static_cast<double>(moved->memory_bytes) / mib, static_cast<double>(source.own_bytes) / mib,
      static_cast<double>(destination.own_bytes) / mib, static_cast<double>(destination.store_bytes) / mib, share);
  EXPECT_LE(source.own_bytes, own_bytes_max);
  EXPECT_LE(destination.own_bytes, own_bytes_max);
  EXPECT_EQ(source.store_bytes, 0U);
  EXPECT_GT(share, 0.5) << "the page store was not seen";
  EXPECT_LE(share, store_share_max);
  EXPECT_GE(destination.processes, 2U);

  for (const int node : {1, 2}) {
    const Deadline deadline = Deadline::after(std::chrono::seconds(15));
    Usage left = usage_of(nodes.node(node));
    while ((left.processes != 1 || left.store_bytes != 0) && !deadline.expired()) {
      std::this_thread::sleep_for(milliseconds(100));
      left = usage_of(nodes.node(node));
    }
    EXPECT_EQ(left.processes, 1U) << "a worker was left on node " << node;
    EXPECT_EQ(left.store_bytes, 0U);
    EXPECT_LE(left.own_bytes, own_bytes_max / 2);
  }
}

}  // namespace
}  // namespace godwit::moves
