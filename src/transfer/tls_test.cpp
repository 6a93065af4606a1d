#include "transfer/tls.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <future>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transfer/connect_peer.h"
#include "transfer/loopback.h"
#include "transfer/openssl.h"

namespace godwit::transfer {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

Deadline soon() {
  return Deadline::after(seconds(10));
}

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Authority::create();
    ASSERT_TRUE(made) << made.error().message;
    authority_.emplace(std::move(*made));
    auto a = authority_->identity("node-a");
    auto b = authority_->identity("node-b");
    ASSERT_TRUE(a) << a.error().message;
    ASSERT_TRUE(b) << b.error().message;
    a_.emplace(*a);
    b_.emplace(*b);
  }

  using Attempt = Result<std::unique_ptr<TlsStream>>;
  struct Outcome {
    Attempt client;
    Attempt server;
  };
  static Outcome meet(const TlsIdentity& client, const TlsIdentity& server, const std::string& expected = "") {
    auto sockets = connect_sockets(soon());
    GODWIT_CHECK(sockets.has_value());
    auto accepting =
        std::async(std::launch::async, [&] { return TlsStream::accept(std::move(sockets->server), server, soon()); });
    Attempt connected = TlsStream::connect(std::move(sockets->client), client, expected, soon());
    return {.client = std::move(connected), .server = accepting.get()};
  }
  StreamPair pair() {
    auto made = connect_streams(*a_, *b_, soon());
    GODWIT_CHECK(made.has_value());
    return std::move(*made);
  }

  // A server of ours against a client made of plain OpenSSL calls, as `configure` has it.
  std::string error_against(const std::function<void(SSL_CTX*)>& configure) {
    auto sockets = connect_sockets(soon());
    GODWIT_CHECK(sockets.has_value());
    auto accepting =
        std::async(std::launch::async, [&] { return TlsStream::accept(std::move(sockets->server), *b_, soon()); });
    const SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
    configure(context.get());
    const SslPtr ssl(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), sockets->client.get());
    for (int result = -1; result != 1;) {
      result = SSL_connect(ssl.get());
      const int error = SSL_get_error(ssl.get(), result);
      if (result == 1 || error != SSL_ERROR_WANT_READ) break;
      if (!wait_ready(sockets->client.get(), POLLIN, soon(), "test")) break;
    }
    auto accepted = accepting.get();
    return accepted ? "accepted" : accepted.error().message;
  }

  std::optional<Authority> authority_;
  std::optional<TlsIdentity> a_;
  std::optional<TlsIdentity> b_;
};

TEST_F(Tls, BothSidesKnowEachOther) {
  const auto [client, server] = meet(*a_, *b_, "node-b");
  ASSERT_TRUE(client) << client.error().message;
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ((*client)->peer_name(), "node-b");
  EXPECT_EQ((*server)->peer_name(), "node-a");
}

TEST_F(Tls, RefusesAnotherNodesName) {
  const auto [client, server] = meet(*a_, *b_, "node-c");
  ASSERT_FALSE(client);
  EXPECT_THAT(client.error().message, HasSubstr("does not have the name \"node-c\""));
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message, HasSubstr("the peer refused"));
}

TEST_F(Tls, KnowsANodeByItsAddress) {
  EXPECT_TRUE(meet(*a_, *b_, "127.0.0.1").client);
  const Outcome outcome = meet(*a_, *b_, "127.0.0.2");
  ASSERT_FALSE(outcome.client);
  EXPECT_THAT(outcome.client.error().message, HasSubstr("does not have the name \"127.0.0.2\""));
}

