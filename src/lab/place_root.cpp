#include "lab/place_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "lab/layout.h"
#include "os/file.h"

namespace godwit::lab {
namespace {

Result<> mount_at(const std::string& source, const std::string& target, const char* type, unsigned long flags,
                  const std::string& options = "") {
  GODWIT_TRY(os::make_directories(target, 0755));
  if (::mount(source.c_str(), target.c_str(), type, flags, options.c_str()) != 0) {
    return fail_errno("mount {} at {} (type {}, options \"{}\")", source, target, type == nullptr ? "bind" : type,
                      options);
  }
  return {};
}

Result<> bind_read_only(const std::string& source, const std::string& target) {
  GODWIT_TRY(mount_at(source, target, nullptr, MS_BIND));
  return mount_at(source, target, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY);
}

// As mount_at(), for a file or a folder.
Result<> bind_one(const std::string& root, const Bind& bind) {
  struct stat source{};
  if (::stat(bind.source.c_str(), &source) != 0) return fail_errno("{}, to be seen in nodes", bind.source);
  const std::string target = root + bind.target;
  if (!S_ISDIR(source.st_mode)) {
    GODWIT_TRY(os::make_directories(target.substr(0, target.rfind('/')), 0755));
    GODWIT_TRY(os::open_file(target, O_WRONLY | O_CREAT, 0644));
    if (::mount(bind.source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      return fail_errno("mount {} at {}", bind.source, target);
    }
  } else {
    GODWIT_TRY(mount_at(bind.source, target, nullptr, MS_BIND));
  }
  if (bind.read_only && ::mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    return fail_errno("make {} read-only", target);
  }
  return {};
}

Result<> write_new_file(const std::string& path, const std::string& text, unsigned mode) {
  return os::write_file_atomic(path, text, mode);
}

Result<> make_device(const std::string& root, const std::string& name) {
  struct stat here{};
  // Made from the machine's own device of that name; what this kernel does not have, the place does not have either.
  if (::stat(("/dev/" + name).c_str(), &here) != 0 || !S_ISCHR(here.st_mode)) return {};
  const std::string path = root + "/dev/" + name;
  if (const size_t slash = name.rfind('/'); slash != std::string::npos) {
    GODWIT_TRY(os::make_directories(root + "/dev/" + name.substr(0, slash), 0755));
  }
  if (::mknod(path.c_str(), S_IFCHR | 0600, here.st_rdev) != 0) return fail_errno("make device {}", path);
  if (::chmod(path.c_str(), here.st_mode & 07777) != 0) return fail_errno("chmod {}", path);
  return {};
}

Result<> fill_dev(const std::string& root) {
  GODWIT_TRY(mount_at("dev", root + "/dev", "tmpfs", MS_NOSUID, "mode=755,size=1m"));
  for (const char* name :
       {"null", "zero", "full", "random", "urandom", "tty", "kmsg", "net/tun", "fuse", "userfaultfd", "loop-control"}) {
    GODWIT_TRY(make_device(root, name));
  }
  GODWIT_TRY(
      mount_at("devpts", root + "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"));
  GODWIT_TRY(mount_at("shm", root + "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
  GODWIT_TRY(mount_at("mqueue", root + "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  for (const auto& [link, target] : {std::pair{"ptmx", "pts/ptmx"},
                                     {"fd", "/proc/self/fd"},
                                     {"stdin", "/proc/self/fd/0"},
                                     {"stdout", "/proc/self/fd/1"},
                                     {"stderr", "/proc/self/fd/2"}}) {
    if (::symlink(target, (root + "/dev/" + link).c_str()) != 0) return fail_errno("link /dev/{}", link);
  }
  return {};
}

// A version 1 machine has a tmpfs with one folder a hierarchy; a version 2 machine the hierarchy itself.
Result<> mount_cgroups(const std::string& root, const std::vector<Hierarchy>& hierarchies) {
  const std::string top = root + "/sys/fs/cgroup";
  constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (hierarchies.size() == 1 && hierarchies[0].version_2) return mount_at("cgroup2", top, "cgroup2", flags);
  GODWIT_TRY(mount_at("cgroup", top, "tmpfs", flags, "mode=755,size=1m"));
  for (const Hierarchy& hierarchy : hierarchies) {
    const std::string name = hierarchy.mount_point.substr(hierarchy.mount_point.rfind('/') + 1);
    GODWIT_TRY(mount_at("cgroup", top + "/" + name, hierarchy.version_2 ? "cgroup2" : "cgroup", flags,
                        hierarchy.mount_options));
  }
  return {};
}

Result<> write_identity(const std::string& root, const LabPlan& plan, const PlaceIdentity& identity) {
  std::string hosts = "127.0.0.1 localhost\n";
  for (int i = 0; i <= plan.nodes; ++i) hosts += place_address(i) + " " + place_name(i) + "\n";
  GODWIT_TRY(write_new_file(root + "/etc/hosts", hosts, 0644));
  GODWIT_TRY(write_new_file(root + "/etc/hostname", place_name(identity.index) + "\n", 0644));
  const std::string folder = root + certificates_in_node;
  GODWIT_TRY(os::make_directories(folder, 0755));
  GODWIT_TRY(write_new_file(folder + "/ca.pem", identity.authority_pem, 0644));
  GODWIT_TRY(write_new_file(folder + "/node.pem", identity.certificate.certificate_pem, 0644));
  return write_new_file(folder + "/node.key", identity.certificate.key_pem, 0600);
}

Result<> mount_data(const LabPlan& plan, const std::string& target) {
  return mount_at("data", target, "tmpfs", 0,
                  plan.data_limit_bytes == 0 ? "mode=755" : fmt::format("mode=755,size={}", plan.data_limit_bytes));
}

// A node sees its own disk, "outside" has one of its own and keeps the others.
Result<> show_disks(const std::string& root, const LabPlan& plan, int index) {
  if (index != outside_index) {
    return mount_at(disk_directory(plan.name, index), root + data_in_node, nullptr, MS_BIND);
  }
  for (int node = 1; node <= plan.nodes; ++node) {
    const std::string kept = fmt::format("{}{}/{}", root, disks_in_outside, place_name(node));
    GODWIT_TRY(mount_at(disk_directory(plan.name, node), kept, nullptr, MS_BIND));
  }
  return mount_data(plan, root + data_in_node);
}

// The new root is mounted at, and stacked on, itself and then the old one taken away: see NOTES in pivot_root(2).
Result<> become_root(const std::string& root) {
  if (::chdir(root.c_str()) != 0) return fail_errno("enter {}", root);
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno("make {} the root", root);
  if (::umount2(".", MNT_DETACH) != 0) return fail_errno("let go of the old root");
  if (::chdir("/") != 0) return fail_errno("enter the new root");
  // As on a machine run by systemd. Nothing is shared with another place: this is a new group.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0)
    return fail_errno("share the new root's mounts");
  return {};
}

}  // namespace

Result<> mount_disk(const LabPlan& plan, int index) {
  return mount_data(plan, disk_directory(plan.name, index));
}

Result<> write_identity_file(const std::string& lab, const PlaceIdentity& identity) {
  const nlohmann::json text = {{"authority", identity.authority_pem},
                               {"certificate", identity.certificate.certificate_pem},
                               {"key", identity.certificate.key_pem}};
  return os::write_file_atomic(identity_path(lab, identity.index), text.dump(), 0600);
}

Result<PlaceIdentity> read_identity_file(const std::string& lab, int index) {
  GODWIT_ASSIGN(const std::string text, os::read_file(identity_path(lab, index)));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail("{} is damaged", identity_path(lab, index));
  return PlaceIdentity{
      .index = index,
      .authority_pem = json.value("authority", ""),
      .certificate = {.certificate_pem = json.value("certificate", ""), .key_pem = json.value("key", "")}};
}

Result<> enter_place_root(const LabPlan& plan, const PlaceIdentity& identity,
                          const std::vector<Hierarchy>& hierarchies) {
  // The writable layer must not itself be on an overlay file system, so it is memory.
  const std::string stage = state_directory(plan.name) + "/stage";
  GODWIT_TRY(mount_at("godwit-lab", stage, "tmpfs", 0, "mode=755"));
  GODWIT_TRY(os::make_directories(stage + "/upper", 0755));
  GODWIT_TRY(os::make_directories(stage + "/work", 0755));
  const std::string root = stage + "/root";
  GODWIT_TRY(mount_at("overlay", root, "overlay", 0,
                      fmt::format("lowerdir={},upperdir={}/upper,workdir={}/work", plan.image, stage, stage)));
  GODWIT_TRY(mount_at("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  GODWIT_TRY(mount_at("sysfs", root + "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  GODWIT_TRY(mount_cgroups(root, hierarchies));
  GODWIT_TRY(fill_dev(root));
  GODWIT_TRY(mount_at("run", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
  GODWIT_TRY(os::make_directories(root + "/run/netns", 0755));
  GODWIT_TRY(mount_at("tmp", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
  GODWIT_TRY(show_disks(root, plan, identity.index));
  GODWIT_TRY(mount_at(shared_directory(plan.name), root + shared_in_node, nullptr, MS_BIND));
  GODWIT_TRY(bind_read_only(plan.image, root + image_in_node));
  for (const char* folder : {"/bin", "/lib"}) {
    if (os::exists(plan.binaries + folder)) {
      GODWIT_TRY(bind_read_only(plan.binaries + folder, root + binaries_in_node + folder));
    }
  }
  for (const Bind& bind : plan.binds) GODWIT_TRY(bind_one(root, bind));
  GODWIT_TRY(write_identity(root, plan, identity));
  return become_root(root);
}

}  // namespace godwit::lab
