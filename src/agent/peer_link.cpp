#include "agent/peer_link.h"

#include <fcntl.h>

#include <array>
#include <cstring>

#include "base/log.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

enum FrameType : uint32_t { frame_message = 1, frame_image = 2, frame_alive = 3, frame_note = 4 };

constexpr auto alive_interval = std::chrono::milliseconds(500);
// The longest that a living peer is silent, with room for a machine that is busy.
constexpr auto silence_max = std::chrono::seconds(4);
// A frame takes the time that it needs on a link as slow as this; nothing else can come meanwhile.
constexpr size_t slowest_bytes_per_s = size_t{1} << 20;

struct FrameHead {
  uint32_t type = 0;
  uint32_t size = 0;
};

std::string encode(const PeerMessage& message) {
  json body = message.body.is_object() ? message.body : json::object();
  body["message"] = migration::message_name(message.message.kind);
  body["epoch"] = message.message.epoch;
  // Names of files and reasons that quote them need not be UTF-8.
  return body.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

// Copying and printing a JSON value recurse by its depth, so the depth is bounded here.
json parse_bounded(const std::string& text) {
  bool too_deep = false;
  json parsed = json::parse(
      text,
      [&](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > static_cast<int>(message_depth_max);
        return !too_deep;
      },
      /*allow_exceptions=*/false);
  return too_deep ? json() : parsed;
}

Result<PeerMessage> decode(const std::string& text) {
  PeerMessage message;
  message.body = parse_bounded(text);
  if (!message.body.is_object()) return fail("the peer sent a message that is not a JSON object");
  try {
    const auto name = message.body.at("message").get<std::string>();
    const auto kind = migration::message_by_name(name);
    if (!kind) return fail("the peer sent an unknown message '{}'", name.substr(0, 40));
    message.message.kind = *kind;
    message.message.epoch = message.body.at("epoch").get<uint32_t>();
  } catch (const json::exception& error) {
    return fail("the peer sent a malformed message: {}", error.what());
  }
  return message;
}

size_t frame_bytes_max(uint32_t type) {
  if (type == frame_alive) return 0;
  return type == frame_image ? control_frame_bytes_max : message_bytes_max;
}

Result<> write_frame(transfer::TlsStream& stream, uint32_t type, std::string_view contents) {
  if (contents.size() > frame_bytes_max(type)) return fail("a control frame of {} bytes is too large", contents.size());
  const FrameHead head{.type = type, .size = static_cast<uint32_t>(contents.size())};
  GODWIT_TRY(stream.write(&head, sizeof head));
  if (!contents.empty()) GODWIT_TRY(stream.write(contents.data(), contents.size()));
  return {};
}

// `deadline` is for the head; the contents have a time of their own, by their size.
Result<std::pair<uint32_t, std::string>> read_whole_frame(transfer::TlsStream& stream, Deadline deadline) {
  FrameHead head;
  GODWIT_TRY(stream.read_exact(&head, sizeof head, deadline));
  if (head.size > frame_bytes_max(head.type)) return fail("the peer sent a control frame of {} bytes", head.size);
  std::string contents(head.size, '\0');
  const auto contents_time = silence_max + std::chrono::seconds(head.size / slowest_bytes_per_s);
  if (head.size > 0) GODWIT_TRY(stream.read_exact(contents.data(), contents.size(), Deadline::after(contents_time)));
  return std::pair(head.type, std::move(contents));
}

}  // namespace

Result<> send_message(transfer::TlsStream& stream, const PeerMessage& message) {
  GODWIT_TRY(write_frame(stream, frame_message, encode(message)));
  return stream.flush();
}

Result<PeerMessage> receive_message(transfer::TlsStream& stream, Deadline deadline) {
  GODWIT_ASSIGN(const auto frame, read_whole_frame(stream, deadline));
  if (frame.first != frame_message) return fail("the peer sent something else than a message");
  return decode(frame.second);
}

Result<PeerMessage> exchange(transfer::TlsStream& stream, const PeerMessage& question, Deadline deadline) {
  GODWIT_TRY(send_message(stream, question));
  return receive_message(stream, deadline);
}

PeerLink::PeerLink(std::unique_ptr<transfer::TlsStream> stream, Callbacks callbacks, std::string images_directory)
    : stream_(std::move(stream)), callbacks_(std::move(callbacks)), images_directory_(std::move(images_directory)) {}

