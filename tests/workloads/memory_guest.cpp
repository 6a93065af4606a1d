// A program that maps, rewrites, moves, drops and unmaps memory in two threads and their forked children, and knows all
// the time what every page must hold: it ends with a message in /tmp/wrong at the first page that holds something else.
//
// What a page must hold follows from a number for each page, kept apart from it (its version; 0: never written, zeros).
// /tmp/steps counts its steps. SIGTERM: it looks at every page a last time and writes "unchanged" to /tmp/verdict.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t page_bytes = 4096;
constexpr size_t words_in_page = page_bytes / sizeof(uint64_t);
constexpr size_t regions_max = 40;
constexpr size_t region_pages_max = 1024;
constexpr size_t pages_looked_at = 16;  // in each step
constexpr size_t child_steps_max = 4000;
constexpr useconds_t step_interval_us = 200;

std::atomic<bool> ending = false;
std::atomic<uint64_t> steps = 0;

// The file appears whole: a reader sees the old text or the new one.
void write_text(const std::string& path, const std::string& text) {
  const std::string fresh = path + "." + std::to_string(::getpid());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(5);
  ::close(fd);
  ::rename(fresh.c_str(), path.c_str());
}

[[noreturn]] void end_wrong(const std::string& what) {
  write_text("/tmp/wrong", "process " + std::to_string(::getpid()) + ": " + what + "\n");
  ::_exit(1);
}

[[noreturn]] void end_errno(const char* what) {
  end_wrong(std::string(what) + ": " + std::strerror(errno));
}

uint64_t mix(uint64_t value) {
  value ^= value >> 31;
  value *= 0x9e3779b97f4a7c15;
  value ^= value >> 29;
  return value;
}

// Word `i` of a page that holds `version`.
uint64_t word_of(uint64_t version, size_t i) {
  return version == 0 ? 0 : mix(version * words_in_page + i);
}

enum class Kind { anonymous, huge, shared };

struct Region {
  Kind kind = Kind::anonymous;
  uint64_t* start = nullptr;
  std::vector<uint64_t> versions;  // of its pages

  [[nodiscard]] size_t bytes() const { return versions.size() * page_bytes; }
  [[nodiscard]] uint64_t* page(size_t index) const { return start + index * words_in_page; }

  void rewrite(size_t index, uint64_t version) {
    for (size_t i = 0; i < words_in_page; ++i) page(index)[i] = word_of(version, i);
    versions[index] = version;
  }

  void check(size_t index) const {
    for (size_t i = 0; i < words_in_page; ++i) {
      if (page(index)[i] == word_of(versions[index], i)) continue;
      end_wrong("word " + std::to_string(i) + " of page " + std::to_string(index) + " of " +
                std::to_string(versions.size()) + " in a region of kind " + std::to_string(static_cast<int>(kind)) +
                " has changed");
    }
  }
};

// All memory of one thread. A forked child goes on with its copy.
class Memory {
 public:
  explicit Memory(uint64_t seed) : random_(seed) {}

  void step() {
    switch (pick(16)) {
      case 0:
        map();
        break;
      case 1:
        unmap();
        break;
      case 2:
        grow();
        break;
      case 3:
        drop();
        break;
      default:
        rewrite();
    }
    look();
  }

  void check_all() const {
    for (const Region& region : regions_) {
      for (size_t i = 0; i < region.versions.size(); ++i) region.check(i);
    }
  }

  // In a child: its own from here on. What is shared is its parent's to write.
  void become_child() {
    random_.seed(random_() ^ static_cast<uint64_t>(::getpid()));
    std::erase_if(regions_, [](const Region& region) {
      if (region.kind != Kind::shared) return false;
      ::munmap(region.start, region.bytes());
      return true;
    });
  }

  size_t pick(size_t below) { return random_() % below; }

 private:
  struct Part {
    Region* region = nullptr;
    size_t first = 0;
    size_t pages = 0;
  };

  Part part(size_t pages_max) {
    if (regions_.empty()) map();
    Region& region = regions_[pick(regions_.size())];
    const size_t first = pick(region.versions.size());
    return {&region, first, 1 + pick(std::min(region.versions.size() - first, pages_max))};
  }

