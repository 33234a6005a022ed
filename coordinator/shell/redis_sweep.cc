#include "coordinator/shell/redis_sweep.h"

#include <algorithm>
#include <map>
#include <set>

#include "coordinator/shell/listing.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/run_codec.h"

namespace millrace {
namespace {

constexpr std::size_t kEntriesPage = 128;  // stream entries, each of up to 4,096 events
constexpr std::size_t kKeysPage = 500;
constexpr std::size_t kNeedsPage = 128;
constexpr std::size_t kLooksMax = 2'048;  // commands of one batch

ReadAnswer failed(const std::string& what) { return ReadFailed{Error{Code::kInvalid, what, {}, {}}}; }

// ---------------------------------------------------------------- a page of all runs

class ScanRead : public RedisRead {
 public:
  explicit ScanRead(const ScanRuns& read) : read_(read), asked_(read.limit + 1) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    if (replies.empty()) {
      if (!read_.cursor.empty()) {
        after_ = parse_token(read_.cursor);
        if (!after_.has_value()) return failed("scan runs: bad cursor");
      }
      return ask_index(commands);
    }
    return positions_.empty() ? take_index(replies.front(), commands) : take_headers(replies);
  }

 private:
  ReadAnswer ask_index(RedisCommands& commands) {
    const std::string from = after_.has_value() ? std::to_string(after_->score) : "-inf";
    commands.push_back({"ZRANGEBYSCORE", partition_key(read_.partition, "runs"), from, "+inf", "WITHSCORES", "LIMIT",
                        "0", std::to_string(asked_)});
    return std::nullopt;
  }

  ReadAnswer take_index(const RedisReply& reply, RedisCommands& commands) {
    for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) {
      RunPosition position{.score = number_of<std::uint64_t>(reply.items[i + 1].text), .id = reply.items[i].text};
      if (!after_.has_value() || *after_ < position) positions_.push_back(std::move(position));
    }
    more_ = reply.items.size() == 2 * asked_;
    if (positions_.empty() && more_) {  // more runs of one score than were asked for
      asked_ *= 2;
      return ask_index(commands);
    }
    if (positions_.size() > read_.limit) {
      positions_.resize(read_.limit);
      more_ = true;
    }
    if (positions_.empty()) return ScanAnswer{};
    for (const RunPosition& position : positions_)
      commands.push_back(header_command(parse_run_id(position.id).value_or(RunId{})));
    return std::nullopt;
  }

  ReadAnswer take_headers(const RedisReplies& replies) {
    ScanAnswer answer;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      const std::optional<RunId> run = parse_run_id(positions_[i].id);
      auto header = read_header(run.value_or(RunId{}), replies[i]);
      if (!run || !header.ok() || !header->has_value()) {
        ++answer.skipped;
        continue;
      }
      const auto& [info, record] = **header;
      answer.runs.push_back({*run, info.info.tenant, info.info.workflow, info.info.definition, info.info.accepted,
                             is_terminal(record.record.state) ? record.record.ended : Time{}, record.epoch});
    }
    if (more_) answer.next = to_token(positions_.back());
    return answer;
  }

  ScanRuns read_;
  std::optional<RunPosition> after_;
  std::size_t asked_;
  std::vector<RunPosition> positions_;
  bool more_ = false;
};

class FinishedRead : public RedisRead {
 public:
  explicit FinishedRead(const ReadFinished& read) : key_(partition_key(read.partition, "finished")) {}
  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    if (replies.empty()) {
      commands.push_back({"HGETALL", key_});
      return std::nullopt;
    }
    FinishedAnswer answer;
    const std::vector<RedisReply>& fields = replies.front().items;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2)
      answer.counts.emplace_back(fields[i].text, number_of<std::uint64_t>(fields[i + 1].text));
    return answer;
  }

 private:
  std::string key_;
};

// ---------------------------------------------------------------- events

