#include "criu/restore.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "criu/log_report.h"
#include "os/fd_passing.h"
#include "os/file.h"
#include "os/procfs.h"

#include <nlohmann/json.hpp>

namespace godwit::criu {
namespace {

constexpr const char* log_name = "restore.log";
constexpr const char* lock_name = "/runc.lock";  // in the work directory; locked while runc lives
constexpr int lock_number = 3;                   // in runc, which gives that number to something else in its children
constexpr auto discard_limit = std::chrono::seconds(10);

Result<> kill_by_pidfd(int pidfd) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) != 0 && errno != ESRCH)
    return fail_errno("kill the restored container");
  return {};
}

// Moves criu to where we are, so that freezing the container does not freeze it. The restored processes are its
// children and stay. Takes some 10 ms (the kernel waits for all processors), and so has a thread of its own.
Result<> evict(pid_t criu, pid_t container_init) {
  GODWIT_ASSIGN(const os::CgroupFreezer from, os::CgroupFreezer::of_process(container_init));
  GODWIT_ASSIGN(const auto ours, cgroup_directories(::getpid()));
  for (const auto& [key, directory] : ours) {
    const bool freezes = from.version() == 2 ? key == "cgroup2" : key.find("freezer") != std::string::npos;
    if (!freezes) continue;
    if (directory == from.directory()) return fail("the container would be restored into our own cgroup {}", directory);
    return os::write_file(directory + "/cgroup.procs", std::to_string(criu));
  }
  return fail("our own freezer cgroup is not to be seen");
}

std::string runc_state_directory(const std::string& runc_root, const std::string& container_id) {
  return (runc_root.empty() ? "/run/runc" : runc_root) + "/" + container_id;
}

std::string last_line(const std::string& path) {
  auto text = os::read_file(path);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return text->substr(text->rfind('\n') + 1);
}

}  // namespace

void unmount_restore_root(const std::string& runc_root, const std::string& container_id) {
  const std::string root = runc_state_directory(runc_root, container_id) + "/criu-root";
  for (int layer = 0; layer < 8 && ::umount2(root.c_str(), MNT_DETACH) == 0; ++layer) continue;
}

Result<> remove_runc_state(const std::string& runc_root, const std::string& container_id) {
  unmount_restore_root(runc_root, container_id);
  return os::remove_tree(runc_state_directory(runc_root, container_id));
}

Result<> wait_until_restore_ended(const std::string& work_dir, Deadline deadline) {
  return os::wait_unlocked(work_dir + lock_name, deadline);
}

Result<std::unique_ptr<Restore>> Restore::prepare(const CriuProgram& criu, RestorePlace place, Deadline deadline) {
  GODWIT_ASSIGN(StandIn stand_in, StandIn::make(criu, place.work_dir + "/stand-in"));
  std::unique_ptr<Restore> restore(new Restore(std::move(stand_in), std::move(place)));
  const nlohmann::json descriptors = restore->place_.descriptors;
  GODWIT_TRY(os::write_file_atomic(restore->place_.images_dir + "/descriptors.json", descriptors.dump()));
  GODWIT_TRY(os::make_directories(restore->place_.bundle + "/empty", 0555));
  GODWIT_TRY(restore->start_runc(deadline));
  if (auto waiting = restore->wait_for_criu(deadline); !waiting)
    return std::unexpected(restore->describe(std::move(waiting).error().context("prepare the restore")));
  if (restore->place_.criu_waits) GODWIT_TRY(restore->place_.criu_waits(restore->between_.criu_pid));
  return restore;
}

Restore::~Restore() {
  if (!released_ && !discarded_) {
    if (auto gone = discard(Deadline::after(discard_limit)); !gone)
      log_error("a restored container was left behind: {}", gone.error().message);
  }
  if (evicted_.valid()) evicted_.wait();
}

std::vector<std::string> Restore::runc_command() const {
  std::vector<std::string> words{"runc", "--log", place_.work_dir + "/runc.log"};
  if (!place_.runc_root.empty()) words.insert(words.end(), {"--root", place_.runc_root});
  return words;
}

