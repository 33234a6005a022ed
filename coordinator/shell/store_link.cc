#include "coordinator/shell/store_link.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "coordinator/shell/member_codec.h"
#include "coordinator/shell/redis_commit.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_reads.h"

namespace millrace {
namespace {

constexpr Duration kLook = 2200ms;  // a living coordinator beats every 500 ms, and may be slow

Error refused(const std::string& where, std::string_view what) {
  return {Code::kUnavailable, where + ": " + std::string(what), {}, "redis_refused"};
}

}  // namespace

Result<StoreLink> StoreLink::open(const RedisTarget& target, Duration timeout) {
  Result<RedisNet> net = connect_net(target, timeout);
  if (!net.ok()) return net.error();
  StoreLink link;
  link.net_ = std::move(*net);
  link.timeout_ = std::max<Duration>(timeout, 30s);  // large keys take their time
  link.where_ = target.safe();
  return link;
}

Result<std::vector<RedisReply>> StoreLink::ask(std::string_view key, const std::vector<RedisCommand>& commands) {
  Result<std::vector<RedisReply>> replies = node_of(key).commands(commands, timeout_);
  if (!replies.ok()) return replies;
  for (const RedisReply& reply : *replies)
    if (reply.is_error()) return refused(where_, reply.text);
  return replies;
}

Result<RedisReply> StoreLink::ask(const RedisCommand& command) {
  Result<std::vector<RedisReply>> replies = ask(key_of(command), std::vector<RedisCommand>{command});
  if (!replies.ok()) return replies.error();
  return std::move(replies->front());
}

Result<RedisReply> StoreLink::try_ask(const RedisCommand& command) {
  Result<std::vector<RedisReply>> replies = node_of(key_of(command)).commands(std::span(&command, 1), timeout_);
  if (!replies.ok()) return replies.error();
  return std::move(replies->front());
}

Result<std::vector<std::vector<RedisReply>>> StoreLink::at_once(std::string_view key,
                                                                const std::vector<std::vector<RedisCommand>>& groups) {
  std::vector<RedisCommand> all;
  for (const auto& group : groups) {
    all.push_back({"MULTI"});
    all.insert(all.end(), group.begin(), group.end());
    all.push_back({"EXEC"});
  }
  Result<std::vector<RedisReply>> replies = ask(key, all);
  if (!replies.ok()) return replies.error();
  std::vector<std::vector<RedisReply>> answers;
  std::size_t at = 0;
  for (const auto& group : groups) {
    at += group.size() + 2;
    answers.push_back(std::move((*replies)[at - 1].items));
    if (answers.back().size() != group.size()) return refused(where_, "MULTI without its replies");
  }
  return answers;
}

Result<std::vector<std::string>> StoreLink::scan(const std::string& pattern) {
  std::set<std::string> keys;
  for (RedisNode& node : net_.nodes) {
    std::string cursor = "0";
    do {
      const Result<RedisReply> page = node.connection->command({"SCAN", cursor, "MATCH", pattern, "COUNT", "2000"});
      if (!page.ok()) return page.error();
      if (page->is_error() || page->items.size() != 2) return refused(where_, "SCAN: " + page->text);
      cursor = page->items[0].text;
      for (const RedisReply& key : page->items[1].items) keys.insert(key.text);
    } while (cursor != "0");
  }
  return std::vector<std::string>(keys.begin(), keys.end());
}

Result<std::uint16_t> StoreLink::partitions() {
  const Result<RedisReply> meta = ask(RedisCommand{"HMGET", kMetaKey, "format", "partitions"});
  if (!meta.ok()) return meta.error();
  if (meta->items.size() != 2 || meta->items[0].is_nil()) return std::uint16_t{0};
  if (number_of<int>(meta->items[0].text) != kStoreFormat) {
    return Error{
        Code::kConflict,
        where_ + " holds a Millrace cluster of format " + meta->items[0].text + ", not " + std::to_string(kStoreFormat),
        {},
        "cluster_mismatch"};
  }
  return std::min(number_of<std::uint16_t>(meta->items[1].text), static_cast<std::uint16_t>(kPartitionsMax));
}

Status StoreLink::load() {
  for (RedisNode& node : net_.nodes)
    if (Status loaded = load_functions(*node.connection); !loaded.ok()) return loaded;
  return Done{};
}

Result<OwnerRecord> StoreLink::owner(PartitionId partition) {
  const Result<RedisReply> reply =
      ask(RedisCommand{"HMGET", partition_key(partition, "owner"), "owner", "epoch", "nonce", "beat", "n"});
  if (!reply.ok()) return reply.error();
  OwnerRecord record;
  if (reply->items.size() != 5) return record;
  record.owner = reply->items[0].text;
  record.epoch = {number_of<std::uint32_t>(reply->items[1].text), number_of<std::uint64_t>(reply->items[2].text)};
  record.beat = number_of<std::uint64_t>(reply->items[3].text);
  record.number = number_of<std::uint64_t>(reply->items[4].text);
  return record;
}

Result<std::vector<std::string>> StoreLink::living(std::uint16_t partitions) {
  std::map<std::string, std::pair<std::string, std::string>> seen;  // key -> name, then and now
  const auto look = [&]() -> Result<std::map<std::string, std::pair<std::string, std::string>>> {
    std::map<std::string, std::pair<std::string, std::string>> now;
    for (std::uint16_t p = 0; p < partitions; ++p) {
      const Result<OwnerRecord> record = owner(PartitionId{p});
      if (!record.ok()) return record.error();
      if (record->owner.empty()) continue;
      now["p" + std::to_string(p)] = {record->owner,
                                      std::to_string(record->epoch.counter) + "/" + std::to_string(record->beat)};
    }
    const Result<RedisReply> members = ask(RedisCommand{"HGETALL", kMembersKey});
    if (!members.ok()) return members.error();
    for (std::size_t i = 0; i + 1 < members->items.size(); i += 2)
      now["m" + members->items[i].text] = {members->items[i].text, members->items[i + 1].text};
    return now;
  };
  const auto before = look();
  if (!before.ok()) return before.error();
  std::this_thread::sleep_for(kLook);
  const auto after = look();
  if (!after.ok()) return after.error();
  std::set<std::string> names;
  for (const auto& [key, now] : *after) {
    const auto then = before->find(key);
    if (then == before->end() || then->second.second != now.second) names.insert(now.first);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Status StoreLink::pause_writes(std::string_view key, Duration at_most) {
  Redis& node = node_of(key);
  const Result<RedisReply> reply = at_most == Duration::zero()
                                       ? node.command({"CLIENT", "UNPAUSE"})
                                       : node.command({"CLIENT", "PAUSE", std::to_string(at_most / 1ms), "WRITE"});
  if (!reply.ok()) return reply.error();
  if (reply->is_error()) return refused(where_, reply->text);
  return Done{};
}

}  // namespace millrace
