// Keeps a copy of one resource up to date and tells of every change: lists once, then watches.
//
// It lists again only when the server says that its resource version is too old (410). Every other failure - a watch
// that ends, a server that restarts, a connection that dies silently - goes on watching from where it was, after a
// jittered back-off, so that a server that comes back is not met by a storm of lists.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "kube/backoff.h"
#include "kube/client.h"
#include "kube/store.h"
#include "kube/watch.h"

namespace godwit::kube {

// One of both may be null: appeared, disappeared. Both the same object: a resync.
struct Change {
  std::string key;
  Object before;
  Object now;
};

// Takes metadata.managedFields out, which is often half of an object and nobody reads.
void drop_managed_fields(json& object);

struct InformerOptions {
  ListOptions list;
  milliseconds list_time_max = std::chrono::minutes(2);
  // A watch lasts between half of this and this (random, so that watches do not all end together).
  std::chrono::seconds watch_timeout{600};
  milliseconds watch_silence_max = std::chrono::seconds(150);
  BackoffLimits backoff;
  // Runs on every object before it is stored: what it takes out costs no memory. It must leave metadata's name,
  // namespace, uid and resourceVersion.
  std::function<void(json&)> transform = drop_managed_fields;
  // Tells the handlers of every object anew this often, also of those that did not change. Nothing: never.
  std::optional<std::chrono::seconds> resync;
};

struct InformerFigures {
  uint64_t lists = 0;    // begun
  uint64_t watches = 0;  // begun
  uint64_t events = 0;
};

// Owns a thread from start() to its destruction; handlers run on that thread, one at a time, and must be quick (put the
// key into a work queue). `client` must outlive it.
class Informer {
 public:
  using Handler = std::function<void(const Change&)>;

  Informer(Client& client, Resource resource, InformerOptions options = {});
  ~Informer();
  Informer(const Informer&) = delete;
  Informer& operator=(const Informer&) = delete;

  // Before start().
  void add_handler(Handler handler) { handlers_.push_back(std::move(handler)); }
  void add_index(const std::string& name, Store::IndexFunction function) {
    store_.add_index(name, std::move(function));
  }
  void start();

  [[nodiscard]] const Store& store() const { return store_; }
  // Whether the first list is complete, and the handlers were told of it.
  [[nodiscard]] bool has_synced() const;
  bool wait_synced(Deadline deadline) const;
  // Why it cannot list or watch right now: a missing CRD, a missing permission, no server. Nothing: all is well.
  [[nodiscard]] std::optional<ApiError> trouble() const;
  [[nodiscard]] InformerFigures figures() const;

 private:
  void run(const std::stop_token& stop);
  ApiResult<> relist(const std::stop_token& stop);
  ApiResult<> follow(const std::stop_token& stop);
  void on_event(WatchEvent event);
  void upsert(json object);
  void disappear(const std::string& key, json* last_state);
  void tell(const Change& change);
  void resync_if_due();
  void recover_from(const ApiError& error, const std::stop_token& stop);
  void set_trouble(std::optional<ApiError> trouble);

  Client& client_;
  const Resource resource_;
  const InformerOptions options_;
  std::vector<Handler> handlers_;
  Store store_;

  // Only the informer's thread.
  std::string resource_version_;  // empty: list first
  Backoff backoff_;
  Jitter jitter_;
  Clock::time_point resynced_ = Clock::now();

  mutable std::mutex mutex_;
  mutable std::condition_variable synced_changed_;
  bool synced_ = false;
  std::optional<ApiError> trouble_;
  std::atomic<uint64_t> lists_ = 0;
  std::atomic<uint64_t> watches_ = 0;
  std::atomic<uint64_t> events_ = 0;
  std::jthread thread_;  // last: it ends before the rest goes
};

}  // namespace godwit::kube
