// The conversation between the two workers of a session: JSON messages and files (criu's images), in order, over one
// TLS connection, with heartbeats so that each side knows within seconds that the other is gone.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "transfer/control_frame.h"
#include "transfer/tls.h"

namespace godwit::transfer {

struct ControlOptions {
  milliseconds heartbeat_interval{1'000};
  milliseconds peer_timeout{5'000};  // nothing heard for so long, or nothing taken: the peer is dead
  uint64_t blob_bytes_max = uint64_t{1} << 30;
  // Where the blobs that arrive are written to; called on the channel's own thread. Empty: blobs are refused.
  std::function<Result<UniqueFd>(const Blob& blob)> open_blob;
};

// What came: a message, or a blob that is complete.
using ControlEvent = std::variant<nlohmann::json, Blob>;

// Owned by the worker. Runs two threads of its own, one that reads and one that sends heartbeats; every function may be
// called from any thread. Once the connection has failed, every call returns that error.
class ControlChannel {
 public:
  ControlChannel(std::unique_ptr<TlsStream> stream, ControlOptions options);
  // Ends the connection without ceremony; close() before, to let the peer know that it is on purpose.
  ~ControlChannel();
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  [[nodiscard]] const std::string& peer_name() const { return stream_->peer_name(); }

  Result<> send(const nlohmann::json& message);
  // Sends the contents of `fd` (a regular file or a memfd), from its beginning, `blob.size_bytes` of them. If they
  // cannot be read the connection ends, because the peer waits for them.
  Result<> send_blob(const Blob& blob, int fd);

  // The next event, in the order in which the peer sent them. Errors: ETIMEDOUT (the deadline passed; the channel goes
  // on), ECONNRESET (the peer closed it or died; what had arrived before is delivered first), or what failed.
  Result<ControlEvent> receive(Deadline deadline);

  // The connection has failed or ended; what arrived before can still be received.
  [[nodiscard]] std::optional<Error> failure() const;

  // Tells the peer that this is the end, then ends. Whoever waits in receive() returns.
  void close();
  // Ends it at once, from any thread.
  void abort();

 private:
  using QueuedEvent = std::variant<std::string, Blob>;  // messages as text: parsed when they are taken

  void read_loop();
  void heartbeat_loop();
  Result<> read_frame();
  Result<> read_blob(std::string_view payload);
  Result<> enqueue(QueuedEvent event, size_t size_bytes);
  Result<> write_frame(ControlKind kind, std::string_view payload);
  Result<> write_contents(const Blob& blob, int fd);
  Result<> give_up(Error error);
  void fail_with(Error error);

  const ControlOptions options_;
  const std::unique_ptr<TlsStream> stream_;

  std::mutex write_mutex_;  // one frame, or blob, at a time
  Clock::time_point last_sent_ = Clock::now();

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<QueuedEvent> queue_;
  size_t queued_bytes_ = 0;
  std::optional<Error> failure_;
  bool closing_ = false;

  std::thread reader_;
  std::thread heart_;
};

}  // namespace godwit::transfer
