// What a destination does for its machine: the longer effects of DestinationWorker.
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "agent/at_the_same_time.h"
#include "agent/destination_worker.h"
#include "agent/pod_place.h"
#include "agent/source_container.h"
#include "agent/standalone_place.h"
#include "base/log.h"
#include "network/connections.h"
#include "network/moved_routes.h"
#include "network/neighbours.h"
#include "network/packet_rules.h"
#include "network/readdress.h"
#include "network/sent_packets.h"
#include "network/slot.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

constexpr auto step_time = std::chrono::seconds(15);
constexpr auto complete_time = std::chrono::minutes(30);
constexpr auto lock_time = std::chrono::seconds(10);  // the session that took the container away may be ending still

// To what clients have asked in the pause.
constexpr auto answer_time = milliseconds(50);
constexpr auto soon_time = milliseconds(20);
constexpr auto answer_poll_interval = std::chrono::microseconds(500);

}  // namespace

// Everything that can be made before the freeze, up to a criu that only waits for its images.
Result<> DestinationWorker::make_slot() {
  GODWIT_ASSIGN(const PrepareBody body, prepare_from_json(prepare_body_));
  const ContainerDescription& description = body.container;
  const size_t count = 1 + body.companions.size();
  {
    const std::lock_guard lock(connections_mutex_);
    containers_.resize(count);
    interface_ = network::to_json(description.interface);
    interface_["network"] = network_mode_name(body.network);
    pod_changed_.notify_all();
  }
  // What a pod's container is called here its engine says, and to no other. Its name there may be one of this node too:
  // of the source, if the pod stays on its node.
  if (!description.in_pod) {
    GODWIT_ASSIGN(container_lock_, lock_container(description.name, Deadline::after(lock_time)));
  }
  record_.container = description.name;
  record_.containers.resize(count);
  record_.in_pod = description.in_pod;
  record_.interface = description.interface.name;
  events_->emit(SessionEvent{
      .session = session_.id(), .container = description.name, .from = body.from, .to = config_.node_name});
  events_->phase(Phase::prepare);
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_ASSIGN(criu::CriuProgram criu, criu::CriuProgram::find(deadline));
  criu_.emplace(std::move(criu));
  GODWIT_TRY(criu_->warm_up(deadline));
  // A kubelet makes the containers of a pod one after another, in an order of its own.
  for (size_t made = 0; made < count; ++made) {
    GODWIT_ASSIGN(const size_t member, make_place(body));
    if (made == 0) {
      GODWIT_TRY(open_network(body, containers_[member]->place()));
      GODWIT_TRY(make_store(body.page_store_bytes));
    }
    GODWIT_TRY(containers_[member]->prepare(*criu_, config_.runc_root,
                                            member == 0 ? body.stdio : body.companions[member - 1].stdio,
                                            Deadline::after(step_time)));
    // Of where criu waits, and the container will be.
    GODWIT_TRY(lift_cpu_limits(containers_[member]->criu_pid(), record_.in_pod, record_.lifted_limits,
                               [this] { return session_.write_record(to_json(record_)); }));
    // The next one is only made when this one was created.
    if (made + 1 < count) GODWIT_TRY(containers_[member]->end_create());
  }
  const std::lock_guard lock(connections_mutex_);
  lanes_ = std::make_unique<transfer::LaneReceiver>(*store_, transfer::LaneReceiverOptions{});
  start_thread([this] { watch_lanes(); });
  return {};
}

// Returns whose place was made.
Result<size_t> DestinationWorker::make_place(const PrepareBody& body) {
  if (body.container.in_pod) return make_pod_place(body);
  // Recorded before there is anything to remove, and after everything that may refuse: a refusal must not cost a
  // container of the same name its place.
  GODWIT_ASSIGN(auto place, StandalonePlace::make(config_, body.container, [&] {
                  record_.containers[0].name = body.container.name;
                  record_.netns_path = network::slot_netns_path(body.container.name);
                  return session_.write_record(to_json(record_));
                }));
  const std::lock_guard lock(connections_mutex_);
  containers_[0] = std::make_unique<ArrivingContainer>(std::move(place), session_, 0);
  return 0;
}

