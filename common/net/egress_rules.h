// EgressRules: which addresses an outgoing request may reach. Pure.
//
// Promises: judges the very address that a connection is about to go to, so neither a name that resolves to something
// else a moment later nor a redirect gets around it. Public addresses are allowed. Loopback, private, link-local and
// metadata addresses, multicast and reserved ones are refused unless a rule allows them; an IPv4 address inside an IPv6
// one (mapped, NAT64, 6to4) is judged as itself. Threads: immutable once made; any.
// Fails: parse() names the word that is no rule.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

struct sockaddr;

namespace millrace {

enum class AddressKind : std::uint8_t { kPublic, kLoopback, kPrivate, kLinkLocal, kMetadata, kReserved };
std::string_view to_string(AddressKind kind);  // "loopback", "link-local" ...

// An IPv6 address; IPv4 ones are mapped (::ffff:a.b.c.d).
using Address = std::array<std::uint8_t, 16>;
Result<Address> parse_address(std::string_view text);  // numeric only
AddressKind kind_of(const Address& address);

class EgressRules {
 public:
  // Each word is `loopback`, `private`, `link-local`, `metadata`, `any`, an address, a CIDR block (10.1.0.0/16), or
  // HOST:PORT as a URL names it.
  static Result<EgressRules> parse(const std::vector<std::string>& words);

  void allow(AddressKind kind) { kinds_[static_cast<std::size_t>(kind)] = true; }
  void allow_host(std::string host, std::uint16_t port);  // of an endpoint that the operator configured

  // Why a connection for `host`:`port` may not go to this address; empty: it may.
  std::string refusal(const sockaddr& address, std::string_view host, std::uint16_t port) const;
  std::string refusal(const Address& address, std::string_view host, std::uint16_t port) const;

 private:
  struct Block {
    Address address;
    int bits;  // of the mapped form: 96 more than of IPv4
  };
  std::array<bool, 6> kinds_ = {true, false, false, false, false, false};  // by AddressKind
  std::vector<Block> blocks_;
  std::vector<std::pair<std::string, std::uint16_t>> hosts_;
};

}  // namespace millrace
