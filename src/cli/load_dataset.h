// Filling redis with the data set and, at the end, reading back everything that must be in it: over one connection of
// its own, pipelined, so that a gigabyte takes seconds.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "cli/load_client.h"
#include "cli/load_report.h"
#include "cli/resp.h"

namespace godwit::cli {

using OnProgress = std::function<void(double part)>;  // 0 to 1

// One connection, requests answered in order. Used by one thread.
class RedisLink {
 public:
  static Result<RedisLink> connect(const std::string& target, Deadline deadline);

  Result<Reply> ask(std::initializer_list<std::string_view> words, Deadline deadline);
  // For pipelining: sends `requests` as they are; what they are answered is taken by receive(), in order. The replies
  // not yet taken must fit into the socket's buffers.
  Result<> send(std::string_view requests, Deadline deadline);
  // The next reply; one that is an error is ours.
  Result<Reply> receive(Deadline deadline);

 private:
  explicit RedisLink(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  ReplyParser parser_;
};

// The member `name` of INFO's `section`, e.g. "used_memory" of "memory".
Result<std::string> redis_info(RedisLink& link, std::string_view section, std::string_view name, Deadline deadline);

// Writes data keys until redis uses `memory_bytes`.
Result<PopulateReport> populate(RedisLink& link, uint64_t memory_bytes, Deadline deadline, const OnProgress& progress);

// Reads and compares the data set, and what each of `clients` wrote, and counts all keys. No client may have a request
// under way.
Result<VerifyReport> verify(RedisLink& link, uint64_t data_keys, const std::vector<LoadClient>& clients,
                            const std::string& run_id, Deadline deadline, const OnProgress& progress);

}  // namespace godwit::cli