Result<> DestinationWorker::open_network(const PrepareBody& body, const DestinationPlace& place) {
  GODWIT_TRY(choose_network(body, place.guest()));
  GODWIT_TRY(network::write_packet_rules(record_.netns_path, body.packet_rules));
  if (containers_.size() > 1) {
    GODWIT_ASSIGN(loopback_, network::LoopbackGate::open(record_.netns_path));
  }
  GODWIT_ASSIGN(network::Parking parking, network::Parking::open(record_.netns_path, record_.interface));
  parking_.emplace(std::move(parking));
  return {};
}

// What godwit-cni has made of the pod's network decides.
Result<> DestinationWorker::choose_network(const PrepareBody& body, const network::Guest* guest) {
  const network::InterfaceConfig& interface = body.container.interface;
  const std::string& netns = record_.netns_path;
  keeps_tcp_ = body.keep_tcp;
  reconnects_ = body.container.in_pod && guest == nullptr;
  if (reconnects_ && body.network == NetworkMode::preserve) {
    return fail("the clone pod has an address of its own: is godwit-cni a plugin of node {}'s network?",
                config_.node_name);
  }
  if (!body.container.in_pod && body.network == NetworkMode::reconnect) {
    return fail("only a pod can get another address");
  }
  GODWIT_ASSIGN(network::Gate gate, network::Gate::open(netns, interface.name));
  GODWIT_TRY(gate.close_outgoing());
  gate_.emplace(std::move(gate));
  const std::vector<std::string> announced = reconnects_ ? std::vector<std::string>() : interface.addresses;
  GODWIT_ASSIGN(network::Announcer announcer, network::Announcer::open(netns, interface.name, announced));
  announcer_.emplace(std::move(announcer));
  if (reconnects_ || !keeps_tcp_) GODWIT_TRY(network::check_connections_can_be_ended(netns));
  // What is bound to the old address can only be restored where that is.
  if (reconnects_) GODWIT_TRY(network::borrow_addresses(netns, interface));
  if (guest == nullptr || !guest->routed) return {};
  GODWIT_ASSIGN(auto routes, network::AddressRoutes::open(interface, gate_->host_interface()));
  routes_.emplace(std::move(routes));
  return {};
}

// The program has not run yet: it finds its connections ended.
void DestinationWorker::end_connections() const {
  if (!reconnects_ && keeps_tcp_) return;
  const auto ended = network::end_connections(record_.netns_path, {.listeners = false, .udp = reconnects_});
  if (ended) log_info("{} connections are ended", *ended);
  if (!ended) log_error("connections are left that lead nowhere: {}", ended.error().message);
}

// `limit_bytes` 0: what the machine gives. Whatever the source sends, this node keeps some memory for its other
// containers.
Result<> DestinationWorker::make_store(uint64_t limit_bytes) {
  GODWIT_ASSIGN(const uint64_t available, available_memory_bytes());
  const uint64_t store_max = available / 10 * 9;
  GODWIT_ASSIGN(auto store, memory::PageStore::create(
                                {.limit_bytes = limit_bytes == 0 ? store_max : std::min(limit_bytes, store_max)}));
  auto pager = std::make_unique<memory::Pager>(*store, memory::PagerOptions{});
  GODWIT_TRY(pager->start());
  const std::lock_guard lock(connections_mutex_);
  store_ = std::move(store);
  pager_ = std::move(pager);
  return {};
}

// From now on what is sent to the container comes here, and waits.
Result<> DestinationWorker::take_address(uint32_t epoch) {
  const TimedStep step(timeline_, "take address");
  record_.epoch = epoch;
  if (reconnects_) return {};
  GODWIT_TRY(announcer_->send());
  if (routes_) GODWIT_TRY(routes_->lead_to_pod());
  GODWIT_ASSIGN(auto neighbours, network::neighbours_from_json(neighbours_told()));
  if (routes_) {
    for (network::Neighbour& neighbour : neighbours) neighbour.mac = routes_->mac();
  }
  GODWIT_ASSIGN(auto table, network::NeighbourTable::open(record_.netns_path, record_.interface));
  return table.write(neighbours);
}

