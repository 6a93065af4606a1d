// What a source does for its machine: the longer effects of SourceWorker.
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "agent/at_the_same_time.h"
#include "agent/json_fields.h"
#include "agent/network_volumes.h"
#include "agent/peer_address.h"
#include "agent/pod_container.h"
#include "agent/pod_sharing.h"
#include "agent/preflight.h"
#include "agent/source_worker.h"
#include "agent/standard_streams.h"
#include "agent/volume_versions.h"
#include "base/log.h"
#include "network/address_book.h"
#include "network/packet_rules.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using migration::MessageKind;
using nlohmann::json;

constexpr auto step_time = std::chrono::seconds(10);
constexpr auto criu_time = std::chrono::seconds(5);
constexpr auto query_time = std::chrono::milliseconds(1200);
// Until a container that has just arrived has all its memory, the session that brought it keeps its name.
constexpr auto lock_time = std::chrono::seconds(10);
// What kubelets give a probe by default, and more.
constexpr auto visit_time = std::chrono::seconds(5);
constexpr auto visit_poll_interval = std::chrono::milliseconds(20);
// Of the container, at the destination, for what was asked while it was frozen.
constexpr auto answering_time = std::chrono::milliseconds(150);
// How long the file copy may be quiet: between two passes are rounds of memory. That the peer lives is the link's to
// know, which stops the copy.
constexpr auto quiet_max = std::chrono::hours(1);

// The one that was asked for is the first.
std::vector<std::string> containers_of(const MigrateRequest& request) {
  std::vector<std::string> names{request.container};
  names.insert(names.end(), request.companions.begin(), request.companions.end());
  return names;
}

// A probe, or a command that somebody runs in it, may be about to end.
Result<SourceContainer> inspect_unvisited(const AgentConfig& config, const std::string& name) {
  auto container = inspect_container(config, name);
  for (const Deadline visit = Deadline::after(visit_time); !container && !visit.expired();) {
    if (container.error().code != EAGAIN) break;  // source_container.h
    std::this_thread::sleep_for(visit_poll_interval);
    container = inspect_container(config, name);
  }
  return container;
}

}  // namespace

// Before the freeze: a container that has used up its time would first have to wait for more before it can stop.
void SourceWorker::lift_limits() {
  for (const RecordedContainer& container : record_.containers) {
    const auto lifted = lift_cpu_limits(container.init_pid, !record_.sandbox.empty(), record_.lifted_limits,
                                        [this] { return session_.write_record(to_json(record_)); });
    if (!lifted) log_warning("{}", lifted.error().message);
  }
}

Result<> SourceWorker::put_back_limits() {
  if (record_.lifted_limits.empty()) return {};
  put_back(std::exchange(record_.lifted_limits, {}));
  return session_.write_record(to_json(record_));
}

// Looks at the container, records what a recovery needs, and has the destination make a place for it.
Result<> SourceWorker::prepare() {
  GODWIT_TRY(lock_containers());
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  GODWIT_ASSIGN(const transfer::PeerAddress peer, parse_peer_address(request_.to));
  GODWIT_TRY(inspect_containers());
  GODWIT_ASSIGN(criu::CriuProgram criu, criu::CriuProgram::find(deadline));
  criu_.emplace(std::move(criu));
  GODWIT_TRY(criu_->warm_up(deadline));

  const ContainerDescription& first = containers_.front().description;
  record_ = {.given_away = false,
             .epoch = 0,
             .containers = {},
             .sandbox = sandbox_of(first.config),
             .interface = first.interface,
             .keeps_tcp = request_.options.keep_tcp,
             .routed = !sandbox_of(first.config).empty() && first.interface.bridge.empty(),
             .peer_address = request_.to,
             .peer_name = expected_node(peer, request_.to_name),
             .peer_session = request_.to_session.empty() ? session_.id() : request_.to_session,
             .peer_memory_id = ""};
  for (const SourceContainer& container : containers_) {
    record_.containers.push_back({.name = container.description.name,
                                  .init_pid = container.init_pid,
                                  .freezer_directory = container.freezer.directory()});
  }
  GODWIT_TRY(plan_network(peer.address));
  GODWIT_ASSIGN(SourceHold hold, SourceHold::open(record_));
  hold_.emplace(std::move(hold));

  auto stream = transfer::connect_peer(peer, {.session = record_.peer_session, .role = transfer::Role::control},
                                       identity, record_.peer_name, deadline);
  if (!stream) return std::unexpected(std::move(stream.error()).context("destination " + request_.to));
  GODWIT_TRY(session_.write_record(to_json(record_)));
  if (!record_.sandbox.empty() && network_ != NetworkMode::reconnect) {
    GODWIT_TRY(network::keep_address(record_.sandbox, record_.interface.addresses));
  }
  link_ = PeerLink::start(
      std::move(*stream),
      {.message = [this](const PeerMessage& message) { on_message(message); },
       .note = {},
       .lost =
           [this](const std::string& reason) {
             mailbox_.post({.kind = Kind::peer_lost,
                            .reason = fmt::format("the connection to the destination, {}, broke: {}",
                                                  request_.to_name.empty() ? request_.to : request_.to_name, reason)});
           }});
  return send_prepare();
}