// What came in clear before the handshake may have been changed on the way.
TEST_F(Tls, RefusesAConnectionThatWasMadeForSomethingElse) {
  const auto meet_for = [&](const std::string& meant, const std::string& heard) {
    auto sockets = connect_sockets(soon());
    GODWIT_CHECK(sockets.has_value());
    auto accepting = std::async(std::launch::async,
                                [&] { return TlsStream::accept(std::move(sockets->server), *b_, soon(), heard); });
    Attempt connected = TlsStream::connect(std::move(sockets->client), *a_, "node-b", soon(), meant);
    return Outcome{.client = std::move(connected), .server = accepting.get()};
  };
  const std::string one(32, '1');
  const std::string lane = tls_purpose({.session = one, .role = Role::lane});
  const Outcome good = meet_for(lane, lane);
  EXPECT_TRUE(good.client);
  EXPECT_TRUE(good.server);
  for (const Preamble& other :
       {Preamble{.session = one, .role = Role::files}, Preamble{.session = std::string(32, '2'), .role = Role::lane}}) {
    const Outcome bad = meet_for(lane, tls_purpose(other));
    EXPECT_FALSE(bad.client);
    ASSERT_FALSE(bad.server);
    EXPECT_THAT(bad.server.error().message, HasSubstr("node-a made this connection for something else"));
  }
  EXPECT_FALSE(meet_for("", lane).server);
}

TEST_F(Tls, RefusesAnotherAuthority) {
  const auto other = Authority::create("another authority");
  ASSERT_TRUE(other);
  const auto stranger = other->identity("node-b");
  ASSERT_TRUE(stranger) << stranger.error().message;
  const auto as_server = meet(*a_, *stranger, "node-b");
  ASSERT_FALSE(as_server.client);
  EXPECT_THAT(as_server.client.error().message, HasSubstr("certificate is refused"));
  EXPECT_FALSE(as_server.server);
  const auto as_client = meet(*stranger, *b_);
  // The stranger itself does not trust us either.
  EXPECT_FALSE(as_client.client);
  EXPECT_FALSE(as_client.server);
}

TEST_F(Tls, RefusesAClientOfAnotherAuthority) {
  // It trusts everybody, but was certified by an authority that we do not know.
  const auto other = Authority::create("another authority");
  ASSERT_TRUE(other && other->certify("node-a"));
  const std::string refusal = error_against([&](SSL_CTX* context) {
    SSL_CTX_use_certificate_file(context, other->path("node-a.pem").c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context, other->path("node-a.key").c_str(), SSL_FILETYPE_PEM);
  });
  EXPECT_THAT(refusal, HasSubstr("certificate is refused"));
}

TEST_F(Tls, RefusesACertificateThatExpiresWhileInUse) {
  auto brief = authority_->identity("node-c", {.until = seconds(1)});
  // Certificates know whole seconds: it may have expired before it was loaded.
  for (int i = 0; i < 10 && !brief; ++i) brief = authority_->identity("node-c", {.until = seconds(1)});
  ASSERT_TRUE(brief) << brief.error().message;
  std::this_thread::sleep_for(milliseconds(2100));
  const auto [client, server] = meet(*brief, *b_);
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message, HasSubstr("certificate has expired"));
  ASSERT_FALSE(client);
  EXPECT_THAT(client.error().message, HasSubstr("not accepted by the peer"));
  EXPECT_THAT(client.error().message, HasSubstr("expired"));
}

TEST_F(Tls, RefusesAClientWithoutCertificate) {
  EXPECT_THAT(error_against([](SSL_CTX*) {}), HasSubstr("peer did not return a certificate"));
}

TEST_F(Tls, RefusesTls12) {
  const std::string refusal = error_against([&](SSL_CTX* context) {
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_use_certificate_file(context, authority_->path("node-a.pem").c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context, authority_->path("node-a.key").c_str(), SSL_FILETYPE_PEM);
  });
  EXPECT_THAT(refusal, HasSubstr("unsupported protocol"));
}

TEST_F(Tls, RefusesGarbageAndSilence) {
  auto garbage = connect_sockets(soon());
  ASSERT_TRUE(garbage);
  const std::string text(4096, 'x');
  ASSERT_GT(::send(garbage->client.get(), text.data(), text.size(), 0), 0);
  const auto refused = TlsStream::accept(std::move(garbage->server), *b_, soon());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("TLS handshake"));

  auto silence = connect_sockets(soon());
  ASSERT_TRUE(silence);
  const auto started = Clock::now();
  const auto timed_out = TlsStream::accept(std::move(silence->server), *b_, Deadline::after(milliseconds(100)));
  ASSERT_FALSE(timed_out);
  EXPECT_EQ(timed_out.error().code, ETIMEDOUT);
  EXPECT_LT(elapsed_ms(started), 2000);
}