nlohmann::json DestinationWorker::neighbours_told() {
  const std::lock_guard lock(connections_mutex_);
  return address_body_.value("neighbours", nlohmann::json::array());
}

// That it lives here concerns the other nodes only when it runs.
void DestinationWorker::settle_address() const {
  if (record_.sandbox.empty()) return;
  if (auto settled = network::settle_guest(record_.sandbox); !settled) log_warning("{}", settled.error().message);
  if (!routes_) return;
  if (auto exempt = network::exempt_passing_packets(); !exempt) log_warning("{}", exempt.error().message);
}

Result<> DestinationWorker::release_address() {
  if (routes_) GODWIT_TRY(routes_->lead_back());
  parking_.reset();
  GODWIT_ASSIGN(network::Parking parking, network::Parking::open(record_.netns_path, record_.interface));
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
  keeps_tcp_ = body.keep_tcp.value_or(keeps_tcp_);
  if (!keeps_tcp_) GODWIT_TRY(network::check_connections_can_be_ended(record_.netns_path));
  if (keeps_tcp_ && !reconnects_) {
    const auto lost = network::write_translated(record_.netns_path, body.translated);
    if (!lost) log_warning("connections that are translated may break: {}", lost.error().message);
    if (lost && *lost > 0) log_warning("{} connections that are translated may break", *lost);
  }
  forget_ended(body);
  GODWIT_TRY(pager_->store_complete());
  // What one says to another before that is there would be answered by a reset.
  if (loopback_) GODWIT_TRY(loopback_->close());
  GODWIT_TRY(restore_all(body, deadline));
  for (size_t i = 0; i < containers_.size(); ++i) {
    record_.containers[i].init_pid = containers_[i]->restored().init_pid;
    record_.containers[i].freezer_directory = containers_[i]->restored().freezer.directory();
  }
  return {};
}

// Pages of what the source does not name are not wanted.
void DestinationWorker::forget_ended(const RestoreBody& body) {
  std::vector<uint32_t> living;
  for (const RestoreBody::Process& process : body.processes) living.push_back(process.index);
  for (const RestoreBody::Object& object : body.objects) living.push_back(memory::stored_object(object.index));
  for (const uint32_t process : store_->processes()) {
    if (std::find(living.begin(), living.end(), process) == living.end()) store_->drop_process(process);
  }
}

// Several at the same time.
Result<> DestinationWorker::restore_all(const RestoreBody& body, Deadline deadline) {
  MemoryFiller filler{.pager = *pager_, .writer = memory::EagerWriter(*store_, *pager_), .mutex = {}};
  auto outcomes = at_the_same_time(
      containers_.size(), [&](size_t i) { return containers_[i]->restore(body, filler, timeline_, deadline); });
  for (Result<>& outcome : outcomes) GODWIT_TRY(std::move(outcome));
  return filler.writer.check_complete();
}

// GO. The thaw is what cannot be taken back: what comes after it may only warn. Packets may leave before it, because
// what a thawed task sends into a closed gate is lost, and sent again by TCP a second later. Until packets that arrive
// are let in, nothing can leave that the source's copy would not send as well.
Result<> DestinationWorker::resume() {
  GODWIT_TRY(pager_->tasks_resume());
  // Of these the peers hear from the source. In one segment it must not speak for the address any more: they hear from
  // here.
  const bool silently = reconnects_ || routes_;
  if (silently) end_connections();
  if (loopback_) GODWIT_TRY(loopback_->open_again());
  GODWIT_TRY(gate_->open_outgoing());
  if (!silently) end_connections();
  const auto sent_before = network::sent_packets(containers_.front()->restored().init_pid);
  {
    const TimedStep step(timeline_, "thaw");
    GODWIT_TRY(thaw_all());
  }
  for (const auto& container : containers_) container->release();
  const auto released = parking_->release();
  resumed_ms_ = elapsed_ms(timeline_.zero());
  const auto announced = announcer_->send();
  if (!released) log_error("packets that waited are lost: {}", released.error().message);
  if (!announced) log_warning("{}", announced.error().message);
  if (released) log_info("running; {} packets had been parked", *released);
  wait_for_answer(released.value_or(0), sent_before);
  // Last: that memory is complete means nothing to the machine before this has ended.
  completion_ = std::thread([this] { complete_memory(); });
  return {};
}

