#include "agent/container_lock.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/own_run_directory.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

class ContainerLock : public OwnRunDirectory {};

Deadline at_once() {
  return Deadline::after(milliseconds(0));
}

TEST_F(ContainerLock, OneSessionHasAName) {
  auto first = lock_container("redis", at_once());
  ASSERT_TRUE(first) << first.error().message;
  const auto second = lock_container("redis", at_once());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EWOULDBLOCK);
  EXPECT_TRUE(lock_container("redis-2", at_once()));
  first->reset();
  EXPECT_TRUE(lock_container("redis", at_once()));
}

TEST_F(ContainerLock, WaitsForTheSessionThatIsEnding) {
  auto first = lock_container("redis", at_once());
  ASSERT_TRUE(first);
  std::thread ending([&] {
    std::this_thread::sleep_for(milliseconds(100));
    first->reset();
  });
  EXPECT_TRUE(lock_container("redis", Deadline::after(std::chrono::seconds(10))));
  ending.join();
}

TEST_F(ContainerLock, NamesStayInTheirDirectory) {
  for (const char* name : {"../x", "a/b", "", ".", ".."}) EXPECT_FALSE(lock_container(name, at_once())) << name;
}

}  // namespace
}  // namespace godwit::agent
