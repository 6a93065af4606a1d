#include "place.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "lab/container.h"
#include "os/file.h"
#include "os/procfs.h"
#include "os/subprocess.h"
#include "workload.h"

namespace godwit::criu {

Deadline soon() {
  return Deadline::after(std::chrono::seconds(20));
}

std::string shell(const std::string& script) {
  const auto output = os::run({.argv = {"sh", "-ec", script}}, soon());
  if (!output) {
    ADD_FAILURE() << script << ": " << output.error().message;
    return {};
  }
  EXPECT_EQ(output->status, 0) << script << "\n" << output->text;
  return output->text;
}

Place::Place(std::string name, std::vector<std::string> args, bool connected) : name_(std::move(name)) {
  config_ = lab::container_config({.name = name_, .args = std::move(args), .address = place_address});
  config_["hostname"] = "moved";
  config_["mounts"].push_back({{"destination", "/workload"},
                               {"type", "bind"},
                               {"source", "/opt/godwit/bin/criu_workload"},
                               {"options", {"bind", "ro"}}});
  config_["mounts"].push_back({{"destination", "/sys/fs/cgroup"},
                               {"type", "cgroup"},
                               {"source", "cgroup"},
                               {"options", {"nosuid", "noexec", "nodev", "relatime", "ro"}}});
  config_["linux"]["maskedPaths"].push_back("/proc/acpi");
  shell(fmt::format(R"(b={0}; mkdir -p $b/upper $b/work $b/rootfs
mount -t overlay overlay -o lowerdir=/image,upperdir=$b/upper,workdir=$b/work $b/rootfs
ip netns add {3}
ip link add p-{1} type veth peer name eth0 netns {3}
ip link set p-{1} master br0
ip -n {3} link set lo up
ip -n {3} link set eth0 address 02:00:0a:58:4d:07
ip -n {3} addr add {2}/16 dev eth0
ip -n {3} link set eth0 up)",
                    bundle(), name_, place_address, netns_name()));
  connect(connected);
  std::ofstream(bundle() + "/config.json") << config_.dump(1);
}

Place::~Place() {
  shell(fmt::format(R"(c=/sys/fs/cgroup/freezer/{1}
[ -e $c ] && for p in $(cat $c/cgroup.procs); do kill -9 $p; done
[ -e $c ] && echo THAWED > $c/freezer.state
runc delete --force {1} 2>/dev/null || true
for m in $(grep -o "{0}/tmpfs/[^ ]*" /proc/mounts); do umount $m; done
umount {0}/rootfs; ip netns del {2}; rm -rf {0})",
                    bundle(), name_, netns_name()));
}

std::string Place::netns_name() const {
  return std::filesystem::path(lab::container_netns_path(name_)).filename();
}

void Place::start(const std::vector<std::pair<int, int>>& stdio) {
  const auto output = os::run({.argv = {"runc", "--log", bundle() + "/runc.log", "run", "--detach", "--bundle",
                                        bundle(), "--pid-file", bundle() + "/pid", name_},
                               .descriptors = stdio},
                              soon());
  ASSERT_TRUE(output.has_value()) << output.error().message;
  ASSERT_EQ(output->status, 0) << shell("cat " + bundle() + "/runc.log");
}

void Place::connect(bool on) const {
  shell(fmt::format("ip link set p-{} {}", name_, on ? "up" : "down"));
}

void Place::copy_files(const Place& source) const {
  shell(fmt::format("cp -a {}/upper/. {}/rootfs/", source.bundle(), bundle()));
}

std::string Place::directory(const std::string& part) const {
  const std::string path = bundle() + "/" + part;
  EXPECT_TRUE(os::make_directories(path).has_value());
  return path;
}

pid_t Place::init_pid() const {
  return static_cast<pid_t>(std::stol(os::read_file(bundle() + "/pid").value_or("-1")));
}

os::CgroupFreezer Place::freezer() const {
  return os::CgroupFreezer::of_process(init_pid()).value();
}

std::string Place::leftovers() const {
  std::string left;
  const std::string cgroup = "/sys/fs/cgroup/freezer/" + name_;
  if (os::exists(cgroup)) left += "its cgroup; ";
  if (os::exists("/run/runc/" + name_)) left += "runc's state; ";
  const std::string mounts = os::read_file("/proc/mounts").value();
  for (const std::string& what : {"/run/runc/" + name_, std::string("criu")})
    if (mounts.find(what) != std::string::npos) left += "a mount of " + what + "; ";
  return left;
}

std::vector<MountSource> Place::prepare_tmpfs(const std::vector<ContainerMount>& mounts) const {
  std::vector<MountSource> sources;
  for (const ContainerMount& entry : mounts) {
    if (entry.kind != MountKind::tmpfs) continue;
    const std::string path = directory(fmt::format("tmpfs/{}", sources.size()));
    EXPECT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, "mode=755"), 0);
    sources.push_back({.mount_point = entry.mount.mount_point, .path = path});
    if (entry.mount.mount_point == "/dev")
      shell("cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty " + path + "; cd " + path +
            "; ln -s pts/ptmx ptmx; mkdir pts shm mqueue");
  }
  return sources;
}

Client::Client() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(workload_port);
  ::inet_pton(AF_INET, place_address, &address.sin_addr);
  for (int attempt = 0; attempt < 100; ++attempt) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
    ::close(fd_);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ADD_FAILURE() << "no connection to the container: " << std::strerror(errno);
  fd_ = -1;
}

Client::~Client() {
  if (fd_ >= 0) ::close(fd_);
}

std::string Client::ask(const std::string& line, int timeout_ms) const {
  if (::send(fd_, line.data(), line.size(), MSG_NOSIGNAL) < 0) return std::string("send: ") + std::strerror(errno);
  pollfd ready{fd_, POLLIN, 0};
  if (::poll(&ready, 1, timeout_ms) <= 0) return "no answer";
  char buffer[256];
  const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
  if (got < 0) return std::string("receive: ") + std::strerror(errno);
  return {buffer, static_cast<size_t>(got)};
}

std::vector<uint64_t> read_counters(const os::CgroupFreezer& freezer) {
  std::vector<uint64_t> values;
  const auto processes = os::cgroup_processes(freezer.directory());
  if (!processes) {
    ADD_FAILURE() << processes.error().message;
    return values;
  }
  for (const pid_t pid : *processes) {
    uint64_t counters[2]{};
    const auto memory = os::open_file(fmt::format("/proc/{}/mem", pid), O_RDONLY);
    if (memory && ::pread(memory->get(), counters, sizeof counters, off_t{counters_at}) == ssize_t{sizeof counters})
      values.insert(values.end(), std::begin(counters), std::end(counters));
  }
  return values;
}

}  // namespace godwit::criu
