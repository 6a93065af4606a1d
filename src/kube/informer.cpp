#include "kube/informer.h"

#include <malloc.h>

#include <cmath>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "kube/json_path.h"

namespace godwit::kube {
namespace {

// A watch that lasted this long shows that the server is well: the next failure begins with the shortest delay.
constexpr std::chrono::seconds healthy_watch(30);
// A watch that the server ends sooner than this is no watch that was over: waits before the next.
constexpr std::chrono::seconds short_watch(1);

}  // namespace

void drop_managed_fields(json& object) {
  if (const auto metadata = object.find("metadata"); metadata != object.end()) metadata->erase("managedFields");
}

Informer::Informer(Client& client, Resource resource, InformerOptions options)
    : client_(client), resource_(std::move(resource)), options_(std::move(options)), backoff_(options_.backoff) {}

Informer::~Informer() = default;

void Informer::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

bool Informer::has_synced() const {
  const std::lock_guard lock(mutex_);
  return synced_;
}

bool Informer::wait_synced(Deadline deadline) const {
  std::unique_lock lock(mutex_);
  return synced_changed_.wait_until(lock, deadline.when(), [&] { return synced_; });
}

std::optional<ApiError> Informer::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Informer::set_trouble(std::optional<ApiError> trouble) {
  const std::lock_guard lock(mutex_);
  trouble_ = std::move(trouble);
}

InformerFigures Informer::figures() const {
  return {lists_, watches_, events_};
}

void Informer::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (resource_version_.empty()) {
      if (auto listed = relist(stop); !listed) {
        recover_from(listed.error(), stop);
        continue;
      }
      set_trouble(std::nullopt);
    }
    const auto began = Clock::now();
    ApiResult<> watched = follow(stop);
    const auto lasted = Clock::now() - began;
    if (lasted >= healthy_watch) backoff_.reset();
    if (!watched) {
      recover_from(watched.error(), stop);
    } else {
      set_trouble(std::nullopt);
      if (lasted < short_watch) sleep_unless_stopped(backoff_.next(), Deadline::never(), stop);
    }
    resync_if_due();
  }
}

void Informer::recover_from(const ApiError& error, const std::stop_token& stop) {
  if (error.stopped()) return;
  if (error.gone()) {
    log_info("{}: listing again", error.message);
    resource_version_.clear();
  } else {
    log_warning("{}", error.message);
    set_trouble(error);
  }
  const milliseconds wait = std::max(backoff_.next(), error.retry_after.value_or(milliseconds(0)));
  sleep_unless_stopped(wait, Deadline::never(), stop);
}

// Objects are stored as their chunk comes, so that only one chunk is held twice.
ApiResult<> Informer::relist(const std::stop_token& stop) {
  ++lists_;
  std::unordered_set<std::string> listed;
  const ChunkSink store_chunk = [&](json::array_t items, bool first) {
    if (first) listed.clear();
    for (json& item : items) {
      listed.insert(key_of(item));
      upsert(std::exchange(item, nullptr));
    }
  };
  GODWIT_ASSIGN(const ListSummary summary,
                client_.list(resource_, options_.list, store_chunk, within(options_.list_time_max, stop)));
  for (const std::string& key : store_.keys_not_in(listed)) disappear(key, nullptr);
  resource_version_ = summary.resource_version;
  ::malloc_trim(0);  // a list's chunks leave many holes
  const std::lock_guard lock(mutex_);
  synced_ = true;
  synced_changed_.notify_all();
  return {};
}

ApiResult<> Informer::follow(const std::stop_token& stop) {
  ++watches_;
  WatchOptions watched;
  watched.namespace_name = options_.list.namespace_name;
  watched.label_selector = options_.list.label_selector;
  watched.field_selector = options_.list.field_selector;
  watched.resource_version = resource_version_;
  watched.silence_max = options_.watch_silence_max;
  const auto most = options_.resync ? std::min(options_.watch_timeout, *options_.resync) : options_.watch_timeout;
  const double seconds = static_cast<double>(most.count()) * (0.5 + 0.5 * jitter_.next());
  watched.timeout = std::chrono::seconds(std::max<int64_t>(1, std::llround(seconds)));
  return watch(client_, resource_, watched, stop, [&](WatchEvent event) { on_event(std::move(event)); });
}

void Informer::on_event(WatchEvent event) {
  ++events_;
  set_trouble(std::nullopt);
  std::string version = resource_version_of(event.object);
  switch (event.type) {
    case WatchEventType::added:
    case WatchEventType::modified:
      upsert(std::move(event.object));
      break;
    case WatchEventType::deleted:
      disappear(key_of(event.object), &event.object);
      break;
    case WatchEventType::bookmark:
      break;
  }
  if (!version.empty()) resource_version_ = std::move(version);
}

void Informer::upsert(json object) {
  const std::string key = key_of(object);
  const Object known = store_.get(key);
  if (known != nullptr && resource_version_of(*known) == resource_version_of(object)) return;
  // Deleted and made again while nobody watched: two different objects under one name.
  if (known != nullptr && uid_of(*known) != uid_of(object)) disappear(key, nullptr);
  if (options_.transform) options_.transform(object);
  auto now = std::make_shared<const json>(std::move(object));
  Object before = store_.put(key, now);
  tell({key, std::move(before), std::move(now)});
}

void Informer::disappear(const std::string& key, json* last_state) {
  Object before = store_.erase(key);
  if (before == nullptr) return;
  if (last_state != nullptr) {
    if (options_.transform) options_.transform(*last_state);
    before = std::make_shared<const json>(std::move(*last_state));
  }
  tell({key, std::move(before), nullptr});
}

void Informer::tell(const Change& change) {
  for (const Handler& handler : handlers_) handler(change);
}

void Informer::resync_if_due() {
  if (!options_.resync || Clock::now() < resynced_ + *options_.resync) return;
  resynced_ = Clock::now();
  for (const Object& object : store_.list()) tell({key_of(*object), object, object});
}

}  // namespace godwit::kube
