// Hears what a counting container sends, and notices when two copies of it run.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::moves {

// The container sends its count, as decimal text, in one datagram each, every time one more than before. A count that
// comes twice, or long after greater ones, can only be of a second copy, or of one that went back in time; datagrams
// that overtake each other on a busy machine come once each. Owned by a test; any thread may call.
class CountListener {
 public:
  static constexpr uint16_t port = 9000;

  // Listens in the network namespace at `netns_path`.
  static Result<std::unique_ptr<CountListener>> start(const std::string& netns_path);
  ~CountListener();
  CountListener(const CountListener&) = delete;
  CountListener& operator=(const CountListener&) = delete;

  [[nodiscard]] uint64_t last() const;
  // Waits until it counts on from what it is now; false if it does not.
  [[nodiscard]] bool hears_more(Deadline deadline) const;
  // What must never come, since the last call.
  [[nodiscard]] std::vector<std::string> take_anomalies();
  // A new container begins to count from the start.
  void expect_new_container();

 private:
  explicit CountListener(UniqueFd socket);
  void listen(const std::stop_token& stop);
  void note(uint64_t count);

  UniqueFd socket_;
  mutable std::mutex mutex_;  // guards what follows
  uint64_t last_ = 0;
  std::unordered_set<uint64_t> heard_;
  std::vector<std::string> anomalies_;
  std::jthread thread_;  // last: uses all of the above
};

}  // namespace godwit::moves