class SweepEvents : public RedisRead {
 public:
  explicit SweepEvents(const Sweep& sweep) : sweep_(sweep), key_(partition_key(sweep.partition, "events")) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    switch (stage_++) {
      case 0:
        commands.push_back({"XRANGE", key_, sweep_.cursor.empty() ? std::string("-") : "(" + sweep_.cursor, "+",
                            "COUNT", std::to_string(kEntriesPage)});
        return std::nullopt;
      case 1: return take_page(replies.front(), commands);
      case 2: return take_runs(replies, commands);
      default: return std::move(answer_);
    }
  }

 private:
  struct Entry {
    std::string id;
    std::size_t bytes = 0;
  };

  ReadAnswer take_page(const RedisReply& reply, RedisCommands& commands) {
    answer_.looked = reply.items.size();
    for (const RedisReply& entry : reply.items) {
      if (entry.items.size() != 2 || entry.items[1].items.size() < 2) continue;
      const std::string& id = entry.items[0].text;
      const std::string& packed = entry.items[1].items[1].text;
      const std::size_t dash = id.find('-');
      if (dash == std::string::npos) continue;
      const StreamPlace place{.partition = sweep_.partition,
                              .epoch = number_of<std::uint32_t>(std::string_view(id).substr(0, dash)),
                              .commit = number_of<std::uint64_t>(std::string_view(id).substr(dash + 1))};
      auto events = decode_events(place, packed);
      if (!events.ok()) continue;  // what cannot be read is not ours to drop
      std::set<RunId> runs;
      for (const Event& event : *events) runs.insert(event.run);
      if (runs.empty()) continue;
      RedisCommand any = {"EXISTS"};  // how many of them there are
      for (RunId run : runs) any.push_back(run_key(run));
      entries_.push_back({id, packed.size()});
      commands.push_back(std::move(any));
    }
    if (reply.items.size() == kEntriesPage) answer_.next = reply.items.back().items[0].text;
    if (entries_.empty()) return std::move(answer_);
    return std::nullopt;
  }

  ReadAnswer take_runs(const RedisReplies& replies, RedisCommands& commands) {
    RedisCommand drop = {"XDEL", key_};
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (replies[i].integer > 0) continue;
      drop.push_back(entries_[i].id);
      ++answer_.dropped;
      answer_.bytes += entries_[i].bytes;
    }
    if (answer_.dropped == 0) return std::move(answer_);
    commands.push_back(std::move(drop));
    return std::nullopt;
  }

  Sweep sweep_;
  std::string key_;
  int stage_ = 0;
  std::vector<Entry> entries_;
  SweptAnswer answer_;
};

// ---------------------------------------------------------------- idempotency keys

class SweepKeys : public RedisRead {
 public:
  explicit SweepKeys(const Sweep& sweep) : sweep_(sweep) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    const std::string key = partition_key(sweep_.partition, "keys");
    switch (stage_++) {
      case 0:
        commands.push_back({"HSCAN", key, sweep_.cursor.empty() ? std::string("0") : sweep_.cursor, "COUNT",
                            std::to_string(kKeysPage)});
        return std::nullopt;
      case 1: return take_page(replies.front(), commands);
      default:
        for (const RedisReply& reply : replies) answer_.dropped += static_cast<std::uint64_t>(reply.integer);
        answer_.bytes = answer_.dropped * kKeyBytesAbout;
        return std::move(answer_);
    }
  }

 private:
  static constexpr std::uint64_t kKeyBytesAbout = 64;

  ReadAnswer take_page(const RedisReply& reply, RedisCommands& commands) {
    if (reply.items.size() != 2) return failed("sweep keys: no page");
    if (reply.items[0].text != "0") answer_.next = reply.items[0].text;
    const std::vector<RedisReply>& fields = reply.items[1].items;
    answer_.looked = fields.size() / 2;
    const std::string before = std::to_string(std::max<std::int64_t>(0, to_us(sweep_.before) / 1'000'000));
    RedisCommand drop;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
      auto entry = decode_key(fields[i + 1].text);
      if (!entry.ok() || entry->accepted >= sweep_.before) continue;
      if (drop.size() == 0) drop = {"FCALL", "millrace_drop_keys", "1", partition_key(sweep_.partition), before};
      drop.push_back(fields[i].text);
      if (drop.size() > kKeysPage) commands.push_back(std::exchange(drop, RedisCommand{}));
    }
    if (drop.size() > 0) commands.push_back(std::move(drop));
    if (commands.empty()) return std::move(answer_);
    return std::nullopt;
  }

  Sweep sweep_;
  int stage_ = 0;
  SweptAnswer answer_;
};

// ---------------------------------------------------------------- values

