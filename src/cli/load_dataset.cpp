#include "cli/load_dataset.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "cli/load_engine.h"

namespace godwit::cli {
namespace {

constexpr size_t batch = 256;                          // keys in one go
constexpr uint64_t data_keys_max = uint64_t{1} << 28;  // half a tebibyte

Result<> wait_for(int fd, short events, Deadline deadline) {
  pollfd waited{fd, events, 0};
  for (;;) {
    const int ready = ::poll(&waited, 1, deadline.poll_timeout_ms());
    if (ready > 0) return {};
    if (ready == 0) return fail("redis does not answer in time");
    if (errno != EINTR) return fail_errno("wait for redis");
  }
}

Result<uint64_t> to_count(const std::string& text) {
  uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return fail("'{}' is not a count", text);
  return count;
}

// One key and what it must hold; nullopt: it must not be there.
struct Expected {
  std::string key;
  std::optional<std::string> value;
};

// Reads `expected` in one go and adds to `report` what was found.
Result<> compare(RedisLink& link, const std::vector<Expected>& expected, Deadline deadline, VerifyReport& report) {
  std::string requests;
  for (const Expected& one : expected) append_command(requests, {"GET", one.key});
  GODWIT_TRY(link.send(requests, deadline));
  for (const Expected& one : expected) {
    GODWIT_ASSIGN(const Reply reply, link.receive(deadline));
    ++report.keys_read;
    const bool right =
        one.value ? reply.kind == Reply::Kind::bulk && reply.text == *one.value : reply.kind == Reply::Kind::null;
    if (right) continue;
    ++report.keys_wrong;
    if (report.first_problem.empty()) {
      report.first_problem =
          fmt::format("{} is {}", one.key, reply.kind == Reply::Kind::null ? "not there" : "not what was written last");
    }
  }
  return {};
}

// Writes the data keys from `first` on, a few batches ahead of redis's replies, so that both work at once.
Result<> write_data(RedisLink& link, uint64_t first, uint64_t count, Deadline deadline) {
  uint64_t unanswered = 0;
  const auto take = [&](uint64_t replies) -> Result<> {
    for (; replies > 0; --replies, --unanswered) GODWIT_TRY(link.receive(deadline));
    return {};
  };
  std::string requests;
  for (uint64_t done = 0; done < count;) {
    const uint64_t some = std::min<uint64_t>(batch, count - done);
    requests.clear();
    for (uint64_t i = 0; i < some; ++i) {
      append_command(requests, {"SET", data_key(first + done + i), data_value(first + done + i)});
    }
    GODWIT_TRY(link.send(requests, deadline));
    done += some;
    unanswered += some;
    if (unanswered > 3 * batch) GODWIT_TRY(take(batch));
  }
  return take(unanswered);
}

}  // namespace

Result<RedisLink> RedisLink::connect(const std::string& target, Deadline deadline) {
  GODWIT_ASSIGN(const auto address, parse_target(target));
  GODWIT_ASSIGN(UniqueFd fd, connect_tcp(address.first, address.second, deadline));
  return RedisLink(std::move(fd));
}

Result<> RedisLink::send(std::string_view data, Deadline deadline) {
  while (!data.empty()) {
    const ssize_t sent = ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      GODWIT_TRY(wait_for(fd_.get(), POLLOUT, deadline));
    } else if (sent < 0 && errno != EINTR) {
      return fail_errno("send to redis");
    } else if (sent > 0) {
      data.remove_prefix(static_cast<size_t>(sent));
    }
  }
  return {};
}

Result<Reply> RedisLink::receive(Deadline deadline) {
  for (;;) {
    GODWIT_ASSIGN(std::optional<Reply> reply, parser_.next());
    if (reply && reply->kind == Reply::Kind::error) return fail("redis: {}", reply->text);
    if (reply) return std::move(*reply);
    std::array<char, 65536> chunk;
    const ssize_t got = ::recv(fd_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got == 0) return fail("redis closed the connection");
    if (got > 0) {
      parser_.feed(chunk.data(), static_cast<size_t>(got));
    } else if (errno == EAGAIN) {
      GODWIT_TRY(wait_for(fd_.get(), POLLIN, deadline));
    } else if (errno != EINTR) {
      return fail_errno("read from redis");
    }
  }
}

