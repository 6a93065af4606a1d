#include "controller/work_loop.h"

#include "base/log.h"

namespace godwit::controller {

void WorkLoop::start(size_t threads) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }
}

void WorkLoop::stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  queue_.shut_down();
  threads_.clear();
}

void WorkLoop::run(const std::stop_token& stop) {
  while (const auto key = queue_.take(Deadline::never())) {
    const Result<> done = work_(*key, stop);
    if (done) {
      queue_.forget(*key);
    } else if (!stop.stop_requested()) {
      log_warning("{} {}: {}", what_, *key, done.error().message);
      queue_.add_after_failure(*key);
    }
    queue_.done(*key);
  }
}

}  // namespace godwit::controller
