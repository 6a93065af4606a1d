// For tests of what goes wrong: a container that counts, somebody who listens to it, and what must hold afterwards.
#pragma once

#include <gmock/gmock.h>

#include "count_listener.h"
#include "two_nodes.h"

namespace godwit::moves {

constexpr auto settle_time = std::chrono::seconds(25);

class FaultTest : public testing::Test {
 protected:
  // Of pre-copy that shall not end by itself.
  static constexpr agent::MigrateOptions slow{.bandwidth_bytes_per_s = 100'000};

  void SetUp() override { start({.nodes = 2}); }
  void TearDown() override;

  void start(const lab::LabOptions& options);
  [[nodiscard]] TwoNodes& nodes() { return *nodes_; }
  // A container "counter" that counts; `before` is Python that it runs once before that.
  void make_counter(int node, const std::string& before = "");
  void remove_counter(int node);
  // Runs a shell script on a node.
  void run(int node, const std::string& script);

  void expect_cpu_limit(int node);
  // It runs on `node` and is heard, and nothing of it is on `other`.
  void expect_runs_only_on(int node, int other);
  // The same when it was to move 1 -> 2 and stayed, and that a move works now.
  void expect_stayed_and_can_move();
  void expect_moves(int from, int to);
  // The move 1 -> 2 fails with a reason that holds all `words`; nothing else is looked at.
  void expect_refused(const std::vector<std::string>& words, const agent::MigrateOptions& options = {});
  static void expect_reason(const agent::ResultEvent& result, const std::vector<std::string>& words);

  // Begins a move and waits for the phase to begin; nullptr (and a failure) if it does not. Pre-copy is held open.
  std::unique_ptr<Move> begin_until(agent::Phase phase, int from, int to);

  std::unique_ptr<TwoNodes> nodes_;
  std::unique_ptr<CountListener> listener_;
};

}  // namespace godwit::moves
