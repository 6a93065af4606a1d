#include "kube/watch.h"

#include <utility>

#include "kube/json_path.h"

namespace godwit::kube {
namespace {

// etcd refuses objects above 1.5 MiB, and JSON may need several bytes for one.
constexpr size_t line_bytes_max = size_t{16} << 20;
// What the server may take beyond the time it was told to end at.
constexpr std::chrono::seconds overtime(30);

std::optional<WatchEventType> type_of(std::string_view name) {
  if (name == "ADDED") return WatchEventType::added;
  if (name == "MODIFIED") return WatchEventType::modified;
  if (name == "DELETED") return WatchEventType::deleted;
  if (name == "BOOKMARK") return WatchEventType::bookmark;
  return std::nullopt;
}

}  // namespace

bool WatchDecoder::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      partial_.append(bytes);
      if (partial_.size() <= line_bytes_max) return true;
      error_ = ApiError(ApiErrorKind::answer, fmt::format("an event is larger than {} bytes", line_bytes_max));
      return false;
    }
    bool good = false;
    if (partial_.empty()) {
      good = decode_line(bytes.substr(0, end));
    } else {
      partial_.append(bytes.substr(0, end));
      good = decode_line(std::exchange(partial_, {}));
    }
    if (!good) return false;
    bytes.remove_prefix(end + 1);
  }
  return true;
}

bool WatchDecoder::decode_line(std::string_view line) {
  if (line.empty() || line == "\r") return true;
  json event = json::parse(line, nullptr, false);
  const std::string type = event.is_object() ? text_at(event, "/type") : "";
  if (type.empty() || !event.contains("object")) {
    error_ = ApiError(ApiErrorKind::answer, "something that is no event came from a watch");
    return false;
  }
  if (type == "ERROR") {
    error_ = decode_status(event["object"]);
    return false;
  }
  // A type that a later version adds is passed over.
  if (const auto known = type_of(type)) sink_({*known, std::move(event["object"])});
  return true;
}

ApiResult<> watch(Client& client, const Resource& resource, const WatchOptions& options, const std::stop_token& stop,
                  const WatchDecoder::Sink& sink) {
  const ObjectPath collection{resource, options.namespace_name, "", ""};
  const Query query = Query()
                          .add("watch", "true")
                          .add("allowWatchBookmarks", "true")
                          .add("labelSelector", options.label_selector)
                          .add("fieldSelector", options.field_selector)
                          .add("resourceVersion", options.resource_version)
                          .add("timeoutSeconds", std::to_string(options.timeout.count()));
  HttpLimits limits{.deadline = Deadline::after(options.timeout + overtime), .stop = stop};
  limits.silence_max = options.silence_max;
  WatchDecoder decoder(sink);
  const ApiResult<> streamed = client.stream(url_path(collection) + query.text(), limits,
                                             [&](std::string_view bytes) { return decoder.feed(bytes); });
  std::optional<ApiError> error = decoder.error();
  if (!error && !streamed) error = streamed.error();
  if (error) return std::unexpected(std::move(*error).context("watch " + shown(collection)));
  return {};
}

}  // namespace godwit::kube
