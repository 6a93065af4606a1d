// The inside of Pager: who owns what, and under which lock. For pager.cpp only.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "memory/page_sink.h"
#include "memory/pager.h"

namespace godwit::memory {

using std::chrono::microseconds;

constexpr uint64_t stop_id = 0;  // the event descriptor's, in epoll

constexpr uint64_t step_pages_min = 16;
constexpr uint32_t hot_rounds = 8;      // so many last rounds are pushed one by one, latest first
constexpr int busy_turns_max = 40;      // then the other processes have their turn
constexpr microseconds busy_pause{25};  // for the thread that reads the event, and the one that caused it
constexpr milliseconds idle_pause{1};   // nothing could be placed: not mapped yet, or no memory
// After the thaw clients wait for answers, and each fault that such an answer needs for a step of the pushing thread.
constexpr milliseconds answering_time{50};
constexpr microseconds fault_lull{300};  // so long without a fault, and it goes on

// A restored process and its children: they have one part of the store in common.
struct Family {
  explicit Family(uint32_t stored_process) : process(stored_process) {}
  const uint32_t process;
  std::mutex mutex;
  std::vector<std::shared_ptr<LazyProcess>> members;
};

// Held by whoever wants a family's lock before the pushing thread, which takes it again as soon as it has let go of it:
// a mutex is not fair, and who sleeps for one would find it taken for milliseconds. The pushing thread ends its step,
// and begins none while one of these lives.
class Precedence {
 public:
  explicit Precedence(std::atomic<uint32_t>& held) : held_(held) { ++held_; }
  Precedence(const Precedence&) = delete;
  Precedence& operator=(const Precedence&) = delete;
  ~Precedence() {
    --held_;
    held_.notify_all();
  }

 private:
  std::atomic<uint32_t>& held_;
};

class Pager::Impl {
 public:
  Impl(PageStore& store, const PagerOptions& options)
      : context_{.store = store, .options = options, .counters = {}, .tasks_run = false},
        step_pages_max_(
            std::clamp<uint64_t>(options.step_bytes_max / page_size_bytes, step_pages_min, PageArena::chunk_pages)),
        step_pages_(step_pages_max_) {}
  ~Impl();

  Result<> start();
  Result<> add(uint32_t process, UniqueFd fd);
  Result<> store_complete();
  std::optional<uint64_t> confine(uint32_t process, std::span<const LazyRange> ranges);
  Result<> tasks_resume();
  Result<PagerStatistics> wait_done(Deadline deadline);
  PagerStatistics statistics();

 private:
  using Families = std::vector<std::shared_ptr<Family>>;

  Result<> adopt(Family& family, UniqueFd fd, LazyMap map);
  LazyMap whole_map(uint32_t process) const;
  Families families();
  std::shared_ptr<Family> family_of(uint32_t process);
  void fail_with(Error error);
  void changed();

  // The fault thread.
  void run_faults();
  Result<> attend(uint64_t id);
  microseconds until_retry(Clock::time_point now) const;

  // The pushing thread.
  void run_pushing();
  bool push_round(const Families& families, uint32_t round_min);
  bool push_all_of(Family& family, const std::shared_ptr<LazyProcess>& member, uint32_t round_min);
  void adapt_step(Clock::duration took, uint64_t pages);
  void give_way();
  void release(Family& family, const std::vector<SourceRange>& ranges);
  bool close_finished(const Families& families);

  PagerContext context_;
  const uint64_t step_pages_max_;
  UniqueFd epoll_;
  UniqueFd stop_event_;
  std::atomic<bool> stop_{false};
  std::atomic<uint32_t> precedences_{0};  // see Precedence
  std::atomic<Clock::time_point> last_fault_{Clock::time_point{}};
  std::atomic<Clock::time_point> answering_until_{Clock::time_point{}};
  std::thread fault_thread_;
  std::thread push_thread_;

  // The fault thread's own.
  std::map<uint64_t, Clock::time_point> retries_;

  // The pushing thread's own.
  uint64_t step_pages_;
  double us_per_page_ = 1.5;

  // Never taken while waiting for a family's; a family's owner may take this one.
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t changes_ = 0;
  std::map<uint32_t, std::shared_ptr<Family>> families_;
  std::unordered_map<uint64_t, std::pair<std::shared_ptr<Family>, std::shared_ptr<LazyProcess>>> members_;
  std::map<uint32_t, UniqueFd> waiting_;  // came before the store was complete
  uint64_t next_id_ = stop_id + 1;
  bool complete_ = false;  // the store
  bool done_ = false;
  std::optional<Error> error_;
  Clock::time_point begun_;
  Clock::time_point ended_;
};

}  // namespace godwit::memory
