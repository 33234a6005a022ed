#include "coordinator/shell/store_tool.h"

#include <sys/random.h>

#include <algorithm>
#include <map>

#include "coordinator/shell/anchored_clock.h"
#include "coordinator/shell/listing.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/redis_run.h"
#include "coordinator/shell/store_backup.h"
#include "coordinator/shell/store_check.h"

namespace millrace {
namespace {

constexpr char kRepairer[] = "millrace store repair";

std::uint64_t random_nonce() {
  std::uint64_t nonce = 0;
  while (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce) {}
  return nonce;
}

// What is done about one finding, in a partition that has been taken. Nothing is thrown away but what cannot be read at
// all: damaged runs and stream entries are set aside under keys of their own.
class Repairer {
 public:
  explicit Repairer(StoreLink& link) : link_(link) {}

  Result<StoreAction> act(const StoreFinding& finding) {
    id_ = PartitionId{*finding.partition};
    if (finding.kind == "run" && finding.run) return set_run_aside(finding);
    if (finding.kind == "index" && finding.run) return list(finding);
    if (finding.kind == "index" && !finding.entry.empty()) return unlist(finding);
    if (finding.kind == "events" && !finding.entry.empty()) return set_entry_aside(finding);
    if ((finding.kind == "key" || finding.kind == "shelf") && !finding.entry.empty())
      return done(finding, "removed", {{"HDEL", finding.key, finding.entry}});
    return left(finding, finding.kind == "definition" || finding.kind == "value"
                             ? "only a backup can bring it back"
                             : "nothing else has it; what is there is served");
  }
  static StoreAction left(const StoreFinding& finding, std::string why) {
    return StoreAction{finding, "left", std::move(why)};
  }

 private:
  std::string key(const std::string& what) const { return partition_key(id_) + ":" + what; }

  Result<StoreAction> done(const StoreFinding& finding, std::string action, const std::vector<RedisCommand>& commands) {
    const auto replies = link_.ask(partition_key(id_), commands);
    if (!replies.ok()) return replies.error();
    return StoreAction{finding, std::move(action)};
  }

  Result<StoreAction> set_run_aside(const StoreFinding& finding) {
    const std::string id = to_string(*finding.run);
    return done(
        finding, "set_aside",
        {{"RENAME", key("r:" + id), key("damaged:" + id)}, {"ZREM", key("active"), id}, {"ZREM", key("runs"), id}});
  }

  Result<StoreAction> set_entry_aside(const StoreFinding& finding) {
    const Result<RedisReply> found = link_.ask(RedisCommand{"XRANGE", key("events"), finding.entry, finding.entry});
    if (!found.ok()) return found.error();
    if (found->items.empty() || found->items[0].items.size() != 2 || found->items[0].items[1].items.size() < 2)
      return left(finding, "it is not there any more");
    return done(finding, "set_aside",
                {{"HSET", key("damaged:events"), finding.entry, found->items[0].items[1].items[1].text},
                 {"XDEL", key("events"), finding.entry}});
  }

  // As the run itself says: listed where it lives, not listed where it is not.
  Result<StoreAction> list(const StoreFinding& finding) {
    const std::string& id = finding.entry;
    const Result<RedisReply> fields = link_.ask(RedisCommand{"HGETALL", key("r:" + id)});
    if (!fields.ok()) return fields.error();
    const auto stored = read_run(*finding.run, *fields);
    if (!stored.ok()) return left(finding, stored.error().what);
    if (!stored->has_value()) return unlist(finding);
    const StoredRun& run = **stored;
    const std::string score = std::to_string(position_of(*finding.run, run.info.accepted).score);
    std::vector<RedisCommand> commands = {{"ZADD", key("runs"), score, id}};
    const bool ended = is_terminal(run.record.state);
    if (ended) commands.push_back({"ZREM", key("active"), id});
    else commands.push_back({"ZADD", key("active"), score, id});
    const bool only_too_much = ended && finding.key == key("active");
    return done(finding, only_too_much ? "unlisted" : "listed", commands);
  }
  Result<StoreAction> unlist(const StoreFinding& finding) {
    return done(finding, "unlisted", {{"ZREM", key("active"), finding.entry}, {"ZREM", key("runs"), finding.entry}});
  }

  StoreLink& link_;
  PartitionId id_;
};

class Tool : public StoreTool {
 public:
  explicit Tool(StoreLink link) : link_(std::move(link)) {}

  Result<StoreCheck> check() override {
    const Result<std::uint16_t> partitions = known();
    if (!partitions.ok()) return partitions.error();
    return check_store(link_, *partitions);
  }

