// What a source does for its machine: the longer effects of SourceWorker.
#include <fcntl.h>

#include <algorithm>
#include <future>

#include "agent/json_fields.h"
#include "agent/peer_address.h"
#include "agent/source_worker.h"
#include "agent/standard_streams.h"
#include "base/log.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using migration::MessageKind;
using nlohmann::json;

constexpr auto step_time = std::chrono::seconds(10);
constexpr auto query_time = std::chrono::milliseconds(1200);
// Until a container that has just arrived has all its memory, the session that brought it keeps its name.
constexpr auto lock_time = std::chrono::seconds(10);
// How long the file copy may be quiet: between two passes are rounds of memory. That the peer lives is the link's to
// know, which stops the copy.
constexpr auto quiet_max = std::chrono::hours(1);

}  // namespace

// Looks at the container, records what a recovery needs, and has the destination make a place for it.
Result<> SourceWorker::prepare() {
  GODWIT_ASSIGN(container_lock_, lock_container(request_.container, Deadline::after(lock_time)));
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  GODWIT_ASSIGN(const transfer::PeerAddress peer, parse_peer_address(request_.to));
  GODWIT_ASSIGN(SourceContainer container, inspect_container(config_, request_.container));
  container_.emplace(std::move(container));
  for (const std::string& note : container_->notes) events_->note(note);
  GODWIT_ASSIGN(criu::CriuProgram criu, criu::CriuProgram::find(deadline));
  criu_.emplace(std::move(criu));
  GODWIT_TRY(criu_->warm_up(deadline));

  record_ = {.given_away = false,
             .epoch = 0,
             .container = request_.container,
             .init_pid = container_->init_pid,
             .freezer_directory = container_->freezer.directory(),
             .interface = container_->description.interface,
             .peer_address = request_.to,
             .peer_name = expected_node(peer, request_.to_name),
             .peer_memory_id = ""};
  GODWIT_ASSIGN(SourceHold hold, SourceHold::open(record_));
  hold_.emplace(std::move(hold));

  auto stream = transfer::connect_peer(peer, {.session = session_.id(), .role = transfer::Role::control}, identity,
                                       record_.peer_name, deadline);
  if (!stream) return std::unexpected(std::move(stream.error()).context("destination " + request_.to));
  GODWIT_TRY(session_.write_record(to_json(record_)));
  link_ = PeerLink::start(
      std::move(*stream),
      {.message = [this](const PeerMessage& message) { on_message(message); },
       .note = {},
       .lost =
           [this](const std::string& reason) {
             mailbox_.post({.kind = Kind::peer_lost, .reason = "the connection to the destination broke: " + reason});
           }});
  json body = {{"container", to_json(container_->description)}, {"from", config_.node_name}};
  GODWIT_ASSIGN(body["stdio"], standard_streams(container_->init_pid, container_->freezer.directory()));
  if (request_.options.page_store_bytes) body["page_store_bytes"] = *request_.options.page_store_bytes;
  link_->send({.message = {.kind = MessageKind::prepare, .epoch = 0}, .body = std::move(body)});
  return {};
}

// The page lanes and the file copy have connections of their own.
Result<> SourceWorker::connect_copy() {
  if (copy_) return {};
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_TRY(session_.write_record(to_json(record_)));  // the destination's memory id is known now
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  GODWIT_ASSIGN(const transfer::PeerAddress peer, parse_peer_address(request_.to));
  std::vector<std::unique_ptr<transfer::TlsStream>> lanes;
  for (uint64_t i = 0; i < request_.options.lanes.value_or(lanes_default); ++i) {
    GODWIT_ASSIGN(auto lane, transfer::connect_peer(peer, {.session = session_.id(), .role = transfer::Role::lane},
                                                    identity, record_.peer_name, deadline));
    lanes.push_back(std::move(lane));
  }
  GODWIT_ASSIGN(auto files, transfer::connect_peer(peer, {.session = session_.id(), .role = transfer::Role::files},
                                                   identity, record_.peer_name, deadline));
  files->set_idle_timeout(quiet_max);
  auto sink = std::make_unique<LaneSink>(std::move(lanes), request_.options.bandwidth_bytes_per_s, *link_);
  GODWIT_ASSIGN(copy_, SourceCopy::open(*container_, request_.options, std::move(sink), std::move(files), *events_));
  return {};
}

Result<> SourceWorker::copy() {
  GODWIT_TRY(connect_copy());
  GODWIT_TRY(copy_->precopy(copy_deadline_));
  copy_totals_ = copy_->totals();
  // Made anew for each attempt, and before the freeze.
  GODWIT_TRY(os::remove_tree(session_.path("images")));
  GODWIT_TRY(os::make_directories(session_.path("images")));
  GODWIT_ASSIGN(criu::Dump dump, criu::Dump::prepare(*criu_, container_->init_pid, session_.path("images"),
                                                     session_.path("work"), Deadline::after(step_time)));
  dump_.emplace(std::move(dump));
  return {};
}

// criu needs to know which shared memory is ours, so it begins when the last scan has ended; what that found is still
// being sent meanwhile.
Result<> SourceWorker::dump() {
  const Deadline deadline = Deadline::after(step_time);
  GODWIT_TRY(hold_->cut_off());
  std::promise<std::vector<criu::SharedObjectId>> scanned;
  std::future<std::vector<criu::SharedObjectId>> shared = scanned.get_future();
  Result<> copied;
  std::thread copying([&] {
    bool told = false;
    copied = copy_->final_copy(timeline_, deadline, [&](std::vector<criu::SharedObjectId> objects) {
      scanned.set_value(std::move(objects));
      told = true;
    });
    if (!told) scanned.set_value({});
  });
  const auto dump_metadata = [&]() -> Result<> {
    const criu::DumpRequest request{
        .mounts = container_->mounts, .copied_objects = shared.get(), .smaps = &copy_->smaps()};
    const auto began = Clock::now();
    Result<> sent;
    GODWIT_ASSIGN(const criu::DumpReport report, dump_->run(request, hold_->freezer(), deadline, [&] {
      timeline_.add("checkpoint", began);
      const TimedStep step(timeline_, "send checkpoint");
      sent = link_->send_images(session_.path("images"));
    }));
    log_info("dump: seized {:.1f} ms, written {:.1f} ms, done {:.1f} ms, {} bytes", report.seized_ms, report.written_ms,
             report.done_ms, report.image_bytes);
    return sent;
  };
  auto dumped = dump_metadata();
  if (!dumped && !criu::retryable(dumped.error())) copy_->stop();
  copying.join();
  GODWIT_TRY(dumped);
  return copied;
}

// Asks the destination, on a new connection, what became of a container that was given away.
Result<> SourceWorker::query() {
  const Deadline deadline = Deadline::after(query_time);
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  GODWIT_ASSIGN(const transfer::PeerAddress peer, parse_peer_address(record_.peer_address));
  GODWIT_ASSIGN(auto stream, transfer::connect_peer(peer, {.session = session_.id(), .role = transfer::Role::query},
                                                    identity, record_.peer_name, deadline));
  GODWIT_ASSIGN(
      const PeerMessage answer,
      exchange(*stream, {.message = {.kind = MessageKind::query, .epoch = state_.epoch}, .body = {}}, deadline));
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

}  // namespace godwit::agent
