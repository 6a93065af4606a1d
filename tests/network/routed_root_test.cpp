// A pod at the end of a cable, reached by routes, in network namespaces of the test's own: the test process is the
// node.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/deadline.h"
#include "network/address_book.h"
#include "network/address_routes.h"
#include "network/connections.h"
#include "network/interface_config.h"
#include "network/moved_routes.h"
#include "network/namespace_socket.h"
#include "network/readdress.h"
#include "os/file.h"
#include "os/subprocess.h"
#include "own_machine.h"

namespace godwit::network {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* pod_netns = "/run/netns/pod";

// As the plugin ptp leaves it on another node, whose range is 10.244.1.0/24.
InterfaceConfig moved_interface() {
  return {.name = "eth0",
          .mac = "02:00:0a:f4:01:05",
          .mtu = 1400,
          .addresses = {"10.244.1.5/24", "fd88:244:1::5/64"},
          .routes = {"10.244.1.1 scope link src 10.244.1.5", "fd88:244:1::1", "default via 10.244.1.1",
                     "10.244.1.0/24 via 10.244.1.1 src 10.244.1.5", "default via fd88:244:1::1",
                     "fd88:244:1::/64 via fd88:244:1::1"},
          .prefix_routes = false,
          .bridge = ""};
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address address_of(const std::string& text, uint16_t port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    address.size = sizeof *four;
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &six->sin6_addr), 1);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    address.size = sizeof *six;
  }
  return address;
}

UniqueFd listen_in(const std::string& netns, const std::string& address, uint16_t port) {
  const Address where = address_of(address, port);
  auto fd = socket_in(netns, where.storage.ss_family, SOCK_STREAM, 0);
  EXPECT_TRUE(fd);
  const int on = 1;
  ::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  EXPECT_EQ(bind(fd->get(), reinterpret_cast<const sockaddr*>(&where.storage), where.size), 0) << std::strerror(errno);
  EXPECT_EQ(listen(fd->get(), 5), 0);
  return std::move(*fd);
}

// Nothing: refused, or no answer within two seconds.
UniqueFd connect_from(const std::string& netns, const std::string& address, uint16_t port) {
  const Address where = address_of(address, port);
  auto fd = socket_in(netns, where.storage.ss_family, SOCK_STREAM, 0);
  EXPECT_TRUE(fd);
  const timeval limit{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(fd->get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd->get(), reinterpret_cast<const sockaddr*>(&where.storage), where.size) != 0) return {};
  return std::move(*fd);
}

class Routed : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_NO_FATAL_FAILURE(become_own_machine());
    ::setenv("GODWIT_CNI_STATE", "/run/cni", 1);
    // The nodes' network, on which the other nodes are.
    run({"ip", "link", "add", "nodes", "type", "veth", "peer", "name", "others"});
    run({"ip", "link", "set", "others", "up"});
    run({"ip", "addr", "add", "10.88.0.12/16", "dev", "nodes"});
    run({"ip", "addr", "add", "fd88::12/64", "dev", "nodes", "nodad"});
    run({"ip", "link", "set", "nodes", "up"});
    run({"ip", "route", "add", "10.244.1.0/24", "via", "10.88.0.11"});
    run({"ip", "-6", "route", "add", "fd88:244:1::/64", "via", "fd88::11"});
    ASSERT_TRUE(os::write_file("/proc/sys/net/ipv4/ip_forward", "1"));
    ASSERT_TRUE(os::write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1"));
  }

  void SetUp() override {
    run({"ip", "netns", "add", "pod"});
    run({"ip", "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", "pod"});
    run({"ip", "link", "set", "cable", "up"});
    run({"ip", "link", "set", "lo", "up"}, pod_netns);
    run({"ip", "link", "set", "eth0", "up"}, pod_netns);
    // What this node's own plugin has made.
    run({"ip", "addr", "add", "10.244.2.1/32", "dev", "cable"});
    run({"ip", "addr", "add", "10.244.2.7/24", "dev", "eth0"}, pod_netns);
    run({"ip", "route", "add", "default", "via", "10.244.2.1"}, pod_netns);
    run({"ip", "-6", "route", "add", "fd99::/64", "dev", "eth0"}, pod_netns);
  }
  void TearDown() override {
    run({"ip", "link", "del", "cable"});
    run({"ip", "netns", "del", "pod"});
    run({"ip", "route", "flush", "proto", "71"});
    run({"ip", "-6", "route", "flush", "proto", "71"});
  }

  void take_over() {
    ASSERT_TRUE(reached_by_routes("cable"));
    const auto done = readdress(pod_netns, moved_interface());
    ASSERT_TRUE(done) << done.error().message;
    const auto answers = answer_for_gateways("cable", moved_interface());
    ASSERT_TRUE(answers) << answers.error().message;
  }
  static AddressRoutes open_routes() {
    auto routes = AddressRoutes::open(moved_interface(), "cable");
    EXPECT_TRUE(routes) << routes.error().message;
    return std::move(*routes);
  }
  static std::string route_to(const std::string& address) { return run({"ip", "route", "get", address}); }
};