  void map() {
    if (regions_.size() >= regions_max) return;
    Region region{.kind = static_cast<Kind>(pick(3))};
    region.versions.resize(1 + pick(region_pages_max));
    const int flags = MAP_ANONYMOUS | (region.kind == Kind::shared ? MAP_SHARED : MAP_PRIVATE);
    void* start = ::mmap(nullptr, region.bytes(), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (start == MAP_FAILED) end_errno("mmap");
    if (region.kind == Kind::huge) ::madvise(start, region.bytes(), MADV_HUGEPAGE);
    region.start = static_cast<uint64_t*>(start);
    regions_.push_back(std::move(region));
  }

  void unmap() {
    if (regions_.size() < regions_max / 2) return;
    const auto at = regions_.begin() + static_cast<ptrdiff_t>(pick(regions_.size()));
    if (::munmap(at->start, at->bytes()) != 0) end_errno("munmap");
    regions_.erase(at);
  }

  void grow() {
    Region& region = *part(1).region;
    const size_t pages = region.versions.size() + 1 + pick(64);
    if (region.kind == Kind::shared || pages > region_pages_max) return;
    void* moved = ::mremap(region.start, region.bytes(), pages * page_bytes, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) {
      // A mapping that a migration's tracking or its end has split can only be moved in parts.
      if (errno == EFAULT) return;
      end_errno("mremap");
    }
    region.start = static_cast<uint64_t*>(moved);
    region.versions.resize(pages);
  }

  // Dropped pages are zeros when they are touched again.
  void drop() {
    const Part dropped = part(64);
    const int how = dropped.region->kind == Kind::shared ? MADV_REMOVE : MADV_DONTNEED;
    if (::madvise(dropped.region->page(dropped.first), dropped.pages * page_bytes, how) != 0) end_errno("madvise");
    for (size_t i = 0; i < dropped.pages; ++i) dropped.region->versions[dropped.first + i] = 0;
  }

  void rewrite() {
    const Part written = part(8);
    for (size_t i = 0; i < written.pages; ++i) written.region->rewrite(written.first + i, random_() | 1);
  }

  void look() {
    for (size_t i = 0; i < pages_looked_at; ++i) {
      const Part seen = part(1);
      seen.region->check(seen.first);
    }
  }

  std::mt19937_64 random_;
  std::vector<Region> regions_;
};

[[noreturn]] void live_as_child(Memory& memory) {
  memory.become_child();
  memory.check_all();
  const size_t count = 1 + memory.pick(child_steps_max);
  for (size_t i = 0; i < count && !ending; ++i) {
    memory.step();
    ::usleep(step_interval_us);
  }
  memory.check_all();
  ::_exit(0);
}

// A child at a time, for each thread.
class Child {
 public:
  void start(Memory& memory) {
    if (pid_ > 0 && !collect(WNOHANG)) return;
    pid_ = ::fork();
    if (pid_ < 0) end_errno("fork");
    if (pid_ == 0) live_as_child(memory);
  }

  bool collect(int flags) {
    if (pid_ <= 0) return true;
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, flags);
    if (ended == 0) return false;
    if (ended < 0) end_errno("waitpid");
    if (status != 0) ::_exit(1);  // it has said why
    pid_ = -1;
    return true;
  }

  // Threads share no signals' fate: a child must be told by its parent.
  void end() {
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    collect(0);
  }

 private:
  pid_t pid_ = -1;
};

void live(uint64_t seed) {
  Memory memory(seed);
  Child child;
  for (uint64_t i = 1; !ending; ++i) {
    memory.step();
    if (i % 100 == 0) child.start(memory);
    ++steps;
    ::usleep(step_interval_us);
  }
  child.end();
  memory.check_all();
}

}  // namespace

int main() {
  struct sigaction action{};
  action.sa_handler = [](int) { ending = true; };
  ::sigaction(SIGTERM, &action, nullptr);
  std::thread first(live, 1);
  std::thread second(live, 2);
  while (!ending) {
    write_text("/tmp/steps", std::to_string(steps) + "\n");
    ::usleep(20000);
  }
  first.join();
  second.join();
  write_text("/tmp/verdict", "unchanged\n");
  for (;;) ::pause();
}
