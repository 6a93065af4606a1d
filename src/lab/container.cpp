#include "lab/container.h"

#include <arpa/inet.h>

#include <fmt/format.h>
#include <array>
#include <nlohmann/json.hpp>

#include "lab/layout.h"
#include "os/file.h"

namespace godwit::lab {
namespace {

using nlohmann::json;

constexpr auto container_limit = std::chrono::seconds(30);

// What a container engine gives by default.
json capabilities() {
  const json names = {"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",    "CAP_MKNOD",
                      "CAP_NET_RAW", "CAP_SETGID",       "CAP_SETUID",           "CAP_SETFCAP",   "CAP_SETPCAP",
                      "CAP_KILL",    "CAP_AUDIT_WRITE",  "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"};
  return {{"bounding", names}, {"effective", names}, {"permitted", names}};
}

json mount_entry(const std::string& destination, const std::string& type, const json& options) {
  return {{"destination", destination}, {"type", type}, {"source", type}, {"options", options}};
}

json mounts(const ContainerSpec& spec) {
  json entries = {
      mount_entry("/proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount_entry("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount_entry("/dev/pts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount_entry("/dev/shm", "tmpfs",
                  {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", spec.shm_limit_bytes)}),
      mount_entry("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount_entry("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount_entry("/tmp", "tmpfs", {"nosuid", "nodev", "mode=1777"}),
  };
  for (const std::string& path : spec.tmpfs) entries.push_back(mount_entry(path, "tmpfs", {"nosuid", "nodev"}));
  return entries;
}

json resources(const ContainerSpec& spec) {
  json limits = {{"devices", {{{"allow", false}, {"access", "rwm"}}}}};
  if (spec.memory_limit_bytes > 0) limits["memory"] = {{"limit", spec.memory_limit_bytes}};
  constexpr unsigned period_us = 100'000;
  if (spec.cpu_limit_percent > 0) {
    limits["cpu"] = {{"quota", spec.cpu_limit_percent * period_us / 100}, {"period", period_us}};
  }
  return limits;
}

json seccomp(const ContainerSpec& spec) {
  return {{"defaultAction", "SCMP_ACT_ALLOW"},
          {"syscalls", {{{"names", spec.denied_syscalls}, {"action", "SCMP_ACT_ERRNO"}}}}};
}

// "10.88.1.5/16" or without the prefix.
Result<std::array<unsigned char, 4>> address_bytes(const std::string& address) {
  std::array<unsigned char, 4> bytes{};
  if (::inet_pton(AF_INET, address.substr(0, address.find('/')).c_str(), bytes.data()) != 1) {
    return fail("\"{}\" is no IPv4 address for a container; one is 10.88.1.5/16", address);
  }
  return bytes;
}

// $1 bundle, $2 name, $3 the node's end of the cable, $4 MAC, $5 address/prefix, $6 network namespace. The container's
// standard streams are /dev/null: it must not hold a pipe or a file of the node.
constexpr const char* start_script = R"(set -e
mount -t overlay overlay -o "lowerdir=/image,upperdir=$1/upper,workdir=$1/work" "$1/rootfs"
ip netns add "$6"
ip -batch - <<END
link add $3 type veth peer name eth0 netns $6
link set $3 master br0 up
END
ip -n "$6" -batch - <<END
link set lo up
link set eth0 address $4 addrgenmode none
addr add $5 dev eth0
link set eth0 up
END
runc --log "$1/runc.log" run --detach --bundle "$1" --pid-file "$1/init.pid" "$2" </dev/null >/dev/null 2>&1 ||
  { cat "$1/runc.log"; exit 1; }
)";

// $1 bundle, $2 name, $3 network namespace. Whatever of it is there: after a migration not everything is. The cable
// goes by name, because a network namespace that is deleted takes its links along only later.
constexpr const char* remove_script = R"(
runc delete --force "$2" 2>/dev/null
ip -n "$3" link delete eth0 2>/dev/null
ip netns delete "$3" 2>/dev/null
umount "$1/rootfs" 2>/dev/null
rm -rf --one-file-system "$1"
)";

// As the agent names that of a container that arrives: so it is removed when the container moves away.
std::string netns_name(const std::string& name) {
  return "godwit-" + name;
}

}  // namespace

std::string bundle_path(const std::string& name) {
  return fmt::format("{}/containers/{}", data_in_node, name);
}

std::string container_netns_path(const std::string& name) {
  return "/run/netns/" + netns_name(name);
}

Result<std::string> cable_name(const std::string& address) {
  GODWIT_ASSIGN(const auto bytes, address_bytes(address));
  return fmt::format("v{:02x}", fmt::join(bytes, ""));
}

Result<std::string> mac_of(const std::string& address) {
  GODWIT_ASSIGN(const auto bytes, address_bytes(address));
  return fmt::format("02:00:{:02x}", fmt::join(bytes, ":"));
}

json container_config(const ContainerSpec& spec) {
  json environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"};
  for (const std::string& entry : spec.environment) environment.push_back(entry);
  json config = {{"ociVersion", "1.0.2"},
                 {"hostname", spec.name},
                 {"root", {{"path", "rootfs"}, {"readonly", false}}},
                 {"process",
                  {{"terminal", false},
                   {"user", {{"uid", spec.uid}, {"gid", spec.gid}}},
                   {"args", spec.args},
                   {"env", environment},
                   {"cwd", spec.directory},
                   {"capabilities", capabilities()},
                   {"noNewPrivileges", true}}},
                 {"mounts", mounts(spec)},
                 {"linux",
                  {{"cgroupsPath", "/" + spec.name},
                   {"resources", resources(spec)},
                   {"namespaces",
                    {{{"type", "pid"}},
                     {{"type", "mount"}},
                     {{"type", "ipc"}},
                     {{"type", "uts"}},
                     {{"type", "network"}, {"path", container_netns_path(spec.name)}}}},
                   {"maskedPaths", {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}},
                   {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}}};
  if (!spec.denied_syscalls.empty()) config["linux"]["seccomp"] = seccomp(spec);
  return config;
}

Result<> Node::make_container(const ContainerSpec& spec) const {
  GODWIT_TRY(check_name(spec.name));
  if (spec.args.empty()) return fail("container {}: no program to run was given", spec.name);
  GODWIT_ASSIGN(const std::string cable, cable_name(spec.address));
  GODWIT_ASSIGN(const std::string mac, mac_of(spec.address));
  const std::string bundle = root_path() + bundle_path(spec.name);
  if (os::exists(bundle)) return fail("{} has a container {} already", name(), spec.name);
  for (const char* folder : {"/upper", "/work", "/rootfs"}) {
    GODWIT_TRY(os::make_directories(bundle + folder, 0755));
  }
  GODWIT_TRY(os::write_file_atomic(bundle + "/config.json", container_config(spec).dump(2) + "\n", 0644));
  const auto started = exec_checked({"sh", "-c", start_script, "make-container", bundle_path(spec.name), spec.name,
                                     cable, mac, spec.address, netns_name(spec.name)},
                                    Deadline::after(container_limit));
  if (started) return {};
  (void)remove_container(spec.name);
  return fail("container {}: {}", spec.name, started.error().message);
}

Result<> Node::remove_container(const std::string& name) const {
  GODWIT_TRY(check_name(name));
  GODWIT_TRY(exec_checked({"sh", "-c", remove_script, "remove-container", bundle_path(name), name, netns_name(name)},
                          Deadline::after(container_limit)));
  return {};
}

}  // namespace godwit::lab
