// What informers tell, for a loop that also waits for Ctrl-C: a queue whose being filled can be polled.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <mutex>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::plugin {

// Any thread may post; one takes. It outlives those who post.
template <typename T>
class Inbox {
 public:
  Inbox() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { GODWIT_CHECK(fd_.valid()); }

  [[nodiscard]] int fd() const { return fd_.get(); }

  void post(T item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    const uint64_t one = 1;
    GODWIT_CHECK(::write(fd_.get(), &one, sizeof one) == sizeof one);
  }

  // All there is, in order; does not wait.
  std::vector<T> take() {
    const std::lock_guard lock(mutex_);
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t emptied = ::read(fd_.get(), &count, sizeof count);
    return std::exchange(items_, {});
  }

 private:
  UniqueFd fd_;
  std::mutex mutex_;
  std::vector<T> items_;
};

}  // namespace godwit::plugin
