#include "bench/page_path/loopback_namespace.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/unique_fd.h"

namespace godwit::bench {

Result<> enter_loopback_namespace() {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace (run as root)");
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("make a socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("switch the loopback interface on");
  return {};
}

}  // namespace godwit::bench
