// What runs in the containers of these tests.
//
//   workload server             counts without end in two threads and a child; keeps patterns in memory of all kinds;
//                               answers lines on TCP port 7000: "ping" -> "pong <requests>", "check" -> "ok" or what
//                               is wrong
//   workload OFFENCE            does something that cannot be moved, or not at this moment, and waits
//
// The counters are 64-bit words at counters_at in each process, so that a test can read them from outside.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "workload.h"

namespace {

constexpr size_t page = 4096;
constexpr size_t region_bytes = 64 * page;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

uint64_t pattern_word(uint64_t seed, size_t index) {
  return (seed + index) * 0x9e3779b97f4a7c15ULL;
}

void fill(void* start, size_t bytes, uint64_t seed) {
  auto* words = static_cast<uint64_t*>(start);
  for (size_t i = 0; i < bytes / 8; ++i) words[i] = pattern_word(seed, i);
}

bool holds(const void* start, size_t bytes, uint64_t seed) {
  const auto* words = static_cast<const uint64_t*>(start);
  for (size_t i = 0; i < bytes / 8; ++i)
    if (words[i] != pattern_word(seed, i)) return false;
  return true;
}

[[noreturn]] void count(volatile uint64_t* counter) {
  for (;;) *counter = *counter + 1;
}

void* map(void* at, size_t bytes, int protection, int flags, int fd = -1) {
  void* place = ::mmap(at, bytes, protection, flags, fd, 0);
  if (place == MAP_FAILED) die("mmap");
  return place;
}

// Memory of all kinds, each with its own pattern.
struct Shapes {
  void* anonymous;
  void* read_only;
  void* shared;        // also the child's
  void* memfd_mapped;  // of memfd
  int memfd;           // the second half of it is not mapped
  void* system_v;
  void* private_file;  // half of it overwritten
  int deleted_file;
  int kept_file;
  void* sparse;  // one page in 64 MiB

  static Shapes make() {
    Shapes shapes{};
    const int private_anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    shapes.anonymous = map(nullptr, region_bytes, PROT_READ | PROT_WRITE, private_anonymous);
    fill(shapes.anonymous, region_bytes, 1);
    shapes.read_only = map(nullptr, region_bytes, PROT_READ | PROT_WRITE, private_anonymous);
    fill(shapes.read_only, region_bytes, 2);
    ::mprotect(shapes.read_only, region_bytes, PROT_READ);
    shapes.shared = map(nullptr, region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    fill(shapes.shared, region_bytes, 3);
    shapes.memfd = ::memfd_create("workload", 0);
    if (shapes.memfd < 0 || ::ftruncate(shapes.memfd, 2 * region_bytes) != 0) die("memfd");
    shapes.memfd_mapped = map(nullptr, 2 * region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shapes.memfd);
    fill(shapes.memfd_mapped, 2 * region_bytes, 4);
    ::munmap(static_cast<char*>(shapes.memfd_mapped) + region_bytes, region_bytes);
    const int id = ::shmget(IPC_PRIVATE, region_bytes, 0600);
    shapes.system_v = ::shmat(id, nullptr, 0);
    if (id < 0 || shapes.system_v == reinterpret_cast<void*>(-1)) die("shm");
    fill(shapes.system_v, region_bytes, 5);
    shapes.kept_file = file("/var/tmp/kept", 6);
    shapes.private_file = map(nullptr, region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, shapes.kept_file);
    fill(static_cast<char*>(shapes.private_file) + region_bytes / 2, region_bytes / 2, 7);
    shapes.deleted_file = file("/var/tmp/deleted", 8);
    ::unlink("/var/tmp/deleted");
    shapes.sparse = map(nullptr, 64 << 20, PROT_READ | PROT_WRITE, private_anonymous);
    fill(static_cast<char*>(shapes.sparse) + (32 << 20), page, 9);
    return shapes;
  }

  static int file(const char* path, uint64_t seed) {
    std::array<char, region_bytes> contents;
    fill(contents.data(), contents.size(), seed);
    const int fd = ::open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ::write(fd, contents.data(), contents.size()) != ssize_t{contents.size()}) die(path);
    return fd;
  }

