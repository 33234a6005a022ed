// StreamReader: key-space events of a Redis, which come by PSUBSCRIBE: at most once each.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <set>

#include "coordinator/shell/stream_reader.h"

namespace millrace {
namespace {

constexpr Duration kConnectWithin = 2s;
constexpr Duration kAnswerWithin = 5s;
constexpr Duration kRest = 1s;
constexpr Duration kNothingToDo = 50ms;
constexpr int kLookEveryMs = 100;         // whether other patterns are wanted
constexpr std::size_t kHeardAhead = 256;  // batches of one trigger that are not taken; more are dropped

std::int64_t wall_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::set<std::string> StreamReader::patterns(const std::string& source) {
  std::lock_guard lock(mutex_);
  std::set<std::string> all;
  for (const auto& [token, one] : followed_) {
    if (one.stream.redis == source && one.stream.keyspace) all.insert(one.stream.key);
  }
  return all;
}

// Said once for each connection, where the server lets us look.
void StreamReader::warn_if_off(const Source& source, Redis& redis) {
  const Result<RedisReply> set = redis.command({"CONFIG", "GET", "notify-keyspace-events"}, kAnswerWithin);
  if (!set.ok() || set->items.size() != 2) return;
  const std::string& flags = set->items[1].text;
  const bool what = flags.find_first_of("Ag$lshzxetdmn") != std::string::npos;
  if (flags.find('K') != std::string::npos && what) return;
  warn_("key-space events of " + source.name + " are off: notify-keyspace-events is '" + flags +
        "', and needs K and the kinds of events, such as KA");
}

void StreamReader::listen(const Source& source) {
  const std::string prefix = "__keyspace@" + std::to_string(source.url.db) + "__:";
  std::unique_ptr<Redis> redis;
  std::set<std::string> subscribed;
  std::vector<RedisReply> replies;
  bool warned = false;
  while (wait(Duration::zero())) {
    const std::set<std::string> wanted = patterns(source.name);
    if (wanted != subscribed) redis.reset();
    if (wanted.empty()) {
      subscribed.clear();
      if (!wait(kNothingToDo)) return;
      continue;
    }
    if (redis == nullptr) {
      Result<std::unique_ptr<Redis>> made = Redis::connect(source.url, kConnectWithin);
      if (!made.ok()) {
        if (!warned) warn_("key-space events of " + source.name + ": " + made.error().what);
        warned = true;
        if (!wait(kRest)) return;
        continue;
      }
      warned = false;
      redis = std::move(*made);
      warn_if_off(source, *redis);
      redis->listen();
      RedisCommand subscribe{"PSUBSCRIBE"};
      for (const std::string& pattern : wanted) subscribe.push_back(prefix + pattern);
      redis->append(subscribe);
      subscribed = wanted;
    }
    const bool more = redis->flush();
    pollfd waiting{redis->fd(), static_cast<short>(POLLIN | (more ? POLLOUT : 0)), 0};
    if (!redis->broken()) (void)poll(&waiting, 1, kLookEveryMs);
    replies.clear();
    if (redis->poll_replies(replies) > 0) heard(source, prefix, replies);
    if (!redis->broken()) continue;
    warn_("key-space events of " + source.name + ": " + redis->error().what);
    redis.reset();
    if (!wait(kRest)) return;
  }
}

// pmessage, pattern, channel, event: to each trigger that has the pattern and wants the event.
void StreamReader::heard(const Source& source, const std::string& prefix, const std::vector<RedisReply>& replies) {
  bool any = false;
  {
    std::lock_guard lock(mutex_);
    for (auto& [token, one] : followed_) {
      if (one.stream.redis != source.name || !one.stream.keyspace) continue;
      std::vector<StreamBatch> more;
      for (const RedisReply& reply : replies) {
        if (reply.items.size() != 4 || reply.items[0].text != "pmessage") continue;
        if (reply.items[1].text != prefix + one.stream.key) continue;
        const std::string& event = reply.items[3].text;
        const std::vector<std::string>& events = one.stream.events;
        if (!events.empty() && std::ranges::find(events, event) == events.end()) continue;
        if (more.empty() || more.back().entries.size() == kStreamBatchMax)
          more.push_back(StreamBatch{token, "", 0, ""});
        // Unique among all that ever listened: nobody else says this moment, this process and this count.
        std::string id = std::to_string(wall_ms()) + "-" + nonce_ + "-" + std::to_string(++events_heard_);
        more.back().entries.push_back(
            {std::move(id), {{"key", reply.items[2].text.substr(prefix.size())}, {"event", event}}});
      }
      if (more.empty()) continue;
      if (one.ahead >= kHeardAhead) {
        warn_("key-space events of " + source.name + " are dropped: they come faster than they are taken");
        continue;
      }
      one.ahead += more.size();
      std::ranges::move(more, std::back_inserter(batches_));
      any = true;
    }
  }
  if (any) wake_();
}

}  // namespace millrace
