// A program that changes its memory in every way that a migration has to follow, at random: `mutator SEED FILE`.
//
// FILE is a file of at least 4 MiB to map. It runs until it is killed; a step that fails in a way that the kernel does
// not explain (an interrupted call, contents of its own that changed) ends it with a message.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr size_t page = 4096;
constexpr size_t file_pages = 1024;
constexpr size_t pages_max = 3072;      // of one process's regions
constexpr uint32_t processes_max = 10;  // of the whole family
constexpr int madvise_guard_install = 102;
constexpr int madvise_guard_remove = 103;
constexpr int map_droppable = 0x08;

// Seen by the whole family: made before the first fork, and across an exec by a descriptor with a known number.
struct Family {
  std::atomic<uint32_t> processes;
};

enum class Kind { anonymous, file, shared, memfd, system_v };

struct Region {
  Kind kind = Kind::anonymous;
  char* start = nullptr;
  size_t pages = 0;
  int fd = -1;        // memfd
  bool whole = true;  // one mapping: mremap of several may stop half-way
};

constexpr int family_fd = 100;

std::mt19937_64 random_bits;
Family* family = nullptr;
std::string program;
std::string file_path;
int file_fd = -1;
std::vector<Region> regions;
char* thread_pages = nullptr;
constexpr size_t thread_page_count = 64;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "mutator %d: %s: %s\n", ::getpid(), what, std::strerror(errno));
  ::_exit(3);
}

size_t pick(size_t below) {
  return below == 0 ? 0 : random_bits() % below;
}

void scribble(char* at) {
  const uint64_t value = random_bits();
  std::memcpy(at + pick(page / 8) * 8, &value, 8);
}

struct Part {
  Region* region = nullptr;
  char* start = nullptr;
  size_t pages = 0;
};

Part random_part(bool (*fits)(Kind)) {
  if (regions.empty()) return {};
  Region& region = regions[pick(regions.size())];
  if (!fits(region.kind)) return {};
  const size_t first = pick(region.pages);
  const size_t pages = 1 + pick(std::min<size_t>(region.pages - first, 64));
  return {&region, region.start + first * page, pages};
}

bool any_kind(Kind) {
  return true;
}
bool is_private(Kind kind) {
  return kind == Kind::anonymous || kind == Kind::file;
}
bool is_shared(Kind kind) {
  return !is_private(kind);
}

size_t mapped_pages() {
  size_t sum = 0;
  for (const Region& region : regions) sum += region.pages;
  return sum;
}

void* map(size_t pages, int flags, int fd = -1, size_t offset = 0) {
  void* start = ::mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(offset));
  if (start == MAP_FAILED) broken("mmap");
  return start;
}

void write_some() {
  const Part part = random_part(any_kind);
  if (part.region == nullptr) return;
  const size_t step = 1 + pick(4);
  for (size_t i = 0; i < part.pages; i += step) scribble(part.start + i * page);
}

void read_some() {
  const Part part = random_part(any_kind);
  if (part.region == nullptr) return;
  volatile char sum = 0;
  for (size_t i = 0; i < part.pages; ++i) sum = static_cast<char>(sum + part.start[i * page]);
}