Result<> SourceWorker::lock_containers() {
  const Deadline deadline = Deadline::after(lock_time);
  for (const std::string& name : containers_of(request_)) {
    GODWIT_ASSIGN(UniqueFd lock, lock_container(name, deadline));
    container_locks_.push_back(std::move(lock));
  }
  return {};
}

Result<> SourceWorker::inspect_containers() {
  for (const std::string& name : containers_of(request_)) {
    GODWIT_ASSIGN(SourceContainer container, inspect_unvisited(config_, name));
    for (const std::string& note : container.notes) events_->note(note);
    containers_.push_back(std::move(container));
  }
  const std::string sandbox = sandbox_of(containers_.front().description.config);
  for (const SourceContainer& container : containers_) {
    if (containers_.size() == 1 || (!sandbox.empty() && sandbox_of(container.description.config) == sandbox)) continue;
    return fail("containers {} and {} are not of one pod", request_.container, container.description.name);
  }
  return containers_.size() == 1 ? Result<>{} : check_no_ipc_objects(containers_.front().init_pid);
}

Result<> SourceWorker::send_prepare() {
  json body = {
      {"from", config_.node_name}, {"network", network_mode_name(network_)}, {"keep_tcp", request_.options.keep_tcp}};
  for (const SourceContainer& container : containers_) {
    json part = {{"container", to_json(container.description)}};
    GODWIT_ASSIGN(part["stdio"], standard_streams(container.init_pid, container.freezer.directory()));
    if (&container == &containers_.front()) {
      body.update(part);
    } else {
      body["companions"].push_back(std::move(part));
    }
  }
  GODWIT_ASSIGN(const network::PacketRules rules, network::read_packet_rules(containers_.front().init_pid));
  body["packet_rules"] = rules;
  if (!rules.empty()) {
    const auto tracked = network::read_translated(containers_.front().netns_path());
    follows_translations_ = tracked.has_value();
    if (!tracked) events_->note("connections that the pod's own rules translate may break: " + tracked.error().message);
  }
  if (request_.options.page_store_bytes) body["page_store_bytes"] = *request_.options.page_store_bytes;
  link_->send({.message = {.kind = MessageKind::prepare, .epoch = 0}, .body = std::move(body)});
  return {};
}

// Whether the address can go along, as far as this node knows; the destination has the last word.
Result<> SourceWorker::plan_network(const std::string& destination) {
  network_ = request_.options.network;
  if (!record_.routed || network_ == NetworkMode::reconnect) return {};
  // On one and the same node there is no way to change: its route changes when the destination takes the address.
  if (record_.peer_name == config_.node_name) return {};
  const std::vector<std::string> nodes =
      request_.to_addresses.empty() ? std::vector{destination} : request_.to_addresses;
  auto away = network::routes_to(record_.interface.addresses, nodes);
  if (away) {
    away_ = std::move(*away);
    return {};
  }
  const bool cannot_be = away.error().code == EHOSTUNREACH;
  if (!cannot_be || network_ == NetworkMode::preserve) return std::unexpected(std::move(away.error()));
  events_->note("the address cannot be kept: " + away.error().message);
  network_ = NetworkMode::reconnect;
  return {};
}

