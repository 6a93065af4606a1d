// The agent's own code, from the first round of the pre-copy to the page store, put together as a session does.
#include <vector>

#include "agent/lane_sink.h"
#include "agent/peer_link.h"
#include "bench/page_path/contents.h"
#include "bench/page_path/transfer.h"
#include "memory/page_store.h"
#include "memory/precopy.h"
#include "os/fd_passing.h"
#include "os/pagemap.h"
#include "transfer/lane_receiver.h"
#include "transfer/tcp.h"

namespace godwit::bench {
namespace {

using transfer::TlsStream;

// The workload is the only process of its cgroup, thus the first that the pre-copy finds.
constexpr uint32_t workload_index = 0;

Deadline limit() {
  return Deadline::after(transfer_time_max);
}

Result<std::unique_ptr<TlsStream>> accept_stream(transfer::Listener& listener, const transfer::TlsIdentity& identity) {
  GODWIT_ASSIGN(transfer::Connection connection, listener.accept(limit()));
  return TlsStream::accept(std::move(connection.socket), identity, limit());
}

Result<std::unique_ptr<TlsStream>> connect_stream(uint16_t port, const transfer::TlsIdentity& identity) {
  GODWIT_ASSIGN(UniqueFd socket, transfer::connect_tcp("127.0.0.1", port, limit()));
  return TlsStream::connect(std::move(socket), identity, "", limit());
}

Result<> compare_store(const memory::PageStore& store, const Workload& workload) {
  const std::vector<std::byte> zeros(size_t{2} << 20);  // a stored run is no longer
  const uint64_t end = workload.address() + workload.bytes();
  for (uint64_t at = workload.address(); at < end;) {
    const memory::StoredRun run = store.next_run(workload_index, at, end);
    if (run.pages == 0 || run.address != at) return fail("page {:#x} is not in the store", at);
    const size_t bytes = run.pages * os::page_bytes;
    GODWIT_TRY(compare_with(workload, at, {run.state == memory::PageState::data ? run.data : zeros.data(), bytes}));
    at += bytes;
  }
  return {};
}

Result<> receive(transfer::Listener& listener, const transfer::TlsIdentity& identity, size_t lanes,
                 const Workload& workload, int wake_fd, double& cpu_seconds) {
  GODWIT_ASSIGN(const std::unique_ptr<memory::PageStore> store, memory::PageStore::create({}));
  GODWIT_ASSIGN(auto control, accept_stream(listener, identity));
  const auto take_note = [&](const std::string& name, uint64_t value) {
    if (name == "round") store->begin_round(static_cast<uint32_t>(value));
  };
  const auto link = agent::PeerLink::start(
      std::move(control),
      {.message = [](const agent::PeerMessage&) {}, .note = take_note, .lost = [](const std::string&) {}});
  transfer::LaneReceiver receiver(*store, {});
  for (size_t i = 0; i < lanes; ++i) {
    GODWIT_ASSIGN(auto stream, accept_stream(listener, identity));
    GODWIT_TRY(receiver.add_lane(std::move(stream)));
  }
  const double cpu_before = process_cpu_seconds();
  GODWIT_TRY(os::wait_readable(wake_fd, limit()));
  cpu_seconds = process_cpu_seconds() - cpu_before;
  return compare_store(*store, workload);
}

}  // namespace

Result<Transfer> run_agent_path(const Workload& workload, const transfer::TlsIdentity& identity, size_t lanes) {
  GODWIT_ASSIGN(transfer::Listener listener, transfer::Listener::open("127.0.0.1", 0));
  Receiver receiver([&](int wake_fd, double& cpu_seconds) {
    return receive(listener, identity, lanes, workload, wake_fd, cpu_seconds);
  });
  GODWIT_ASSIGN(auto control, connect_stream(listener.port(), identity));
  const auto link = agent::PeerLink::start(
      std::move(control), {.message = [](const agent::PeerMessage&) {}, .note = {}, .lost = [](const std::string&) {}});
  std::vector<std::unique_ptr<TlsStream>> streams;
  for (size_t i = 0; i < lanes; ++i) {
    GODWIT_ASSIGN(auto stream, connect_stream(listener.port(), identity));
    streams.push_back(std::move(stream));
  }
  agent::LaneSink sink(std::move(streams), std::nullopt, *link);
  memory::PrecopySource precopy(workload.freezer(), {.tracker = memory::best_tracker(memory::probe_trackers())});

  const double cpu_before = process_cpu_seconds();
  const auto began = Clock::now();
  GODWIT_TRY(sink.begin_round(1));
  GODWIT_ASSIGN(const memory::RoundReport report, precopy.run_round(sink, limit()));
  GODWIT_TRY(sink.end_round(limit()));
  Transfer transfer{.seconds = elapsed_ms(began) / 1000,
                    .wire_bytes = sink.wire_bytes(),
                    .source_cpu_seconds = process_cpu_seconds() - cpu_before};
  for (const std::string& warning : report.warnings) return fail("{}", warning);
  GODWIT_ASSIGN(transfer.destination_cpu_seconds, receiver.finish());
  return transfer;
}

}  // namespace godwit::bench
