// The two ways of copying that are compared: each a transfer of the whole workload from this process to one that it
// forks for that, over TCP on the loopback interface, timed until the receiver has confirmed all of it. Connections are
// made before, and the receiver compares what it has with the workload after: neither counts.
#pragma once

#include <sys/mman.h>

#include <ctime>
#include <memory>

#include "base/deadline.h"
#include "base/result.h"
#include "bench/common/workload.h"
#include "transfer/tls.h"

namespace godwit::bench {

struct Transfer {
  double seconds = 0;
  uint64_t wire_bytes = 0;        // without TLS's and TCP's own
  double source_cpu_seconds = 0;  // processor time of the sending process
  double destination_cpu_seconds = 0;
};

// As the agents do it: pre-copy's first round, with tracking, over `lanes` TLS lanes into the page store.
Result<Transfer> run_agent_path(const Workload& workload, const transfer::TlsIdentity& identity, size_t lanes);

// A loop of process_vm_readv and send, and one of recv into a memfd that is mapped.
enum class Memfd {
  fresh,      // its pages come as they are written to, as a page store's do
  populated,  // they are there already
};
Result<Transfer> run_bare_loop(const Workload& workload, Memfd memfd);

inline double process_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

constexpr auto transfer_time_max = std::chrono::seconds(120);

// A receiving process: `receive(wake_fd, cpu_seconds)` runs in it, and `wake_fd` is readable when the sender is done.
class Receiver {
 public:
  template <typename Receive>
  explicit Receiver(const Receive& receive)
      : cpu_seconds_(static_cast<double*>(
            ::mmap(nullptr, sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
        child_([&](int wake_fd) {
          const Result<> received = receive(wake_fd, *cpu_seconds_);
          if (!received) fmt::print(stderr, "receiver: {}\n", received.error().message);
          return received ? 0 : 1;
        }) {}
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  ~Receiver() { ::munmap(cpu_seconds_, sizeof(double)); }

  // Lets it compare and end; returns its processor time.
  Result<double> finish() {
    child_.wake();
    if (const int status = child_.wait(Deadline::after(transfer_time_max)); status != 0) {
      return fail("the receiving process ended with status {}", status);
    }
    return *cpu_seconds_;
  }

 private:
  double* cpu_seconds_;  // shared with the child
  test::Child child_;
};

}  // namespace godwit::bench