// The page lanes and the file copy have connections of their own.
Result<> SourceWorker::connect_copy() {
  if (copy_) return {};
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_TRY(session_.write_record(to_json(record_)));  // the destination's memory id is known now
  if (record_.reconnects) {
    // It may be given to another pod as soon as this one has left.
    if (!record_.sandbox.empty()) GODWIT_TRY(network::keep_no_longer(record_.sandbox));
    events_->note("the pod gets a new address at the destination, and its connections are ended");
  }
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  GODWIT_ASSIGN(const transfer::PeerAddress peer, parse_peer_address(request_.to));
  std::vector<std::unique_ptr<transfer::TlsStream>> lanes;
  for (uint64_t i = 0; i < request_.options.lanes.value_or(lanes_default); ++i) {
    GODWIT_ASSIGN(auto lane,
                  transfer::connect_peer(peer, {.session = record_.peer_session, .role = transfer::Role::lane},
                                         identity, record_.peer_name, deadline));
    lanes.push_back(std::move(lane));
  }
  GODWIT_ASSIGN(auto files,
                transfer::connect_peer(peer, {.session = record_.peer_session, .role = transfer::Role::files}, identity,
                                       record_.peer_name, deadline));
  files->set_idle_timeout(quiet_max);
  auto sink = std::make_unique<LaneSink>(std::move(lanes), request_.options.bandwidth_bytes_per_s, *link_);
  GODWIT_ASSIGN(copy_, SourceCopy::open(containers_, round_options_, std::move(sink), std::move(files), *events_));
  return {};
}

Result<> SourceWorker::copy() {
  GODWIT_TRY(connect_copy());
  GODWIT_TRY(copy_->precopy(copy_deadline_));
  copy_totals_ = copy_->totals();
  return prepare_dumps();
}

// In a recovery: a criu that was asked to dump by a worker that is dead notices that, and lets go of what it holds.
void SourceWorker::wait_for_dumps() const {
  for (size_t i = 0; i < record_.containers.size(); ++i) {
    const auto ended = criu::wait_until_dump_ended(session_.member_path(i, "work"), Deadline::after(criu_time));
    if (!ended) log_warning("the dead worker's criu: {}", ended.error().message);
  }
}

// Made anew for each attempt, and before the freeze.
Result<> SourceWorker::prepare_dumps() {
  dumps_.clear();
  for (size_t i = 0; i < containers_.size(); ++i) {
    GODWIT_TRY(os::remove_tree(session_.member_path(i, "images")));
    GODWIT_TRY(session_.make_member(i));
    const pid_t init_pid = containers_[i].init_pid;
    std::vector<std::string> foreign;
    if (containers_.size() > 1) foreign = shared_namespaces(init_pid);
    GODWIT_ASSIGN(criu::Dump dump,
                  criu::Dump::prepare(*criu_, init_pid, session_.member_path(i, "images"),
                                      session_.member_path(i, "work"), Deadline::after(step_time), foreign));
    dumps_.push_back(std::move(dump));
  }
  return {};
}

Result<> SourceWorker::dump() {
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_TRY(hold_->cut_off(record_.reconnects ? std::vector<network::HostRoute>() : away_));
  GODWIT_TRY(hold_->check_frozen());
  GODWIT_TRY(settle_tcp());
  if (follows_translations_) {
    GODWIT_ASSIGN(translated_, network::read_translated(containers_.front().netns_path()));
  }
  if (containers_.size() > 1) GODWIT_TRY(check_no_ipc_objects(containers_.front().init_pid));
  for (const SourceContainer& container : containers_) GODWIT_TRY(check_no_message_queues(container.init_pid));
  const std::vector<NetworkVolume> volumes = network_volumes(containers_);
  if (volumes.empty()) return dump_and_copy(deadline);
  Result<> written;
  std::thread writing([&] {
    const TimedStep step(timeline_, "write out volumes");
    written = write_out(volumes, deadline);
  });
  auto dumped = dump_and_copy(deadline);
  writing.join();
  GODWIT_TRY(dumped);
  return written;
}

// criu stops and inspects the processes while the last scan still looks for what changed, and goes on when that has
// ended; what was found is still being sent meanwhile.
Result<> SourceWorker::dump_and_copy(Deadline deadline) {
  Result<> copied;
  std::atomic<bool> scan_failed = false;
  std::thread copying([&] {
    bool scanned = false;
    copied = copy_->final_copy(timeline_, deadline, [&](const std::vector<criu::SharedObjectId>& objects) -> Result<> {
      scanned = true;
      for (criu::Dump& dump : dumps_) GODWIT_TRY(dump.scanned(objects));
      return {};
    });
    if (scanned) return;
    scan_failed = true;
    for (criu::Dump& dump : dumps_) dump.not_scanned();
  });
  auto dumped = dump_all(deadline);
  const bool scan_failed_first = scan_failed;
  if (!dumped && !criu::retryable(dumped.error())) copy_->stop();
  copying.join();
  if (scan_failed_first) return copied;
  GODWIT_TRY(dumped);
  return copied;
}

