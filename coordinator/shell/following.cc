// Loop: streams that triggers follow, of the partitions that are served here (streams.h).
#include <charconv>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kFollowEvery = 200ms;  // what is applied, paused or taken over counts within that
constexpr Duration kRoomAgain = 10ms;
constexpr std::size_t kBatchesPerTurn = 4;
constexpr std::size_t kLettersWaitingMax = 20'000;  // of one home: runs that nobody has accepted yet

// Before the dash of an entry's id stands when it came, in milliseconds, unless who added it said otherwise.
Time time_of(const std::string& id, Time now) {
  std::uint64_t ms = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), ms);
  if (error != std::errc{} || ms > static_cast<std::uint64_t>(to_us(now)) / 1'000) return {};
  return from_us(static_cast<std::int64_t>(ms) * 1'000);
}

TriggerEvent event_of(const TriggerRecord& record, const StreamEntry& entry, Time wall) {
  TriggerEvent event;
  event.id = entry.id;
  event.kind = record.stream ? "stream" : "keyspace";
  event.happened = time_of(entry.id, wall);
  Value payload = Value::Object{};
  for (const auto& [name, value] : entry.fields) payload.set(to_valid_utf8(name), to_valid_utf8(value));
  if (record.stream) event.fields.set("stream", record.stream->key);
  event.fields.set("id", entry.id);
  event.fields.set("payload", std::move(payload));
  return event;
}

FollowedStream wanted_of(const TriggerRecord& record, const std::string& token) {
  if (record.stream) return {token, record.stream->redis, record.stream->key, record.offset, record.added, false, {}};
  return {token, record.keyspace->redis, record.keyspace->pattern, "", 0, true, record.keyspace->events};
}

}  // namespace

bool Loop::State::follow_streams(Time now) {
  if (options.streams == nullptr || stopping) return false;
  entries_at = kNever;
  if (now >= follow_at) {
    follow_at = now + kFollowEvery;
    std::vector<FollowedStream> wanted;
    following.clear();
    for (Share& share : shares) {
      if (!share.serving()) continue;
      for (const TriggerRecord* record : share.core->streams()) {
        const TriggerName& name = record->name;
        std::string token = std::to_string(followings) + ' ' + std::to_string(share.epoch.counter) + ' ' +
                            std::to_string(share.epoch.nonce) + ' ' + std::to_string(record->since) + '\0' +
                            name.tenant + '\0' + name.workflow + '\0' + name.trigger;
        following.emplace(token, Following{share.id, name});
        wanted.push_back(wanted_of(*record, token));
      }
    }
    options.streams->follow(std::move(wanted));
  }
  bool took = false;
  for (std::size_t i = 0; i < kBatchesPerTurn; ++i) {
    const StreamBatch* batch = options.streams->front();
    if (batch == nullptr) break;
    if (!room_in_turn() || !take_entries(now, *batch)) {
      entries_at = now + kRoomAgain;
      break;
    }
    options.streams->pop();
    took = true;
  }
  return took;
}

// False: there is no room for them now. They wait, and behind them what Redis holds: nothing is dropped.
bool Loop::State::take_entries(Time now, const StreamBatch& batch) {
  const auto followed = following.find(batch.token);
  if (followed == following.end()) return true;
  Share& home = share(followed->second.home);
  const TriggerRecord* record = home.serving() ? home.core->trigger(followed->second.trigger) : nullptr;
  // It is paused, or has begun elsewhere: what its reader has gone past is read again from where it stands.
  if (record == nullptr || record->paused || record->offset != batch.after) {
    ++followings;
    follow_at = now;
    return true;
  }
  if (home.core->letters_waiting() > kLettersWaitingMax || full(record->name.tenant, batch.entries.size(), 0))
    return false;
  StreamEntries entries{batch.after, batch.until, batch.added, {}, batch.trouble};
  for (const StreamEntry& entry : batch.entries) entries.events.push_back(event_of(*record, entry, now + wall_ahead));
  home.core->step(now, StreamCame{followed->second.trigger, std::move(entries)});
  return true;
}

}  // namespace millrace
