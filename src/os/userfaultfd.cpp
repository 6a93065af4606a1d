#include "os/userfaultfd.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

namespace godwit::os {
namespace {

// Newer than Debian 12's linux/userfaultfd.h.
constexpr uint64_t feature_wp_unpopulated = 1 << 13;
constexpr uint64_t feature_wp_async = 1 << 15;

}  // namespace

Result<WriteTracker> WriteTracker::adopt(UniqueFd fd) {
  uffdio_api api{};
  api.api = UFFD_API;
  // PAGEMAP_SCAN only protects where unpopulated pages may be protected too.
  api.features = feature_wp_async | feature_wp_unpopulated | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
  if (::ioctl(fd.get(), UFFDIO_API, &api) != 0) {
    return fail_errno("asynchronous write-protection by userfaultfd (needs Linux 6.7 or newer)");
  }
  return WriteTracker(std::move(fd));
}

Result<> WriteTracker::track(uint64_t start, uint64_t end) const {
  uffdio_register request{};
  request.range = {.start = start, .len = end - start};
  request.mode = UFFDIO_REGISTER_MODE_WP;
  if (::ioctl(fd_.get(), UFFDIO_REGISTER, &request) != 0) return fail_errno("track writes to {:x}-{:x}", start, end);
  return {};
}

}  // namespace godwit::os
