// The control connection between the two workers of a session: messages of the hand-over and criu's images.
//
// On the wire, frames of an 8-byte little-endian header {type u32, size u32} and contents: type 1 a JSON object
// {"message": name, "epoch": n, ...}; type 2 an image (u16 length of its name, name, contents); type 3 nothing, sent
// twice a second so that a dead peer is noticed; type 4 a note on the copying, a JSON object {"note": name, "value":
// n}.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/result.h"
#include "migration/messages.h"
#include "transfer/tls.h"

namespace godwit::agent {

struct PeerMessage {
  migration::Message message;
  nlohmann::json body;  // an object; what else the message carries
};

constexpr size_t control_frame_bytes_max = size_t{64} << 20;
constexpr size_t message_bytes_max = size_t{8} << 20;  // of a frame that holds JSON
constexpr size_t message_depth_max = 64;
constexpr size_t messages_max = 1000;         // from one peer in one session: a hand-over needs some twenty
constexpr size_t image_cost_bytes = 4 << 10;  // what each image counts beside its contents: its inode
// Of a container's images, if several move as one: "2@" of the third; none of the first.
std::string member_image_prefix(size_t member);
constexpr size_t images_bytes_max = size_t{2} << 30;

// One message over a stream that nothing else uses: for queries.
Result<> send_message(transfer::TlsStream& stream, const PeerMessage& message);
Result<PeerMessage> receive_message(transfer::TlsStream& stream, Deadline deadline);
Result<PeerMessage> exchange(transfer::TlsStream& stream, const PeerMessage& question, Deadline deadline);

// The connection with a thread that reads it and one that keeps it alive. Sending may come from any thread; the
// callbacks come from the reader's. After `lost`, once, nothing comes any more.
class PeerLink {
 public:
  struct Callbacks {
    std::function<void(const PeerMessage&)> message;
    std::function<void(const std::string& name, uint64_t value)> note;  // may be empty
    std::function<void(const std::string& reason)> lost;
  };

  // `images_directory`: where images that arrive are written; empty: they are refused.
  static std::unique_ptr<PeerLink> start(std::unique_ptr<transfer::TlsStream> stream, Callbacks callbacks,
                                         std::string images_directory = "");
  ~PeerLink();
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  // A connection that is gone is told by `lost`, not here.
  void send(const PeerMessage& message);
  // "round": the number of the round that begins. "ended": a process or object that needs no pages any more.
  Result<> send_note(const std::string& name, uint64_t value);
  // Every file of the directory, in front of any message sent later, by names that begin with `prefix`.
  Result<> send_images(const std::string& directory, const std::string& prefix = "");
  void stop();

 private:
  PeerLink(std::unique_ptr<transfer::TlsStream> stream, Callbacks callbacks, std::string images_directory);
  void read_loop();
  void keep_alive_loop();
  Result<> read_frame();
  Result<> take_note(const std::string& text);
  Result<> store_image(std::string_view contents);
  Result<> send_frame(uint32_t type, std::string_view contents, bool flush);

  std::unique_ptr<transfer::TlsStream> stream_;
  Callbacks callbacks_;
  std::string images_directory_;
  // The reading thread's:
  size_t images_bytes_ = 0;
  size_t messages_ = 0;
  std::mutex send_mutex_;
  std::atomic<bool> stopped_ = false;
  std::thread reader_;
  std::thread keeper_;
};

}  // namespace godwit::agent