Result<> Restore::start_runc(Deadline deadline) {
  os::Command command{.argv = runc_command(),
                      .environment = stand_in_.environment(place_.init_pid, place_.foreign),
                      .directory = place_.bundle,
                      .descriptors = place_.stdio,
                      // If we die, it is told so by its socket and clears up after itself.
                      .die_with_parent = false};
  command.argv.insert(command.argv.end(), {"restore", "--detach", "--image-path", place_.images_dir, "--work-path",
                                           place_.work_dir, "--bundle", place_.bundle});
  if (!place_.pid_file.empty()) command.argv.insert(command.argv.end(), {"--pid-file", place_.pid_file});
  command.argv.push_back(place_.container_id);
  GODWIT_ASSIGN(const UniqueFd lock, os::lock_file(place_.work_dir + lock_name, deadline));
  command.descriptors.emplace_back(lock.get(), lock_number);
  GODWIT_ASSIGN(runc_, place_.start_runc ? place_.start_runc(command) : os::Subprocess::start(command));
  return {};
}

// Until the stand-in comes, or runc gives up.
Result<> Restore::wait_for_criu(Deadline deadline) {
  for (;;) {
    std::array<pollfd, 2> ready{{{stand_in_.fd(), POLLIN, 0}, {runc_->pidfd(), POLLIN, 0}}};
    const int count = ::poll(ready.data(), ready.size(), deadline.poll_timeout_ms());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("wait for runc");
    if (count == 0) return fail("runc did not start criu in time");
    if (ready[0].revents == 0) return fail("runc ended");
    GODWIT_ASSIGN(between_, stand_in_.intercept(deadline));
    return {};
  }
}

Result<Restored> Restore::run(const std::vector<MountSource>& tmpfs, const std::function<Result<>(pid_t)>& before_hold,
                              Deadline deadline) {
  Result<RestoreReport> report = fail("");
  if (auto sent = release_request(tmpfs); sent) {
    report = converse(before_hold, deadline);
  } else {
    report = std::unexpected(std::move(sent).error());
  }
  if (report) return Restored{.init_pid = init_pid_, .freezer = *freezer_, .report = *report};
  const auto gone = discard(Deadline::after(discard_limit));
  Error error = describe(std::move(report).error());
  if (!gone) error.message += "\nand something was left behind: " + gone.error().message;
  return std::unexpected(std::move(error));
}

Result<> Restore::release_request(const std::vector<MountSource>& tmpfs) {
  GODWIT_ASSIGN(images_fd_, os::open_file(place_.images_dir, O_RDONLY | O_DIRECTORY));
  GODWIT_ASSIGN(work_fd_, os::open_file(place_.work_dir, O_RDONLY | O_DIRECTORY));
  GODWIT_ASSIGN(std::vector<std::string> externals,
                restore_externals(tmpfs, place_.bundle + "/empty", between_.criu_pid));
  const Options options{
      .images_dir_fd = images_fd_.get(),
      .work_dir_fd = work_fd_.get(),
      .log_level = log_enabled(LogLevel::debug) ? 4 : 2,
      .log_file = log_name,
      .external = std::move(externals),
      .tcp_established = true,
      .file_locks = true,
      .notify = true,
      .lazy_pages = true,
  };
  GODWIT_ASSIGN(const std::string request, rewrite_restore_request(between_.request, options));
  if (place_.free_init_pid) GODWIT_TRY(place_.free_init_pid());
  return send_packet(between_.criu.get(), request);
}

// Carries each message of criu to runc and each answer back, and does our part at the stages that concern us.
Result<RestoreReport> Restore::converse(const std::function<Result<>(pid_t)>& before_hold, Deadline deadline) {
  const Clock::time_point started = Clock::now();
  RestoreReport report;
  for (;;) {
    GODWIT_ASSIGN(const std::string packet, receive_packet(between_.criu.get(), deadline));
    GODWIT_ASSIGN(const Response response, decode_response(packet));
    const bool notification = response.type == static_cast<int32_t>(RequestType::notify);
    if (!notification && !response.success)
      return std::unexpected(Error{"criu could not restore the container", response.error});
    if (!notification && report.held_ms == 0) return fail("criu ended without letting us hold the container");
    GODWIT_TRY(send_packet(between_.runc.get(), packet));
    if (!notification) return report;

    GODWIT_TRY(on_stage(response));
    GODWIT_ASSIGN(const std::string answer, receive_packet(between_.runc.get(), deadline));
    if (response.stage == "pre-resume") GODWIT_TRY(hold(before_hold, report, started));
    if (response.stage == "post-resume") {
      GODWIT_TRY(wait_frozen(deadline));
      report.held_ms = elapsed_ms(started);
    }
    GODWIT_TRY(send_packet(between_.criu.get(), answer));
  }
}

