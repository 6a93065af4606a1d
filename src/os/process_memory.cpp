#include "os/process_memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "os/file.h"

namespace godwit::os {
namespace {

constexpr size_t page_size = 4096;

// At most one page, by /proc/PID/mem, which reads whatever is mapped, also where the process itself may not. `file` is
// opened on first use: it stays with the address space of that moment, so it is not kept for longer than a call.
Result<size_t> read_page(pid_t pid, UniqueFd& file, uint64_t address, void* data, size_t size) {
  if (!file.valid()) {
    auto opened = open_file(fmt::format("/proc/{}/mem", pid), O_RDONLY);
    if (!opened.has_value()) {
      if (opened.error().code == ENOENT) opened.error().code = ESRCH;
      return std::unexpected(std::move(opened).error());
    }
    file = std::move(*opened);
  }
  const size_t step = std::min(size, page_size - (address % page_size));
  for (;;) {
    const ssize_t got = ::pread(file.get(), data, step, static_cast<off_t>(address));
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) return std::unexpected(Error{fmt::format("process {} has ended", pid), ESRCH});
    if (errno == EINTR) continue;
    if (errno == EIO || errno == EFAULT) return size_t{0};
    return fail_errno("read memory of process {} at {:x}", pid, address);
  }
}

}  // namespace

Result<size_t> read_process_memory(pid_t pid, uint64_t address, void* data, size_t size) {
  UniqueFd file;
  size_t done = 0;
  while (done < size) {
    const iovec local{.iov_base = static_cast<char*>(data) + done, .iov_len = size - done};
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of the other process
    const iovec remote{.iov_base = reinterpret_cast<void*>(address + done), .iov_len = size - done};
    const ssize_t got = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (got > 0) {
      done += static_cast<size_t>(got);
      continue;
    }
    GODWIT_ASSIGN(const size_t one, read_page(pid, file, address + done, local.iov_base, local.iov_len));
    if (one == 0) return done;
    done += one;
  }
  return done;
}

}  // namespace godwit::os
