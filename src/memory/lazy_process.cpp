#include "memory/lazy_process.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "memory/page_sink.h"

namespace godwit::memory {
namespace {

constexpr size_t events_per_read = 32;
constexpr int reads_per_turn = 16;     // then other processes have theirs
constexpr int looks_per_push = 256;    // runs that are not of the wanted round, before the lock is given up
constexpr uint32_t retry_us_min = 30;  // the thread whose event was read needs that long to run
constexpr uint32_t retry_us_max = 5000;

void count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  counter.fetch_add(n, std::memory_order_relaxed);
}

}  // namespace

void LatencyHistogram::add(uint64_t us) {
  counts_[std::min<size_t>(us, counts_.size() - 1)].fetch_add(1, std::memory_order_relaxed);
  if (us > max_.load(std::memory_order_relaxed)) max_.store(us, std::memory_order_relaxed);
}

uint64_t LatencyHistogram::percentile_99() const {
  uint64_t total = 0;
  for (const auto& bucket : counts_) total += bucket.load(std::memory_order_relaxed);
  uint64_t seen = 0;
  for (size_t us = 0; us + 1 < counts_.size(); ++us) {
    seen += counts_[us].load(std::memory_order_relaxed);
    if (seen * 100 >= total * 99) return us;
  }
  return max();
}

LazyProcess::LazyProcess(PagerContext& context, uint64_t id, uint32_t process, FaultFd fd, LazyMap map)
    : context_(context), id_(id), process_(process), fd_(std::move(fd)), map_(std::move(map)) {
  count(context_.counters.processes);
}

void LazyProcess::confine(std::span<const LazyRange> ranges) {
  map_.confine(ranges);
  confined_ = true;
}

bool LazyProcess::finished() const {
  return map_.pending_pages() == 0 && (confined_ || context_.tasks_run.load());
}

void LazyProcess::close() {
  // Closing does that too, but only if nobody else has kept the descriptor: the process would wait for ever.
  for (const LazyRange& range : map_.ranges()) fd_.unregister(range.start, range.end);
  faults_.clear();
  map_.clear();
  fd_.close();
}

// --- events ---

Result<> LazyProcess::receive(const std::function<Result<>(UniqueFd, LazyMap)>& forked) {
  std::array<uffd_msg, events_per_read> events;
  for (int turn = 0; turn < reads_per_turn; ++turn) {
    auto got = fd_.read(events);
    if (!got) {
      if (got.error().code == EMFILE || got.error().code == ENFILE) {
        return fail(
            "the container forked and there is no descriptor left for the child's memory: raise the limit of "
            "open files");
      }
      return std::unexpected(std::move(got).error());
    }
    for (size_t i = 0; i < *got; ++i) GODWIT_TRY(apply(events[i], forked));
    map_.batch_ended();
    if (*got < events.size()) break;
  }
  return {};
}

Result<> LazyProcess::apply(const uffd_msg& event, const std::function<Result<>(UniqueFd, LazyMap)>& forked) {
  PagerCounters& counters = context_.counters;
  switch (event.event) {
    case UFFD_EVENT_PAGEFAULT:
      count(counters.faults);
      faults_.push_back({event.arg.pagefault.address / page_size_bytes * page_size_bytes, Clock::now()});
      retry_us_ = 0;
      retry_at_ = Clock::now();
      return {};
    case UFFD_EVENT_FORK:
      count(counters.forks);
      return forked(UniqueFd(static_cast<int>(event.arg.fork.ufd)), map_.forked());
    case UFFD_EVENT_REMAP:
      count(counters.remaps);
      map_.remapped(event.arg.remap.from, event.arg.remap.to, event.arg.remap.len);
      return {};
    case UFFD_EVENT_REMOVE:
      count(counters.removes);
      map_.removed(event.arg.remove.start, event.arg.remove.end);
      return {};
    case UFFD_EVENT_UNMAP:
      count(counters.unmaps);
      map_.unmapped(event.arg.remove.start, event.arg.remove.end);
      return {};
    default:
      return fail("userfaultfd reports an unknown event {:#x}", event.event);
  }
}

// --- placing ---

// What every outcome means for the books, whoever placed.
Result<> LazyProcess::note(const PlaceResult& result, uint64_t address) {
  if (result.pages > 0 || result.status == PlaceStatus::done || result.status == PlaceStatus::present) {
    map_.settled();
    no_memory_since_.reset();
  }
  switch (result.status) {
    case PlaceStatus::busy:
      if (result.pages > 0) {
        count(context_.counters.partial);
      } else {
        count(context_.counters.retries);
      }
      return {};
    case PlaceStatus::gone:
      // It ended, or executes something else: what it lacked is of no interest any more.
      count(context_.counters.processes_gone);
      map_.clear();
      return {};
    case PlaceStatus::no_memory: {
      const auto now = Clock::now();
      if (!no_memory_since_) no_memory_since_ = now;
      if (now - *no_memory_since_ < context_.options.no_memory_ms) return {};
      return fail("no memory for the container for {} ms: its memory limit, or the node, is smaller than it needs",
                  context_.options.no_memory_ms.count());
    }
    case PlaceStatus::failed:
      return fail("cannot place memory of process {} at {:#x}: {}", process_, address, std::strerror(result.code));
    default:
      return {};
  }
}

