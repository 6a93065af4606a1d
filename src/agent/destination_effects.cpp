// What a destination does for its machine: the longer effects of DestinationWorker.
#include <signal.h>

#include <algorithm>
#include <map>

#include "agent/destination_worker.h"
#include "agent/source_container.h"
#include "base/log.h"
#include "memory/eager_writer.h"
#include "network/neighbours.h"
#include "network/slot.h"
#include "os/file.h"
#include "os/procfs.h"

namespace godwit::agent {
namespace {

constexpr auto step_time = std::chrono::seconds(15);
constexpr auto complete_time = std::chrono::minutes(30);
constexpr auto lock_time = std::chrono::seconds(10);  // the session that took the container away may be ending still

}  // namespace

// Everything that can be made before the freeze, up to a criu that only waits for its images.
Result<> DestinationWorker::make_slot() {
  GODWIT_ASSIGN(const PrepareBody body, prepare_from_json(prepare_body_));
  const ContainerDescription& description = body.container;
  GODWIT_ASSIGN(container_lock_, lock_container(description.name, Deadline::after(lock_time)));
  const Deadline deadline = Deadline::after(step_time);
  record_.container = description.name;
  record_.interface = description.interface.name;
  events_->emit(SessionEvent{
      .session = session_.id(), .container = description.name, .from = body.from, .to = config_.node_name});
  events_->phase(Phase::prepare);
  GODWIT_ASSIGN(criu::CriuProgram criu, criu::CriuProgram::find(deadline));
  criu_.emplace(std::move(criu));
  GODWIT_TRY(criu_->warm_up(deadline));
  GODWIT_ASSIGN(DestinationPlace made, DestinationPlace::make(config_, description));
  {
    const std::lock_guard lock(connections_mutex_);
    place_.emplace(std::move(made));
  }
  const DestinationPlace& place = *place_;
  // Written once there is something to remove: a refusal must not cost a container of the same name its place.
  GODWIT_TRY(session_.write_record(to_json(record_)));
  const std::string netns = place.netns_path();
  GODWIT_ASSIGN(network::Gate gate, network::Gate::open(netns, description.interface.name));
  gate_.emplace(std::move(gate));
  GODWIT_ASSIGN(network::Announcer announcer,
                network::Announcer::open(netns, description.interface.name, description.interface.addresses));
  announcer_.emplace(std::move(announcer));
  GODWIT_ASSIGN(network::Parking parking, network::Parking::open(netns, description.interface.name));
  parking_.emplace(std::move(parking));

  // Whatever the source sends, this node keeps some memory for its other containers.
  GODWIT_ASSIGN(const uint64_t available, available_memory_bytes());
  const uint64_t store_max = available / 10 * 9;
  GODWIT_ASSIGN(
      auto store,
      memory::PageStore::create(
          {.limit_bytes = body.page_store_bytes == 0 ? store_max : std::min(body.page_store_bytes, store_max)}));
  auto pager = std::make_unique<memory::Pager>(*store, memory::PagerOptions{});
  GODWIT_TRY(pager->start());
  GODWIT_ASSIGN(criu::LazyPagesSocket socket, criu::LazyPagesSocket::listen(session_.path("work")));
  lazy_socket_.emplace(std::move(socket));
  GODWIT_ASSIGN(restore_, criu::Restore::prepare(*criu_,
                                                 {.container_id = description.name,
                                                  .bundle = place.bundle(),
                                                  .images_dir = session_.path("images"),
                                                  .work_dir = session_.path("work"),
                                                  .runc_root = config_.runc_root,
                                                  .pid_file = place.bundle() + "/init.pid",
                                                  .descriptors = body.stdio,
                                                  .stdio = {}},
                                                 deadline));
  const std::lock_guard lock(connections_mutex_);
  store_ = std::move(store);
  lanes_ = std::make_unique<transfer::LaneReceiver>(*store_, transfer::LaneReceiverOptions{});
  start_thread([this] { watch_lanes(); });
  pager_ = std::move(pager);
  return {};
}

// From now on what is sent to the container comes here, and waits.
Result<> DestinationWorker::take_address() {
  const TimedStep step(timeline_, "take address");
  record_.epoch = state_.epoch;
  GODWIT_TRY(announcer_->send());
  nlohmann::json body;
  {
    const std::lock_guard lock(connections_mutex_);
    body = address_body_.value("neighbours", nlohmann::json::array());
  }
  GODWIT_ASSIGN(const auto neighbours, network::neighbours_from_json(body));
  GODWIT_ASSIGN(auto table, network::NeighbourTable::open(place_->netns_path(), place_->description().interface.name));
  return table.write(neighbours);
}

Result<> DestinationWorker::release_address() {
  parking_.reset();
  GODWIT_ASSIGN(network::Parking parking,
                network::Parking::open(place_->netns_path(), place_->description().interface.name));
  parking_.emplace(std::move(parking));
  return {};
}

Result<> DestinationWorker::restore() {
  const Deadline deadline = Deadline::after(step_time);
  events_->phase(Phase::restore);
  RestoreBody body;
  {
    // The source says that we have it all: the ends of its streams mean nothing any more, and nothing may come.
    const std::lock_guard lock(connections_mutex_);
    receiving_ = false;
    if (lanes_) lanes_->abort();
    body = restore_body_;
  }
  GODWIT_TRY(place_->mount_root());
  GODWIT_ASSIGN(const std::vector<criu::MountSource> tmpfs, place_->tmpfs_sources());
  const auto forget_ended = [&] {
    std::vector<uint32_t> living;
    for (const RestoreBody::Process& process : body.processes) living.push_back(process.index);
    for (const RestoreBody::Object& object : body.objects) living.push_back(memory::stored_object(object.index));
    for (const uint32_t process : store_->processes()) {
      if (std::find(living.begin(), living.end(), process) == living.end()) store_->drop_process(process);
    }
  };
  forget_ended();
  GODWIT_TRY(pager_->store_complete());

  Result<> lazy;
  std::thread lazy_thread([&] {
    std::map<pid_t, uint32_t> index_of;
    for (const RestoreBody::Process& process : body.processes) index_of[process.container_pid] = process.index;
    for (;;) {
      auto next = lazy_socket_->next(deadline);
      if (!next) {
        lazy = std::unexpected(next.error());
        return;
      }
      if (!*next) return;
      const auto known = index_of.find((*next)->container_pid);
      lazy = known == index_of.end()
                 ? fail("criu restores process {}, which the source did not name", (*next)->container_pid)
                 : pager_->add(known->second, std::move((*next)->userfaultfd));
      if (!lazy) return;
    }
  });
  const Clock::time_point began = Clock::now();
  auto restored = restore_->run(
      tmpfs,
      [&](pid_t init_pid) -> Result<> {
        timeline_.add("restore", began);
        lazy_thread.join();
        GODWIT_TRY(lazy);
        const TimedStep step(timeline_, "place memory");
        return fill_memory(body, init_pid);
      },
      deadline);
  if (lazy_thread.joinable()) lazy_thread.join();
  if (!restored) return std::unexpected(std::move(restored.error()));
  const criu::RestoreReport& report = restored->report;
  log_info("restore: restored {:.1f} ms, filled {:.1f} ms, held {:.1f} ms", report.restored_ms, report.filled_ms,
           report.held_ms);
  restored_.emplace(std::move(*restored));
  record_.init_pid = restored_->init_pid;
  record_.freezer_directory = restored_->freezer.directory();
  return {};
}

// Everything that criu does not leave to page faults, while all tasks are stopped.
Result<> DestinationWorker::fill_memory(const RestoreBody& body, pid_t init_pid) {
  GODWIT_ASSIGN(const os::CgroupFreezer freezer, os::CgroupFreezer::of_process(init_pid));
  GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(freezer.directory()));
  std::map<pid_t, pid_t> host_pid_of;
  for (const pid_t pid : pids) {
    GODWIT_ASSIGN(const os::ProcessStatus status, os::read_status(pid));
    host_pid_of[status.namespace_pids.back()] = pid;
  }
  memory::EagerWriter writer(*store_, *pager_);
  std::map<uint32_t, pid_t> pid_of_index;
  for (const RestoreBody::Process& process : body.processes) {
    if (process.zombie) continue;
    const auto found = host_pid_of.find(process.container_pid);
    if (found == host_pid_of.end()) return fail("process {} of the container was not restored", process.container_pid);
    pid_of_index[process.index] = found->second;
    GODWIT_TRY(writer.write_process(process.index, found->second));
  }
  GODWIT_TRY(write_shared_objects(body, writer, pid_of_index));
  return writer.check_complete();
}

