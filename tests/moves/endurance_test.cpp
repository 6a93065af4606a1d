// Many moves in a row leave nothing behind: no memory, descriptor, process, mount, namespace, cgroup or packet rule.
// 20 moves; GODWIT_MOVES sets another number.
#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

#include <fmt/format.h>

#include "os/file.h"
#include "two_nodes.h"

namespace godwit::moves {
namespace {

// What a node holds, as counts and bytes by name.
std::map<std::string, long> holdings(const lab::Node& node) {
  constexpr const char* script = R"(
agent=$(pgrep -o -x godwit-agent)
echo descriptors $(ls /proc/$agent/fd | wc -l)
echo threads $(ls /proc/$agent/task | wc -l)
echo resident_kib $(awk '/^VmRSS/ { print $2 }' /proc/$agent/status)
echo processes $(pgrep -c . )
echo mounts $(wc -l </proc/self/mountinfo)
echo namespaces $(ls /run/netns 2>/dev/null | wc -l)
echo links $(ip -o link | wc -l)
echo cgroups $(find /sys/fs/cgroup -type d | wc -l)
echo rules $(iptables-save | grep -c '^-A')
echo bundles $(ls /var/lib/godwit/containers 2>/dev/null | wc -l)
echo containers $(ls /run/runc 2>/dev/null | wc -l)
)";
  std::map<std::string, long> counts;
  const auto output = node.exec_checked({"sh", "-c", script}, Deadline::after(std::chrono::seconds(10)));
  EXPECT_TRUE(output.has_value()) << output.error().message;
  if (!output) return counts;
  std::istringstream lines(*output);
  std::string name;
  long value = 0;
  while (lines >> name >> value) counts[name] = value;
  return counts;
}

TEST(Endurance, ManyMovesLeaveNothingBehind) {
  const char* wanted = std::getenv("GODWIT_MOVES");
  const int moves = wanted != nullptr ? std::atoi(wanted) : 20;
  auto started = TwoNodes::start();
  ASSERT_TRUE(started.has_value()) << started.error().message;
  TwoNodes& nodes = **started;
  const auto made = nodes.node(1).make_container(
      {.name = "redis", .args = {"redis-server", "--save", "", "--protected-mode", "no"}, .address = "10.88.1.9/16"});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  std::map<int, std::map<std::string, long>> before;
  for (int move = 0; move < moves; ++move) {
    // After the first moves: caches are warm, lazily made things are there.
    if (move == 4) {
      for (const int node : {1, 2}) before[node] = holdings(nodes.node(node));
    }
    const int from = move % 2 + 1;
    const auto moved = nodes.move("redis", from, 3 - from);
    ASSERT_TRUE(moved.has_value()) << "move " << move << ": " << moved.error().message;
    ASSERT_TRUE(moved->ok) << "move " << move << ": " << moved->reason;
    ASSERT_THAT(nodes.lasting_traces_of("redis", from), testing::IsEmpty()) << "move " << move;
  }
  for (const int node : {1, 2}) {
    const Deadline deadline = Deadline::after(std::chrono::seconds(15));
    std::string grown;
    // Workers end a little after their moves.
    for (;;) {
      grown.clear();
      for (const auto& [name, value] : holdings(nodes.node(node))) {
        const long slack = name == "resident_kib" ? 4096 : 0;
        if (value > before[node][name] + slack) grown += fmt::format("{} {} -> {}; ", name, before[node][name], value);
      }
      if (grown.empty() || deadline.expired()) break;
      std::this_thread::sleep_for(milliseconds(200));
    }
    EXPECT_EQ(grown, "") << "node " << node << " after " << moves << " moves";
  }
}

}  // namespace
}  // namespace godwit::moves
