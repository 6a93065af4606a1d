#include "network/parking.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <mutex>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/log.h"
#include "network/attributes.h"
#include "network/namespace_socket.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

// One queue number a namespace: each container has a namespace of its own.
constexpr uint16_t queue_number = 71;
constexpr size_t message_bytes_max = 8192;

Deadline rule_deadline() {
  return Deadline::after(std::chrono::seconds(5));
}

nlmsghdr* start_message(char* buffer, int type, int flags) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_QUEUE << 8) | type);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  auto* netfilter = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  netfilter->nfgen_family = AF_UNSPEC;
  netfilter->version = NFNETLINK_V0;
  netfilter->res_id = htons(queue_number);
  return header;
}

// Sends a configuration message and reads the kernel's acknowledgement, which is there when send(2) returns.
Result<> configure(int fd, nlmsghdr* header) {
  if (::send(fd, header, header->nlmsg_len, 0) < 0) return fail_errno("configure the packet queue");
  std::vector<char> buffer(message_bytes_max);
  const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr))) return fail_errno("configure the packet queue");
  const auto* reply = reinterpret_cast<const nlmsghdr*>(buffer.data());
  if (reply->nlmsg_type != NLMSG_ERROR)
    return fail("configure the packet queue: unexpected answer {}", reply->nlmsg_type);
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply));
  if (error->error == 0) return {};
  errno = -error->error;
  return fail_errno("configure the packet queue");
}

Result<> bind_queue(int fd) {
  std::vector<char> buffer(message_bytes_max);
  nlmsghdr* header = start_message(buffer.data(), NFQNL_MSG_CONFIG, NLM_F_ACK);
  nfqnl_msg_config_cmd command{};
  command.command = NFQNL_CFG_CMD_BIND;
  mnl_attr_put(header, NFQA_CFG_CMD, sizeof command, &command);
  GODWIT_TRY(configure(fd, header));

  header = start_message(buffer.data(), NFQNL_MSG_CONFIG, NLM_F_ACK);
  nfqnl_msg_config_params parameters{};
  parameters.copy_range = 0;
  parameters.copy_mode = NFQNL_COPY_META;  // never the packet's contents
  mnl_attr_put(header, NFQA_CFG_PARAMS, sizeof parameters, &parameters);
  mnl_attr_put_u32(header, NFQA_CFG_QUEUE_MAXLEN, htonl(Parking::packets_max));
  mnl_attr_put_u32(header, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
  mnl_attr_put_u32(header, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
  return configure(fd, header);
}

Result<> change_rule(const std::string& netns_path, const std::string& interface, const char* program,
                     const char* verb) {
  auto done = os::run_checked({.argv = {program, "-w", "5", "-t", "raw", verb, "PREROUTING", "-i", interface, "-j",
                                        "NFQUEUE", "--queue-num", std::to_string(queue_number)},
                               .network_namespace = netns_path},
                              rule_deadline());
  if (!done) return std::unexpected(std::move(done.error()).context("packet parking rule"));
  return {};
}

// The number of a queued packet, or nothing for other messages.
bool packet_number(const nlmsghdr* header, uint32_t& number) {
  bool found = false;
  for_each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NFQA_PACKET_HDR) return;
    number = ntohl(static_cast<const nfqnl_msg_packet_hdr*>(mnl_attr_get_payload(attribute))->packet_id);
    found = true;
  });
  return found;
}

}  // namespace

struct Parking::Shared {
  std::string netns_path;
  std::string interface;
  std::vector<const char*> programs;  // iptables, ip6tables: where the rule is
  UniqueFd queue;
  UniqueFd stop;
  std::thread thread;

  std::mutex mutex;  // guards all below
  bool released = false;
  uint32_t last_number = 0;
  uint64_t parked = 0;

  Result<> accept_up_to(uint32_t number);
  void run();
  void take(const char* data, size_t size);
};