Result<> DestinationWorker::write_shared_objects(const RestoreBody& body, memory::EagerWriter& writer,
                                                 const std::map<uint32_t, pid_t>& pids) {
  for (const RestoreBody::Object& object : body.objects) {
    bool written = object.pages == 0;
    for (const RestoreBody::Mapping& mapping : object.mappings) {
      const auto mapper = pids.find(mapping.process);
      if (written || mapper == pids.end()) continue;
      GODWIT_TRY(writer.write_object_mapped(memory::stored_object(object.index), mapper->second, mapping.start));
      written = true;
    }
    if (!written) return fail("shared memory {} is mapped by no process that was restored", object.path);
  }
  return {};
}

// GO. The thaw is what cannot be taken back: what comes after it may only warn. Packets may leave before it, because
// what a thawed task sends into a closed gate is lost, and sent again by TCP a second later. Until packets that arrive
// are let in, nothing can leave that the source's copy would not send as well.
Result<> DestinationWorker::resume() {
  GODWIT_TRY(pager_->tasks_resume());
  GODWIT_TRY(gate_->open_outgoing());
  {
    const TimedStep step(timeline_, "thaw");
    if (auto thawed = restored_->freezer.thaw(Deadline::after(step_time)); !thawed) {
      // It is only given back if it is certain that nothing runs.
      const auto state =
          restored_->freezer.begin_freeze() ? restored_->freezer.state() : os::CgroupFreezer::State::thawed;
      if (state && *state == os::CgroupFreezer::State::frozen) {
        GODWIT_TRY(gate_->close_outgoing());
        return thawed;
      }
      log_error("{}", thawed.error().message);
    }
  }
  restore_->release();
  const auto released = parking_->release();
  resumed_ms_ = elapsed_ms(timeline_.zero());
  const auto announced = announcer_->send();
  if (!released) log_error("packets that waited are lost: {}", released.error().message);
  if (!announced) log_warning("{}", announced.error().message);
  if (released) log_info("running; {} packets had been parked", *released);
  completion_ = std::thread([this] { complete_memory(); });
  return {};
}

