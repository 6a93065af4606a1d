#include "memory/fault_fd.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <utility>

#include "memory/page_sink.h"

namespace godwit::memory {
namespace {

// `bytes` is what the kernel says it did: negative (an errno) or 0 if nothing.
PlaceResult outcome(int result, int code, int64_t bytes, uint64_t pages) {
  if (result == 0) return {PlaceStatus::done, pages, 0};
  const uint64_t placed = bytes > 0 ? static_cast<uint64_t>(bytes) / page_size_bytes : 0;
  switch (code) {
    // Also said when it stopped in the middle, for whatever reason; the next attempt says for which.
    case EAGAIN:
      return {PlaceStatus::busy, placed, 0};
    case EEXIST:
      return {PlaceStatus::present, placed, 0};
    case ENOENT:
      return {PlaceStatus::unmapped, placed, 0};
    case ENOMEM:
      return {PlaceStatus::no_memory, placed, 0};
    case ESRCH:
    case ENOSPC:
      return {PlaceStatus::gone, placed, 0};  // ENOSPC: what Linux before 4.13 said
    default:
      return {PlaceStatus::failed, placed, code};
  }
}

}  // namespace

Result<FaultFd> FaultFd::adopt(UniqueFd fd) {
  // poll(2) works only with O_NONBLOCK, and a child's descriptor has it only if the first one was created with it.
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno("userfaultfd: set O_NONBLOCK");
  return FaultFd(std::move(fd));
}

PlaceResult FaultFd::copy(uint64_t address, const std::byte* data, uint64_t pages) const {
  uffdio_copy request{};
  request.dst = address;
  request.src = reinterpret_cast<uint64_t>(data);
  request.len = pages * page_size_bytes;
  const int result = ioctl(fd_.get(), UFFDIO_COPY, &request);
  return outcome(result, errno, request.copy, pages);
}

PlaceResult FaultFd::zero(uint64_t address, uint64_t pages) const {
  uffdio_zeropage request{};
  request.range = {.start = address, .len = pages * page_size_bytes};
  const int result = ioctl(fd_.get(), UFFDIO_ZEROPAGE, &request);
  return outcome(result, errno, request.zeropage, pages);
}

void FaultFd::wake(uint64_t address, uint64_t pages) const {
  uffdio_range range{.start = address, .len = pages * page_size_bytes};
  ioctl(fd_.get(), UFFDIO_WAKE, &range);
}

void FaultFd::unregister(uint64_t start, uint64_t end) const {
  uffdio_range range{.start = start, .len = end - start};
  ioctl(fd_.get(), UFFDIO_UNREGISTER, &range);
}

Result<size_t> FaultFd::read(std::span<uffd_msg> events) const {
  const ssize_t size = ::read(fd_.get(), events.data(), events.size_bytes());
  if (size >= 0) return static_cast<size_t>(size) / sizeof(uffd_msg);
  if (errno == EAGAIN || errno == EINTR) return size_t{0};
  return fail_errno("read events of a userfaultfd");
}

}  // namespace godwit::memory
