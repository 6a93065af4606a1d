// Threads that work on the keys of a queue: tries again what failed, later and later, until told to stop.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "kube/work_queue.h"

namespace godwit::controller {

class WorkLoop {
 public:
  // Runs on any of the threads, for one key on one at a time. Error: try again later.
  using Work = std::function<Result<>(const std::string& key, const std::stop_token& stop)>;

  // `what`: for messages, e.g. "pod".
  WorkLoop(std::string what, Work work) : what_(std::move(what)), work_(std::move(work)) {}
  ~WorkLoop() { stop(); }
  WorkLoop(const WorkLoop&) = delete;
  WorkLoop& operator=(const WorkLoop&) = delete;

  // Keys that were added before are worked on then.
  void start(size_t threads);
  // Returns when no thread works any more.
  void stop();
  kube::WorkQueue& queue() { return queue_; }

 private:
  void run(const std::stop_token& stop);

  const std::string what_;
  const Work work_;
  kube::WorkQueue queue_{{milliseconds(100), milliseconds(30'000), 0.2}};
  std::vector<std::jthread> threads_;
};

}  // namespace godwit::controller