void add_region() {
  if (mapped_pages() > pages_max) return;
  Region region;
  region.pages = 1 + pick(256);
  switch (pick(8)) {
    case 0:
      region.kind = Kind::file;
      region.start =
          static_cast<char*>(map(region.pages, MAP_PRIVATE, file_fd, pick(file_pages - region.pages) * page));
      break;
    case 1:
      region.kind = Kind::shared;
      region.start = static_cast<char*>(map(region.pages, MAP_SHARED | MAP_ANONYMOUS));
      break;
    case 2: {
      region.kind = Kind::memfd;
      region.fd = ::memfd_create("mutator", MFD_CLOEXEC);
      if (region.fd < 0 || ::ftruncate(region.fd, static_cast<off_t>(region.pages * page)) != 0) broken("memfd");
      region.start = static_cast<char*>(map(region.pages, MAP_SHARED, region.fd));
      break;
    }
    case 3: {
      region.kind = Kind::system_v;
      const int id = ::shmget(IPC_PRIVATE, region.pages * page, 0600);
      void* start = id < 0 ? nullptr : ::shmat(id, nullptr, 0);
      if (id >= 0) ::shmctl(id, IPC_RMID, nullptr);
      if (start == nullptr || start == reinterpret_cast<void*>(-1)) return;
      region.start = static_cast<char*>(start);
      break;
    }
    case 4: {  // large enough for huge pages
      region.pages = 1024;
      region.start = static_cast<char*>(map(region.pages, MAP_PRIVATE | MAP_ANONYMOUS));
      ::madvise(region.start, region.pages * page, MADV_HUGEPAGE);
      scribble(region.start + pick(region.pages) * page);
      break;
    }
    case 5: {
      void* start = ::mmap(nullptr, region.pages * page, PROT_READ | PROT_WRITE, map_droppable | MAP_ANONYMOUS, -1, 0);
      if (start == MAP_FAILED) return;  // Linux before 6.11
      region.start = static_cast<char*>(start);
      scribble(region.start);
      break;
    }
    default:
      region.start = static_cast<char*>(map(region.pages, MAP_PRIVATE | MAP_ANONYMOUS));
      if (pick(8) == 0) ::mlock(region.start, region.pages * page);
  }
  regions.push_back(region);
}

void remove_region() {
  if (regions.size() < 4) return;
  const size_t index = pick(regions.size());
  Region& region = regions[index];
  if (is_private(region.kind) && region.pages > 2 && pick(2) == 0) {
    // Only a part in the middle; what is after it becomes a region of its own.
    const size_t first = 1 + pick(region.pages - 2);
    const size_t count = 1 + pick(region.pages - first - 1);
    if (::munmap(region.start + first * page, count * page) != 0) broken("munmap");
    const Region after{
        .kind = region.kind, .start = region.start + (first + count) * page, .pages = region.pages - first - count};
    region.pages = first;
    if (after.pages > 0) regions.push_back(after);
    return;
  }
  if (region.kind == Kind::system_v) {
    ::shmdt(region.start);
  } else if (::munmap(region.start, region.pages * page) != 0) {
    broken("munmap");
  }
  if (region.fd >= 0) ::close(region.fd);
  regions.erase(regions.begin() + static_cast<ptrdiff_t>(index));
}

