#include <gtest/gtest.h>

#include "common/io/net_address.h"
#include "common/io/zmq_socket.h"

namespace millrace {
namespace {

TEST(Endpoint, WhatOnlyThisMachineCanReachMayBeBound) {
  for (const char* endpoint : {"tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://127.9.8.7:80", "tcp://localhost:5000",
                               "tcp://[::1]:5000", "ipc:///tmp/x.sock", "inproc://here"}) {
    EXPECT_TRUE(check_bind_endpoint(endpoint, false).ok()) << endpoint;
    EXPECT_TRUE(is_local_endpoint(endpoint)) << endpoint;
  }
}

TEST(Endpoint, WhatOtherMachinesCanReachIsRefusedUnlessAllowed) {
  for (const char* endpoint : {"tcp://*:5000", "tcp://0.0.0.0:5000", "tcp://10.0.0.1:5000", "tcp://[::]:5000",
                               "tcp://eth0:5000", "tcp://127.example.org:5000", "tcp://128.0.0.1:1"}) {
    const Status refused = check_bind_endpoint(endpoint, false);
    ASSERT_FALSE(refused.ok()) << endpoint;
    EXPECT_EQ(refused.error().code, Code::kRefused);
    EXPECT_EQ(refused.error().name, "remote_bind");
    EXPECT_NE(refused.error().what.find("not authenticated"), std::string::npos);
    EXPECT_TRUE(check_bind_endpoint(endpoint, true).ok()) << endpoint;
  }
}

TEST(NetAddress, LoopbackIsWhatOnlyThisMachineCanReach) {
  for (const char* host : {"localhost", "127.0.0.1", "127.9.8.7", "::1", "[::1]"}) EXPECT_TRUE(is_loopback_host(host));
  for (const char* host : {"", "0.0.0.0", "::", "[::]", "10.0.0.1", "127.example.org", "127.0.0.1.x", "localhost.x"}) {
    EXPECT_FALSE(is_loopback_host(host)) << host;
  }
}

TEST(Endpoint, TheSocketItselfHoldsTheRule) {
  ZmqContext context;
  RouterSocket router(context);
  const Status refused = router.bind("tcp://0.0.0.0:0");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().name, "remote_bind");
}

TEST(Endpoint, WhatIsMalformedIsInvalidHoweverMuchIsAllowed) {
  for (const char* endpoint : {"", "tcp://", "tcp://:80", "tcp://host", "tcp://host:", "tcp://host:99999",
                               "tcp://host:12x", "tcp://a b:80", "tcp://::1:80", "ipc://", "inproc://", "udp://h:1"}) {
    const Status refused = check_bind_endpoint(endpoint, true);
    ASSERT_FALSE(refused.ok()) << endpoint;
    EXPECT_EQ(refused.error().code, Code::kInvalid) << endpoint;
    EXPECT_FALSE(check_connect_endpoint(endpoint).ok()) << endpoint;
  }
  EXPECT_FALSE(check_bind_endpoint("ipc:///" + std::string(200, 'x'), true).ok());
}

TEST(Endpoint, ConnectingNeedsARealPortAndHost) {
  EXPECT_TRUE(check_connect_endpoint("tcp://coordinator.example.org:5710").ok());
  for (const char* endpoint : {"tcp://host:0", "tcp://host:*", "tcp://*:80"}) {
    EXPECT_FALSE(check_connect_endpoint(endpoint).ok()) << endpoint;
  }
}

}  // namespace
}  // namespace millrace