// The operator may have thought better of it since the session began.
Result<> SourceWorker::settle_tcp() {
  const bool keep = round_options_.get().keep_tcp;
  if (std::exchange(record_.keeps_tcp, keep) == keep) return {};
  return session_.write_record(to_json(record_));
}

json SourceWorker::describe_restore() const {
  json body = copy_->final_description();
  body["keep_tcp"] = record_.keeps_tcp;
  body["translated"] = network::to_json(translated_);
  body["versions"] = json::array();
  for (size_t i = 0; i < containers_.size(); ++i) {
    const auto member = static_cast<uint32_t>(i);
    for (const VolumeVersion& version :
         volume_versions(containers_[i].description.config, containers_[i].description.pod_mounts,
                         containers_[i].init_pid, member)) {
      body["versions"].push_back(
          {{"member", version.member}, {"destination", version.destination}, {"name", version.name}});
    }
  }
  return body;
}

// Several containers at the same time, each by a criu of its own. The first failure is told; a passing one only if
// nothing else failed, because that would fail again.
Result<> SourceWorker::dump_all(Deadline deadline) {
  const auto outcomes =
      at_the_same_time(containers_.size(), [&](size_t member) { return dump_metadata(member, deadline); });
  return *std::ranges::min_element(outcomes, {}, [](const Result<>& outcome) {
    return outcome ? 2 : criu::retryable(outcome.error()) ? 1 : 0;
  });
}

Result<> SourceWorker::dump_metadata(size_t member, Deadline deadline) {
  const auto began = Clock::now();
  Result<> sent;
  GODWIT_ASSIGN(const criu::DumpReport report,
                dumps_[member].run({.mounts = containers_[member].mounts,
                                    .smaps = &copy_->smaps(),
                                    // Those that are kept no longer may as well be left out.
                                    .skip_half_open_tcp = record_.reconnects || !record_.keeps_tcp},
                                   containers_[member].freezer, deadline, [&] {
                                     timeline_.add("checkpoint", began);
                                     const TimedStep step(timeline_, "send checkpoint");
                                     sent = link_->send_images(session_.member_path(member, "images"),
                                                               member_image_prefix(member));
                                   }));
  log_info("dump: seized {:.1f} ms, written {:.1f} ms, done {:.1f} ms, {} bytes", report.seized_ms, report.written_ms,
           report.done_ms, report.image_bytes);
  return sent;
}

// Asks the destination, on a new connection, what became of a container that was given away.
Result<> SourceWorker::query(uint32_t epoch) {
  const Deadline deadline = Deadline::after(query_time);
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  GODWIT_ASSIGN(const transfer::PeerAddress peer, parse_peer_address(record_.peer_address));
  GODWIT_ASSIGN(auto stream,
                transfer::connect_peer(peer, {.session = record_.peer_session, .role = transfer::Role::query}, identity,
                                       record_.peer_name, deadline));
  GODWIT_ASSIGN(const PeerMessage answer,
                exchange(*stream, {.message = {.kind = MessageKind::query, .epoch = epoch}, .body = {}}, deadline));
  const MessageKind kind = answer.message.kind;
  if (kind != MessageKind::refused && kind != MessageKind::running) return {};  // it cannot say yet
  const std::string memory = optional_text(answer.body, "memory_id");
  if (memory.empty()) return fail("the destination does not say which memory it answers from");
  if (kind == MessageKind::refused && memory != record_.peer_memory_id) {
    mailbox_.post({.kind = Kind::peer_rebooted, .reason = ""});
    return {};
  }
  on_message(answer);
  return {};
}

// It runs at the destination. To stop tracking the copy's memory, and to end it, is to walk all of its page tables:
// work that waits until the clients have their answers, since it may need the same processors.
Result<> SourceWorker::end_copy() {
  if (hold_) hold_->let_pass();
  // Where connections end nobody waits for an answer, but to hear of it.
  const bool answers = record_.keeps_tcp && !record_.reconnects;
  const bool kubelet_ends_it = !record_.sandbox.empty();
  if (!answers) forget_copy();
  if (kubelet_ends_it) {
    GODWIT_TRY(leave_to_kubelet(record_));
    // In one segment the destination speaks for the address.
    const bool tells = record_.reconnects || (record_.routed && !record_.keeps_tcp);
    if (tells && hold_) hold_->part_from_peers(/*same_address=*/!record_.reconnects);
  }
  if (copy_) std::this_thread::sleep_for(answering_time);
  forget_copy();
  if (kubelet_ends_it) return end_wanted_copies(record_);
  return hold_ ? hold_->end(config_) : remove_ended_containers(config_, record_);
}

}  // namespace godwit::agent
