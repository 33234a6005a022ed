#include "common/net/egress_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace millrace {
namespace {

constexpr std::array<std::string_view, 6> kWords = {"public",     "loopback", "private",
                                                    "link-local", "metadata", "reserved"};

struct Known {
  const char* address;
  int bits;  // of the family it is written in
  AddressKind kind;
};
// The first that fits counts.
constexpr Known kKnown[] = {
    {"169.254.169.254", 32, AddressKind::kMetadata},  // most clouds
    {"169.254.170.2", 32, AddressKind::kMetadata},    // ECS
    {"169.254.170.23", 32, AddressKind::kMetadata},   // EKS
    {"100.100.100.200", 32, AddressKind::kMetadata},  // Alibaba
    {"192.0.0.192", 32, AddressKind::kMetadata},      // Oracle
    {"168.63.129.16", 32, AddressKind::kMetadata},    // Azure
    {"fd00:ec2::254", 128, AddressKind::kMetadata},
    {"fd00:ec2::23", 128, AddressKind::kMetadata},
    {"fd20:ce::254", 128, AddressKind::kMetadata},  // Google
    {"0.0.0.0", 8, AddressKind::kLoopback},         // "this host": Linux connects it to loopback
    {"127.0.0.0", 8, AddressKind::kLoopback},
    {"::", 128, AddressKind::kLoopback},
    {"::1", 128, AddressKind::kLoopback},
    {"10.0.0.0", 8, AddressKind::kPrivate},
    {"172.16.0.0", 12, AddressKind::kPrivate},
    {"192.168.0.0", 16, AddressKind::kPrivate},
    {"100.64.0.0", 10, AddressKind::kPrivate},
    {"198.18.0.0", 15, AddressKind::kPrivate},
    {"fc00::", 7, AddressKind::kPrivate},
    {"fec0::", 10, AddressKind::kPrivate},
    {"169.254.0.0", 16, AddressKind::kLinkLocal},
    {"fe80::", 10, AddressKind::kLinkLocal},
    {"192.0.0.0", 24, AddressKind::kReserved},
    {"224.0.0.0", 3, AddressKind::kReserved},  // multicast, reserved, broadcast
    {"ff00::", 8, AddressKind::kReserved},
};

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr std::array<std::uint8_t, 12> kNat64 = {0, 0x64, 0xFF, 0x9B};
constexpr std::array<std::uint8_t, 12> kCompatible = {};

bool begins(const Address& address, const std::array<std::uint8_t, 12>& prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

Address mapped(const std::uint8_t* v4) {
  Address out{};
  std::copy(kMapped.begin(), kMapped.end(), out.begin());
  std::copy(v4, v4 + 4, out.begin() + 12);
  return out;
}

bool inside(const Address& address, const Address& block, int bits) {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole), block.begin())) return false;
  const int rest = bits % 8;
  return rest == 0 || (address[whole] ^ block[whole]) >> (8 - rest) == 0;
}

// The IPv4 address that an IPv6 one leads to, mapped; others as they are.
Address plain(const Address& address) {
  if (begins(address, kNat64)) return mapped(address.data() + 12);
  if (address[0] == 0x20 && address[1] == 0x02) return mapped(address.data() + 2);  // 6to4
  const bool low = std::all_of(address.begin() + 12, address.begin() + 15, [](std::uint8_t b) { return b == 0; });
  if (begins(address, kCompatible) && !low) return mapped(address.data() + 12);
  return address;
}

std::string text_of(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool v4 = begins(address, kMapped);
  inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address.data() + 12 : address.data(), text.data(), text.size());
  return text.data();
}

std::optional<AddressKind> parse_kind(std::string_view word) {
  const auto found = std::find(kWords.begin(), kWords.end(), word);
  if (found == kWords.end() || word == "public" || word == "reserved") return std::nullopt;
  return static_cast<AddressKind>(found - kWords.begin());
}