std::unique_ptr<PeerLink> PeerLink::start(std::unique_ptr<transfer::TlsStream> stream, Callbacks callbacks,
                                          std::string images_directory) {
  std::unique_ptr<PeerLink> link(new PeerLink(std::move(stream), std::move(callbacks), std::move(images_directory)));
  link->reader_ = std::thread([raw = link.get()] { raw->read_loop(); });
  link->keeper_ = std::thread([raw = link.get()] { raw->keep_alive_loop(); });
  return link;
}

PeerLink::~PeerLink() {
  stop();
}

void PeerLink::stop() {
  stopped_ = true;
  stream_->shutdown();
  if (reader_.joinable()) reader_.join();
  if (keeper_.joinable()) keeper_.join();
}

void PeerLink::read_loop() {
  Result<> outcome;
  while (outcome) outcome = read_frame();
  if (!stopped_) callbacks_.lost(outcome.error().message);
}

void PeerLink::keep_alive_loop() {
  auto next = Clock::now() + alive_interval;
  while (!stopped_) {
    // Short naps, so that stop() is quick.
    std::this_thread::sleep_for(milliseconds(20));
    if (Clock::now() < next) continue;
    next = Clock::now() + alive_interval;
    if (auto sent = send_frame(frame_alive, "", true); !sent) return;  // the reader hears of it too
  }
}

Result<> PeerLink::read_frame() {
  GODWIT_ASSIGN(auto frame, read_whole_frame(*stream_, Deadline::after(silence_max)));
  if (frame.first == frame_alive) return {};
  if (frame.first == frame_image) return store_image(frame.second);
  if (frame.first == frame_note) return take_note(frame.second);
  if (frame.first != frame_message) return fail("the peer sent a frame of unknown type {}", frame.first);
  if (++messages_ > messages_max) return fail("the peer sent more than {} messages", messages_max);
  GODWIT_ASSIGN(const PeerMessage message, decode(frame.second));
  callbacks_.message(message);
  return {};
}

Result<> PeerLink::take_note(const std::string& text) {
  const json note = parse_bounded(text);
  if (!note.is_object() || !note.value("note", json()).is_string() ||
      !note.value("value", json()).is_number_unsigned()) {
    return fail("the peer sent a malformed note");
  }
  if (callbacks_.note) callbacks_.note(note["note"].get<std::string>(), note["value"].get<uint64_t>());
  return {};
}

Result<> PeerLink::store_image(std::string_view contents) {
  uint16_t name_size = 0;
  if (images_directory_.empty() || contents.size() < sizeof name_size) return fail("the peer sent an image unasked");
  std::memcpy(&name_size, contents.data(), sizeof name_size);
  contents.remove_prefix(sizeof name_size);
  if (name_size == 0 || name_size > 255 || name_size > contents.size()) return fail("the peer sent a malformed image");
  const std::string name(contents.substr(0, name_size));
  contents.remove_prefix(name_size);
  if (name[0] == '.' || name.find('/') != std::string::npos) return fail("the peer sent an image named '{}'", name);
  images_bytes_ += contents.size() + image_cost_bytes;
  if (images_bytes_ > images_bytes_max) return fail("the peer sent more than {} bytes of images", images_bytes_max);
  GODWIT_ASSIGN(const UniqueFd file,
                os::open_file(images_directory_ + "/" + name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  return os::write_all(file.get(), contents.data(), contents.size());
}

Result<> PeerLink::send_frame(uint32_t type, std::string_view contents, bool flush) {
  const std::lock_guard lock(send_mutex_);
  GODWIT_TRY(write_frame(*stream_, type, contents));
  return flush ? stream_->flush() : Result<>();
}

void PeerLink::send(const PeerMessage& message) {
  if (auto sent = send_frame(frame_message, encode(message), true); !sent) log_debug("peer: {}", sent.error().message);
}

Result<> PeerLink::send_note(const std::string& name, uint64_t value) {
  return send_frame(frame_note, json{{"note", name}, {"value", value}}.dump(), true);
}

std::string member_image_prefix(size_t member) {
  return member == 0 ? "" : fmt::format("{}@", member);
}

Result<> PeerLink::send_images(const std::string& directory, const std::string& prefix) {
  GODWIT_ASSIGN(const std::vector<std::string> names, os::list_directory(directory));
  for (const std::string& name : names) {
    GODWIT_ASSIGN(const std::string contents,
                  os::read_file(fmt::format("{}/{}", directory, name), control_frame_bytes_max));
    const std::string told = prefix + name;
    const auto name_size = static_cast<uint16_t>(told.size());
    std::string frame(reinterpret_cast<const char*>(&name_size), sizeof name_size);
    frame += told;
    frame += contents;
    GODWIT_TRY(send_frame(frame_image, frame, false));
  }
  return {};
}

}  // namespace godwit::agent
