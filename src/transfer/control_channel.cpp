#include "transfer/control_channel.h"

#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "os/file.h"

namespace godwit::transfer {
namespace {

// What may wait for receive(); then the channel stops reading, and so in the end does the peer's sending.
constexpr size_t queued_events_max = 256;
constexpr size_t queued_bytes_max = size_t{2} * message_bytes_max;
constexpr size_t copy_bytes = size_t{64} << 10;

Error ended() {
  return {"the peer closed the control channel", ECONNRESET};
}

}  // namespace

ControlChannel::ControlChannel(std::unique_ptr<TlsStream> stream, ControlOptions options)
    : options_(std::move(options)), stream_(std::move(stream)) {
  stream_->set_idle_timeout(options_.peer_timeout);
  reader_ = std::thread([this] { read_loop(); });
  heart_ = std::thread([this] { heartbeat_loop(); });
}

ControlChannel::~ControlChannel() {
  abort();
  reader_.join();
  heart_.join();
}

void ControlChannel::fail_with(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(error);
  }
  changed_.notify_all();
  stream_->shutdown();
}

void ControlChannel::abort() {
  fail_with({"control channel ended here", ECONNABORTED});
}

void ControlChannel::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  {
    const std::lock_guard lock(write_mutex_);
    (void)stream_->close();  // if even this fails, the peer sees the connection end
  }
  abort();
}

std::optional<Error> ControlChannel::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Result<> ControlChannel::write_frame(ControlKind kind, std::string_view payload) {
  const auto header = encode_control_header({.kind = kind, .length_bytes = static_cast<uint32_t>(payload.size())});
  GODWIT_TRY(stream_->write(header.data(), header.size()));
  return stream_->write(payload.data(), payload.size());
}

// A frame of which a part may be on the wire already: after a failure the conversation cannot go on.
Result<> ControlChannel::give_up(Error error) {
  fail_with(std::move(error));
  return std::unexpected(*failure());
}

Result<> ControlChannel::send(const nlohmann::json& message) {
  GODWIT_ASSIGN(const std::string text, encode_message(message));
  const std::lock_guard lock(write_mutex_);
  auto sent = write_frame(ControlKind::message, text);
  if (sent) sent = stream_->flush();
  if (!sent) return give_up(std::move(sent).error());
  last_sent_ = Clock::now();
  return {};
}

Result<> ControlChannel::send_blob(const Blob& blob, int fd) {
  if (blob.size_bytes > options_.blob_bytes_max) {
    return fail("blob {} has {} bytes: at most {}", blob.name, blob.size_bytes, options_.blob_bytes_max);
  }
  GODWIT_ASSIGN(const std::string payload, encode_blob(blob));
  const std::lock_guard lock(write_mutex_);
  auto sent = write_frame(ControlKind::blob, payload);
  if (sent) sent = write_contents(blob, fd);
  if (sent) sent = stream_->flush();
  if (!sent) return give_up(std::move(sent).error());
  last_sent_ = Clock::now();
  return {};
}

