#include "common/io/redis_net.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace millrace {
namespace {

constexpr Duration kSentinelPatience = 500ms;  // each of them

std::string address_of(const RedisUrl& url) {
  return url.host.empty() ? url.path : url.host + ":" + std::to_string(url.port);
}

Error unreachable(const std::string& attempted, const std::vector<std::string>& said) {
  std::string what = attempted;
  for (const std::string& one : said) what += "; " + one;
  return {Code::kUnavailable, std::move(what), {}, "redis_unreachable"};
}

// A server that was demoted, or never was one, takes no writes.
Status check_master(Redis& redis, const std::string& address, Duration timeout) {
  const Result<RedisReply> role = redis.command({"ROLE"}, timeout);
  if (!role.ok()) return role.error();
  if (role->is_error()) return Done{};  // not allowed to ask: the first write will tell
  if (!role->items.empty() && role->items[0].text == "master") return Done{};
  return Error{Code::kUnavailable, address + " is not a master", {}, "redis_not_master"};
}

Result<RedisNet> connect_one(const RedisUrl& url, Duration timeout) {
  Result<std::unique_ptr<Redis>> made = Redis::connect(url, timeout);
  if (!made.ok()) return made.error();
  RedisNet net;
  net.nodes.push_back({address_of(url), std::move(*made)});
  return net;
}

Result<RedisNet> connect_sentinel(const RedisTarget& target, Duration timeout) {
  const Result<RedisUrl> master = ask_sentinels(target, timeout);
  if (!master.ok()) return master.error();
  Result<RedisNet> net = connect_one(*master, timeout);
  if (!net.ok()) return net;
  const Status is_master = check_master(*net->nodes[0].connection, net->nodes[0].address, timeout);
  if (!is_master.ok()) return is_master.error();
  return net;
}

// One row of CLUSTER SLOTS: first slot, last slot, [host, port, ...] of the master, replicas.
struct SlotRange {
  std::size_t first = 0;
  std::size_t last = 0;
  std::string host;
  std::uint16_t port = 0;
};

std::vector<SlotRange> slot_ranges(const RedisReply& reply, const RedisUrl& asked) {
  std::vector<SlotRange> ranges;
  for (const RedisReply& row : reply.items) {
    if (row.items.size() < 3 || row.items[2].items.size() < 2) continue;
    const RedisReply& master = row.items[2];
    SlotRange range{static_cast<std::size_t>(row.items[0].integer), static_cast<std::size_t>(row.items[1].integer),
                    master.items[0].text, static_cast<std::uint16_t>(master.items[1].integer)};
    if (range.host.empty() || range.host == "?") range.host = asked.host;  // it does not know its own name
    if (range.first <= range.last && range.last < kRedisSlots) ranges.push_back(std::move(range));
  }
  return ranges;
}

Result<RedisNet> connect_ranges(const RedisTarget& target, const std::vector<SlotRange>& ranges, Duration timeout) {
  static constexpr std::uint16_t kNobody = 0xFFFF;
  RedisNet net;
  net.slots.assign(kRedisSlots, kNobody);
  for (const SlotRange& range : ranges) {
    const RedisUrl url = target.at(range.host, range.port);
    const std::string address = address_of(url);
    auto node = std::ranges::find(net.nodes, address, &RedisNode::address);
    if (node == net.nodes.end()) {
      Result<std::unique_ptr<Redis>> made = Redis::connect(url, timeout);
      if (!made.ok()) return made.error();
      const Status is_master = check_master(**made, address, timeout);
      if (!is_master.ok()) return is_master.error();
      net.nodes.push_back({address, std::move(*made)});
      node = net.nodes.end() - 1;
    }
    std::fill(net.slots.begin() + static_cast<std::ptrdiff_t>(range.first),
              net.slots.begin() + static_cast<std::ptrdiff_t>(range.last) + 1,
              static_cast<std::uint16_t>(node - net.nodes.begin()));
  }
  const auto unserved = std::ranges::count(net.slots, kNobody);
  if (unserved > 0) {
    return Error{Code::kUnavailable,
                 target.safe() + ": " + std::to_string(unserved) + " slots of the Redis Cluster have no master",
                 {},
                 "redis_unreachable"};
  }
  return net;
}

Result<RedisNet> connect_cluster(const RedisTarget& target, Duration timeout) {
  std::vector<std::string> said;
  for (const RedisUrl& seed : target.seeds) {
    Result<std::unique_ptr<Redis>> made = Redis::connect(target.at(seed.host, seed.port), timeout);
    if (!made.ok()) {
      said.push_back(made.error().what);
      continue;
    }
    const Result<RedisReply> slots = (*made)->command({"CLUSTER", "SLOTS"}, timeout);
    if (!slots.ok() || slots->is_error()) {
      said.push_back(address_of(seed) + ": " + (slots.ok() ? slots->text : slots.error().what));
      continue;
    }
    Result<RedisNet> net = connect_ranges(target, slot_ranges(*slots, seed), timeout);
    if (net.ok()) return net;
    said.push_back(net.error().what);
  }
  return unreachable("connect to " + target.safe(), said);
}

// The arguments of a formatted command, one after the other.
std::string_view take_argument(std::string_view& formatted) {
  std::size_t size = 0;
  if (formatted.empty() || formatted[0] != '$') return {};
  const auto [end, failed] = std::from_chars(formatted.data() + 1, formatted.data() + formatted.size(), size);
  if (failed != std::errc()) return {};
  formatted.remove_prefix(static_cast<std::size_t>(end - formatted.data()) + 2);
  const std::string_view argument = formatted.substr(0, size);
  formatted.remove_prefix(std::min(formatted.size(), size + 2));
  return argument;
}

constexpr std::array<std::uint16_t, 256> kCrcTable = [] {  // CRC-16/XMODEM, as Redis hashes keys
  std::array<std::uint16_t, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    unsigned crc = i << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1) ^ 0x1021U : crc << 1;
    table[i] = static_cast<std::uint16_t>(crc);
  }
  return table;
}();

}  // namespace