Result<Reply> RedisLink::ask(std::initializer_list<std::string_view> words, Deadline deadline) {
  std::string request;
  append_command(request, words);
  GODWIT_TRY(send(request, deadline));
  return receive(deadline);
}

Result<std::string> redis_info(RedisLink& link, std::string_view section, std::string_view name, Deadline deadline) {
  GODWIT_ASSIGN(const Reply reply, link.ask({"INFO", section}, deadline));
  const std::string wanted = fmt::format("\r\n{}:", name);
  const size_t at = reply.text.find(wanted);
  if (at == std::string::npos) return fail("redis does not say its {}", name);
  const size_t start = at + wanted.size();
  return reply.text.substr(start, reply.text.find('\r', start) - start);
}

Result<PopulateReport> populate(RedisLink& link, uint64_t memory_bytes, Deadline deadline, const OnProgress& progress) {
  PopulateReport report;
  for (;;) {
    GODWIT_ASSIGN(const std::string used, redis_info(link, "memory", "used_memory", deadline));
    GODWIT_ASSIGN(report.used_memory_bytes, to_count(used));
    progress(std::min(1.0, static_cast<double>(report.used_memory_bytes) / static_cast<double>(memory_bytes)));
    if (report.used_memory_bytes >= memory_bytes) return report;
    if (report.keys > data_keys_max) return fail("redis uses {} only, with {} keys", used, report.keys);
    // As many as surely fit, so that asking how much is used costs little and the target is met closely.
    const uint64_t missing = (memory_bytes - report.used_memory_bytes) / (data_value_bytes + 300);
    const uint64_t count = std::clamp<uint64_t>(missing, 1, 64 * batch);
    GODWIT_TRY(write_data(link, report.keys, count, deadline));
    report.keys += count;
  }
}

Result<VerifyReport> verify(RedisLink& link, uint64_t data_keys, const std::vector<LoadClient>& clients,
                            const std::string& run_id, Deadline deadline, const OnProgress& progress) {
  VerifyReport report;
  report.keys_expected = data_keys;
  std::vector<Expected> expected;
  for (const LoadClient& client : clients) {
    expected.clear();
    for (uint64_t slot = 0; slot < LoadClient::slots; ++slot) {
      const uint64_t version = client.versions()[slot];
      report.keys_expected += version > 0 ? 1 : 0;
      expected.push_back({slot_key(client.number(), slot), std::nullopt});
      if (version > 0) expected.back().value = slot_value(client.number(), slot, version);
    }
    report.keys_expected += client.counter() > 0 ? 1 : 0;
    expected.push_back({counter_key(client.number()), std::nullopt});
    if (client.counter() > 0) expected.back().value = std::to_string(client.counter());
    GODWIT_TRY(compare(link, expected, deadline, report));
  }
  for (uint64_t first = 0; first < data_keys; first += batch) {
    expected.clear();
    for (uint64_t i = first; i < std::min(data_keys, first + batch); ++i) {
      expected.push_back({data_key(i), data_value(i)});
    }
    GODWIT_TRY(compare(link, expected, deadline, report));
    if (first % (64 * batch) == 0) progress(static_cast<double>(first) / static_cast<double>(data_keys));
  }
  GODWIT_ASSIGN(const Reply counted, link.ask({"DBSIZE"}, deadline));
  if (counted.kind != Reply::Kind::integer || counted.integer < 0) return fail("DBSIZE was not answered with a count");
  report.keys_counted = static_cast<uint64_t>(counted.integer);
  GODWIT_ASSIGN(const std::string run_id_now, redis_info(link, "server", "run_id", deadline));
  report.same_process = run_id_now == run_id;
  progress(1);
  return report;
}

}  // namespace godwit::cli
