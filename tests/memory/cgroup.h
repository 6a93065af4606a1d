// A cgroup for one test, of version 1 or 2, removed with everything in it at the end.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/deadline.h"
#include "os/file.h"
#include "os/freezer.h"
#include "os/mountinfo.h"
#include "os/procfs.h"

namespace godwit::test {

class TestCgroup {
 public:
  // Empty if this machine has no such hierarchy mounted.
  static std::optional<TestCgroup> make(int version) {
    const auto mounts = os::read_mounts(::getpid());
    if (!mounts.has_value()) return std::nullopt;
    static int count = 0;
    for (const os::Mount& mount : *mounts) {
      const bool fits = version == 2 ? mount.type == "cgroup2" : mount.super_options.contains("freezer");
      if (!fits || !mount.type.starts_with("cgroup")) continue;
      const std::string directory = fmt::format("{}/godwit-test-{}-{}", mount.mount_point, ::getpid(), ++count);
      if (::mkdir(directory.c_str(), 0755) != 0) continue;
      if (auto freezer = os::CgroupFreezer::at(directory)) return TestCgroup(std::move(*freezer));
      ::rmdir(directory.c_str());
    }
    return std::nullopt;
  }
  TestCgroup(TestCgroup&& other) noexcept : freezer_(std::exchange(other.freezer_, std::nullopt)) {}
  TestCgroup& operator=(TestCgroup&& other) noexcept {
    std::swap(freezer_, other.freezer_);
    return *this;
  }
  ~TestCgroup() {
    if (freezer_.has_value()) remove();
  }

  [[nodiscard]] const os::CgroupFreezer& freezer() const { return *freezer_; }
  [[nodiscard]] const std::string& directory() const { return freezer_->directory(); }
  Result<> add(pid_t pid) const { return os::write_file(directory() + "/cgroup.procs", std::to_string(pid)); }

 private:
  explicit TestCgroup(os::CgroupFreezer freezer) : freezer_(std::move(freezer)) {}

  // Thaws first: a frozen process cannot even be killed under version 1. Our own children are reaped by who forked
  // them.
  void remove() {
    (void)freezer_->thaw(Deadline::after(std::chrono::seconds(2)));
    for (int i = 0; i < 2000; ++i) {
      const auto processes = os::cgroup_processes(directory());
      for (const pid_t pid : processes.value_or(std::vector<pid_t>{})) ::kill(pid, SIGKILL);
      for (const std::string& name : os::list_directory(directory()).value_or(std::vector<std::string>{})) {
        ::rmdir((directory() + "/" + name).c_str());
      }
      if (::rmdir(directory().c_str()) == 0 || errno == ENOENT) return;
      std::this_thread::sleep_for(milliseconds(1));
    }
    std::fprintf(stderr, "could not remove %s\n", directory().c_str());
  }

  std::optional<os::CgroupFreezer> freezer_;
};

}  // namespace godwit::test
