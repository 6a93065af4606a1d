// Follows the changes of a resource:
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "kube/client.h"

namespace godwit::kube {

enum class WatchEventType { added, modified, deleted, bookmark };

struct WatchEvent {
  WatchEventType type;
  json object;  // of a bookmark only the resource version counts
};

struct WatchOptions {
  std::string namespace_name;
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;       // events after this one
  std::chrono::seconds timeout{300};  // the server ends the watch then
  // A watch from which no byte comes for this long is dead, whatever TCP says: servers send a bookmark every minute.
  milliseconds silence_max = std::chrono::seconds(150);
};

// Makes events out of a stream of bytes: one JSON object a line.
class WatchDecoder {
 public:
  using Sink = std::function<void(WatchEvent)>;
  explicit WatchDecoder(Sink sink) : sink_(std::move(sink)) {}

  // False when the stream is at its end: error() says why.
  bool feed(std::string_view bytes);
  // An ERROR event, or something that is no event.
  [[nodiscard]] const std::optional<ApiError>& error() const { return error_; }

 private:
  bool decode_line(std::string_view line);

  Sink sink_;
  std::string partial_;
  std::optional<ApiError> error_;
};

// Calls `sink`, on this thread, for each event until the server ends the watch (success). Errors: gone() when the
// resource version is too old, whether it came as the answer's status or as an event; timeout for silence; stopped.
ApiResult<> watch(Client& client, const Resource& resource, const WatchOptions& options, const std::stop_token& stop,
                  const WatchDecoder::Sink& sink);

}  // namespace godwit::kube
