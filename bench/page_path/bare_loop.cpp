// What the kernel gives without anything of ours: the measure for the agent's path.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bench/page_path/contents.h"
#include "bench/page_path/transfer.h"
#include "os/fd_passing.h"
#include "transfer/tcp.h"

namespace godwit::bench {
namespace {

// Of 64 KiB to 4 MiB the fastest: large enough to share a system call's cost, small enough for a core's cache.
constexpr size_t piece_bytes = size_t{256} << 10;

Result<> make_blocking(const UniqueFd& socket) {
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) return fail_errno("fcntl");
  return {};
}

// Fresh memory of the kernel, mapped here; freed with the process.
Result<std::span<std::byte>> map_memfd(size_t bytes, Memfd kind) {
  const UniqueFd memfd(::memfd_create("bare loop", MFD_CLOEXEC));
  if (!memfd || ::ftruncate(memfd.get(), static_cast<off_t>(bytes)) != 0) return fail_errno("make a memfd");
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
  if (mapped == MAP_FAILED) return fail_errno("map a memfd");
  if (kind == Memfd::populated && ::madvise(mapped, bytes, MADV_POPULATE_WRITE) != 0) return fail_errno("populate");
  return std::span(static_cast<std::byte*>(mapped), bytes);
}

Result<> receive(transfer::Listener& listener, const Workload& workload, Memfd kind, int wake_fd, double& cpu_seconds) {
  GODWIT_ASSIGN(const std::span<std::byte> memory, map_memfd(workload.bytes(), kind));
  GODWIT_ASSIGN(const transfer::Connection connection, listener.accept(Deadline::after(transfer_time_max)));
  const int socket = connection.socket.get();
  GODWIT_TRY(make_blocking(connection.socket));
  const std::byte done{1};
  if (::send(socket, &done, 1, MSG_NOSIGNAL) != 1) return fail_errno("send");  // ready
  const double cpu_before = process_cpu_seconds();
  for (size_t have = 0; have < memory.size();) {
    const ssize_t got = ::recv(socket, &memory[have], std::min(piece_bytes, memory.size() - have), 0);
    if (got <= 0) return fail_errno("recv");
    have += static_cast<size_t>(got);
  }
  if (::send(socket, &done, 1, MSG_NOSIGNAL) != 1) return fail_errno("send");
  cpu_seconds = process_cpu_seconds() - cpu_before;
  GODWIT_TRY(os::wait_readable(wake_fd, Deadline::after(transfer_time_max)));
  return compare_with(workload, workload.address(), memory);
}

Result<> wait_for_byte(int socket) {
  std::byte byte{};
  if (::recv(socket, &byte, 1, MSG_WAITALL) != 1) return fail("the receiving process closed the connection");
  return {};
}

Result<> send_all(int socket, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(socket, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0) return fail_errno("send");
    data = data.subspan(static_cast<size_t>(sent));
  }
  return {};
}

Result<> send_workload(const Workload& workload, int socket) {
  std::vector<std::byte> buffer(piece_bytes);
  const uint64_t end = workload.address() + workload.bytes();
  for (uint64_t at = workload.address(); at < end;) {
    const iovec local{.iov_base = buffer.data(), .iov_len = std::min<uint64_t>(buffer.size(), end - at)};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of the other process
    const iovec remote{.iov_base = reinterpret_cast<void*>(at), .iov_len = local.iov_len};
    const ssize_t got = ::process_vm_readv(workload.pid(), &local, 1, &remote, 1, 0);
    if (got <= 0) return fail_errno("process_vm_readv");
    GODWIT_TRY(send_all(socket, {buffer.data(), static_cast<size_t>(got)}));
    at += static_cast<uint64_t>(got);
  }
  return wait_for_byte(socket);
}

}  // namespace

Result<Transfer> run_bare_loop(const Workload& workload, Memfd memfd) {
  GODWIT_ASSIGN(transfer::Listener listener, transfer::Listener::open("127.0.0.1", 0));
  Receiver receiver(
      [&](int wake_fd, double& cpu_seconds) { return receive(listener, workload, memfd, wake_fd, cpu_seconds); });
  GODWIT_ASSIGN(const UniqueFd socket,
                transfer::connect_tcp("127.0.0.1", listener.port(), Deadline::after(transfer_time_max)));
  GODWIT_TRY(make_blocking(socket));
  GODWIT_TRY(wait_for_byte(socket.get()));

  const double cpu_before = process_cpu_seconds();
  const auto began = Clock::now();
  GODWIT_TRY(send_workload(workload, socket.get()));
  Transfer transfer{.seconds = elapsed_ms(began) / 1000,
                    .wire_bytes = workload.bytes(),
                    .source_cpu_seconds = process_cpu_seconds() - cpu_before};
  GODWIT_ASSIGN(transfer.destination_cpu_seconds, receiver.finish());
  return transfer;
}

}  // namespace godwit::bench