Result<> ControlChannel::write_contents(const Blob& blob, int fd) {
  std::vector<std::byte> buffer(std::min<uint64_t>(copy_bytes, blob.size_bytes));
  for (uint64_t at = 0; at < blob.size_bytes;) {
    const size_t want = std::min<uint64_t>(buffer.size(), blob.size_bytes - at);
    const ssize_t got = ::pread(fd, buffer.data(), want, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read {}", blob.name);
    if (got == 0) return fail("{} has become shorter than {} bytes", blob.name, blob.size_bytes);
    GODWIT_TRY(stream_->write(buffer.data(), static_cast<size_t>(got)));
    at += static_cast<uint64_t>(got);
  }
  return {};
}

Result<ControlEvent> ControlChannel::receive(Deadline deadline) {
  QueuedEvent event;
  {
    std::unique_lock lock(mutex_);
    const auto something = [&] { return !queue_.empty() || failure_.has_value(); };
    if (deadline.when() == Clock::time_point::max()) {
      changed_.wait(lock, something);
    } else if (!changed_.wait_until(lock, deadline.when(), something)) {
      errno = ETIMEDOUT;
      return fail_errno("no message from {}", peer_name());
    }
    if (queue_.empty()) return std::unexpected(*failure_);
    event = std::move(queue_.front());
    queue_.pop_front();
    if (const auto* text = std::get_if<std::string>(&event)) queued_bytes_ -= text->size();
  }
  changed_.notify_all();
  if (auto* blob = std::get_if<Blob>(&event)) return std::move(*blob);
  auto message = decode_message(std::get<std::string>(event));
  if (!message) {
    fail_with(message.error());
    return std::unexpected(std::move(message).error());
  }
  return std::move(*message);
}

void ControlChannel::read_loop() {
  for (;;) {
    if (auto read = read_frame(); !read) {
      Error error = std::move(read).error();
      if (error.code == ETIMEDOUT) {
        error.message = fmt::format("nothing heard from {} for {} ms: it or the network between is down", peer_name(),
                                    options_.peer_timeout.count());
      }
      return fail_with(std::move(error));
    }
  }
}

Result<> ControlChannel::read_frame() {
  std::array<std::byte, control_header_bytes> bytes{};
  // An orderly end is one between two frames.
  GODWIT_ASSIGN(const size_t got,
                stream_->read_some(bytes.data(), bytes.size(), Deadline::after(options_.peer_timeout)));
  if (got == 0) return std::unexpected(ended());
  GODWIT_TRY(stream_->read_exact(bytes.data() + got, bytes.size() - got));
  GODWIT_ASSIGN(const ControlHeader header, decode_control_header(bytes));
  if (header.kind == ControlKind::heartbeat) return {};
  std::string payload(header.length_bytes, '\0');
  GODWIT_TRY(stream_->read_exact(payload.data(), payload.size()));
  if (header.kind == ControlKind::blob) return read_blob(payload);
  const size_t size = payload.size();
  return enqueue(std::move(payload), size);
}

Result<> ControlChannel::read_blob(std::string_view payload) {
  GODWIT_ASSIGN(Blob blob, decode_blob(payload));
  if (blob.size_bytes > options_.blob_bytes_max) {
    return fail("blob {} has {} bytes: at most {}", blob.name, blob.size_bytes, options_.blob_bytes_max);
  }
  if (!options_.open_blob) return fail("a blob ({}) was not expected here", blob.name);
  GODWIT_ASSIGN(const UniqueFd fd, options_.open_blob(blob));
  std::vector<std::byte> buffer(std::min<uint64_t>(copy_bytes, blob.size_bytes));
  for (uint64_t left = blob.size_bytes; left > 0;) {
    const size_t want = std::min<uint64_t>(buffer.size(), left);
    GODWIT_TRY(stream_->read_exact(buffer.data(), want));
    if (auto written = os::write_all(fd.get(), buffer.data(), want); !written) {
      return std::unexpected(std::move(written).error().context("write " + blob.name));
    }
    left -= want;
  }
  return enqueue(std::move(blob), 0);
}

Result<> ControlChannel::enqueue(QueuedEvent event, size_t size_bytes) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return failure_.has_value() ||
             (queue_.size() < queued_events_max && queued_bytes_ + size_bytes <= queued_bytes_max);
    });
    if (failure_) return std::unexpected(*failure_);
    queue_.push_back(std::move(event));
    queued_bytes_ += size_bytes;
  }
  changed_.notify_all();
  return {};
}

void ControlChannel::heartbeat_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const bool over =
        changed_.wait_for(lock, options_.heartbeat_interval / 2, [&] { return failure_.has_value() || closing_; });
    if (over) return;
    lock.unlock();
    // Whoever holds the lock is sending, which is as good as a heartbeat.
    if (std::unique_lock writing(write_mutex_, std::try_to_lock);
        writing && elapsed_ms(last_sent_) >= static_cast<double>(options_.heartbeat_interval.count()) / 2) {
      auto sent = write_frame(ControlKind::heartbeat, {});
      if (sent) sent = stream_->flush();
      last_sent_ = Clock::now();
      writing.unlock();
      if (!sent) return fail_with(std::move(sent).error());
    }
    lock.lock();
  }
}

}  // namespace godwit::transfer
