#include "agent/lane_sink.h"

#include "memory/page_sink.h"
#include "memory/page_store.h"

namespace godwit::agent {

LaneSink::LaneSink(std::vector<std::unique_ptr<transfer::TlsStream>> lanes,
                   std::optional<uint64_t> bandwidth_bytes_per_s, PeerLink& link)
    : link_(link),
      bandwidth_bytes_per_s_(bandwidth_bytes_per_s.value_or(0)),
      sender_(std::move(lanes), {.bandwidth_limit_bytes_per_s = bandwidth_bytes_per_s_}) {}

Result<> LaneSink::begin_round(uint64_t round, bool final) {
  final_ = final;
  sender_.set_bandwidth_limit(final ? 0 : bandwidth_bytes_per_s_);
  submitted_bytes_ = 0;
  sent_before_round_bytes_ = sender_.statistics().memory_bytes;
  return link_.send_note("round", round);
}

Result<> LaneSink::end_round(Deadline deadline) {
  GODWIT_TRY(sender_.barrier(deadline));
  // Only now no page of theirs can be read or arrive any more.
  for (const uint32_t ended : ended_) {
    GODWIT_TRY(link_.send_note("ended", ended));
    sources_.erase(ended);
  }
  ended_.clear();
  return {};
}

Result<> LaneSink::add_process(const memory::ProcessIdentity& process) {
  sources_[process.index] = std::make_unique<transfer::ProcessPageSource>(process.pid);
  return {};
}

Result<> LaneSink::add_shared(const memory::SharedIdentity&) {
  return {};
}

Result<> LaneSink::submit(const memory::ProcessIdentity& process, const memory::Run& run) {
  if (run.kind == memory::RunKind::absent) return sender_.submit_drop(process.index, run.address, run.pages);
  const auto source = sources_.find(process.index);
  if (source == sources_.end()) return fail("pages of process {}, which was not announced", process.index);
  submitted_bytes_ += run.pages * memory::page_size_bytes;
  return sender_.submit({.source = source->second.get(),
                         .process = process.index,
                         .address = run.address,
                         .pages = run.pages,
                         .required = final_});
}

Result<> LaneSink::submit_shared(const memory::SharedIdentity& object, uint64_t offset,
                                 std::span<const std::byte> data) {
  submitted_bytes_ += data.size();
  return sender_.submit_copy(memory::stored_object(object.index), offset, data);
}

Result<> LaneSink::submit_shared_absent(const memory::SharedIdentity& object, uint64_t offset, uint64_t pages) {
  return sender_.submit_drop(memory::stored_object(object.index), offset, pages);
}

Result<> LaneSink::drop_process(const memory::ProcessIdentity& process) {
  ended_.push_back(process.index);
  return {};
}

Result<> LaneSink::drop_shared(const memory::SharedIdentity& object) {
  ended_.push_back(memory::stored_object(object.index));
  return {};
}

}  // namespace godwit::agent
