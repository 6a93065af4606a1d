#include "network/address_book.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "os/file.h"

namespace godwit::network {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// A plugin that writes down how it was called, and fails while there is a file "broken".
constexpr const char* plugin = R"script(#!/bin/sh
cd "$(dirname "$0")"
config=$(cat)
[ ! -e broken ] || { echo '{"msg": "it is broken"}'; exit 1; }
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS $config" >>calls
)script";

class AddressBook : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / "godwit-book-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    ::setenv("GODWIT_CNI_STATE", (folder_ + "/state").c_str(), 1);
    ASSERT_TRUE(os::write_file_atomic(folder_ + "/ranges", plugin, 0755));
  }
  void TearDown() override {
    ::unsetenv("GODWIT_CNI_STATE");
    EXPECT_TRUE(os::remove_tree(folder_));
  }

  [[nodiscard]] PluginCall del(const std::string& sandbox) const {
    return {.command = "DEL",
            .container_id = sandbox,
            .netns = "/run/netns/" + sandbox,
            .interface = "eth0",
            .arguments = "A=1",
            .path = "/nowhere:" + folder_,
            .config = {{"type", "ranges"}}};
  }
  [[nodiscard]] std::string calls() const { return os::read_file(folder_ + "/calls").value_or(""); }
  void break_plugin(bool broken) const {
    if (broken) {
      ASSERT_TRUE(os::write_file_atomic(folder_ + "/broken", ""));
    } else {
      ASSERT_TRUE(os::remove_tree(folder_ + "/broken"));
    }
  }
  static std::vector<std::string> kept_sandboxes() {
    std::vector<std::string> names;
    const auto all = kept_addresses();
    EXPECT_TRUE(all) << all.error().message;
    for (const KeptAddress& one : *all) names.push_back(one.sandbox);
    return names;
  }
  static std::vector<std::string> guests() {
    std::vector<std::string> addresses;
    const auto all = guest_addresses();
    EXPECT_TRUE(all) << all.error().message;
    for (const GuestAddress& one : *all) addresses.push_back(one.address);
    return addresses;
  }
  // A network that lives is one whose path exists.
  void welcome(const std::string& sandbox, const std::string& address) const {
    const std::string netns = folder_ + "/netns-" + sandbox;
    ASSERT_TRUE(os::write_file_atomic(netns, ""));
    ASSERT_TRUE(welcome_guest(sandbox, {.netns = netns, .addresses = {address}, .routed = true}));
  }

  std::string folder_;
};

TEST_F(AddressBook, ThePluginHearsOfASandboxThatMovedWhenNobodyHasItsAddressAnyMore) {
  ASSERT_TRUE(keep_address("s1", {"10.0.1.5/24", "fd00::5/64"}));
  EXPECT_THAT(kept_sandboxes(), IsEmpty()) << "its sandbox is still there";
  ASSERT_EQ(put_off(del("s1")), true);
  const auto kept = kept_addresses();
  ASSERT_EQ(kept->size(), 1U);
  EXPECT_EQ(kept->front().sandbox, "s1");
  EXPECT_THAT(kept->front().addresses, ElementsAre("10.0.1.5", "fd00::5"));
  EXPECT_EQ(calls(), "");

  break_plugin(true);
  const auto failed = release_address("s1");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("it is broken"));
  EXPECT_THAT(kept_sandboxes(), ElementsAre("s1")) << "to be tried again";
  break_plugin(false);
  ASSERT_TRUE(release_address("s1"));
  EXPECT_EQ(calls(), "DEL s1  eth0 A=1 {\"type\":\"ranges\"}\n");
  EXPECT_THAT(kept_sandboxes(), IsEmpty());
  ASSERT_TRUE(release_address("s1")) << "it can be repeated";
  EXPECT_EQ(put_off(del("s1")), false) << "an engine that repeats the DEL has it made";
}

TEST_F(AddressBook, AnAddressThatStaysIsThePluginsAgain) {
  ASSERT_TRUE(keep_address("s1", {"10.0.1.5/24"}));
  ASSERT_TRUE(release_address("s1")) << "nobody may release what a sandbox has";
  ASSERT_TRUE(keep_no_longer("s1"));
  EXPECT_EQ(put_off(del("s1")), false);
  EXPECT_EQ(calls(), "");
  // The pod was deleted while it was about to move.
  ASSERT_TRUE(keep_address("s2", {"10.0.1.6/24"}));
  ASSERT_EQ(put_off(del("s2")), true);
  ASSERT_TRUE(keep_no_longer("s2"));
  EXPECT_THAT(calls(), HasSubstr("DEL s2"));
  EXPECT_THAT(kept_sandboxes(), IsEmpty());
}