// Values are shared by runs of all partitions. A partition's needs are swept by its owner: a need whose run is gone
// goes, unless it is the last one of its value anywhere in the cluster: then the value goes first, if nobody used it
// lately. Of several partitions that have only such needs left, the lowest keeps its own until the others' are gone.
class SweepValues : public RedisRead {
 public:
  SweepValues(const Sweep& sweep, std::uint16_t partitions)
      : sweep_(sweep),
        partitions_(partitions),
        page_(std::clamp<std::size_t>(kLooksMax / partitions, 4, kNeedsPage)),
        key_(needs_key(sweep.partition)) {}

  ReadAnswer step(RedisReplies& replies, RedisCommands& commands) override {
    switch (stage_++) {
      case 0: return ask(commands);
      case 1: return take_page(replies, commands);
      case 2: return take_runs(replies, commands);
      case 3: return take_counts(replies, commands);
      case 4: return take_drops(replies, commands);
      default: return std::move(answer_);
    }
  }

 private:
  struct Need {
    std::string member;
    RunId run;                 // zero: it is what the partition keeps under a key
    std::string entry;         // then: its field
    std::uint64_t commit = 0;  // that wrote it, or will
    std::string prefix() const { return member.substr(0, kNeedHashBytes); }
  };
  struct Group {
    std::vector<std::string> stale;
  };
  static std::string needs_key(PartitionId partition) { return partition_key(partition, "needs"); }

  // On the first page also: whether everybody has written down his needs for as long as there are runs.
  ReadAnswer ask(RedisCommands& commands) {
    commands.push_back(
        {"ZREVRANGEBYSCORE", partition_key(sweep_.partition, "runs"), "+inf", "-inf", "LIMIT", "0", "1"});
    commands.push_back({"ZRANGEBYLEX", key_, sweep_.cursor.empty() ? std::string("-") : "(" + sweep_.cursor, "+",
                        "LIMIT", "0", std::to_string(page_)});
    commands.push_back({"HGET", partition_key(sweep_.partition, "owner"), "n"});
    if (!sweep_.cursor.empty()) return std::nullopt;
    for (std::uint16_t i = 0; i < partitions_; ++i) {
      commands.push_back({"HMGET", partition_key(PartitionId{i}, "owner"), "values_since", "epoch"});
      commands.push_back({"ZRANGEBYSCORE", partition_key(PartitionId{i}, "runs"), "-inf", "+inf", "LIMIT", "0", "1"});
    }
    return std::nullopt;
  }

  static bool all_written(const RedisReply& owner, const RedisReply& oldest) {
    if (owner.items.size() != 2 || owner.items[1].is_nil()) return true;  // nobody ever had it
    const auto since = number_of<std::uint32_t>(owner.items[0].text);
    if (since == 0) return false;
    if (oldest.items.empty()) return true;
    const std::optional<RunId> run = parse_run_id(oldest.items[0].text);
    constexpr std::uint64_t kMask = (1U << kRunEpochBits) - 1;
    return run && ((run->value >> kRunCounterBits) & kMask) >= (since & kMask);
  }

  ReadAnswer take_page(const RedisReplies& replies, RedisCommands& commands) {
    for (std::size_t i = 3; i + 1 < replies.size(); i += 2) {
      if (!all_written(replies[i], replies[i + 1])) return std::move(answer_);
    }
    if (!replies[0].items.empty()) newest_ = parse_run_id(replies[0].items[0].text);
    for (const RedisReply& item : replies[1].items) {
      const std::string& member = item.text;
      ++answer_.looked;
      if (member.size() <= kNeedHashBytes) continue;
      const std::string_view who = std::string_view(member).substr(kNeedHashBytes);
      const std::size_t colon = who.find(':');
      if (who.front() == '=' && colon != std::string_view::npos)
        needs_.push_back(
            {member, {}, std::string(who.substr(colon + 1)), number_of<std::uint64_t>(who.substr(1, colon - 1))});
      else if (auto run = parse_run_id(who)) needs_.push_back({member, *run, "", 0});
    }
    committed_ = number_of<std::uint64_t>(replies[2].text);
    if (replies[1].items.size() == page_) answer_.next = replies[1].items.back().text;
    if (needs_.empty()) return std::move(answer_);
    for (const Need& need : needs_) {
      if (need.entry.empty()) commands.push_back({"EXISTS", run_key(need.run)});
      else commands.push_back({"HEXISTS", shelf_key(sweep_.partition, to_string(Shelf::kCache)), need.entry});
    }
    return std::nullopt;
  }