void move_region() {
  const size_t index = pick(regions.size());
  if (regions.empty() || regions[index].kind != Kind::anonymous || !regions[index].whole) return;
  Region& region = regions[index];
  // Always growing: since Linux 6.17 a move without that may stop half-way, if tracking has split the mapping.
  const size_t pages = region.pages + 1 + pick(64);
  if (pages > 1024) return;
  void* place = ::mmap(nullptr, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) broken("mmap");
  void* moved = ::mremap(region.start, region.pages * page, pages * page, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  if (moved == MAP_FAILED) {
    // Locked memory at its limit, or the end of a droppable mapping.
    ::munmap(place, pages * page);
    return;
  }
  region.start = static_cast<char*>(moved);
  region.pages = pages;
}

// Another mapping at the same place, in one step.
void replace_part() {
  const Part part = random_part(is_private);
  if (part.region == nullptr) return;
  // A file mapping among anonymous ones could be grown beyond the file's end later.
  const bool file = part.region->kind == Kind::file && pick(2) == 0;
  const size_t offset = pick(file_pages - part.pages) * page;
  part.region->whole = false;
  if (::mmap(part.start, part.pages * page, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | (file ? 0 : MAP_ANONYMOUS), file ? file_fd : -1,
             file ? static_cast<off_t>(offset) : 0) == MAP_FAILED) {
    broken("mmap over");
  }
  if (pick(2) == 0) scribble(part.start);
}

void drop_part() {
  const Part part = random_part(any_kind);
  if (part.region == nullptr) return;
  ::madvise(part.start, part.pages * page, is_shared(part.region->kind) && pick(2) == 0 ? MADV_REMOVE : MADV_DONTNEED);
  if (pick(3) == 0) scribble(part.start);
}

void protect_part() {
  const Part part = random_part(is_private);
  if (part.region == nullptr) return;
  const int protection[] = {PROT_NONE, PROT_READ, PROT_WRITE};
  if (::mprotect(part.start, part.pages * page, protection[pick(3)]) != 0) broken("mprotect");
  part.region->whole = false;  // the kernel need not join the mappings again
  ::usleep(static_cast<useconds_t>(pick(2000)));
  if (::mprotect(part.start, part.pages * page, PROT_READ | PROT_WRITE) != 0) broken("mprotect back");
}

void guard_part() {
  const Part part = random_part([](Kind kind) { return kind == Kind::anonymous; });
  if (part.region == nullptr) return;
  // Fails half-way where a part is locked, and before Linux 6.13 at once.
  const bool installed = ::madvise(part.start, part.pages * page, madvise_guard_install) == 0;
  if (installed) ::usleep(static_cast<useconds_t>(pick(2000)));
  if (::madvise(part.start, part.pages * page, madvise_guard_remove) != 0 && installed) broken("remove guard");
}

void grow_heap() {
  static std::vector<void*> kept;
  for (int i = 0; i < 20; ++i) {
    void* block = std::malloc(100 + pick(100000));
    std::memset(block, static_cast<int>(pick(256)), 100);
    kept.push_back(block);
  }
  while (kept.size() > 200) {
    const size_t index = pick(kept.size());
    std::free(kept[index]);
    kept.erase(kept.begin() + static_cast<ptrdiff_t>(index));
  }
}

void write_memfd() {
  const Part part = random_part([](Kind kind) { return kind == Kind::memfd; });
  if (part.region == nullptr || part.region->fd < 0) return;
  const uint64_t value = random_bits();
  const auto offset = static_cast<off_t>(pick(part.region->pages * page - 8));
  if (::pwrite(part.region->fd, &value, sizeof(value), offset) != sizeof(value)) broken("write to memfd");
  if (pick(10) == 0) {
    ::fallocate(part.region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, part.start - part.region->start,
                static_cast<off_t>(part.pages * page));
  }
}

// A memfd that is only open.
void use_unmapped_memfd() {
  static int fd = -1;
  if (fd < 0) fd = ::memfd_create("unmapped", MFD_CLOEXEC);
  const uint64_t value = random_bits();
  if (::pwrite(fd, &value, sizeof(value), static_cast<off_t>(pick(300000))) != sizeof(value)) broken("write to memfd");
  if (pick(20) == 0 && ::ftruncate(fd, static_cast<off_t>(pick(200000))) != 0) broken("truncate memfd");
}

void* write_in_thread(void* argument) {
  std::mt19937_64 own(reinterpret_cast<uintptr_t>(argument));
  for (int i = 0; i < 3000; ++i) {
    char* at = thread_pages + (own() % thread_page_count) * page;
    *reinterpret_cast<volatile uint64_t*>(at + (own() % (page / 8)) * 8) = own();
    if (i % 50 == 0) ::usleep(100);
  }
  return nullptr;
}

void start_thread() {
  pthread_t thread{};
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  ::pthread_attr_setstacksize(&attributes, size_t{256} << 10);
  if (::pthread_create(&thread, &attributes, write_in_thread, reinterpret_cast<void*>(random_bits())) != 0) {
    broken("pthread_create");
  }
  ::pthread_attr_destroy(&attributes);
}

// Kills whoever makes the calls that tracking needs of it.
void refuse_userfaultfd() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog rules{.len = 4, .filter = filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &rules) != 0) broken("seccomp");
}