RedisTarget RedisTarget::standalone(const RedisUrl& url) {
  RedisTarget target;
  target.seeds = {url};
  target.login = url;
  return target;
}

RedisUrl RedisTarget::at(std::string host, std::uint16_t port) const {
  RedisUrl url = login;
  url.host = std::move(host);
  url.port = port;
  url.path.clear();
  return url;
}

std::string RedisTarget::safe() const {
  if (kind == Kind::kStandalone) return seeds.at(0).safe();
  std::string text = kind == Kind::kSentinel ? "sentinel://" : "cluster://";
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const bool ipv6 = seeds[i].host.find(':') != std::string::npos;
    text +=
        (i == 0 ? "" : ",") + (ipv6 ? "[" + seeds[i].host + "]" : seeds[i].host) + ":" + std::to_string(seeds[i].port);
  }
  if (kind == Kind::kSentinel) text += "/" + master + "/" + std::to_string(login.db);
  return text;
}

std::string_view to_string(RedisTarget::Kind kind) {
  switch (kind) {
    case RedisTarget::Kind::kStandalone: return "standalone";
    case RedisTarget::Kind::kSentinel: return "sentinel";
    case RedisTarget::Kind::kCluster: return "cluster";
  }
  return "";
}

std::uint16_t redis_slot(std::string_view key) {
  if (const std::size_t open = key.find('{'); open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  std::uint16_t crc = 0;
  for (const char c : key) {
    crc = static_cast<std::uint16_t>((crc << 8) ^ kCrcTable[(crc >> 8) ^ static_cast<std::uint8_t>(c)]);
  }
  return crc % kRedisSlots;
}

std::string_view key_of(const RedisCommand& command) {
  std::string_view left = command.formatted();
  const std::string_view name = take_argument(left);
  if (name == "FCALL") {
    take_argument(left);  // the function
    if (take_argument(left) == "0") return {};
  }
  return take_argument(left);
}

Result<RedisUrl> ask_sentinels(const RedisTarget& target, Duration timeout) {
  const Duration patience = std::min(timeout, kSentinelPatience);
  std::vector<std::string> said;
  for (const RedisUrl& seed : target.seeds) {
    Result<std::unique_ptr<Redis>> sentinel = Redis::connect(seed, patience);
    if (!sentinel.ok()) {
      said.push_back(sentinel.error().what);
      continue;
    }
    const Result<RedisReply> reply =
        (*sentinel)->command({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.master}, patience);
    std::uint16_t port = 0;
    if (reply.ok() && reply->items.size() == 2) {
      const std::string& text = reply->items[1].text;
      std::from_chars(text.data(), text.data() + text.size(), port);
    }
    if (port != 0) return target.at(reply->items[0].text, port);
    said.push_back(address_of(seed) + ": " +
                   (!reply.ok()         ? reply.error().what
                    : reply->is_error() ? reply->text
                                        : "knows no master '" + target.master + "'"));
  }
  return unreachable("ask the Sentinels of '" + target.master + "'", said);
}

Result<RedisNet> connect_net(const RedisTarget& target, Duration timeout) {
  switch (target.kind) {
    case RedisTarget::Kind::kStandalone: return connect_one(target.seeds.at(0), timeout);
    case RedisTarget::Kind::kSentinel: return connect_sentinel(target, timeout);
    case RedisTarget::Kind::kCluster: return connect_cluster(target, timeout);
  }
  return Error{Code::kInternal, "connect: no kind of Redis", {}, {}};
}

}  // namespace millrace
