#include "install/node_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "install/network_config.h"
#include "os/file.h"

namespace godwit::install {
namespace {

// What the image holds of the node's part; godwit-cni goes to the network's plugins.
constexpr std::array programs{"godwit", "godwit-agent", "godwit-criu", "godwit-runc", "libgodwit-shim.so"};
constexpr unsigned executable = 0755;

Result<bool> write_if_other(const std::string& path, const std::string& text, unsigned mode) {
  if (os::read_file(path).value_or("") == text && os::exists(path)) return false;
  GODWIT_TRY(os::write_file_atomic(path, text, mode));
  return true;
}

Result<> remove_file(const std::string& path) {
  if (path.empty() || ::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return fail_errno("remove {}", path);
}

// Another file's owner, with its mode; through links, which stay.
Result<> replace_contents(const std::string& path, const std::string& text) {
  std::error_code error;
  const std::string real = std::filesystem::canonical(path, error).string();
  if (error) return fail("{}: {}", path, error.message());
  struct stat before{};
  if (::stat(real.c_str(), &before) != 0) return fail_errno("look at {}", real);
  GODWIT_TRY(os::write_file_atomic(real, text, before.st_mode & 07777));
  if (::chown(real.c_str(), before.st_uid, before.st_gid) != 0) return fail_errno("give {} back to its owner", real);
  return {};
}

template <typename T>
Result<T> about(const std::string& path, Result<T> result) {
  if (!result) result.error().message = path + " " + result.error().message;
  return result;
}

// For shims that go on: runc under our name. The last container's end ends it, too; what it then calls is still open.
constexpr const char* stand_in = R"sh(#!/bin/sh
# Godwit was uninstalled while containers of its handler ran. They go on; this passes their shims' calls on to runc,
# and removes itself when the last of them is deleted.
own='{runtime}'
for word; do
  case $word in
  delete)
    id=
    for id; do :; done
    others=0
    for made in '{tasks}'/*/*/runtime; do
      [ "$(cat "$made" 2>/dev/null)" = "$own" ] && [ -d "/proc/$(cat "${made%runtime}init.pid")" ] || continue
      case $made in */"$id"/runtime) ;; *) others=1 ;; esac
    done
    if [ $others = 0 ]; then
      rm -f "$own"
      rmdir {made} 2>/dev/null
    fi
    break
    ;;
  esac
done
exec runc "$@"
)sh";

std::string filled(std::string text, const std::string& name, const std::string& value) {
  for (size_t at; (at = text.find(name)) != std::string::npos;) text.replace(at, name.size(), value);
  return text;
}

}  // namespace

Result<Record> NodeFiles::begin() {
  GODWIT_ASSIGN(const auto known, read_record(places_.directory));
  Record record = known.value_or(Record{});
  if (known && record.config_path != places_.config_path) {
    return fail("{} was changed before, and containerd reads {} now: uninstall Godwit from this node first",
                record.config_path, places_.config_path);
  }
  const std::string& other = places_.containerd.handler_program;
  if (record.handler_path.empty() && !other.empty()) {
    return fail("containerd has a runtime handler \"{}\" already, which runs {}: Godwit does not replace it",
                handler_name, other);
  }
  record.version = places_.version;
  record.config_path = places_.config_path;
  return record;
}

Result<bool> NodeFiles::install() {
  if (!os::exists(places_.config_path)) {
    return fail("containerd has no configuration at {}: `containerd config default` prints one to begin with",
                places_.config_path);
  }
  GODWIT_ASSIGN(Record record, begin());
  // All that can be refused comes before the first change.
  GODWIT_ASSIGN(const std::string main, os::read_file(places_.config_path));
  GODWIT_TRY(about(places_.config_path, config_version(main)));
  GODWIT_TRY(wrapped());
  GODWIT_TRY(make_directory(record));
  GODWIT_TRY(copy_programs());
  GODWIT_TRY(write_network(record));
  GODWIT_TRY(write_handler(record));
  return record.restart_due;
}

Result<> NodeFiles::make_directory(Record& record) {
  for (std::filesystem::path path = places_.directory; !os::exists(path) && path.has_relative_path();
       path = path.parent_path()) {
    record.made.push_back(path);
  }
  GODWIT_TRY(os::make_directories(places_.directory, 0755));
  return write_record(places_.directory, record);
}

Result<> NodeFiles::copy_programs() {
  for (const char* name : programs) {
    GODWIT_ASSIGN(const std::string contents, os::read_file(places_.source + "/" + name, size_t{1} << 30));
    // Anew, so that a program that runs is not written to.
    GODWIT_TRY(write_if_other(in_directory(name), contents, executable));
  }
  return {};
}  // namespace

Result<> NodeFiles::write_handler(Record& record) {
  GODWIT_ASSIGN(const std::string main, os::read_file(places_.config_path));
  record.handler_path = std::filesystem::path(places_.config_path).parent_path() / "godwit.toml";
  GODWIT_ASSIGN(const std::string handler, about(places_.config_path, handler_file(main, in_directory("godwit-runc"))));
  GODWIT_ASSIGN(const Insertion insertion,
                about(places_.config_path, import_file(main, places_.config_path, record.handler_path)));
  const bool same = os::read_file(record.handler_path).value_or("") == handler && insertion.text == main;
  if (same) return {};
  record.restart_due = true;
  if (!insertion.inserted.empty()) record.inserted = insertion.inserted;
  GODWIT_TRY(write_record(places_.directory, record));
  GODWIT_TRY(write_if_other(record.handler_path, handler, 0644));
  return insertion.text == main ? Result<>{} : replace_contents(places_.config_path, insertion.text);
}