TEST_F(AddressBook, WhatAGuestBringsIsKeptAtHomeAlone) {
  welcome("g1", "10.0.1.5/24");
  ASSERT_TRUE(keep_address("g1", {"10.0.1.5/24"}));
  EXPECT_EQ(put_off(del("g1")), false) << "the address that it was given here is free when it goes";
  EXPECT_THAT(guests(), ElementsAre("10.0.1.5"));
  ASSERT_TRUE(dismiss_guest("g1"));
  EXPECT_THAT(guests(), IsEmpty());
}

TEST_F(AddressBook, AnAddressThatEndsAtHomeIsFreeAtOnce) {
  ASSERT_TRUE(keep_address("s1", {"10.0.1.5/24"}));
  ASSERT_EQ(put_off(del("s1")), true);
  ASSERT_TRUE(keep_address("s2", {"10.0.1.6/24"}));
  ASSERT_EQ(put_off(del("s2")), true);
  welcome("g1", "10.0.1.5/24");
  ASSERT_TRUE(keep_address("g1", {"10.0.1.5/24"}));
  ASSERT_TRUE(dismiss_guest("g1"));
  EXPECT_THAT(kept_sandboxes(), UnorderedElementsAre("s1", "s2")) << "it went on to another node";
  welcome("g2", "10.0.1.5/24");
  ASSERT_TRUE(keep_address("g2", {"10.0.1.5/24"}));
  ASSERT_TRUE(keep_no_longer("g2"));
  ASSERT_TRUE(dismiss_guest("g2"));
  EXPECT_THAT(kept_sandboxes(), ElementsAre("s2"));
  EXPECT_THAT(calls(), HasSubstr("DEL s1"));
}

TEST_F(AddressBook, AGuestArrivesAndLeaves) {
  using State = GuestAddress::State;
  welcome("g1", "10.0.1.5/24");
  const auto state = [] { return guest_addresses()->at(0).state; };
  EXPECT_EQ(state(), State::arriving);
  EXPECT_TRUE(guest_addresses()->at(0).routed);
  ASSERT_TRUE(settle_guest("g1"));
  EXPECT_EQ(state(), State::here);
  ASSERT_TRUE(keep_address("g1", {"10.0.1.5/24"}));
  EXPECT_EQ(state(), State::leaving);
  ASSERT_TRUE(keep_no_longer("g1"));
  EXPECT_EQ(state(), State::here);
  EXPECT_THAT((*find_guest("g1"))->addresses, ElementsAre("10.0.1.5"));
  EXPECT_FALSE(find_guest("g2")->has_value());
  EXPECT_TRUE(settle_guest("g2"));
  EXPECT_FALSE(find_guest("g2")->has_value());
}

TEST_F(AddressBook, AGuestWhoseNetworkIsGoneHasNothing) {
  welcome("g1", "10.0.1.5/24");
  ASSERT_TRUE(keep_address("s1", {"10.0.2.9/24"}));
  EXPECT_THAT(*addresses_of_sandboxes(), UnorderedElementsAre("10.0.1.5", "10.0.2.9"));
  ASSERT_EQ(put_off(del("s1")), true);
  ASSERT_TRUE(os::remove_tree(folder_ + "/netns-g1"));
  EXPECT_THAT(guests(), IsEmpty());
  EXPECT_THAT(*addresses_of_sandboxes(), IsEmpty());
}

TEST_F(AddressBook, NamesThatAreNoSandboxesAreRefused) {
  for (const char* name : {"", "..", "a/b", "../kept/s1"}) {
    EXPECT_FALSE(keep_address(name, {"10.0.1.5"})) << name;
    EXPECT_FALSE(release_address(name)) << name;
  }
}

TEST_F(AddressBook, ADamagedRecordIsToldAndTakenForNobodys) {
  ASSERT_TRUE(keep_address("s1", {"10.0.1.5/24"}));
  ASSERT_TRUE(os::write_file_atomic(folder_ + "/state/kept/s1", "{"));
  EXPECT_FALSE(put_off(del("s1")));
  EXPECT_THAT(kept_sandboxes(), IsEmpty());
}

}  // namespace
}  // namespace godwit::network
