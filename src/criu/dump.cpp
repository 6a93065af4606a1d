#include "criu/dump.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "base/log.h"
#include "criu/log_report.h"
#include "criu/rpc.h"
#include "criu/tcp_repair.h"
#include "os/file.h"
#include "os/procfs.h"

namespace godwit::criu {
namespace {

constexpr const char* log_name = "dump.log";
constexpr const char* lock_name = "/criu.lock";                // in the work directory
constexpr const char* copied_objects_name = "copied-objects";  // shim/shim.c reads it
constexpr uint32_t seize_timeout_s = 10;                       // criu's own, should our deadline be longer

std::string copied_objects_list(const std::vector<SharedObjectId>& objects) {
  std::string list;
  for (const SharedObjectId& object : objects) {
    list.append(reinterpret_cast<const char*>(&object.device), sizeof object.device);
    list.append(reinterpret_cast<const char*>(&object.inode), sizeof object.inode);
  }
  return list;
}

Result<> measure_images(const std::string& images_dir, DumpReport& report) {
  GODWIT_ASSIGN(const std::vector<std::string> names, os::list_directory(images_dir));
  for (const std::string& name : names) {
    const std::string path = images_dir + "/" + name;
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return fail_errno("stat {}", path);
    report.image_bytes += static_cast<uint64_t>(info.st_size);
    if (name.starts_with("pages-")) report.page_bytes += static_cast<uint64_t>(info.st_size);
  }
  return {};
}

}  // namespace

Result<> wait_until_dump_ended(const std::string& work_dir, Deadline deadline) {
  return os::wait_unlocked(work_dir + lock_name, deadline);
}

bool retryable(const Error& error) {
  return error.code == EAGAIN;
}

Result<Dump> Dump::prepare(const CriuProgram& criu, pid_t init_pid, std::string images_dir, std::string work_dir,
                           Deadline deadline, const std::vector<std::string>& foreign) {
  GODWIT_ASSIGN(Swrk swrk, criu.start({.shim_mode = "dump",
                                       .network_namespace = fmt::format("/proc/{}/ns/net", init_pid),
                                       .directory = work_dir,
                                       .namespaces = foreign,
                                       .lock = work_dir + lock_name},
                                      deadline));
  GODWIT_TRY(CriuProgram::wait_loaded(swrk, deadline));
  return Dump(init_pid, std::move(images_dir), std::move(work_dir), std::move(swrk));
}

Dump::~Dump() {
  // Without a request criu ends by itself when its socket closes; with one, run() has seen its end.
  swrk_.socket.reset();
}

Result<> Dump::scanned(const std::vector<SharedObjectId>& copied) {
  GODWIT_TRY(os::write_file_atomic(work_dir_ + "/" + copied_objects_name, copied_objects_list(copied)));
  const UniqueFd told = std::move(swrk_.scanned);
  if (::write(told.get(), "s", 1) != 1) return fail_errno("tell criu to go on");
  return {};
}

Result<DumpReport> Dump::run(const DumpRequest& request, const os::CgroupFreezer& freezer, Deadline deadline,
                             const std::function<void()>& on_written) {
  const Clock::time_point started = Clock::now();
  DumpReport report;
  auto done = send_request(request, freezer);
  if (done) done = converse(freezer, report, started, deadline, on_written);
  if (done) {
    swrk_.socket.reset();
    if (auto status = swrk_.process.wait(deadline); !status) done = std::unexpected(std::move(status).error());
  }
  if (done) {
    if (const auto state = freezer.state(); !state || *state != os::CgroupFreezer::State::frozen)
      done = fail("criu did not leave the container frozen");
  }
  if (done) done = measure_images(images_dir_, report);
  if (!done) {
    stop(freezer);
    return std::unexpected(describe(std::move(done).error()));
  }
  report.done_ms = elapsed_ms(started);
  return report;
}

Result<> Dump::send_request(const DumpRequest& request, const os::CgroupFreezer& freezer) {
  GODWIT_ASSIGN(images_fd_, os::open_file(images_dir_, O_RDONLY | O_DIRECTORY));
  GODWIT_ASSIGN(work_fd_, os::open_file(work_dir_, O_RDONLY | O_DIRECTORY));
  if (request.smaps != nullptr) {
    GODWIT_ASSIGN(const std::vector<pid_t> processes, os::cgroup_processes(freezer.directory()));
    GODWIT_ASSIGN(const int written, request.smaps->write(processes, work_dir_));
    log_debug("flags of mappings known before the freeze: {} of {} processes", written, processes.size());
  }
  const Options options{
      .images_dir_fd = images_fd_.get(),
      .work_dir_fd = work_fd_.get(),
      .pid = init_pid_,
      .log_level = log_enabled(LogLevel::debug) ? 4 : 2,
      .log_file = log_name,
      .freeze_cgroup = freezer.directory(),
      .external = dump_externals(request.mounts),
      .ghost_limit_bytes = request.ghost_file_bytes_max,
      .timeout_s = seize_timeout_s,
      .leave_running = true,
      .tcp_established = true,
      .tcp_skip_in_flight = request.skip_half_open_tcp,
      .file_locks = true,
      .notify = true,
      .orphan_pts_master = false,
  };
  return send_packet(swrk_.socket.get(), encode_request(RequestType::dump, options));
}

Result<> Dump::converse(const os::CgroupFreezer& freezer, DumpReport& report, Clock::time_point started,
                        Deadline deadline, const std::function<void()>& on_written) {
  for (;;) {
    GODWIT_ASSIGN(const std::string packet, receive_packet(swrk_.socket.get(), deadline));
    GODWIT_ASSIGN(const Response response, decode_response(packet));
    if (response.type != static_cast<int32_t>(RequestType::notify)) {
      if (response.success) return {};
      return std::unexpected(Error{"criu could not save the container", response.error});
    }
    if (response.stage == "query-ext-files") report.seized_ms = elapsed_ms(started);
    if (response.stage == "post-dump") {
      report.written_ms = elapsed_ms(started);
      // criu has thawed them to work on them, and still holds them. If it died now they would run, and find their TCP
      // sockets in repair mode.
      GODWIT_TRY(freezer.begin_freeze());
      if (on_written) on_written();
    }
    GODWIT_TRY(send_packet(swrk_.socket.get(), encode_notify_answer(true)));
  }
}

// After a failure: makes sure that criu is gone and the container's connections work.
void Dump::stop(const os::CgroupFreezer& freezer) {
  swrk_.socket.reset();
  constexpr auto patience = std::chrono::seconds(2);
  // A criu that has failed lets go of the tasks in good order and ends.
  if (const auto ended = swrk_.process.wait(Deadline::after(patience)); ended) return;
  log_warning("criu (process {}) had to be killed in the middle of a dump", swrk_.process.pid());
  swrk_.process.kill_and_wait();
  const auto repaired = end_tcp_repair(freezer.directory());
  if (!repaired) log_error("TCP connections may hang: {}", repaired.error().message);
}

Error Dump::describe(Error error) const {
  LogReport log = report_log_file(work_dir_ + "/" + log_name);
  if (!log.cause.empty()) error.message += ": " + log.cause;
  if (!log.last_lines.empty()) error.message += "\ncriu's last errors:\n" + log.last_lines;
  error.code = log.passing ? EAGAIN : (error.code == EAGAIN ? 0 : error.code);
  return error;
}

}  // namespace godwit::criu
