// The tests of the Kubernetes client against a real API server, which all tests of one run share.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>

#include "control_plane.h"

namespace godwit::kube {
namespace {

std::unique_ptr<ControlPlane> shared_plane;

// A network of our own in which only the loopback interface is.
Result<> enter_own_network() {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("unshare network namespace");
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("set lo up");
  return {};
}

class SharedControlPlane : public testing::Environment {
 public:
  void SetUp() override {
    const Result<> entered = enter_own_network();
    ASSERT_TRUE(entered.has_value()) << entered.error().message;
    auto started = ControlPlane::start();
    ASSERT_TRUE(started.has_value()) << started.error().message;
    shared_plane = *std::move(started);
  }
  void TearDown() override { shared_plane.reset(); }
};

}  // namespace

ControlPlane& control_plane() {
  GODWIT_CHECK(shared_plane != nullptr);
  return *shared_plane;
}

}  // namespace godwit::kube

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const auto missing = godwit::kube::ControlPlane::missing()) {
    std::fprintf(stderr, "skipped: %s\n", missing->c_str());
    return 77;
  }
  testing::AddGlobalTestEnvironment(new godwit::kube::SharedControlPlane);
  return RUN_ALL_TESTS();
}