// After the thaw, beside the machine: nothing here is in the pause.
void DestinationWorker::complete_memory() {
  if (auto done = restore_->finish(Deadline::after(step_time)); !done) log_error("{}", done.error().message);
  auto placed = pager_->wait_done(Deadline::after(complete_time));
  if (!placed) {
    // Its missing pages will never come. While the pager lives it waits for them; after that it would find zeros.
    log_error("container '{}' is ended: {}", record_.container, placed.error().message);
    completion_error_ = "its memory could not be completed: " + placed.error().message;
    if (::kill(record_.init_pid, SIGKILL) != 0) log_warning("kill {}: {}", record_.init_pid, std::strerror(errno));
  } else {
    log_info("memory complete: {} pages pushed, {} by {} faults (p99 {} us), {:.3f} s", placed->pushed_pages,
             placed->faulted_pages, placed->faults, placed->fault_us_p99, placed->seconds);
  }
  stop_receiving();
  lanes_.reset();
  pager_.reset();
  store_.reset();
  record_.memory_complete = true;
  if (auto written = session_.write_record(to_json(record_)); !written) log_error("{}", written.error().message);
  if (auto removed = parking_->remove_rule(); !removed) log_warning("{}", removed.error().message);
  parking_.reset();
  if (auto unmounted = place_->unmount_tmpfs(); !unmounted) log_warning("{}", unmounted.error().message);
  if (auto announced = announcer_->send(); !announced) log_warning("{}", announced.error().message);
  mailbox_.post({.kind = Kind::pages_placed, .epoch = 0, .reason = ""});
}

// Not a packet may come from what is ended here: its gate has been closed since it was made.
Result<> DestinationWorker::discard() {
  if (restore_) GODWIT_TRY(restore_->discard(Deadline::after(step_time)));
  restore_.reset();
  lanes_.reset();
  pager_.reset();
  parking_.reset();
  store_.reset();
  restored_.reset();
  if (place_) GODWIT_TRY(remove_container_place(config_, place_->description().name));
  return {};
}

// The same for what a dead worker left: only names are known.
Result<> DestinationWorker::discard_recorded() {
  if (record_.container.empty()) return {};
  auto locked = lock_container(record_.container, Deadline::after(milliseconds(0)));
  // Another session brings a container of that name here: it has removed what was left.
  if (!locked && locked.error().code == EWOULDBLOCK) return {};
  if (!locked) return std::unexpected(std::move(locked.error()));
  // The dead worker's runc is still clearing up after itself, or has not even noticed.
  GODWIT_TRY(criu::wait_until_restore_ended(session_.path("work"), Deadline::after(step_time)));
  // Not a packet of what is ended: the worker may have died between the opening of its gate and the thaw.
  const std::string netns = network::slot_netns_path(record_.container);
  if (!record_.interface.empty() && os::exists(netns)) {
    if (auto gate = network::Gate::open(netns, record_.interface)) GODWIT_TRY(gate->close_outgoing());
  }
  // A container that was being restored when its worker died is not in the record yet, but runc may know it.
  GODWIT_TRY(end_by_name(config_, record_.container));
  return remove_container_place(config_, record_.container);
}

}  // namespace godwit::agent
