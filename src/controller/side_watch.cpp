#include "controller/side_watch.h"

#include <utility>

#include "base/deadline.h"
#include "kube/client.h"

namespace godwit::controller {

SideWatch::SideWatch(std::chrono::milliseconds interval, Look look, std::function<bool()> found)
    : look_(std::move(look)),
      found_(std::move(found)),
      thread_([this, interval](const std::stop_token& stop) { run(interval, stop); }) {}

std::optional<std::string> SideWatch::finding() const {
  const std::lock_guard lock(mutex_);
  return finding_;
}

void SideWatch::run(std::chrono::milliseconds interval, const std::stop_token& stop) {
  while (kube::sleep_unless_stopped(interval, Deadline::never(), stop)) {
    if (!finding()) {
      auto finding = look_(stop);
      if (!finding) continue;
      const std::lock_guard lock(mutex_);
      finding_ = std::move(finding);
    }
    if (found_()) return;
  }
}

}  // namespace godwit::controller