Result<> Restore::on_stage(const Response& notification) {
  log_debug("restore stage {}", notification.stage);
  if (notification.stage == "setup-namespaces") return adopt_init(notification.pid);
  // It carries a terminal's descriptor for runc, which we do not pass on.
  if (notification.stage == "orphan-pts-master") return fail("the container has a terminal, which cannot be moved");
  return {};
}

// The first process exists, everything else will be its child.
Result<> Restore::adopt_init(pid_t pid) {
  init_pid_ = pid;
  auto pidfd = os::open_pidfd(pid);
  if (!pidfd) return std::unexpected(std::move(pidfd.error()).context("the restored first process"));
  init_pidfd_ = std::move(*pidfd);
  GODWIT_ASSIGN(freezer_, os::CgroupFreezer::of_process(pid));
  evicted_ = std::async(std::launch::async, evict, between_.criu_pid, pid);
  return {};
}

// Everything is restored, every task is stopped by criu and will be let go when this has returned.
Result<> Restore::hold(const std::function<Result<>(pid_t)>& before_hold, RestoreReport& report,
                       Clock::time_point started) {
  report.restored_ms = elapsed_ms(started);
  if (init_pid_ == 0 || !evicted_.valid()) return fail("criu did not say which process is the first");
  if (before_hold) GODWIT_TRY(before_hold(init_pid_));
  report.filled_ms = elapsed_ms(started);
  GODWIT_TRY(evicted_.get());
  // Not freeze(): older kernels call a traced task frozen only when it is let go; and it must never thaw.
  return freezer_->begin_freeze();
}

Result<> Restore::wait_frozen(Deadline deadline) const {
  for (;;) {
    GODWIT_ASSIGN(const os::CgroupFreezer::State state, freezer_->state());
    if (state == os::CgroupFreezer::State::frozen) return {};
    if (deadline.expired() || state == os::CgroupFreezer::State::thawed)
      return fail("the restored container could not be held by its freezer {}", freezer_->directory());
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

Result<> Restore::finish(Deadline deadline) {
  between_.criu.reset();
  between_.runc.reset();
  if (!runc_) return {};
  GODWIT_ASSIGN(const int status, runc_->wait(deadline));
  runc_.reset();
  if (status != 0) return std::unexpected(describe({fmt::format("runc restore ended with status {}", status), 0}));
  unmount_restore_root(place_.runc_root, place_.container_id);
  return {};
}

Result<> Restore::kill_restored(Deadline deadline) {
  if (!init_pidfd_) return {};
  GODWIT_TRY(kill_by_pidfd(init_pidfd_.get()));
  // Frozen tasks of a version 1 freezer do not die before they are thawed. All have the signal already: the first
  // process is that of a pid namespace.
  if (freezer_ && os::exists(freezer_->directory())) {
    auto thawed = freezer_->thaw(deadline);
    if (!thawed && os::exists(freezer_->directory())) return thawed;
  }
  return os::wait_readable(init_pidfd_.get(), deadline);
}

Result<> Restore::discard(Deadline deadline) {
  if (discarded_ || released_) return {};
  // criu's shim and runc take the loss of their sockets as the end.
  between_.criu.reset();
  between_.runc.reset();
  GODWIT_TRY(kill_restored(deadline));
  if (runc_) {
    // One that is late is killed.
    [[maybe_unused]] const auto ended = runc_->wait(Deadline::after(std::chrono::seconds(3)).sooner(deadline));
    runc_.reset();
  }
  if (evicted_.valid()) evicted_.wait();
  std::vector<std::string> command = runc_command();
  command.insert(command.end(), {"delete", "--force", place_.container_id});
  GODWIT_ASSIGN(const os::Output output, os::run({.argv = command}, deadline));
  // A runc that ended before it wrote its state, or whose criu failed, leaves a directory that no runc knows.
  if (auto removed = remove_runc_state(place_.runc_root, place_.container_id); !removed)
    return std::unexpected(std::move(removed).error().context("after runc delete, which said: " + output.text));
  discarded_ = true;
  return {};
}

Error Restore::describe(Error error) const {
  const LogReport log = report_log_file(place_.work_dir + "/" + log_name);
  if (!log.cause.empty()) error.message += ": " + log.cause;
  if (!log.last_lines.empty()) error.message += "\ncriu's last errors:\n" + log.last_lines;
  const std::string runc = last_line(place_.work_dir + "/runc.log");
  if (!runc.empty()) error.message += "\nrunc says: " + runc;
  return error;
}

}  // namespace godwit::criu
