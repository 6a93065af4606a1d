// Which trackers work here, seen and not guessed: a kernel may accept every step and still note no write (clear_refs
// without CONFIG_MEM_SOFT_DIRTY), and version numbers say nothing of distribution kernels.
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/unique_fd.h"
#include "memory/tracker.h"
#include "os/fd_passing.h"
#include "os/pagemap.h"

namespace godwit::memory {
namespace {

constexpr uint64_t probe_pages = 8;
constexpr uint64_t probe_written = 5;
constexpr auto probe_time = std::chrono::seconds(2);

// A child that writes to all its pages, and to one of them again when told to.
class ProbeChild {
 public:
  static Result<std::unique_ptr<ProbeChild>> start() {
    std::unique_ptr<ProbeChild> child(new ProbeChild);
    void* pages =
        ::mmap(nullptr, probe_pages * os::page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return fail_errno("map memory for a probe");
    child->pages_ = static_cast<char*>(pages);
    GODWIT_ASSIGN(os::SocketPair pair, os::seqpacket_pair());
    child->channel_ = std::move(pair.ours);
    const pid_t parent = ::getpid();
    child->pid_ = ::fork();
    if (child->pid_ < 0) return fail_errno("fork a probe");
    if (child->pid_ == 0) run(child->pages_, pair.theirs.get(), parent);
    GODWIT_TRY(child->await_answer());
    return child;
  }
  ProbeChild(const ProbeChild&) = delete;
  ProbeChild& operator=(const ProbeChild&) = delete;
  ~ProbeChild() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    if (pages_ != nullptr) ::munmap(pages_, probe_pages * os::page_bytes);
  }

  // Has it write to page `probe_written`.
  Result<> write_one() {
    if (::send(channel_.get(), "w", 1, MSG_NOSIGNAL) != 1) return fail_errno("talk to the probe");
    return await_answer();
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] uint64_t address() const { return reinterpret_cast<uint64_t>(pages_); }

 private:
  ProbeChild() = default;

  // In the child, where only what is safe in a signal handler may be called.
  [[noreturn]] static void run(volatile char* pages, int channel, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    for (uint64_t page = 0; page < probe_pages; ++page) pages[page * os::page_bytes] = 1;
    for (;;) {
      if (::send(channel, "d", 1, MSG_NOSIGNAL) != 1) ::_exit(1);
      char byte = 0;
      if (::recv(channel, &byte, 1, 0) != 1) ::_exit(0);
      pages[probe_written * os::page_bytes] = 2;
    }
  }

  Result<> await_answer() {
    const Deadline deadline = Deadline::after(probe_time);
    for (;;) {
      pollfd item{.fd = channel_.get(), .events = POLLIN, .revents = 0};
      const int ready = ::poll(&item, 1, deadline.poll_timeout_ms());
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) return fail("the probe does not answer");
      char byte = 0;
      if (::recv(channel_.get(), &byte, 1, 0) != 1) return fail("the probe ended early");
      return {};
    }
  }

  pid_t pid_ = -1;
  char* pages_ = nullptr;
  UniqueFd channel_;
};

struct Found {
  uint64_t pages = 0;
  bool the_one = false;
};

Result<Found> pages_found(DirtyTracker& tracker, const ProbeChild& child) {
  Found found;
  GODWIT_TRY(tracker.scan_and_rearm([&](const Run& run) -> Result<> {
    for (uint64_t i = 0; i < run.pages; ++i) {
      const uint64_t page = (run.address + i * os::page_bytes - child.address()) / os::page_bytes;
      if (run.address + i * os::page_bytes < child.address() || page >= probe_pages) continue;
      ++found.pages;
      found.the_one |= page == probe_written;
    }
    return {};
  }));
  return found;
}

Result<std::string> round_trip(TrackerKind kind) {
  GODWIT_ASSIGN(const std::unique_ptr<ProbeChild> child, ProbeChild::start());
  // The child waits for us whenever we scan: no pause is needed.
  const auto nothing = []() -> Result<> { return {}; };
  const auto tracker = make_tracker(kind, child->pid(), {.stop = nothing, .resume = nothing});
  GODWIT_ASSIGN(const Found first, pages_found(*tracker, *child));
  if (first.pages != probe_pages) return fail("the first scan found {} of {} pages", first.pages, probe_pages);
  GODWIT_ASSIGN(const Found idle, pages_found(*tracker, *child));
  if (idle.pages != 0) return fail("found {} pages written while none was", idle.pages);
  GODWIT_TRY(child->write_one());
  GODWIT_ASSIGN(const Found second, pages_found(*tracker, *child));
  if (second.pages == 0) return fail("this kernel does not note writes, although it accepts to be asked");
  if (second.pages != 1 || !second.the_one) return fail("found {} pages written instead of one", second.pages);
  return std::string("a written page was found");
}

}  // namespace

std::vector<TrackerProbe> probe_trackers() {
  std::vector<TrackerProbe> probes;
  for (const TrackerKind kind : {TrackerKind::userfaultfd, TrackerKind::soft_dirty}) {
    auto result = round_trip(kind);
    probes.push_back({.kind = kind,
                      .works = result.has_value(),
                      .reason = result.has_value() ? std::move(*result) : std::move(result).error().message});
  }
  probes.push_back({.kind = TrackerKind::none, .works = true, .reason = "needs nothing"});
  return probes;
}

}  // namespace godwit::memory
