#include "coordinator/shell/durability.h"

#include <array>
#include <charconv>

namespace millrace {
namespace {

constexpr std::array<std::string_view, 4> kWords = {"memory", "everysec", "always", "replicated"};

// The value of `name:` in what INFO tells.
std::optional<std::string> info_field(std::string_view info, std::string_view name) {
  for (std::size_t at = 0; (at = info.find(name, at)) != std::string_view::npos; at += name.size()) {
    if (at > 0 && info[at - 1] != '\n') continue;
    std::string_view value = info.substr(at + name.size());
    if (!value.starts_with(':')) continue;
    value = value.substr(1, value.find_first_of("\r\n") - 1);
    return std::string(value);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> number_in(const std::optional<std::string>& text) {
  std::uint32_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), value);
  return failed == std::errc() ? std::optional(value) : std::nullopt;
}

}  // namespace

std::string_view to_string(DurabilityMode mode) { return kWords[static_cast<std::size_t>(mode)]; }

std::optional<DurabilityMode> parse_durability(std::string_view word) {
  for (std::size_t i = 0; i < kWords.size(); ++i)
    if (kWords[i] == word) return static_cast<DurabilityMode>(i);
  return std::nullopt;
}

Result<RedisFacts> read_facts(Redis& redis, std::string address, Duration timeout) {
  RedisFacts facts;
  facts.address = std::move(address);
  const std::pair<const char*, std::optional<std::string>*> settings[] = {
      {"appendonly", &facts.appendonly},
      {"appendfsync", &facts.appendfsync},
      {"maxmemory", &facts.maxmemory},
      {"maxmemory-policy", &facts.maxmemory_policy},
      {"min-replicas-to-write", &facts.min_replicas_to_write}};
  for (const auto& [name, into] : settings) {  // one by one: a user may be allowed some of them
    const Result<RedisReply> reply = redis.command({"CONFIG", "GET", name}, timeout);
    if (!reply.ok()) return reply.error();
    if (reply->items.size() >= 2) *into = reply->items[1].text;
  }
  const Result<RedisReply> info = redis.command({"INFO", "replication"}, timeout);
  if (!info.ok()) return info.error();
  if (!info->is_error()) {
    facts.role = info_field(info->text, "role");
    facts.replicas = number_in(info_field(info->text, "connected_slaves"));
  }
  return facts;
}

std::vector<std::string> weaker_than(const Durability& asked, const RedisFacts& facts) {
  std::vector<std::string> findings;
  const auto add = [&](const std::string& what) { findings.push_back(facts.address + ": " + what); };
  const auto unknown = [&](const char* what) {
    add(std::string(what) + " is not told (CONFIG GET or INFO is refused): not checked");
  };
  const bool append = asked.mode == DurabilityMode::kEverysec || asked.mode == DurabilityMode::kAlways;
  if (append && !facts.appendonly) unknown("appendonly");
  if (append && facts.appendonly && *facts.appendonly != "yes")
    add("appendonly is " + *facts.appendonly + ": set it to yes");
  if (append && !facts.appendfsync) unknown("appendfsync");
  if (append && facts.appendfsync) {
    const bool enough =
        *facts.appendfsync == "always" || (asked.mode == DurabilityMode::kEverysec && *facts.appendfsync == "everysec");
    if (!enough) add("appendfsync is " + *facts.appendfsync + ": set it to " + std::string(to_string(asked.mode)));
  }
  if (asked.mode == DurabilityMode::kReplicated) {
    if (!facts.replicas) unknown("the number of replicas");
    else if (*facts.replicas < asked.replicas)
      add(std::to_string(*facts.replicas) + " replicas are connected, " + std::to_string(asked.replicas) +
          " are asked for: nothing is acknowledged until they are");
  }
  if (!facts.maxmemory_policy) unknown("maxmemory-policy");
  else if (*facts.maxmemory_policy != "noeviction" && facts.maxmemory != "0")
    add("maxmemory-policy is " + *facts.maxmemory_policy +
        ": runs would be evicted when memory is full; set it to noeviction");
  return findings;
}

}  // namespace millrace
