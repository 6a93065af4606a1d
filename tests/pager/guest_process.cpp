#include "guest_process.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "contents.h"
#include "os/fd_passing.h"

namespace godwit::pager_test {

using std::chrono::seconds;

Result<GuestProcess> GuestProcess::start(const GuestOptions& options) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return fail_errno("socketpair");
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  os::Command command;
  command.argv = {GUEST_PROGRAM, std::to_string(options.seed), std::to_string(options.threads),
                  std::to_string(options.pages), std::to_string(options.acts)};
  if (options.touch) command.argv.emplace_back("touch");
  command.descriptors = {{STDERR_FILENO, STDERR_FILENO}, {theirs.get(), 3}};
  GODWIT_ASSIGN(auto program, os::Subprocess::start(command));
  GuestProcess guest(options, std::move(program));
  GODWIT_ASSIGN(auto message, os::receive_message(ours.get(), Deadline::after(seconds(20))));
  if (!message.fd) return fail("the guest sent no userfaultfd");
  guest.socket_ = std::move(ours);
  guest.userfaultfd_ = std::move(message.fd);
  std::istringstream lines(message.text);
  for (GuestRange range; lines >> range.start >> range.pages;) guest.ranges_.push_back(range);
  return guest;
}

Result<> GuestProcess::store(memory::PageStore& store, uint32_t process) const {
  for (uint32_t round = 1; round <= 3; ++round) {
    store.begin_round(round);
    for (const GuestRange& range : ranges_) {
      const uint64_t end = range.start + range.pages * page;
      // In runs, as a source sends them.
      for (uint64_t at = range.start; at < end;) {
        const Stored kind = stored_kind(options_.seed, at);
        const auto wanted = [&](uint64_t address) {
          return stored_kind(options_.seed, address) == kind && last_round_of(options_.seed, address) >= round;
        };
        uint64_t run_end = at;
        while (run_end < end && wanted(run_end)) run_end += page;
        if (run_end == at) {
          at += page;
          continue;
        }
        const auto pages = static_cast<uint32_t>((run_end - at) / page);
        if (kind == Stored::zero) {
          GODWIT_TRY(store.zero(process, at, pages));
          at = run_end;
        } else if (kind == Stored::absent) {
          // It was there, but is not any more.
          if (round < 3) GODWIT_TRY(store.place(process, at, 1));
          GODWIT_TRY(store.drop(process, at, pages));
          at = run_end;
        } else {
          GODWIT_ASSIGN(auto memory, store.place(process, at, pages));
          for (size_t offset = 0; offset < memory.size(); offset += page) {
            const bool last = last_round_of(options_.seed, at + offset) == round;
            fill_page(memory.data() + offset, last ? stored_tag(options_.seed, at + offset) : 0xbad);
          }
          at += memory.size();
        }
      }
    }
  }
  return {};
}

uint64_t GuestProcess::data_pages() const {
  uint64_t pages = 0;
  for (const GuestRange& range : ranges_) {
    for (uint64_t i = 0; i < range.pages; ++i) {
      pages += stored_kind(options_.seed, range.start + i * page) == Stored::data ? 1 : 0;
    }
  }
  return pages;
}

uint64_t GuestProcess::touched_pages() const {
  uint64_t pages = 0;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    if (i == 1) continue;  // the memory that a fork wipes
    for (uint64_t at = ranges_[i].start; at < ranges_[i].start + ranges_[i].pages * page; at += page) {
      const bool data = stored_kind(options_.seed, at) == Stored::data;
      pages += data && touched_before(options_.seed, at) ? 1 : 0;
    }
  }
  return pages;
}

Result<> GuestProcess::go() const {
  return os::send_message(socket_.get(), "go");
}

}  // namespace godwit::pager_test
