#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "agent/peer_link.h"
#include "base/deadline.h"
#include "base/result.h"
#include "memory/run_sink.h"
#include "transfer/lane_sender.h"
#include "transfer/page_source.h"

namespace godwit::agent {

// Sends what the scanner names over the page lanes: which process a page is read from, where a round ends, and what the
// destination has to forget. The scanning thread calls the RunSink part; stop() and the counters are for any thread.
class LaneSink final : public memory::RunSink {
 public:
  // One stream a lane. `link` is told of rounds and of processes that ended; it must outlive the sink.
  LaneSink(std::vector<std::unique_ptr<transfer::TlsStream>> lanes, std::optional<uint64_t> bandwidth_bytes_per_s,
           PeerLink& link);

  // A final round's pages must all be readable, and no bandwidth limit holds: the container is frozen.
  Result<> begin_round(uint64_t round, bool final = false);
  // Returns when the destination has everything of the round.
  Result<> end_round(Deadline deadline);
  void stop() { sender_.abort(); }

  [[nodiscard]] uint64_t wire_bytes() const { return sender_.statistics().wire_bytes; }
  [[nodiscard]] uint64_t submitted_bytes_in_round() const { return submitted_bytes_; }
  [[nodiscard]] uint64_t sent_bytes_in_round() const {
    return sender_.statistics().memory_bytes - sent_before_round_bytes_;
  }

  Result<> add_process(const memory::ProcessIdentity& process) override;
  Result<> add_shared(const memory::SharedIdentity& object) override;
  Result<> submit(const memory::ProcessIdentity& process, const memory::Run& run) override;
  Result<> submit_shared(const memory::SharedIdentity& object, uint64_t offset,
                         std::span<const std::byte> data) override;
  Result<> submit_shared_absent(const memory::SharedIdentity& object, uint64_t offset, uint64_t pages) override;
  Result<> drop_process(const memory::ProcessIdentity& process) override;
  Result<> drop_shared(const memory::SharedIdentity& object) override;

 private:
  PeerLink& link_;
  const uint64_t bandwidth_bytes_per_s_;  // 0: no limit
  bool final_ = false;
  std::vector<uint32_t> ended_;                                        // processes and objects that ended in this round
  std::map<uint32_t, std::unique_ptr<transfer::PageSource>> sources_;  // by process
  std::atomic<uint64_t> submitted_bytes_ = 0;
  std::atomic<uint64_t> sent_before_round_bytes_ = 0;
  transfer::LaneSender sender_;  // last: its lanes read from sources_
};

}  // namespace godwit::agent
