// A benchmark: pauses of pods against that of a container without a cluster, and of a StatefulSet's against a
// Deployment's, all of the same small redis, in one run.
#include <gmock/gmock.h>

#include "figures.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "rows.h"

namespace godwit {
namespace {

constexpr int moves = 10;

class FiguresTest : public PodsTest {
 protected:
  static double standalone_pause() {
    const std::string report = testing::TempDir() + "godwit-figures.json";
    const auto done = os::run_checked({.argv = {GODWIT_PROGRAM, "demo", "--memory", "16MiB", "--clients", "8",
                                                "--moves", std::to_string(moves), "--json", report}},
                                      Deadline::after(seconds(120)));
    EXPECT_TRUE(done) << done.error().message;
    const json told = json::parse(os::read_file(report).value_or("{}"), nullptr, false);
    std::vector<double> pauses;
    for (const json& move : told.value("moves", json::array())) pauses.push_back(move.value("pause_ms", 0.0));
    return pauses.empty() ? 0 : bench::median(pauses);
  }
};

TEST_F(FiguresTest, PausesOfPods) {
  const double alone = standalone_pause();
  start_redis();
  start_stateful_redis();
  Clients deployments(node(0), address_of(only_pod()), 6379, "deployment");
  Clients statefulsets(node(0), address_of("db-0"), 6379, "statefulset");
  // On a machine that has as much to do.
  const double standalone = standalone_pause();
  MoveFigures deployment;
  MoveFigures statefulset;
  for (int move = 0; move < moves; ++move) {
    const json first = migrate(only_pod())["status"];
    EXPECT_EQ(first.value("state", ""), "Completed") << first.value("message", "");
    deployment.add(first);
    const json second = migrate("db-0")["status"];
    EXPECT_EQ(second.value("state", ""), "Completed") << second.value("message", "");
    statefulset.add(second);
  }
  EXPECT_TRUE(deployments.report()["problems"].empty());
  EXPECT_TRUE(statefulsets.report()["problems"].empty());
  ASSERT_GT(standalone, 0);
  fmt::print("standalone: pause {:.1f} ms, beside the cluster {:.1f} ms\n", alone, standalone);
  deployment.print("Deployment");
  statefulset.print("StatefulSet");
  fmt::print("StatefulSet's pause / Deployment's: {:.2f}\n", statefulset.pause() / deployment.pause());
  fmt::print("clients' wait / standalone pause beside the cluster: Deployment {:.2f}, StatefulSet {:.2f}\n",
             deployment.client_gap() / standalone, statefulset.client_gap() / standalone);
}

class LimitFiguresTest : public RowTest {};

// With a tenth of a processor, and without a limit.
TEST_F(LimitFiguresTest, PausesOfPodsWithACpuLimit) {
  start_pod("free");
  start_pod("limited", json::object(), {{"resources", {{"limits", {{"cpu", "100m"}, {"memory", "64Mi"}}}}}});
  MoveFigures free;
  MoveFigures limited;
  std::string free_name = "free";
  std::string limited_name = "limited";
  for (int move = 0; move < moves; ++move) {
    const auto move_on = [&](std::string& name, MoveFigures& figures) {
      const json status = migrate(name)["status"];
      EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
      figures.add(status);
      name = status.value("cloneName", "");
    };
    move_on(free_name, free);
    move_on(limited_name, limited);
  }
  free.print("without a limit");
  limited.print("100m");
  fmt::print("limited / not limited: {:.2f}\n", limited.pause() / free.pause());
}

}  // namespace
}  // namespace godwit
