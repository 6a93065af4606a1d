#include "network/prefix.h"

#include <gtest/gtest.h>

namespace godwit::network {
namespace {

TEST(Prefix, AddressesOfOneNetworkAreKnown) {
  EXPECT_TRUE(same_network("10.88.1.5/16", "10.88.200.7/16"));
  EXPECT_FALSE(same_network("10.244.1.5/24", "10.244.2.5/24"));
  EXPECT_TRUE(same_network("10.244.1.5/23", "10.244.0.5/23"));
  EXPECT_FALSE(same_network("10.88.1.5/16", "10.88.1.5/24")) << "a network has one prefix";
  EXPECT_FALSE(same_network("10.0.0.1/32", "10.0.0.2/32"));
  EXPECT_TRUE(same_network("fd88::1:5/64", "fd88::ffff/64"));
  EXPECT_FALSE(same_network("fd88:0:0:1::5/64", "fd88:0:0:2::5/64"));
  EXPECT_TRUE(same_network("10.1.1.1/0", "192.168.0.1/0"));
}

TEST(Prefix, WhatIsNoAddressWithAPrefixIsOfNoNetwork) {
  for (const char* text : {"", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0/24", "10.0.0.1/8x", "fd00::1/129"}) {
    EXPECT_FALSE(same_network(text, text)) << text;
  }
}

TEST(Prefix, FamiliesAreToldApart) {
  EXPECT_TRUE(same_family("10.0.0.1", "10.0.0.2/24"));
  EXPECT_FALSE(same_family("10.0.0.1", "fd00::1"));
}

}  // namespace
}  // namespace godwit::network