// What clients wait for is an answer, which programs take their time for. What was asked before the address was taken
// is in the container's sockets: then it answers soon. Nothing waits for this but the source's word that the container
// runs here.
void DestinationWorker::wait_for_answer(uint64_t parked, const Result<uint64_t>& sent_before) {
  if (reconnects_ || !sent_before) return;
  const Deadline deadline = Deadline::after(parked > 0 ? answer_time : soon_time);
  for (bool last = false; !last;) {
    last = deadline.expired();  // it may have been this thread that came late
    const auto sent = network::sent_packets(containers_.front()->restored().init_pid);
    if (!sent) return;
    if (*sent > *sent_before) {
      answered_ms_ = elapsed_ms(timeline_.zero());
      return;
    }
    if (!last) std::this_thread::sleep_for(answer_poll_interval);
  }
}

// The first one's thaw decides for all.
Result<> DestinationWorker::thaw_all() {
  const os::CgroupFreezer& first = containers_.front()->restored().freezer;
  if (auto thawed = first.thaw(Deadline::after(step_time)); !thawed) {
    // They are only given back if it is certain that nothing runs.
    const auto state = first.begin_freeze() ? first.state() : os::CgroupFreezer::State::thawed;
    if (state && *state == os::CgroupFreezer::State::frozen) {
      GODWIT_TRY(gate_->close_outgoing());
      return thawed;
    }
    log_error("{}", thawed.error().message);
  }
  for (size_t i = 1; i < containers_.size(); ++i) {
    const auto thawed = containers_[i]->restored().freezer.thaw(Deadline::after(step_time));
    if (!thawed) log_error("{}", thawed.error().message);
  }
  return {};
}

void DestinationWorker::end_all() {
  for (const RecordedContainer& container : record_.containers) {
    if (container.init_pid <= 0 || ::kill(container.init_pid, SIGKILL) == 0) continue;
    log_warning("kill {}: {}", container.init_pid, std::strerror(errno));
  }
}

// After the thaw, beside the machine: nothing here is in the pause.
void DestinationWorker::complete_memory() {
  settle_address();
  if (reconnects_) {
    const auto returned =
        network::return_addresses(record_.netns_path, containers_.front()->place().description().interface);
    if (!returned) log_warning("{}", returned.error().message);
  }
  for (const auto& container : containers_) {
    if (auto done = container->finish(Deadline::after(step_time)); !done) log_error("{}", done.error().message);
  }
  auto placed = pager_->wait_done(Deadline::after(complete_time));
  if (!placed) {
    // Its missing pages will never come. While the pager lives it waits for them; after that it would find zeros.
    log_error("container '{}' is ended: {}", record_.container, placed.error().message);
    completion_error_ = "its memory could not be completed: " + placed.error().message;
    end_all();
  } else {
    log_info("memory complete: {} pages pushed, {} by {} faults (p99 {} us), {:.3f} s", placed->pushed_pages,
             placed->faulted_pages, placed->faults, placed->fault_us_p99, placed->seconds);
  }
  stop_receiving();
  lanes_.reset();
  pager_.reset();
  store_.reset();
  put_back(std::exchange(record_.lifted_limits, {}));
  record_.memory_complete = true;
  if (auto written = session_.write_record(to_json(record_)); !written) log_error("{}", written.error().message);
  if (auto removed = parking_->remove_rule(); !removed) log_warning("{}", removed.error().message);
  parking_.reset();
  for (const auto& container : containers_) {
    if (auto unmounted = container->unmount_tmpfs(); !unmounted) log_warning("{}", unmounted.error().message);
  }
  if (auto announced = announcer_->send(); !announced) log_warning("{}", announced.error().message);
  mailbox_.post({.kind = Kind::pages_placed, .epoch = 0, .reason = ""});
}