TEST_F(Routed, APodThatArrivesHasTheRoutesThatItHadAndNoOthers) {
  take_over();
  const auto now = read_interface(pod_netns);
  ASSERT_TRUE(now) << now.error().message;
  EXPECT_FALSE(now->prefix_routes);
  EXPECT_EQ(now->addresses, moved_interface().addresses);
  const std::string routes = run({"ip", "route"}, pod_netns) + run({"ip", "-6", "route"}, pod_netns);
  EXPECT_THAT(routes, Not(HasSubstr("10.244.2.")));
  EXPECT_THAT(routes, Not(HasSubstr("fd99:")));
  // A second journey finds what the first one began with.
  ASSERT_TRUE(readdress(pod_netns, *now));
  const auto again = read_interface(pod_netns);
  ASSERT_TRUE(again);
  EXPECT_THAT(again->routes, testing::UnorderedElementsAreArray(now->routes));
}

TEST_F(Routed, PacketsFindThePodAndItsAnswersFindTheGatewayThatItKnows) {
  take_over();
  AddressRoutes routes = open_routes();
  ASSERT_TRUE(routes.lead_to_pod());
  EXPECT_THAT(route_to("10.244.1.5"), HasSubstr("dev cable"));
  EXPECT_THAT(route_to("fd88:244:1::5"), HasSubstr("dev cable"));
  for (const char* address : {"10.244.1.5", "fd88:244:1::5"}) {
    const UniqueFd listener = listen_in(pod_netns, address, 4002);
    EXPECT_TRUE(connect_from("", address, 4002)) << address;
    const std::string gateway = std::string(address).contains(':') ? "fd88:244:1::1" : "10.244.1.1";
    EXPECT_THAT(run({"ip", "neigh", "show", gateway}, pod_netns), HasSubstr("lladdr")) << gateway;
  }
}

TEST_F(Routed, ARouteIsGivenAndTakenBack) {
  take_over();
  ASSERT_TRUE(change_moved_routes({.set = {{.address = "10.244.1.5", .via = "10.88.0.13"}}, .drop = {}}));
  AddressRoutes routes = open_routes();
  ASSERT_TRUE(routes.lead_to_pod());
  ASSERT_TRUE(routes.lead_back());
  EXPECT_THAT(route_to("10.244.1.5"), HasSubstr("via 10.88.0.13")) << "as it was";
  EXPECT_THAT(route_to("fd88:244:1::5"), HasSubstr("via fd88::11")) << "there was none: it is sent home";
  ASSERT_TRUE(routes.lead_to_pod());
  const auto away = routes_to(moved_interface().addresses, {"10.88.0.14", "fd88::14"});
  ASSERT_TRUE(away) << away.error().message;
  ASSERT_TRUE(routes.lead_to(*away));
  EXPECT_THAT(route_to("10.244.1.5"), HasSubstr("via 10.88.0.14"));
  EXPECT_THAT(route_to("fd88:244:1::5"), HasSubstr("via fd88::14"));
  ASSERT_TRUE(routes.lead_to_pod());
  EXPECT_THAT(route_to("10.244.1.5"), HasSubstr("dev cable"));
}

TEST_F(Routed, ANodeBehindARouterCannotBeLedTo) {
  EXPECT_FALSE(routes_to({"10.244.1.5/24"}, {"10.244.1.77"})) << "it is sent via 10.88.0.11";
  EXPECT_FALSE(routes_to({"10.244.1.5/24", "fd88:244:1::5/64"}, {"10.88.0.14"})) << "no address of that family";
}