// All packets up to `number`, in order: also those that an overrun of the socket's buffer hid from us.
Result<> Parking::Shared::accept_up_to(uint32_t number) {
  std::vector<char> buffer(message_bytes_max);
  nlmsghdr* header = start_message(buffer.data(), NFQNL_MSG_VERDICT_BATCH, 0);
  nfqnl_msg_verdict_hdr verdict{};
  verdict.verdict = htonl(NF_ACCEPT);
  verdict.id = htonl(number);
  mnl_attr_put(header, NFQA_VERDICT_HDR, sizeof verdict, &verdict);
  if (::send(queue.get(), header, header->nlmsg_len, 0) < 0) return fail_errno("release parked packets");
  return {};
}

void Parking::Shared::take(const char* data, size_t size) {
  int left = static_cast<int>(size);
  const std::lock_guard lock(mutex);
  bool any = false;
  for (const auto* header = reinterpret_cast<const nlmsghdr*>(data); mnl_nlmsg_ok(header, left);
       header = mnl_nlmsg_next(header, &left)) {
    uint32_t number = 0;
    if (header->nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET) || !packet_number(header, number)) continue;
    last_number = number;
    any = true;
    if (!released) ++parked;
  }
  if (released && any) {
    if (auto done = accept_up_to(last_number); !done) log_warning("{}", done.error().message);
  }
}

void Parking::Shared::run() {
  std::vector<char> buffer(1 << 16);
  for (;;) {
    pollfd ready[2] = {{queue.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0 && errno != EINTR) return;
    if (ready[1].revents != 0) return;
    const ssize_t got = ::recv(queue.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) take(buffer.data(), static_cast<size_t>(got));
  }
}

Parking::Parking(std::unique_ptr<Shared> shared) : shared_(std::move(shared)) {}
Parking::Parking(Parking&& other) noexcept = default;

Result<Parking> Parking::open(const std::string& netns_path, const std::string& interface) {
  auto shared = std::make_unique<Shared>();
  shared->netns_path = netns_path;
  shared->interface = interface;
  GODWIT_ASSIGN(shared->queue, socket_in(netns_path, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
  const int on = 1;
  // A burst that overruns the socket's buffer leaves packets queued that we were not told of. The next number that we
  // hear covers them, so the overrun is no error.
  ::setsockopt(shared->queue.get(), SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);
  GODWIT_TRY(bind_queue(shared->queue.get()));
  shared->stop = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!shared->stop) return fail_errno("eventfd");
  shared->thread = std::thread([state = shared.get()] { state->run(); });
  Parking parking(std::move(shared));
  // No --queue-bypass: a packet that reached a copy which is then given back would be acknowledged and lost. After a
  // worker's death, packets are dropped until a recovery has decided.
  for (const char* program : {"iptables", "ip6tables"}) {
    auto done = change_rule(netns_path, interface, program, "-I");
    if (!done && std::string_view(program) == "ip6tables") {
      log_info("IPv6 packets are not parked: {}", done.error().message);
      continue;
    }
    if (!done) return std::unexpected(std::move(done.error()));
    parking.shared_->programs.push_back(program);
  }
  return parking;
}

Result<uint64_t> Parking::release() {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->released) return shared_->parked;
  shared_->released = true;
  // The thread may not have read the newest numbers yet; it accepts those when it does.
  if (shared_->parked > 0) GODWIT_TRY(shared_->accept_up_to(shared_->last_number));
  return shared_->parked;
}

Result<> Parking::remove_rule() {
  Result<> outcome;
  for (const char* program : shared_->programs) {
    if (auto done = change_rule(shared_->netns_path, shared_->interface, program, "-D"); !done)
      outcome = std::move(done);
  }
  shared_->programs.clear();
  return outcome;
}

void Parking::remove_left_rule(const std::string& netns_path, const std::string& interface) {
  for (const char* program : {"iptables", "ip6tables"}) {
    if (auto done = change_rule(netns_path, interface, program, "-D"); !done) log_debug("{}", done.error().message);
  }
}

Parking::~Parking() {
  if (shared_ == nullptr) return;
  if (shared_->thread.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(shared_->stop.get(), &one, sizeof one);
    shared_->thread.join();
  }
  if (auto done = remove_rule(); !done) log_debug("{}", done.error().message);
}

}  // namespace godwit::network