Result<PlaceStatus> LazyProcess::place(const LazyMap::Run& run, std::atomic<uint64_t>& counter) {
  const StoredRun stored = context_.store.next_run(process_, run.source, run.source + run.pages * page_size_bytes);
  if (stored.address != run.source || stored.pages != run.pages || stored.state != PageState::data) {
    return fail("memory of process {} at {:#x} is not in the page store any more", process_, run.source);
  }
  const PlaceResult result = fd_.copy(run.address, stored.data, run.pages);
  const uint64_t reached = run.address + result.pages * page_size_bytes;
  map_.placed(run.address, result.pages);
  count(counter, result.pages);
  if (result.status == PlaceStatus::present) {
    // Whatever put it there did so later than the pages were stored.
    map_.placed(reached, 1);
    count(context_.counters.present_pages);
  }
  GODWIT_TRY(note(result, reached));
  return result.status;
}

// --- faults ---

std::optional<Clock::time_point> LazyProcess::retry_at() const {
  if (faults_.empty()) return std::nullopt;
  return retry_at_;
}

Result<> LazyProcess::serve() {
  bool memory_short = false;
  std::vector<Fault> left;
  for (const Fault& fault : faults_) {
    GODWIT_ASSIGN(const Served served, serve_fault(fault.address));
    if (served == Served::yes) {
      context_.counters.fault_us.add(
          std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - fault.since).count());
      continue;
    }
    memory_short = memory_short || served == Served::no_memory;
    left.push_back(fault);
  }
  faults_ = std::move(left);
  if (faults_.empty()) return {};
  retry_us_ = memory_short ? retry_us_max : std::clamp(retry_us_ * 2, retry_us_min, retry_us_max);
  retry_at_ = Clock::now() + std::chrono::microseconds(retry_us_);
  return {};
}

Result<LazyProcess::Served> LazyProcess::serve_fault(uint64_t page) {
  // With its neighbours; then alone, if that ended before the page was reached. A page may turn out not to be pending
  // any more after either.
  for (const uint64_t window : {uint64_t{context_.options.fault_around_bytes}, uint64_t{page_size_bytes}}) {
    const auto run = map_.around(page, window);
    if (!run) return serve_absent(page);
    GODWIT_ASSIGN(const PlaceStatus status, place(*run, context_.counters.faulted_pages));
    if (status == PlaceStatus::busy && map_.around(page, page_size_bytes)) return Served::busy;
    if (status == PlaceStatus::no_memory) return Served::no_memory;
    if (!map_.around(page, page_size_bytes)) {
      // Whoever placed it has woken the tasks; a page that was there already has no such one.
      fd_.wake(page, 1);
      return Served::yes;
    }
  }
  // Not served by this descriptor any more: the task finds out by itself.
  if (context_.tasks_run.load()) {
    map_.placed(page, 1);
    count(context_.counters.unmapped_pages);
  }
  fd_.wake(page, 1);
  return Served::yes;
}

Result<LazyProcess::Served> LazyProcess::serve_absent(uint64_t page) {
  const PlaceResult result = fd_.zero(page, 1);
  GODWIT_TRY(note(result, page));
  switch (result.status) {
    case PlaceStatus::done:
      count(context_.counters.zero_faults);
      return Served::yes;
    case PlaceStatus::busy:
      return Served::busy;
    case PlaceStatus::no_memory:
      return Served::no_memory;
    default:
      fd_.wake(page, 1);
      return Served::yes;
  }
}

// --- pushing ---

Result<PushStatus> LazyProcess::push(uint64_t& cursor, uint32_t round_min, uint64_t pages_max) {
  const uint64_t limit = std::max<uint64_t>(1, std::min(pages_max, step_pages_));
  if (round_min == 0) {
    const auto run = map_.next(cursor, limit);
    if (!run) return PushStatus::finished;
    return push_run(*run, cursor);
  }
  for (int looked = 0; looked < looks_per_push; ++looked) {
    auto run = map_.next(cursor, PageArena::chunk_pages);
    if (!run) return PushStatus::finished;
    const uint64_t source_end = run->source + run->pages * page_size_bytes;
    const StoredRun hot = context_.store.next_run(process_, run->source, source_end, round_min);
    if (hot.pages > 0) {
      run->address += hot.address - run->source;
      run->source = hot.address;
      run->pages = std::min(hot.pages, limit);
      return push_run(*run, cursor);
    }
    cursor = run->address + run->pages * page_size_bytes;
  }
  return PushStatus::placed;
}

Result<PushStatus> LazyProcess::push_run(const LazyMap::Run& run, uint64_t& cursor) {
  const uint64_t before = map_.pending_pages();
  GODWIT_ASSIGN(const PlaceStatus status, place(run, context_.counters.pushed_pages));
  // On with the rest: what was placed is not pending any more, so the next call begins behind it.
  cursor = run.address;
  switch (status) {
    case PlaceStatus::done:
      step_pages_ = std::min<uint64_t>(step_pages_ * 2, PageArena::chunk_pages);
      break;
    case PlaceStatus::busy:
      return map_.pending_pages() < before ? PushStatus::placed : PushStatus::busy;
    case PlaceStatus::no_memory:
      return PushStatus::no_memory;
    case PlaceStatus::unmapped:
      if (!context_.tasks_run.load()) {
        cursor = map_.stretch_end(run.address);
        return PushStatus::skipped;
      }
      // Two mappings by now, or none: find out with less.
      if (run.pages > 1) {
        step_pages_ = run.pages / 2;
      } else {
        map_.placed(run.address, 1);
        count(context_.counters.unmapped_pages);
      }
      break;
    default:
      break;
  }
  return PushStatus::placed;
}

}  // namespace godwit::memory
