#include "bench/common/workload.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <array>

#include "base/deadline.h"
#include "os/pagemap.h"

namespace godwit::bench {
namespace {

using os::page_bytes;

template <typename T>
bool send_value(int socket, T value) {
  return ::send(socket, &value, sizeof value, MSG_NOSIGNAL) == sizeof value;
}

template <typename T>
bool receive_value(int socket, T& value) {
  return ::recv(socket, &value, sizeof value, MSG_WAITALL) == sizeof value;
}

double write_to_each(std::byte* memory, size_t bytes, uint64_t pages) {
  const uint64_t stride_pages = bytes / page_bytes / pages;
  const auto began = Clock::now();
  for (uint64_t i = 0; i < pages; ++i) {
    volatile std::byte& first = memory[i * stride_pages * page_bytes];
    first = static_cast<std::byte>(i);
  }
  return elapsed_ms(began) * 1e6 / static_cast<double>(pages);
}

}  // namespace

Result<std::unique_ptr<Workload>> Workload::start(size_t bytes, const Fill& fill) {
  auto cgroup = test::TestCgroup::make(1);
  if (!cgroup) cgroup = test::TestCgroup::make(2);
  if (!cgroup) return fail("no freezer cgroup can be made here: run as root");
  std::unique_ptr<Workload> workload(new Workload(bytes, std::move(*cgroup)));
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) return fail_errno("socketpair");
  workload->orders_.reset(sockets[0]);
  const UniqueFd childs(sockets[1]);
  workload->child_.emplace([&](int) {
    workload->orders_.reset();
    return workload->child_main(fill, childs.get());
  });
  GODWIT_TRY(workload->cgroup_.add(workload->pid()));
  if (!receive_value(workload->orders_.get(), workload->address_)) return fail("the workload did not start");
  return workload;
}

int Workload::child_main(const Fill& fill, int orders) const {
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return 1;
  ::madvise(mapped, bytes_, MADV_NOHUGEPAGE);
  auto* const memory = static_cast<std::byte*>(mapped);
  fill({memory, bytes_});
  if (!send_value(orders, reinterpret_cast<uint64_t>(memory))) return 1;
  for (uint64_t pages = 0; receive_value(orders, pages);) {
    if (!send_value(orders, write_to_each(memory, bytes_, pages))) return 1;
  }
  return 0;
}

Result<double> Workload::write_to_pages(uint64_t pages) const {
  if (pages == 0 || pages > bytes_ / page_bytes) return fail("{} pages are not in the workload", pages);
  double ns = 0;
  if (!send_value(orders_.get(), pages) || !receive_value(orders_.get(), ns)) return fail("the workload has ended");
  return ns;
}

}  // namespace godwit::bench