  static bool file_holds(int fd, uint64_t seed, off_t at = 0) {
    std::array<char, region_bytes> contents;
    return ::pread(fd, contents.data(), contents.size(), at) == ssize_t{contents.size()} &&
           holds(contents.data(), contents.size(), seed);
  }

  [[nodiscard]] std::string check() const {
    std::string wrong;
    const auto expect = [&](const char* what, bool right) {
      if (!right) wrong += std::string(wrong.empty() ? "" : ", ") + what;
    };
    expect("anonymous", holds(anonymous, region_bytes, 1));
    expect("read-only", holds(read_only, region_bytes, 2));
    expect("shared", holds(shared, region_bytes, 3));
    expect("memfd mapped", holds(memfd_mapped, region_bytes, 4));
    std::array<uint64_t, region_bytes / 8> half;
    expect("memfd read", ::pread(memfd, half.data(), region_bytes, region_bytes) == ssize_t{region_bytes});
    for (size_t i = 0; i < half.size(); ++i) half[i] -= pattern_word(4, i + region_bytes / 8);
    for (const uint64_t word : half)
      if (word != 0) expect("memfd not mapped", false);
    expect("System V", holds(system_v, region_bytes, 5));
    const char* private_half = static_cast<const char*>(private_file) + region_bytes / 2;
    expect("file mapping, clean", holds(private_file, region_bytes / 2, 6));
    expect("file mapping, written", holds(private_half, region_bytes / 2, 7));
    expect("file", file_holds(kept_file, 6));
    expect("deleted file", file_holds(deleted_file, 8));
    const char* middle = static_cast<const char*>(sparse) + (32 << 20);
    expect("sparse", holds(middle, page, 9) && middle[-1] == 0 && middle[page] == 0);
    return wrong.empty() ? "ok" : "wrong: " + wrong;
  }
};

int listen_tcp(int protocol, int backlog) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, protocol);
  if (fd < 0) die("socket");
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(workload_port);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, backlog) != 0)
    die("listen");
  return fd;
}

void serve(int connection, const Shapes& shapes) {
  uint64_t requests = 0;
  char buffer[256];
  for (;;) {
    const ssize_t got = ::read(connection, buffer, sizeof buffer);
    if (got <= 0) break;
    const std::string request(buffer, static_cast<size_t>(got));
    const std::string answer =
        request == "check\n" ? shapes.check() + "\n" : "pong " + std::to_string(++requests) + "\n";
    if (::write(connection, answer.data(), answer.size()) < 0) break;
  }
  ::close(connection);
}

[[noreturn]] void server() {
  auto* counters = static_cast<uint64_t*>(map(reinterpret_cast<void*>(counters_at), page, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE));
  const Shapes shapes = Shapes::make();
  const int listener = listen_tcp(0, 16);
  if (::fork() == 0) count(counters);
  std::thread([=] { count(counters); }).detach();
  std::thread([=] { count(counters + 1); }).detach();
  for (;;) {
    const int connection = ::accept(listener, nullptr, nullptr);
    if (connection >= 0) std::thread([=] { serve(connection, shapes); }).detach();
  }
}

void connect_unix_and_write() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/tmp/socket");
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 4) != 0 ||
      ::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::write(client, "x", 1) != 1)
    die("unix socket");
}

void make_namespace() {
  if (::fork() != 0) return;
  if (::unshare(CLONE_NEWNS) != 0) die("unshare");
  ::pause();
}

void offend(const std::string& offence) {
  if (offence == "io_uring") {
    std::array<char, 256> parameters{};
    if (::syscall(SYS_io_uring_setup, 4, parameters.data()) < 0) die("io_uring_setup");
  } else if (offence == "userfaultfd") {
    if (::syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */) < 0) die("userfaultfd");
  } else if (offence == "mptcp") {
    listen_tcp(262, 4);
  } else if (offence == "backlog") {
    listen_tcp(0, 4);
  } else if (offence == "unix-backlog") {
    connect_unix_and_write();
  } else if (offence == "namespace") {
    make_namespace();
  } else if (offence != "nothing") {
    die("unknown offence");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "server") server();
  offend(what);
  for (;;) ::pause();
}