TEST_F(Tls, IdentityNamesWhatIsWrong) {
  const auto load = [&](const std::string& ca, const std::string& certificate, const std::string& key) {
    const auto loaded = TlsIdentity::load(authority_->path(ca), authority_->path(certificate), authority_->path(key));
    return loaded ? std::string("loaded") : loaded.error().message;
  };
  ASSERT_TRUE(authority_->certify("old", {.from = -std::chrono::hours(2), .until = -std::chrono::hours(1)}));
  ASSERT_TRUE(authority_->certify("early", {.from = std::chrono::hours(1), .until = std::chrono::hours(2)}));
  const auto other = Authority::create("another authority");
  ASSERT_TRUE(other && other->certify("node-a"));
  ASSERT_TRUE(os::write_file_atomic(authority_->path("empty.pem"), ""));
  ASSERT_TRUE(os::write_file_atomic(authority_->path("broken.pem"),
                                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));

  EXPECT_EQ(load("ca.pem", "node-a.pem", "node-a.key"), "loaded");
  EXPECT_THAT(load("none.pem", "node-a.pem", "node-a.key"), HasSubstr("certificate authority"));
  EXPECT_THAT(load("none.pem", "node-a.pem", "node-a.key"), HasSubstr("No such file"));
  EXPECT_THAT(load("ca.pem", "none.pem", "node-a.key"), HasSubstr("node certificate"));
  EXPECT_THAT(load("ca.pem", "node-a.pem", "none.key"), HasSubstr("node key"));
  EXPECT_THAT(load("ca.pem", "empty.pem", "node-a.key"), HasSubstr("holds no PEM certificate"));
  EXPECT_THAT(load("ca.pem", "broken.pem", "node-a.key"), HasSubstr("malformed"));
  EXPECT_THAT(load("ca.pem", "node-a.pem", "node-a.pem"), HasSubstr("holds no unencrypted PEM key"));
  EXPECT_THAT(load("ca.pem", "node-a.pem", "node-b.key"), HasSubstr("does not belong to certificate"));
  EXPECT_THAT(load("ca.pem", "old.pem", "old.key"), HasSubstr("has expired on"));
  EXPECT_THAT(load("ca.pem", "early.pem", "early.key"), HasSubstr("is this node's clock right?"));
  const auto foreign = TlsIdentity::load(authority_->ca_path(), other->path("node-a.pem"), other->path("node-a.key"));
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("is not one of the authority"));
}

std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  std::mt19937_64 random(seed);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST_F(Tls, CarriesMuchBothWaysAtOnce) {
  auto [client, server] = pair();
  const auto there = random_bytes(size_t{6} << 20, 1);
  const auto back = random_bytes(size_t{6} << 20, 2);
  const auto send = [](TlsStream& stream, const std::vector<std::byte>& bytes) {
    // Uneven pieces, so that records and buffers end at every kind of place.
    for (size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = (piece * 7 + 13) % 50'000 + 1) {
      piece = std::min(piece, bytes.size() - at);
      if (!stream.write(bytes.data() + at, piece)) return false;
    }
    return stream.flush().has_value();
  };
  const auto receive = [](TlsStream& stream, size_t size) {
    std::vector<std::byte> bytes(size);
    return stream.read_exact(bytes.data(), size) ? bytes : std::vector<std::byte>{};
  };
  auto sent_there = std::async(std::launch::async, [&] { return send(*client, there); });
  auto sent_back = std::async(std::launch::async, [&] { return send(*server, back); });
  auto got_back = std::async(std::launch::async, [&] { return receive(*client, back.size()); });
  EXPECT_EQ(receive(*server, there.size()), there);
  EXPECT_EQ(got_back.get(), back);
  EXPECT_TRUE(sent_there.get());
  EXPECT_TRUE(sent_back.get());
}

