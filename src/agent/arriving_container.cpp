#include "agent/arriving_container.h"

#include <algorithm>
#include <cstdio>
#include <thread>

#include "agent/container_description.h"
#include "agent/peer_link.h"
#include "base/log.h"
#include "os/file.h"
#include "os/procfs.h"

namespace godwit::agent {

std::vector<files::DestinationRoot> ArrivingContainer::file_roots() const {
  std::vector<files::DestinationRoot> roots = place_->file_roots();
  for (files::DestinationRoot& root : roots) root.id = static_cast<uint16_t>(root.id + member_ * member_file_ids);
  return roots;
}

Result<> ArrivingContainer::prepare(const criu::CriuProgram& criu, const std::string& runc_root,
                                    const std::vector<std::string>& stdio, Deadline deadline) {
  GODWIT_TRY(session_.make_member(member_));
  GODWIT_ASSIGN(criu::LazyPagesSocket socket, criu::LazyPagesSocket::listen(session_.member_path(member_, "work")));
  lazy_socket_.emplace(std::move(socket));
  criu::RestorePlace restore_place = place_->restore_place();
  restore_place.images_dir = session_.member_path(member_, "images");
  restore_place.work_dir = session_.member_path(member_, "work");
  restore_place.runc_root = runc_root;
  restore_place.descriptors = stdio;
  GODWIT_ASSIGN(restore_, criu::Restore::prepare(criu, std::move(restore_place), deadline));
  return {};
}

// All images of a session come to one directory.
Result<> ArrivingContainer::sort_images() const {
  const std::string prefix = member_image_prefix(member_);
  if (prefix.empty()) return {};
  GODWIT_ASSIGN(const std::vector<std::string> names, os::list_directory(session_.path("images")));
  for (const std::string& name : names) {
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    const std::string from = session_.path("images/" + name);
    const std::string to = session_.member_path(member_, "images/" + name.substr(prefix.size()));
    if (std::rename(from.c_str(), to.c_str()) != 0) return fail_errno("move {} to {}", from, to);
  }
  return {};
}

// Until criu says that it has named every process.
Result<> ArrivingContainer::serve_lazy_pages(const RestoreBody& body, MemoryFiller& filler, Deadline deadline) {
  std::map<pid_t, uint32_t> index_of;
  for (const RestoreBody::Process& process : body.processes) {
    if (is_ours(process)) index_of[process.container_pid] = process.index;
  }
  for (;;) {
    GODWIT_ASSIGN(auto next, lazy_socket_->next(deadline));
    if (!next) return {};
    const auto known = index_of.find(next->container_pid);
    if (known == index_of.end()) {
      return fail("criu restores process {}, which the source did not name", next->container_pid);
    }
    const std::lock_guard lock(filler.mutex);
    GODWIT_TRY(filler.pager.add(known->second, std::move(next->userfaultfd)));
  }
}

Result<> ArrivingContainer::restore(const RestoreBody& body, MemoryFiller& filler, Timeline& timeline,
                                    Deadline deadline) {
  GODWIT_TRY(sort_images());
  GODWIT_TRY(place_->mount_root());
  for (const VolumeVersion& version : body.versions) {
    if (version.member == member_) place_->name_version(version);
  }
  GODWIT_ASSIGN(const std::vector<criu::MountSource> sources, place_->mount_sources());
  Result<> lazy;
  std::thread lazy_thread([&] { lazy = serve_lazy_pages(body, filler, deadline); });
  const Clock::time_point began = Clock::now();
  auto restored = restore_->run(
      sources,
      [&](pid_t init_pid) -> Result<> {
        timeline.add("restore", began);
        lazy_thread.join();
        GODWIT_TRY(lazy);
        const TimedStep step(timeline, "place memory");
        return fill_memory(body, filler, init_pid);
      },
      deadline);
  if (lazy_thread.joinable()) lazy_thread.join();
  if (!restored) return std::unexpected(std::move(restored.error()));
  const criu::RestoreReport& report = restored->report;
  log_info("restore: restored {:.1f} ms, filled {:.1f} ms, held {:.1f} ms", report.restored_ms, report.filled_ms,
           report.held_ms);
  restored_.emplace(std::move(*restored));
  return place_->arrived();
}

// Everything that criu does not leave to page faults, while all tasks are stopped.
Result<> ArrivingContainer::fill_memory(const RestoreBody& body, MemoryFiller& filler, pid_t init_pid) const {
  GODWIT_ASSIGN(const os::CgroupFreezer freezer, os::CgroupFreezer::of_process(init_pid));
  GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(freezer.directory()));
  std::map<pid_t, pid_t> host_pid_of;
  for (const pid_t pid : pids) {
    GODWIT_ASSIGN(const os::ProcessStatus status, os::read_status(pid));
    host_pid_of[status.namespace_pids.back()] = pid;
  }
  const std::lock_guard lock(filler.mutex);
  std::map<uint32_t, pid_t> pid_of_index;
  for (const RestoreBody::Process& process : body.processes) {
    if (process.zombie || !is_ours(process)) continue;
    const auto found = host_pid_of.find(process.container_pid);
    if (found == host_pid_of.end()) return fail("process {} of the container was not restored", process.container_pid);
    pid_of_index[process.index] = found->second;
    GODWIT_TRY(filler.writer.write_process(process.index, found->second));
  }
  return write_shared_objects(body, filler.writer, pid_of_index);
}

// What no process here maps is another container's.
Result<> ArrivingContainer::write_shared_objects(const RestoreBody& body, memory::EagerWriter& writer,
                                                 const std::map<uint32_t, pid_t>& pids) {
  for (const RestoreBody::Object& object : body.objects) {
    for (const RestoreBody::Mapping& mapping : object.mappings) {
      const auto mapper = pids.find(mapping.process);
      if (object.pages == 0 || mapper == pids.end()) continue;
      GODWIT_TRY(writer.write_object_mapped(memory::stored_object(object.index), mapper->second, mapping.start));
      break;
    }
  }
  return {};
}

Result<> ArrivingContainer::discard(Deadline deadline) {
  if (restore_) GODWIT_TRY(restore_->discard(deadline));
  restore_.reset();
  lazy_socket_.reset();
  restored_.reset();
  return {};
}

}  // namespace godwit::agent