  ReadAnswer take_runs(const RedisReplies& replies, RedisCommands& commands) {
    for (std::size_t i = 0; i < needs_.size(); ++i) {
      const Need& need = needs_[i];
      // A run that is later than all others may be about to be accepted, and the commit about to be made.
      const bool may_come = need.entry.empty() ? newest_ && need.run.value >= newest_->value : need.commit > committed_;
      if (replies[i].integer == 0 && !may_come) groups_[need.prefix()].stale.push_back(need.member);
    }
    if (groups_.empty()) return std::move(answer_);
    for (const auto& [prefix, group] : groups_) {
      for (std::uint16_t i = 0; i < partitions_; ++i)
        commands.push_back({"ZLEXCOUNT", needs_key(PartitionId{i}), "[" + prefix, "(" + prefix + "\x7f"});
    }
    return std::nullopt;
  }

  ReadAnswer take_counts(const RedisReplies& replies, RedisCommands& commands) {
    std::size_t at = 0;
    for (auto& [prefix, group] : groups_) {
      bool lower = false;
      bool higher = false;
      std::int64_t here = 0;
      for (std::uint16_t i = 0; i < partitions_; ++i, ++at) {
        const std::int64_t count = replies[at].integer;
        if (i == sweep_.partition.value) here = count;
        else if (i < sweep_.partition.value) lower |= count > 0;
        else higher |= count > 0;
      }
      const bool others_here = here > static_cast<std::int64_t>(group.stale.size());
      const bool without_runs = !newest_;  // nothing tells whether a run may yet come: then the value's rest must
      if ((others_here || lower) && !without_runs) forget_.push_back(&*groups_.find(prefix));
      else if (!others_here && !lower && !higher) last_.push_back(&*groups_.find(prefix));
    }
    const std::int64_t idle = (sweep_.now - sweep_.before) / 1s;
    for (const auto* group : last_) {
      commands.push_back({"FCALL", "millrace_drop_value", "1", blob_key(hash_of(group->first)), std::to_string(idle)});
    }
    if (last_.empty()) return take_drops({}, commands);
    return std::nullopt;
  }

  ReadAnswer take_drops(const RedisReplies& replies, RedisCommands& commands) {
    stage_ = 5;
    for (std::size_t i = 0; i < last_.size(); ++i) {
      if (replies[i].integer < 0) continue;  // used a short while ago
      ++answer_.dropped;
      answer_.bytes += static_cast<std::uint64_t>(replies[i].integer);
      forget_.push_back(last_[i]);
    }
    if (forget_.empty()) return std::move(answer_);
    RedisCommand remove = {"ZREM", key_};
    for (const auto* group : forget_) {
      for (const std::string& member : group->second.stale) remove.push_back(member);
    }
    commands.push_back(std::move(remove));
    return std::nullopt;
  }

  static Hash128 hash_of(const std::string& prefix) {
    Hash128 hash;
    for (std::size_t i = 0; i < kNeedHashBytes; ++i) {
      std::uint64_t& half = i < 8 ? hash.high : hash.low;
      half = (half << 8) | static_cast<std::uint8_t>(prefix[i]);
    }
    return hash;
  }

  Sweep sweep_;
  std::uint16_t partitions_;
  std::size_t page_;
  std::string key_;
  int stage_ = 0;
  std::optional<RunId> newest_;
  std::uint64_t committed_ = 0;
  std::vector<Need> needs_;
  std::map<std::string, Group> groups_;
  std::vector<const std::pair<const std::string, Group>*> forget_;
  std::vector<const std::pair<const std::string, Group>*> last_;
  SweptAnswer answer_;
};

}  // namespace

std::unique_ptr<RedisRead> make_scan(const ScanRuns& read) { return std::make_unique<ScanRead>(read); }
std::unique_ptr<RedisRead> make_finished(const ReadFinished& read) { return std::make_unique<FinishedRead>(read); }
std::unique_ptr<RedisRead> make_sweep(const Sweep& sweep, std::uint16_t partitions) {
  switch (sweep.kind) {
    case Sweep::Kind::kEvents: return std::make_unique<SweepEvents>(sweep);
    case Sweep::Kind::kKeys: return std::make_unique<SweepKeys>(sweep);
    case Sweep::Kind::kValues: return std::make_unique<SweepValues>(sweep, partitions);
  }
  return nullptr;
}

}  // namespace millrace