std::optional<int> parse_number(std::string_view text, int most) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() || value < 0 || value > most) return std::nullopt;
  return value;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

}  // namespace

std::string_view to_string(AddressKind kind) { return kWords[static_cast<std::size_t>(kind)]; }

Result<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  std::array<std::uint8_t, 4> v4{};
  Address v6{};
  if (inet_pton(AF_INET, copy.c_str(), v4.data()) == 1) return mapped(v4.data());
  if (inet_pton(AF_INET6, copy.c_str(), v6.data()) == 1) return v6;
  return Error{Code::kInvalid, "\"" + copy + "\" is not an address", {}, ""};
}

AddressKind kind_of(const Address& given) {
  const Address address = plain(given);
  for (const Known& known : kKnown) {
    const Address block = parse_address(known.address).value();
    const bool v4 = std::strchr(known.address, ':') == nullptr;
    if (inside(address, block, known.bits + (v4 ? 96 : 0))) return known.kind;
  }
  return AddressKind::kPublic;
}

Result<EgressRules> EgressRules::parse(const std::vector<std::string>& words) {
  EgressRules rules;
  for (const std::string& word : words) {
    if (word.empty()) continue;
    if (const std::optional<AddressKind> kind = parse_kind(word)) {
      rules.allow(*kind);
      continue;
    }
    if (word == "any") {
      rules.kinds_.fill(true);
      continue;
    }
    const std::size_t slash = word.find('/');
    const Result<Address> address = parse_address(std::string_view(word).substr(0, slash));
    if (address.ok()) {
      const bool v4 = word.find(':') == std::string::npos;
      const std::optional<int> bits = slash == std::string::npos
                                          ? std::optional(v4 ? 32 : 128)
                                          : parse_number(std::string_view(word).substr(slash + 1), v4 ? 32 : 128);
      if (bits) {
        rules.blocks_.push_back({*address, *bits + (v4 ? 96 : 0)});
        continue;
      }
    }
    const std::size_t colon = word.rfind(':');
    const std::optional<int> port =
        colon == std::string::npos ? std::nullopt : parse_number(std::string_view(word).substr(colon + 1), 65535);
    if (colon == std::string::npos || colon == 0 || !port) {
      return Error{Code::kInvalid,
                   "\"" + word +
                       "\": expected loopback, private, link-local, metadata, any, an address, a block like "
                       "10.0.0.0/8, or HOST:PORT",
                   {},
                   ""};
    }
    rules.allow_host(word.substr(0, colon), static_cast<std::uint16_t>(*port));
  }
  return rules;
}

void EgressRules::allow_host(std::string host, std::uint16_t port) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  hosts_.emplace_back(lower(std::move(host)), port);
}

std::string EgressRules::refusal(const sockaddr& address, std::string_view host, std::uint16_t port) const {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return refusal(mapped(reinterpret_cast<const std::uint8_t*>(&v4.sin_addr)), host, port);
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    Address bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return refusal(bytes, host, port);
  }
  return "an address that is neither IPv4 nor IPv6";
}

std::string EgressRules::refusal(const Address& given, std::string_view host, std::uint16_t port) const {
  const AddressKind kind = kind_of(given);
  if (kinds_[static_cast<std::size_t>(kind)]) return {};
  const Address address = plain(given);
  for (const Block& block : blocks_) {
    if (inside(address, block.address, block.bits)) return {};
  }
  std::string_view name = host;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  if (std::find(hosts_.begin(), hosts_.end(), std::pair(lower(std::string(name)), port)) != hosts_.end()) return {};
  const std::string text = text_of(given);
  std::string out = text == name ? text : std::string(host) + " is " + text + ", which";
  out += " is a " + std::string(to_string(kind)) + " address and refused by this worker's egress rules";
  const std::string way = kind == AddressKind::kReserved ? text : std::string(to_string(kind));
  return out + " (its operator may allow it: --allow-egress " + way + ")";
}

}  // namespace millrace