void execute_again() {
  const std::string seed = std::to_string(random_bits() % 1000000);
  std::string flag = "child";
  char* arguments[] = {program.data(), const_cast<char*>(seed.c_str()), file_path.data(), flag.data(), nullptr};
  ::execv("/proc/self/exe", arguments);
  broken("exec");
}

[[noreturn]] void leave() {
  --family->processes;
  ::_exit(0);
}

// One call that sleeps and must not be interrupted by whatever is done to us.
void sleep_uninterrupted() {
  pollfd nothing{.fd = -1, .events = 0, .revents = 0};
  const timespec span{.tv_sec = 0, .tv_nsec = static_cast<long>(pick(3000000))};
  if (pick(2) == 0 ? ::poll(&nothing, 1, static_cast<int>(pick(4))) != 0 : ::nanosleep(&span, nullptr) != 0) {
    if (errno == EINTR) broken("a sleep was interrupted");
  }
}

void step();

void say_and_die(int signal, siginfo_t* info, void*) {
  std::fprintf(stderr, "mutator %d: signal %d at %p\n", ::getpid(), signal, info->si_addr);
  ::_exit(4);
}

void run_child() {
  random_bits.seed(random_bits() ^ static_cast<uint64_t>(::getpid()));
  switch (pick(8)) {
    case 0:
      execute_again();
    case 1:
      refuse_userfaultfd();
      break;
    case 2:  // born, wrote, died
      for (int i = 0; i < 3; ++i) write_some();
      leave();
    case 3:
      write_some();
      ::raise(SIGSTOP);
      break;
    case 4:
      for (int i = 0; i < 5; ++i) write_some();
      for (;;) ::pause();
    default:
      break;
  }
  const size_t steps = pick(2) == 0 ? 200 + pick(2000) : ~size_t{0};
  for (size_t i = 0; i < steps; ++i) step();
  leave();
}

void fork_child() {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  if (++family->processes > processes_max) {
    --family->processes;
    return;
  }
  const pid_t child = ::fork();
  if (child < 0) broken("fork");
  if (child == 0) run_child();
}

void spawn_program() {
  if (pick(4) != 0) return;
  pid_t child = 0;
  char* arguments[] = {const_cast<char*>("true"), nullptr};
  if (::posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, nullptr) != 0) broken("posix_spawn");
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// How often each is done, of 100.
struct Weighted {
  uint32_t weight;
  void (*act)();
};
constexpr Weighted actions[] = {
    {1, fork_child},  {1, start_thread}, {1, spawn_program},      {3, add_region},   {2, remove_region},
    {2, move_region}, {5, replace_part}, {8, drop_part},          {2, protect_part}, {2, guard_part},
    {2, grow_heap},   {6, write_memfd},  {2, use_unmapped_memfd}, {8, read_some},    {10, sleep_uninterrupted},
    {45, write_some},
};

void step() {
  size_t at = pick(100);
  for (const Weighted& action : actions) {
    if (at < action.weight) return action.act();
    at -= action.weight;
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  program = arguments[0];
  random_bits.seed(std::strtoull(arguments[1], nullptr, 10));
  file_path = arguments[2];
  const bool child = count > 3;
  struct sigaction action{};
  action.sa_sigaction = say_and_die;
  action.sa_flags = SA_SIGINFO;
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT}) ::sigaction(signal, &action, nullptr);
  if (!child) {
    const int fd = ::memfd_create("family", 0);
    if (fd < 0 || ::ftruncate(fd, page) != 0 || ::dup2(fd, family_fd) != family_fd) broken("memfd");
    ::close(fd);
  }
  family = static_cast<Family*>(map(1, MAP_SHARED, family_fd));
  if (!child) family->processes = 1;
  file_fd = ::open(file_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_fd < 0) broken("open the file");
  thread_pages = static_cast<char*>(map(thread_page_count, MAP_PRIVATE | MAP_ANONYMOUS));
  while (regions.size() < 6) add_region();
  for (;;) step();
}
