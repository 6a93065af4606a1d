#include "count_listener.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "network/namespace_socket.h"

namespace godwit::moves {

constexpr int poll_interval_ms = 50;
constexpr size_t anomalies_max = 16;
constexpr uint64_t late_max = 20;  // 100 ms

Result<std::unique_ptr<CountListener>> CountListener::start(const std::string& netns_path) {
  GODWIT_ASSIGN(UniqueFd socket, network::socket_in(netns_path, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return fail_errno("bind");
  return std::unique_ptr<CountListener>(new CountListener(std::move(socket)));
}

CountListener::CountListener(UniqueFd socket)
    : socket_(std::move(socket)), thread_([this](const std::stop_token& stop) { listen(stop); }) {}

CountListener::~CountListener() = default;

void CountListener::listen(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    pollfd ready{socket_.get(), POLLIN, 0};
    if (::poll(&ready, 1, poll_interval_ms) <= 0) continue;
    std::array<char, 32> text{};
    const ssize_t got = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
    uint64_t count = 0;
    if (got > 0 && std::from_chars(text.data(), text.data() + got, count).ec == std::errc()) note(count);
  }
}

void CountListener::note(uint64_t count) {
  const std::lock_guard lock(mutex_);
  const bool again = !heard_.insert(count).second;
  if (again || count + late_max < last_) {
    if (anomalies_.size() < anomalies_max) anomalies_.push_back(fmt::format("{} came after {}", count, last_));
    return;
  }
  last_ = std::max(last_, count);
}

uint64_t CountListener::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

bool CountListener::hears_more(Deadline deadline) const {
  const uint64_t before = last();
  while (last() < before + 2) {
    if (deadline.expired()) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

std::vector<std::string> CountListener::take_anomalies() {
  const std::lock_guard lock(mutex_);
  return std::exchange(anomalies_, {});
}

void CountListener::expect_new_container() {
  const std::lock_guard lock(mutex_);
  last_ = 0;
  heard_.clear();
}

}  // namespace godwit::moves