TEST_F(Tls, GoodbyeIsNoErrorAndDeathIs) {
  {
    auto [client, server] = pair();
    std::byte byte{7};
    ASSERT_TRUE(client->write(&byte, 1) && client->close());
    ASSERT_TRUE(server->read_exact(&byte, 1));
    const auto end = server->read_some(&byte, 1, soon());
    ASSERT_TRUE(end) << end.error().message;
    EXPECT_EQ(*end, 0U);
    EXPECT_EQ(server->read_exact(&byte, 1).error().code, ECONNRESET);
  }
  auto [client, server] = pair();
  client.reset();  // as when its process dies: no goodbye
  std::byte byte{};
  const auto end = server->read_some(&byte, 1, soon());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ECONNRESET);
}

TEST_F(Tls, EveryWaitEnds) {
  auto [client, server] = pair();
  std::byte byte{};
  EXPECT_EQ(server->read_some(&byte, 1, Deadline::after(milliseconds(50))).error().code, ETIMEDOUT);
  server->set_idle_timeout(milliseconds(100));
  EXPECT_EQ(server->read_exact(&byte, 1).error().code, ETIMEDOUT);
  // Nobody reads: the sender stops when the kernel's buffers are full.
  client->set_idle_timeout(milliseconds(200));
  const auto much = random_bytes(size_t{64} << 20, 3);
  const auto started = Clock::now();
  const auto stuck = client->write(much.data(), much.size());
  ASSERT_FALSE(stuck);
  EXPECT_EQ(stuck.error().code, ETIMEDOUT);
  EXPECT_LT(elapsed_ms(started), 20'000);
}

TEST_F(Tls, ShutdownUnblocksReaderAndWriter) {
  auto [client, server] = pair();
  const auto much = random_bytes(size_t{64} << 20, 3);
  auto writing = std::async(std::launch::async, [&] { return client->write(much.data(), much.size()); });
  auto reading = std::async(std::launch::async, [&] {
    std::byte byte{};
    return client->read_exact(&byte, 1);
  });
  EXPECT_EQ(reading.wait_for(milliseconds(100)), std::future_status::timeout);
  const auto started = Clock::now();
  client->shutdown();
  EXPECT_EQ(reading.get().error().code, ECONNABORTED);
  EXPECT_EQ(writing.get().error().code, ECONNABORTED);
  EXPECT_LT(elapsed_ms(started), 5000);
  std::byte byte{};
  EXPECT_EQ(client->write(&byte, 1).error().code, ECONNABORTED);
  EXPECT_EQ(client->flush().error().code, ECONNABORTED);
}

TEST_F(Tls, ConnectPeerDoesAllThreeSteps) {
  auto listener = Listener::open("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  const Preamble preamble{.session = std::string(32, 'a'), .role = Role::lane};
  auto serving = std::async(std::launch::async, [&]() -> Result<std::string> {
    GODWIT_ASSIGN(Connection connection, listener->accept(soon()));
    GODWIT_ASSIGN(const Preamble read, read_preamble(connection.socket.get(), soon()));
    if (read != preamble) return fail("another preamble");
    GODWIT_ASSIGN(const auto stream, TlsStream::accept(std::move(connection.socket), *b_, soon(), tls_purpose(read)));
    return stream->peer_name();
  });
  const PeerAddress address{.address = "127.0.0.1", .port = listener->port()};
  const auto stream = connect_peer(address, preamble, *a_, "node-b", soon());
  const auto name = serving.get();
  ASSERT_TRUE(stream) << stream.error().message;
  ASSERT_TRUE(name) << name.error().message;
  EXPECT_EQ(*name, "node-a");

  // A supervisor that knows no such session closes the connection.
  auto closing = std::async(std::launch::async, [&] { return listener->accept(soon()).has_value(); });
  const auto refused = connect_peer(address, preamble, *a_, "node-b", soon());
  EXPECT_TRUE(closing.get());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("lane connection to 127.0.0.1 port"));
}

}  // namespace
}  // namespace godwit::transfer
