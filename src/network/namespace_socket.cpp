#include "network/namespace_socket.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <thread>

namespace godwit::network {

Result<UniqueFd> socket_in(const std::string& netns_path, int domain, int type, int protocol) {
  UniqueFd netns;
  if (!netns_path.empty()) {
    netns = UniqueFd(::open(netns_path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns) return fail_errno("open network namespace {}", netns_path);
  }
  Result<UniqueFd> made = fail("not run");
  // A network namespace is a property of a thread: a short-lived one enters it, so that no other thread of ours moves.
  std::thread([&] {
    if (netns && ::setns(netns.get(), CLONE_NEWNET) != 0) {
      made = fail_errno("enter network namespace {}", netns_path);
      return;
    }
    UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
    if (fd) {
      made = std::move(fd);
    } else {
      made = fail_errno("open a socket in network namespace {}", netns_path);
    }
  }).join();
  return made;
}

}  // namespace godwit::network
