#include "memory/pager_impl.h"

namespace godwit::memory {

// --- life ---

Result<> Pager::Impl::start() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  stop_event_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !stop_event_) return fail_errno("pager: epoll or eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = stop_id}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_event_.get(), &event) != 0) return fail_errno("pager: epoll_ctl");
  fault_thread_ = std::thread([this] { run_faults(); });
  push_thread_ = std::thread([this] { run_pushing(); });
  return {};
}

Pager::Impl::~Impl() {
  stop_ = true;
  if (stop_event_) eventfd_write(stop_event_.get(), 1);
  changed();
  if (fault_thread_.joinable()) fault_thread_.join();
  if (push_thread_.joinable()) push_thread_.join();
  const uint64_t pending = context_.tasks_run ? statistics().pending_pages : 0;
  if (pending > 0) log_error("pager: ended with {} pages not placed; the container's memory is void", pending);
}

void Pager::Impl::changed() {
  const std::lock_guard lock(mutex_);
  ++changes_;
  changed_.notify_all();
}

void Pager::Impl::fail_with(Error error) {
  const std::lock_guard lock(mutex_);
  if (error_) return;
  log_error("pager: {}", error.message);
  error_ = std::move(error);
  ++changes_;
  changed_.notify_all();
}

Result<> Pager::Impl::add(uint32_t process, UniqueFd fd) {
  auto family = std::make_shared<Family>(process);
  {
    const std::lock_guard lock(mutex_);
    if (families_.contains(process) || waiting_.contains(process)) {
      return fail("process {} has a userfaultfd already", process);
    }
    if (!complete_) {
      waiting_.emplace(process, std::move(fd));
      return {};
    }
    families_.emplace(process, family);
  }
  const std::lock_guard lock(family->mutex);
  return adopt(*family, std::move(fd), whole_map(process));
}

Result<> Pager::Impl::store_complete() {
  std::map<uint32_t, UniqueFd> waiting;
  {
    const std::lock_guard lock(mutex_);
    complete_ = true;
    begun_ = Clock::now();
    waiting = std::exchange(waiting_, {});
  }
  for (auto& [process, fd] : waiting) GODWIT_TRY(add(process, std::move(fd)));
  changed();
  return {};
}

LazyMap Pager::Impl::whole_map(uint32_t process) const {
  LazyMap map;
  context_.store.for_each_leaf(process, [&](uint64_t address, const ChunkPages& data) { map.add(address, data); });
  return map;
}

// With the family's lock held.
Result<> Pager::Impl::adopt(Family& family, UniqueFd userfaultfd, LazyMap map) {
  GODWIT_ASSIGN(auto fd, FaultFd::adopt(std::move(userfaultfd)));
  const int number = fd.fd();
  const std::lock_guard lock(mutex_);
  if (members_.size() >= context_.options.processes_max) {
    return fail("more than {} processes lack memory at once", context_.options.processes_max);
  }
  const uint64_t id = next_id_++;
  auto member = std::make_shared<LazyProcess>(context_, id, family.process, std::move(fd), std::move(map));
  family.members.push_back(member);
  members_.emplace(id, std::pair(families_.at(family.process), std::move(member)));
  epoll_event event{.events = EPOLLIN, .data = {.u64 = id}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, number, &event) != 0) return fail_errno("pager: epoll_ctl");
  ++changes_;
  changed_.notify_all();
  return {};
}

std::shared_ptr<Family> Pager::Impl::family_of(uint32_t process) {
  const std::lock_guard lock(mutex_);
  const auto it = families_.find(process);
  return it == families_.end() ? nullptr : it->second;
}

Pager::Impl::Families Pager::Impl::families() {
  const std::lock_guard lock(mutex_);
  Families all;
  all.reserve(families_.size());
  for (const auto& [process, family] : families_) all.push_back(family);
  return all;
}

std::optional<uint64_t> Pager::Impl::confine(uint32_t process, std::span<const LazyRange> ranges) {
  const auto family = family_of(process);
  if (family == nullptr) return std::nullopt;
  uint64_t pages = 0;
  {
    const Precedence precedence(precedences_);
    const std::lock_guard lock(family->mutex);
    if (family->members.empty()) return std::nullopt;
    LazyProcess& member = *family->members.front();
    member.confine(ranges);
    pages = member.map().pending_pages();
  }
  changed();
  return pages;
}

Result<> Pager::Impl::tasks_resume() {
  const Precedence precedence(precedences_);
  for (const auto& family : families()) {
    const std::lock_guard lock(family->mutex);
    for (const auto& member : family->members) {
      if (!member->confined()) return fail("process {}: nobody asked which of its memory is lazy", family->process);
    }
  }
  answering_until_ = Clock::now() + answering_time;
  context_.tasks_run = true;
  changed();
  return {};
}

