#include "common/net/egress_rules.h"

#include <gtest/gtest.h>

#include "common/net/egress.h"

namespace millrace {
namespace {

std::string kind(const char* address) { return std::string(to_string(kind_of(parse_address(address).value()))); }

bool allows(const EgressRules& rules, const char* address, const char* host = "example.org", std::uint16_t port = 443) {
  return rules.refusal(parse_address(address).value(), host, port).empty();
}

TEST(EgressRules, KnowTheKindOfAnAddress) {
  for (const char* address : {"8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "193.0.0.1"})
    EXPECT_EQ(kind(address), "public") << address;
  for (const char* address : {"127.0.0.1", "127.255.0.1", "0.0.0.0", "0.1.2.3", "::1", "::"})
    EXPECT_EQ(kind(address), "loopback") << address;
  for (const char* address : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1"})
    EXPECT_EQ(kind(address), "private") << address;
  for (const char* address : {"169.254.1.1", "fe80::1"}) EXPECT_EQ(kind(address), "link-local") << address;
  for (const char* address : {"169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "168.63.129.16"})
    EXPECT_EQ(kind(address), "metadata") << address;
  for (const char* address : {"224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1"})
    EXPECT_EQ(kind(address), "reserved") << address;
}

TEST(EgressRules, SeeAnIpv4AddressInsideAnIpv6One) {
  EXPECT_EQ(kind("::ffff:127.0.0.1"), "loopback");
  EXPECT_EQ(kind("::ffff:169.254.169.254"), "metadata");
  EXPECT_EQ(kind("64:ff9b::a9fe:a9fe"), "metadata");  // NAT64
  EXPECT_EQ(kind("2002:7f00:1::"), "loopback");       // 6to4
  EXPECT_EQ(kind("::10.0.0.1"), "private");           // compatible
}

TEST(EgressRules, AllowPublicAddressesAloneUnlessTold) {
  const EgressRules rules;
  EXPECT_TRUE(allows(rules, "8.8.8.8"));
  for (const char* address : {"127.0.0.1", "10.0.0.1", "169.254.1.1", "169.254.169.254", "224.0.0.1"})
    EXPECT_FALSE(allows(rules, address)) << address;
}

TEST(EgressRules, AreKindsBlocksAddressesAndHosts) {
  const EgressRules rules =
      EgressRules::parse({"private", "127.0.0.0/30", "169.254.9.9", "internal:8443", "fe80::/16"}).value();
  EXPECT_TRUE(allows(rules, "192.168.0.1"));
  EXPECT_TRUE(allows(rules, "127.0.0.3"));
  EXPECT_TRUE(allows(rules, "::ffff:127.0.0.3"));
  EXPECT_FALSE(allows(rules, "127.0.0.4"));
  EXPECT_TRUE(allows(rules, "169.254.9.9"));
  EXPECT_FALSE(allows(rules, "169.254.9.8"));
  EXPECT_TRUE(allows(rules, "fe80::5"));
  EXPECT_TRUE(allows(rules, "127.9.9.9", "Internal", 8443));
  EXPECT_FALSE(allows(rules, "127.9.9.9", "internal", 8444));
  EXPECT_FALSE(allows(EgressRules::parse({"private"}).value(), "169.254.169.254")) << "metadata is a kind of its own";
  EXPECT_TRUE(allows(EgressRules::parse({"any"}).value(), "224.0.0.1"));
}

TEST(EgressRules, WhatIsNoRuleIsNamed) {
  for (const char* word : {"lan", "10.0.0.0/33", "10.0.0/8", "host:", ":80", "host:70000", "public"}) {
    const Result<EgressRules> rules = EgressRules::parse({word});
    ASSERT_FALSE(rules.ok()) << word;
    EXPECT_EQ(rules.error().what,
              std::string("\"") + word +
                  "\": expected loopback, private, link-local, metadata, any, an address, a block like "
                  "10.0.0.0/8, or HOST:PORT");
  }
}

TEST(Urls, AreShownWithoutQueryFragmentAndCredentials) {
  EXPECT_EQ(shown_url("https://ada:pw@example.org:8443/a/b?key=1#f"), "https://example.org:8443/a/b");
  EXPECT_EQ(shown_url("no url ?key=1"), "no url ");
}

TEST(Urls, AQueryIsAddedBeforeTheFragment) {
  EXPECT_EQ(with_query("http://h/p", {{"a b", "c&d"}}), "http://h/p?a%20b=c%26d");
  EXPECT_EQ(with_query("http://h/p?x=1#f", {{"y", "2"}, {"z", ""}}), "http://h/p?x=1&y=2&z=#f");
  EXPECT_EQ(with_query("http://h/p?", {{"y", "2"}}), "http://h/p?y=2");
}

}  // namespace
}  // namespace millrace