TEST_F(Routed, OrdersChangeOnlyWhatIsTheirs) {
  using testing::ElementsAre;
  const auto now = [] {
    std::vector<std::string> all;
    const auto routes = moved_routes();
    EXPECT_TRUE(routes) << routes.error().message;
    for (const HostRoute& route : *routes) all.push_back(route.address + " " + route.via);
    return all;
  };
  ASSERT_TRUE(change_moved_routes({.set = {{.address = "10.244.3.5", .via = "10.88.0.13"},
                                           {.address = "fd88:244:3::5", .via = "fd88::13"},
                                           {.address = "10.244.3.6", .via = "203.0.113.1"}},
                                   .drop = {}}));
  EXPECT_THAT(now(), ElementsAre("10.244.3.5 10.88.0.13", "fd88:244:3::5 fd88::13")) << "what cannot be is left out";
  EXPECT_THAT(run({"nft", "list", "table", "inet", "godwit"}),
              testing::AllOf(HasSubstr("\"nodes\" . 10.244.3.5"), HasSubstr("\"nodes\" . fd88:244:3::5")));
  // A pod of this node has that address: its session decides.
  ASSERT_TRUE(welcome_guest("s1", {.netns = pod_netns, .addresses = {"10.244.3.5"}, .routed = true}));
  ASSERT_TRUE(change_moved_routes({.set = {{.address = "10.244.3.5", .via = "10.88.0.14"}}, .drop = {"10.244.3.5"}}));
  EXPECT_THAT(now(), ElementsAre("10.244.3.5 10.88.0.13", "fd88:244:3::5 fd88::13"));
  ASSERT_TRUE(dismiss_guest("s1"));
  // Somebody else's.
  run({"ip", "route", "add", "10.244.9.9", "via", "10.88.0.19"});
  ASSERT_TRUE(change_moved_routes({.set = {}, .drop = {"10.244.9.9", "10.244.3.5", "fd88:244:3::5"}}));
  EXPECT_THAT(now(), IsEmpty());
  EXPECT_THAT(route_to("10.244.9.9"), HasSubstr("via 10.88.0.19"));
  run({"ip", "route", "del", "10.244.9.9"});
  EXPECT_THAT(run({"nft", "list", "table", "inet", "godwit"}), Not(HasSubstr("10.244.3.5")));
}

// The error with which a socket wakes up who reads from it; 0: it does not within `wait_ms`.
int error_of(const UniqueFd& fd, int wait_ms) {
  pollfd ready{fd.get(), POLLIN, 0};
  if (poll(&ready, 1, wait_ms) != 1) return 0;
  char byte = 0;
  return recv(fd.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : -1;
}

TEST_F(Routed, BothEndsOfAConnectionHearThatItHasEnded) {
  ASSERT_TRUE(check_connections_can_be_ended(pod_netns));
  run({"ip", "route", "add", "10.244.2.7", "dev", "cable"});
  const UniqueFd listener = listen_in(pod_netns, "0.0.0.0", 4000);
  const UniqueFd client = connect_from("", "10.244.2.7", 4000);
  ASSERT_TRUE(client);
  const UniqueFd server(accept(listener.get(), nullptr, nullptr));
  const UniqueFd inside = connect_from(pod_netns, "127.0.0.1", 4000);
  const UniqueFd inside_server(accept(listener.get(), nullptr, nullptr));
  const auto ended = end_connections(pod_netns, {});
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(*ended, 1U);
  EXPECT_EQ(error_of(client, 5000), ECONNRESET);
  EXPECT_EQ(error_of(server, 5000), ECONNABORTED);
  EXPECT_EQ(error_of(inside, 50), 0) << "what is within the pod stays";
  EXPECT_EQ(error_of(inside_server, 50), 0);
  EXPECT_TRUE(connect_from("", "10.244.2.7", 4000)) << "and who connects anew can";
  ASSERT_TRUE(end_connections(pod_netns, {.listeners = true, .udp = true}));
  EXPECT_FALSE(connect_from("", "10.244.2.7", 4000));
}

TEST_F(Routed, AddressesAreBorrowedForAWhile) {
  ASSERT_TRUE(borrow_addresses(pod_netns, moved_interface()));
  const UniqueFd bound = listen_in(pod_netns, "10.244.1.5", 4001);
  ASSERT_TRUE(return_addresses(pod_netns, moved_interface()));
  EXPECT_THAT(run({"ip", "addr", "show", "dev", "lo"}, pod_netns), Not(HasSubstr("10.244.1.5")));
  EXPECT_THAT(run({"ip", "addr", "show", "dev", "eth0"}, pod_netns), HasSubstr("10.244.2.7"));
}

}  // namespace
}  // namespace godwit::network