Result<PagerStatistics> Pager::Impl::wait_done(Deadline deadline) {
  {
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return done_ || error_.has_value(); };
    if (deadline.when() == Clock::time_point::max()) {
      changed_.wait(lock, ended);
    } else if (!changed_.wait_until(lock, deadline.when(), ended)) {
      lock.unlock();
      return fail("{} MiB of the container's memory were not placed in time",
                  statistics().pending_pages * page_size_bytes >> 20);
    }
    if (error_) return std::unexpected(*error_);
  }
  // What is left is known to be zero, which missing pages are anyway.
  for (const auto& family : families()) context_.store.drop_process(family->process);
  return statistics();
}

PagerStatistics Pager::Impl::statistics() {
  const PagerCounters& counters = context_.counters;
  PagerStatistics result{.pushed_pages = counters.pushed_pages,
                         .faulted_pages = counters.faulted_pages,
                         .faults = counters.faults,
                         .zero_faults = counters.zero_faults,
                         .fault_us_max = counters.fault_us.max(),
                         .fault_us_p99 = counters.fault_us.percentile_99(),
                         .forks = counters.forks,
                         .remaps = counters.remaps,
                         .unmaps = counters.unmaps,
                         .removes = counters.removes,
                         .retries = counters.retries,
                         .partial = counters.partial,
                         .present_pages = counters.present_pages,
                         .unmapped_pages = counters.unmapped_pages,
                         .processes = counters.processes,
                         .processes_gone = counters.processes_gone};
  const Precedence precedence(precedences_);
  for (const auto& family : families()) {
    const std::lock_guard lock(family->mutex);
    for (const auto& member : family->members) result.pending_pages += member->map().pending_pages();
  }
  const std::lock_guard lock(mutex_);
  if (complete_) {
    const auto end = done_ ? ended_ : Clock::now();
    result.seconds = std::chrono::duration<double>(end - begun_).count();
  }
  return result;
}

// --- faults ---

microseconds Pager::Impl::until_retry(Clock::time_point now) const {
  microseconds least{-1};
  for (const auto& [id, when] : retries_) {
    const auto left = std::max(std::chrono::ceil<microseconds>(when - now), microseconds(0));
    if (least.count() < 0 || left < least) least = left;
  }
  return least;
}

void Pager::Impl::run_faults() {
  std::array<epoll_event, 64> events;
  while (!stop_) {
    const microseconds wait = until_retry(Clock::now());
    const timespec timeout{.tv_sec = 0, .tv_nsec = wait.count() * 1000};
    const int got =
        epoll_pwait2(epoll_.get(), events.data(), events.size(), wait.count() < 0 ? nullptr : &timeout, nullptr);
    if (got < 0 && errno != EINTR) {
      fail_with(Error{fmt::format("epoll_pwait2: {}", std::strerror(errno)), errno});
      return;
    }
    const Precedence precedence(precedences_);
    const auto take = [this](uint64_t id) {
      auto attended = attend(id);
      if (attended) return;
      fail_with(std::move(attended).error());
      std::this_thread::sleep_for(idle_pause);  // it may well fail again
    };
    for (int i = 0; i < got; ++i) {
      if (events[i].data.u64 != stop_id) take(events[i].data.u64);
    }
    const auto now = Clock::now();
    std::vector<uint64_t> due;
    for (const auto& [id, when] : retries_) {
      if (when <= now) due.push_back(id);
    }
    for (const uint64_t id : due) take(id);
    last_fault_ = Clock::now();
  }
}

// Reads the events of a process and serves its faults.
Result<> Pager::Impl::attend(uint64_t id) {
  std::shared_ptr<Family> family;
  std::shared_ptr<LazyProcess> member;
  retries_.erase(id);
  {
    const std::lock_guard lock(mutex_);
    const auto it = members_.find(id);
    if (it == members_.end()) return {};
    std::tie(family, member) = it->second;
  }
  const std::lock_guard lock(family->mutex);
  if (!member->fd().open()) return {};
  GODWIT_TRY(member->receive([&](UniqueFd fd, LazyMap map) { return adopt(*family, std::move(fd), std::move(map)); }));
  GODWIT_TRY(member->serve());
  if (const auto when = member->retry_at()) retries_[id] = *when;
  return {};
}

// --- pushing ---

void Pager::Impl::run_pushing() {
  while (!stop_) {
    uint64_t seen = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || (complete_ && !error_); });
      seen = changes_;
    }
    const Families all = families();
    const uint32_t last = context_.store.last_round();
    bool progress = false;
    for (uint32_t round = last; round > 1 && round + hot_rounds > last; --round) {
      progress = push_round(all, round) || progress;
    }
    progress = push_round(all, 0) || progress;
    const bool done = close_finished(all);
    std::unique_lock lock(mutex_);
    if (done && context_.tasks_run && changes_ == seen) {
      done_ = true;
      ended_ = Clock::now();
      changed_.notify_all();
      return;
    }
    if (!progress) changed_.wait_for(lock, done ? milliseconds(100) : idle_pause, [&] { return changes_ != seen; });
  }
}

