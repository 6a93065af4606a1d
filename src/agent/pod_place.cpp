#include "agent/pod_place.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "agent/pod_container.h"
#include "agent/pod_log.h"
#include "agent/pod_marks.h"
#include "base/log.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr auto answer_time = std::chrono::seconds(5);  // of a process of our own

bool same_file_system(const std::string& a, const std::string& b) {
  struct stat first{};
  struct stat second{};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 && first.st_dev == second.st_dev;
}

// Directories and files without contents, below `directory`; everything else stays.
void remove_what_is_empty(const std::string& directory) {
  const auto names = os::list_directory(directory);
  if (!names) return;
  for (const std::string& name : *names) {
    const std::string path = directory + "/" + name;
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      remove_what_is_empty(path);
      ::rmdir(path.c_str());
    } else if (S_ISREG(info.st_mode) && info.st_size == 0) {
      ::unlink(path.c_str());
    }
  }
}

// Mount options that make the same overlay again.
std::string overlay_options(const os::Mount& mount) {
  std::string options;
  for (const auto& [name, value] : mount.super_options) {
    if (name == "rw" || name == "ro") continue;
    options += (options.empty() ? "" : ",") + name + (value.empty() ? "" : "=" + value);
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<DestinationPlace>> PodPlace::make(const AgentConfig& config,
                                                         const ContainerDescription& description, PodClaim claim,
                                                         Part part) {
  std::unique_ptr<PodPlace> place(new PodPlace(description, std::move(claim), std::move(part)));
  auto filled = check_node_fits(config, description);
  if (filled) filled = place->fill();
  if (filled) return place;
  place->claim_.refuse(filled.error().message);
  if (auto removed = place->remove(); !removed) filled.error().message += "; and then: " + removed.error().message;
  return std::unexpected(std::move(filled.error()));
}

Result<> PodPlace::fill() {
  GODWIT_TRY(read_config());
  GODWIT_TRY(os::make_directories(part_.directory + "/tmpfs"));
  GODWIT_TRY(os::remove_tree(log_before_));
  GODWIT_TRY(os::make_directories(log_before_));
  GODWIT_TRY(make_tmpfs());
  GODWIT_TRY(take_root());
  GODWIT_ASSIGN(PidKeeper keeper, claim_.keep_pid(Deadline::after(answer_time)));
  keeper_.emplace(std::move(keeper));
  return mark_container(claim_.container().id, {.state = PodMark::State::awaited, .keeper_pid = keeper_->keeper_pid()});
}

Result<> PodPlace::end_create() {
  if (!keeper_ || std::exchange(created_, true)) return {};
  return claim_.end_create(keeper_->pid());
}

Result<> PodPlace::arrived() {
  GODWIT_TRY(mark_container(claim_.container().id, {.state = PodMark::State::restored}));
  GODWIT_TRY(end_create());
  keeper_->done();
  return {};
}

Result<> PodPlace::read_config() {
  const std::string path = claim_.container().bundle + "/config.json";
  GODWIT_ASSIGN(const std::string text, os::read_file(path));
  const json config = json::parse(text, nullptr, false);
  if (!config.is_object()) return fail("{} is not a container's configuration", path);
  // Who knows a session's id has not thereby a claim to its container.
  const json annotations = config.value("annotations", json::object());
  const json theirs = description().config.value("annotations", json::object());
  for (const char* name : {"sandbox-namespace", "container-name", "image-name"}) {
    const std::string key = std::string("io.kubernetes.cri.") + name;
    const std::string ours = annotations.value(key, "");
    const std::string wanted = theirs.value(key, "");
    if (ours == wanted || (key.ends_with("image-name") && image_repository(ours) == image_repository(wanted))) continue;
    return fail("the clone pod is not like its source: {} is '{}', not '{}'", name, ours, wanted);
  }
  for (const auto& label : {"/process/selinuxLabel"_json_pointer, "/linux/mountLabel"_json_pointer}) {
    const std::string ours = config.value(label, "");
    const std::string wanted = description().config.value(label, "");
    if (ours == wanted) continue;
    return fail(
        "the clone pod's SELinux label is '{}', its source's '{}': give the pod a level of its own "
        "(securityContext.seLinuxOptions.level)",
        ours, wanted);
  }
  for (const json& space : config.value("/linux/namespaces"_json_pointer, json::array())) {
    const std::string type = space.value("type", "");
    if (type == "network") netns_path_ = space.value("path", "");
    if (part_.shared && (type == "ipc" || type == "uts")) foreign_.push_back(space.value("path", ""));
  }
  if (std::ranges::find(foreign_, "") != foreign_.end())
    return fail("the clone pod's containers share no IPC or names");
  if (netns_path_.empty()) return fail("the clone pod has no network of its own");
  sandbox_ = sandbox_of(config);
  GODWIT_ASSIGN(guest_, network::find_guest(sandbox_));
  log_directory_ = pod_log_directory(config);
  log_before_ = (log_directory_.empty() ? part_.directory : log_directory_) + "/log-before";
  std::map<std::string, std::string> sources;
  for (const json& mount : config.value("mounts", json::array())) {
    sources[mount.value("destination", "")] = mount.value("source", "");
  }
  for (const PodMount& mount : description().pod_mounts) {
    const auto source = sources.find(mount.destination);
    if (source == sources.end()) return fail("the clone pod has nothing mounted at {}", mount.destination);
    mount_sources_.push_back(source->second);
  }
  return {};
}

// The files of an overlay may not be written behind its back: it is mounted again when they are complete.
Result<> PodPlace::take_root() {
  GODWIT_ASSIGN(const std::vector<os::Mount> mounts, os::read_mounts(::getpid()));
  const auto mount = std::ranges::find(mounts, root_path(), &os::Mount::mount_point);
  if (mount == mounts.end() || mount->type != "overlay" || !description().root.overlay) {
    return fail("{}: only containers whose root is an overlay can be moved", root_path());
  }
  const auto upper = mount->super_options.find("upperdir");
  if (upper == mount->super_options.end()) return fail("{} is read-only", root_path());
  const auto lower = mount->super_options.find("lowerdir");
  const auto layers = lower == mount->super_options.end() ? 0 : 1 + std::ranges::count(lower->second, ':');
  if (static_cast<size_t>(layers) != description().root.lower.size()) {
    return fail("the clone pod's image has {} layers, the source's has {}: they are not the same image", layers,
                description().root.lower.size());
  }
  root_upper_ = upper->second;
  root_options_ = overlay_options(*mount);
  if (::umount2(root_path().c_str(), 0) != 0) return fail_errno("unmount {}", root_path());
  return {};
}

criu::RestorePlace PodPlace::restore_place() {
  criu::RestorePlace place{.container_id = claim_.container().id,
                           .bundle = claim_.container().bundle,
                           .pid_file = claim_.container().pid_file,
                           .start_runc = [this](const os::Command& command) { return claim_.start(command); },
                           .foreign = foreign_};
  place.init_pid = keeper_->pid();
  place.criu_waits = [this](pid_t criu) -> Result<> {
    remove_mount_points();
    return keeper_->join_cgroups_of(criu);
  };
  place.free_init_pid = [this] { return keeper_->free_pid(Deadline::after(answer_time)); };
  return place;
}

std::vector<files::DestinationRoot> PodPlace::file_roots() const {
  std::vector<files::DestinationRoot> roots = roots_with(root_upper_);
  for (size_t i = 0; i < mount_sources_.size(); ++i) {
    if (description().pod_mounts[i].carried) roots.push_back({.id = pod_mount_id(i), .path = mount_sources_[i]});
  }
  roots.push_back({.id = pod_log_id, .path = log_before_});
  return roots;
}

// runc has bound the root when it started. If that mount does not see what is mounted here now, it is bound again.
Result<> PodPlace::mount_root() {
  // Not worth a pause, let alone a failure.
  if (!log_directory_.empty()) {
    if (auto logged = continue_log(log_before_, log_directory_); !logged) log_warning("{}", logged.error().message);
  }
  if (::mount("overlay", root_path().c_str(), "overlay", 0, root_options_.c_str()) != 0) {
    return fail_errno("mount the container's root ({})", root_options_);
  }
  const std::string bound = claim_.container().runc_root + "/" + claim_.container().id + "/criu-root";
  if (same_file_system(root_path(), bound)) return {};
  if (::mount(root_path().c_str(), bound.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno("bind {}", bound);
  return {};
}

// runc names bind mounts by config.json's paths, the images by those without symbolic links.
Result<std::vector<criu::MountSource>> PodPlace::mount_sources() {
  GODWIT_ASSIGN(std::vector<criu::MountSource> sources, tmpfs_sources());
  for (size_t i = 0; i < mount_sources_.size(); ++i) {
    const PodMount& mount = description().pod_mounts[i];
    if (mount.mount_point == mount.destination) continue;
    sources.push_back({.mount_point = mount.mount_point, .path = mount_sources_[i]});
  }
  return sources;
}

void PodPlace::name_version(const VolumeVersion& version) {
  const auto& mounts = description().pod_mounts;
  const auto mount = std::ranges::find(mounts, version.destination, &PodMount::destination);
  if (mount == mounts.end()) return;
  const auto named = alias_version(mount_sources_[mount - mounts.begin()], version.name);
  if (!named) log_warning("{}", named.error().message);
}

// That runc has made in the directory where the engine's root is to be mounted again: the engine could not remove it.
void PodPlace::remove_mount_points() const {
  const auto mounts = os::read_mounts(::getpid());
  const auto is_below = [&](const os::Mount& mount) {
    return (mount.mount_point + "/").starts_with(root_path() + "/");
  };
  if (!mounts || std::ranges::any_of(*mounts, is_below)) return log_warning("something is mounted at {}", root_path());
  remove_what_is_empty(root_path());
}

// The engine removes what is its own when it sees that its container could not be created, or has ended.
Result<> PodPlace::remove() {
  keeper_.reset();
  GODWIT_TRY(remove_recorded(part_.directory));
  return log_before_.empty() ? Result<>{} : os::remove_tree(log_before_);
}

Result<> PodPlace::remove_recorded(const std::string& directory) {
  GODWIT_ASSIGN(const std::vector<os::Mount> mounts, os::read_mounts(::getpid()));
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (!mount->mount_point.starts_with(directory + "/tmpfs/")) continue;
    if (::umount2(mount->mount_point.c_str(), MNT_DETACH) != 0) return fail_errno("unmount {}", mount->mount_point);
  }
  return os::remove_tree(directory + "/tmpfs");
}

}  // namespace godwit::agent
