#pragma once

#include <thread>
#include <utility>

#include "base/result.h"

namespace godwit::agent {

// What one thread alone may touch, the one that made it: any other thread's access aborts, however rarely the two would
// have met. What others need of it is copied for them by the thread that owns it.
template <typename T>
class ThreadBound {
 public:
  ThreadBound() = default;
  explicit ThreadBound(T value) : value_(std::move(value)) {}
  ThreadBound(const ThreadBound&) = delete;
  ThreadBound& operator=(const ThreadBound&) = delete;

  T& operator*() {
    check();
    return value_;
  }
  const T& operator*() const {
    check();
    return value_;
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

 private:
  void check() const { GODWIT_CHECK(std::this_thread::get_id() == owner_); }

  T value_{};
  std::thread::id owner_ = std::this_thread::get_id();
};

}  // namespace godwit::agent