// Not a packet may come from what is ended here: its gate has been closed since it was made.
Result<> DestinationWorker::discard() {
  for (const auto& container : containers_) {
    if (container) GODWIT_TRY(container->discard(Deadline::after(step_time)));
  }
  put_back(std::exchange(record_.lifted_limits, {}));
  lanes_.reset();
  pager_.reset();
  parking_.reset();
  store_.reset();
  if (routes_) {
    // The cable may be gone already, and its route with it.
    if (auto back = routes_->lead_back(); !back) log_info("{}", back.error().message);
  }
  for (const auto& container : containers_) {
    if (container) GODWIT_TRY(container->remove_place());
  }
  return {};
}

// The same for what a dead worker left: only names are known.
Result<> DestinationWorker::discard_recorded() {
  if (record_.container.empty()) return {};
  UniqueFd lock;
  if (!record_.in_pod) {
    auto locked = lock_container(record_.container, Deadline::after(milliseconds(0)));
    // Another session brings a container of that name here: it has removed what was left.
    if (!locked && locked.error().code == EWOULDBLOCK) return {};
    if (!locked) return std::unexpected(std::move(locked.error()));
    lock = std::move(*locked);
  }
  // The dead worker's runc is still clearing up after itself, or has not even noticed.
  for (size_t i = 0; i < record_.containers.size(); ++i) {
    GODWIT_TRY(criu::wait_until_restore_ended(session_.member_path(i, "work"), Deadline::after(step_time)));
  }
  // Not a packet of what is ended: the worker may have died between the opening of its gate and the thaw.
  if (!record_.interface.empty() && os::exists(record_.netns_path)) {
    if (auto gate = network::Gate::open(record_.netns_path, record_.interface)) GODWIT_TRY(gate->close_outgoing());
  }
  return discard_containers_recorded();
}

// One that was being restored when its worker died is not in the record as restored yet, but runc may know it.
Result<> DestinationWorker::discard_containers_recorded() {
  put_back(record_.lifted_limits);
  for (size_t i = 0; i < record_.containers.size(); ++i) {
    const std::string& name = record_.containers[i].name;
    if (name.empty()) continue;
    GODWIT_TRY(end_by_name(config_, name));
    GODWIT_TRY(record_.in_pod ? PodPlace::remove_recorded(session_.member_path(i))
                              : remove_container_place(config_, name));
  }
  return {};
}

// Of containers that were told to run, by a worker that died then. One that is gone has run and ended: a refusal is
// recorded before anything is removed.
DestinationWorker::Kind DestinationWorker::find_what_is_left() {
  std::vector<os::CgroupFreezer> there;
  bool all_held = true;
  for (const RecordedContainer& container : record_.containers) {
    auto freezer = os::CgroupFreezer::at(container.freezer_directory);
    const auto state = freezer ? freezer->state() : std::unexpected(freezer.error());
    all_held = all_held && state && *state != os::CgroupFreezer::State::thawed;
    if (state) there.push_back(std::move(*freezer));
  }
  if (all_held) return Kind::restarted_held;
  put_back(record_.lifted_limits);
  settle_address();
  if (there.empty()) return Kind::restarted_running;
  if (record_.memory_complete) {
    network::Parking::remove_left_rule(record_.netns_path, record_.interface);
    return Kind::restarted_running;
  }
  // Their missing pages died with the worker: they must not run on with zeros in their place.
  log_error("container '{}' is ended: the rest of its memory was lost with the worker", record_.container);
  for (const RecordedContainer& container : record_.containers) {
    const auto freezer = os::CgroupFreezer::at(container.freezer_directory);
    if (!freezer) continue;
    if (auto removed = remove_container(config_, container.name, *freezer, container.init_pid); !removed) {
      log_error("{}", removed.error().message);
    }
  }
  state_->reason = "the worker died before all memory was in place, and the container with it";
  return Kind::restarted_running;
}

}  // namespace godwit::agent