bool Pager::Impl::push_round(const Families& families, uint32_t round_min) {
  bool progress = false;
  for (const auto& family : families) {
    std::vector<std::shared_ptr<LazyProcess>> members;
    {
      const std::lock_guard lock(family->mutex);
      members = family->members;
    }
    for (const auto& member : members) progress = push_all_of(*family, member, round_min) || progress;
  }
  return progress;
}

bool Pager::Impl::push_all_of(Family& family, const std::shared_ptr<LazyProcess>& member, uint32_t round_min) {
  uint64_t cursor = 0;
  bool progress = false;
  for (int busy = 0; !stop_ && busy < busy_turns_max;) {
    give_way();
    Result<PushStatus> status;
    std::vector<SourceRange> drained;
    const uint64_t pushed_before = context_.counters.pushed_pages;
    Clock::time_point begun;
    {
      const std::lock_guard lock(family.mutex);
      begun = Clock::now();
      if (!member->fd().open()) return progress;
      status = member->push(cursor, round_min, step_pages_);
      drained = member->map().take_drained();
    }
    if (!status) {
      fail_with(std::move(status).error());
      return false;
    }
    adapt_step(Clock::now() - begun, context_.counters.pushed_pages - pushed_before);
    release(family, drained);
    switch (*status) {
      case PushStatus::placed:
        progress = true;
        busy = 0;
        // In the pause others have something better to do on this processor than to wait for the end of a slice.
        if (!context_.tasks_run || Clock::now() < answering_until_.load()) std::this_thread::yield();
        break;
      case PushStatus::busy:
        ++busy;
        std::this_thread::sleep_for(busy_pause);
        break;
      case PushStatus::skipped:
        break;
      case PushStatus::finished:
      case PushStatus::no_memory:
        return progress;
    }
  }
  return progress;
}

// So long a step that a fault, which waits for its end, waits no longer than it should.
void Pager::Impl::adapt_step(Clock::duration took, uint64_t pages) {
  if (pages < step_pages_min) return;
  const double us = std::chrono::duration<double, std::micro>(took).count() / static_cast<double>(pages);
  us_per_page_ = us_per_page_ * 0.75 + us * 0.25;
  step_pages_ =
      std::clamp(static_cast<uint64_t>(context_.options.step_us / us_per_page_), step_pages_min, step_pages_max_);
}

void Pager::Impl::give_way() {
  while (!stop_) {
    const auto lull_begins = last_fault_.load() + fault_lull;
    if (Clock::now() >= std::min(lull_begins, answering_until_.load())) break;
    std::this_thread::sleep_until(lull_begins);
  }
  for (uint32_t held = precedences_; held != 0; held = precedences_) precedences_.wait(held);
}

// Gives pages of the store up that no member of the family waits for. A child that is yet to be forked has a part of
// what its parent waits for, so that it cannot come to need one of them.
void Pager::Impl::release(Family& family, const std::vector<SourceRange>& ranges) {
  for (const SourceRange& range : ranges) {
    ChunkPages needed;
    {
      const std::lock_guard lock(family.mutex);
      for (const auto& member : family.members) needed |= member->map().needed(range.address, range.pages);
    }
    for (uint64_t page = 0; page < range.pages;) {
      uint64_t end = page;
      while (end < range.pages && !needed[end]) ++end;
      if (end > page) {
        context_.store.release(family.process, range.address + page * page_size_bytes, end - page);
      }
      page = end + 1;
    }
  }
}

// Closes the descriptors of processes that lack nothing. True if none is left.
bool Pager::Impl::close_finished(const Families& families) {
  bool all = true;
  for (const auto& family : families) {
    std::vector<std::shared_ptr<LazyProcess>> closed;
    std::vector<SourceRange> drained;
    {
      const std::lock_guard lock(family->mutex);
      auto& members = family->members;
      std::erase_if(members, [&](const std::shared_ptr<LazyProcess>& member) {
        if (!member->finished()) return false;
        member->close();
        const auto ranges = member->map().take_drained();
        drained.insert(drained.end(), ranges.begin(), ranges.end());
        closed.push_back(member);
        return true;
      });
      all = all && members.empty();
    }
    release(*family, drained);
    const std::lock_guard lock(mutex_);
    for (const auto& member : closed) members_.erase(member->id());
  }
  return all;
}

// --- what is seen from outside ---

Pager::Pager(PageStore& store, const PagerOptions& options) : impl_(std::make_unique<Impl>(store, options)) {}
Pager::~Pager() = default;
Result<> Pager::start() {
  return impl_->start();
}
Result<> Pager::add(uint32_t process, UniqueFd userfaultfd) {
  return impl_->add(process, std::move(userfaultfd));
}
Result<> Pager::store_complete() {
  return impl_->store_complete();
}
std::optional<uint64_t> Pager::confine(uint32_t process, std::span<const LazyRange> ranges) {
  return impl_->confine(process, ranges);
}
Result<> Pager::tasks_resume() {
  return impl_->tasks_resume();
}
Result<PagerStatistics> Pager::wait_done(Deadline deadline) {
  return impl_->wait_done(deadline);
}
PagerStatistics Pager::statistics() const {
  return impl_->statistics();
}

}  // namespace godwit::memory