Result<std::string> NodeFiles::wrapped() const {
  const std::string& directory = places_.containerd.cni_configurations;
  const auto names = os::list_directory(directory);
  GODWIT_ASSIGN(const auto chosen, chosen_network_file(names.value_or(std::vector<std::string>{})));
  if (!chosen) {
    return fail("there is no network configuration in {}: Godwit comes after the cluster's network plugin", directory);
  }
  const std::string path = directory + "/" + *chosen;
  GODWIT_ASSIGN(const std::string text, os::read_file(path));
  GODWIT_ASSIGN(const nlohmann::json list, about(path, wrapped_network(text)));
  return list.dump(2) + "\n";
}

Result<bool> NodeFiles::write_network(Record& record) {
  GODWIT_ASSIGN(const std::string list, wrapped());
  GODWIT_ASSIGN(const std::string plugin, os::read_file(places_.source + "/" + network_plugin, size_t{1} << 30));
  record.network_path = places_.containerd.cni_configurations + "/" + network_file_name;
  record.plugin_path = places_.containerd.cni_programs.front() + "/" + network_plugin;
  GODWIT_TRY(write_record(places_.directory, record));
  GODWIT_TRY(write_if_other(record.plugin_path, plugin, executable));
  return write_if_other(record.network_path, list, 0644);
}

Result<> NodeFiles::told_restarted() {
  GODWIT_ASSIGN(auto record, read_record(places_.directory));
  if (!record) return fail("nothing is installed in {}", places_.directory);
  record->restart_due = false;
  return write_record(places_.directory, *record);
}

Result<bool> NodeFiles::follow() {
  GODWIT_ASSIGN(auto record, read_record(places_.directory));
  if (!record) return fail("nothing is installed in {}", places_.directory);
  GODWIT_ASSIGN(const bool network, write_network(*record));
  // Whoever changed containerd's configuration restarts it, and then it shall find ours as well.
  const bool due = record->restart_due;
  record->restart_due = false;
  GODWIT_TRY(write_handler(*record));
  const bool handler = record->restart_due;
  record->restart_due = due || handler;
  if (handler) GODWIT_TRY(write_record(places_.directory, *record));
  return network || handler;
}

Result<bool> NodeFiles::take_back(const std::string& directory) {
  GODWIT_ASSIGN(auto record, read_record(directory));
  if (!record) return false;
  GODWIT_TRY(remove_file(record->network_path));
  GODWIT_TRY(remove_file(record->plugin_path));
  if (record->handler_path.empty()) return false;
  const auto main = os::read_file(record->config_path);
  if (main) {
    GODWIT_ASSIGN(const std::string before,
                  about(record->config_path, without_insertion(*main, record->inserted, record->handler_path)));
    const bool changed = before != *main || os::exists(record->handler_path);
    record->restart_due = record->restart_due || changed;
    GODWIT_TRY(write_record(directory, *record));
    if (before != *main) GODWIT_TRY(replace_contents(record->config_path, before));
  }
  GODWIT_TRY(remove_file(record->handler_path));
  return record->restart_due;
}

bool runs_containers(const std::string& tasks, const std::string& runtime) {
  for (const std::string& space : os::list_directory(tasks).value_or(std::vector<std::string>{})) {
    for (const std::string& id : os::list_directory(tasks + "/" + space).value_or(std::vector<std::string>{})) {
      const std::string task = fmt::format("{}/{}/{}/", tasks, space, id);
      if (os::read_file(task + "runtime").value_or("") != runtime) continue;
      // One that could not be removed with its container is no container.
      const auto pid = os::read_file(task + "init.pid");
      if (pid && !pid->empty() && os::exists("/proc/" + *pid)) return true;
    }
  }
  return false;
}

Result<bool> NodeFiles::remove_rest(const std::string& directory, const std::string& tasks) {
  GODWIT_ASSIGN(const auto record, read_record(directory));
  if (!record) return false;
  const std::string runtime = directory + "/godwit-runc";
  const bool used = runs_containers(tasks, runtime);
  if (used) {
    std::string made;
    for (const std::string& path : record->made) made += (made.empty() ? "'" : " '") + path + "'";
    std::string text = filled(stand_in, "{runtime}", runtime);
    text = filled(filled(std::move(text), "{tasks}", tasks), "{made}", made);
    GODWIT_TRY(write_if_other(runtime, text, executable));
  } else {
    GODWIT_TRY(remove_file(runtime));
  }
  for (const char* name : programs) {
    if (directory + "/" + name != runtime) GODWIT_TRY(remove_file(directory + "/" + name));
  }
  GODWIT_TRY(remove_file(directory + "/" + record_name));
  for (const std::string& path : record->made) {
    // Others may have put something in there since.
    if (!used && ::rmdir(path.c_str()) != 0 && errno != ENOTEMPTY && errno != ENOENT) {
      return fail_errno("remove {}", path);
    }
  }
  return used;
}

}  // namespace godwit::install