  Result<StoreRepair> repair(bool take) override {
    Result<StoreCheck> found = check();
    if (!found.ok()) return found.error();
    StoreRepair repair;
    repair.left = found->findings.size();
    if (found->findings.empty()) return repair;
    if (Status loaded = link_.load(); !loaded.ok()) return loaded.error();
    const Result<std::vector<std::string>> living = link_.living(found->partitions);
    if (!living.ok()) return living.error();
    std::map<PartitionId, std::vector<StoreFinding>> by_partition;
    for (StoreFinding& finding : found->findings) {
      if (finding.partition) by_partition[PartitionId{*finding.partition}].push_back(std::move(finding));
      else repair.actions.push_back(Repairer::left(finding, "only a backup can bring it back"));
    }
    for (const auto& [partition, findings] : by_partition) {
      const Result<std::string> holder =
          take ? Result<std::string>{std::string()} : holds(partition, findings, *living);
      if (!holder.ok()) return holder.error();
      if (holder->empty()) {
        if (Status done = this->repair(partition, *living, repair); !done.ok()) return done.error();
        continue;
      }
      for (const StoreFinding& finding : findings) repair.actions.push_back(Repairer::left(finding, *holder));
    }
    Result<StoreCheck> after = check();
    if (!after.ok()) return after.error();
    repair.left = after->findings.size();
    return repair;
  }

  Result<StoreCopy> backup(const std::string& file) override {
    const Result<std::uint16_t> partitions = known();
    if (!partitions.ok()) return partitions.error();
    return backup_store(link_, *partitions, file);
  }

  Result<StoreCopy> restore(const std::string& file, bool force) override { return restore_store(link_, file, force); }
  std::string where() const override { return link_.where(); }

 private:
  Result<std::uint16_t> known() {
    Result<std::uint16_t> partitions = link_.partitions();
    if (!partitions.ok() || *partitions > 0) return partitions;
    return Error{Code::kNotFound, link_.where() + " holds no Millrace cluster", {}, "store_empty"};
  }

  // Why a partition should be left to its owner: to take it from him would give up what only he still has. Empty: it
  // may be taken.
  Result<std::string> holds(PartitionId partition, const std::vector<StoreFinding>& findings,
                            const std::vector<std::string>& living) {
    const Result<OwnerRecord> record = link_.owner(partition);
    if (!record.ok()) return record.error();
    if (std::ranges::find(living, record->owner) == living.end()) return std::string();
    if (std::ranges::none_of(findings, &StoreFinding::live)) return std::string();
    return record->owner + " lives and has the partition's live runs in memory: repair it when they have ended, or " +
           "give up those that are damaged with --take";
  }

  // Under an epoch of our own, so that whoever owned it writes no more, and as it is then; it is given back.
  Status repair(PartitionId partition, const std::vector<std::string>& living, StoreRepair& repair) {
    OwnerRecord before;
    Epoch epoch;
    for (int tries = 0;; ++tries) {
      const Result<OwnerRecord> record = link_.owner(partition);
      if (!record.ok()) return record.error();
      before = *record;
      epoch = {before.epoch.counter + 1, random_nonce()};
      const Result<RedisReply> taken = link_.ask(RedisCommand{
          "FCALL", "millrace_take", "1", partition_key(partition), before.owner, std::to_string(before.epoch.counter),
          std::to_string(before.epoch.nonce), std::to_string(before.beat), std::to_string(before.number), kRepairer,
          std::to_string(epoch.counter), std::to_string(epoch.nonce), std::to_string(to_us(AnchoredClock().now())),
          "1"});  // it makes no run that needs a value: the row of those who write that down is not broken
      if (!taken.ok()) return taken.error();
      if (!taken->items.empty() && taken->items[0].integer == 1) break;
      if (tries == 20)
        return Error{Code::kConflict, "partition " + std::to_string(partition.value) + " could not be taken", {}, ""};
    }
    Repairer repairer(link_);
    Status failed = Done{};
    const Result<StoreCheck> found = check_partition(link_, partition);
    if (!found.ok()) failed = found.error();
    for (std::size_t i = 0; failed.ok() && i < found->findings.size(); ++i) {
      Result<StoreAction> action = repairer.act(found->findings[i]);
      if (!action.ok()) failed = action.error();
      else repair.actions.push_back(std::move(*action));
    }
    const bool lives = std::ranges::find(living, before.owner) != living.end();
    const Result<RedisReply> released = link_.ask(
        RedisCommand{"FCALL", "millrace_release", "1", partition_key(partition), std::to_string(epoch.counter),
                     std::to_string(epoch.nonce), lives ? before.owner : "", "0"});
    if (!failed.ok()) return failed;
    if (!released.ok()) return released.error();
    return Done{};
  }

  StoreLink link_;
};

}  // namespace

Result<std::unique_ptr<StoreTool>> StoreTool::open(const std::string& url, Duration timeout) {
  const Result<RedisTarget> target = RedisTarget::parse(url);
  if (!target.ok()) return target.error();
  Result<StoreLink> link = StoreLink::open(*target, timeout);
  if (!link.ok()) return link.error();
  return std::unique_ptr<StoreTool>(std::make_unique<Tool>(std::move(*link)));
}

}  // namespace millrace
