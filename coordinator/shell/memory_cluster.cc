#include "coordinator/shell/memory_cluster.h"

#include <algorithm>
#include <charconv>

#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/run_filter.h"

namespace millrace {

CommitOutcome MemoryCluster::apply(const TurnCommit& commit) {
  CommitOutcome outcome{.turn = commit.turn, .partitions = {}, .error = {}};
  for (const ValueWrite& value : commit.values) {
    StoredValue& stored = values_[value.hash];
    stored.json = value.json;
    stored.used = commit.now;
  }
  for (const StoredNeed& need : value_needs(commit)) this->need(need, commit.now);
  for (const LogAppend& log : commit.logs) append(log);
  fleet_.insert(commit.fleet.begin(), commit.fleet.end());
  for (const std::string& name : commit.fleet_gone) fleet_.erase(name);
  for (const PartitionCommit& part : commit.partitions)
    outcome.partitions.push_back({part.partition, apply(part, part.epoch)});
  return outcome;
}

CommitResult MemoryCluster::repair(const PartitionCommit& commit, const Epoch& owner) { return apply(commit, owner); }

CommitResult MemoryCluster::apply(const PartitionCommit& commit, const Epoch& by) {
  Partition& partition = partitions_[commit.partition];
  OwnerRecord& owner = partition.owner;
  if (owner.owner.empty() || owner.epoch != by) return CommitResult::kFenced;
  if (commit.number == 0) {
    owner.beat = commit.beat;
    return owner.number < commit.expects ? CommitResult::kGap : CommitResult::kApplied;
  }
  if (commit.number <= owner.number) return CommitResult::kAlready;
  if (commit.number != owner.number + 1) return CommitResult::kGap;
  owner.number = commit.number;
  owner.beat = commit.beat;
  for (const auto& [hash, bytes] : commit.definitions) partition.definitions.insert_or_assign(hash, bytes);
  for (const RunWrite& run : commit.runs) write(partition, run, commit.epoch.counter);
  for (const RunWrite& run : commit.anew) write(partition, run, commit.epoch.counter);
  for (const Event& event : commit.events) append(commit, event);
  for (RunId run : commit.deletes) erase(partition, run);
  for (const Hash128& definition : commit.definitions_gone) partition.definitions.erase(definition);
  for (const auto& [workflow, count] : commit.finished) {
    if (count == 0) partition.finished.erase(workflow);
    else partition.finished[workflow] = count;
  }
  for (const ShelfWrite& write : commit.shelves) {
    if (write.bytes.empty()) partition.shelves[write.shelf].erase(write.field);
    else partition.shelves[write.shelf][write.field] = write.bytes;
  }
  return CommitResult::kApplied;
}

void MemoryCluster::need(const StoredNeed& need, Time now) {
  auto value = values_.find(need.hash);
  if (value == values_.end()) return;
  if (need.entry.empty()) value->second.runs.insert(need.run);
  else value->second.entries.emplace(need.at, need.entry);
  value->second.used = now;
}

// One that lives stays, whoever says so.
void MemoryCluster::erase(Partition& partition, RunId id) {
  auto run = runs_.find(id);
  if (run == runs_.end() || !is_terminal(run->second.record.state)) return;
  if (run->second.info != nullptr) listed_.erase(position_of(id, run->second.info->accepted));
  runs_.erase(run);
  (void)partition;
}

void MemoryCluster::write(Partition& partition, const RunWrite& write, std::uint32_t epoch) {
  Run& run = runs_[write.run];
  run.epoch = epoch;
  if (write.info != nullptr) {
    const RunInfo& info = *write.info;
    run.info = write.info;
    RunPosition position = position_of(write.run, info.accepted);
    listed_.emplace(position, write.run);
    partition.active.emplace(std::move(position), write.run);
    partition.keys.insert_or_assign({info.tenant, info.key},
                                    Key{.run = write.run, .request = info.request, .accepted = info.accepted});
  }
  run.record = write.record;
  run.tasks_total = write.tasks_total;
  run.tasks_done = write.tasks_done;
  for (const auto& [task, record] : write.tasks) {
    const bool item = task.value >= write.tasks_total;  // of a mapped node: few of many indices are used
    if (!item && task.value >= run.tasks.size()) run.tasks.resize(task.value + 1);
    TaskRecord& kept = item ? run.items[task] : run.tasks[task.value];
    if (record.version >= kept.version) kept = record;
  }
  if (is_terminal(write.record.state) && run.info != nullptr)
    partition.active.erase(position_of(write.run, run.info->accepted));
}

void MemoryCluster::append(const PartitionCommit& commit, const Event& event) {
  Event kept = event;
  kept.node.clear();
  kept.cursor = stream_id(commit.epoch.counter, commit.number);
  runs_[event.run].events.push_back(std::move(kept));
}

void MemoryCluster::append(const LogAppend& log) {
  auto found = runs_.find(log.run);
  if (found == runs_.end()) return;
  Run& run = found->second;
  run.logs.push_back({++run.logs_number, log.line});
  if (run.logs.size() > kLogLinesMax) run.logs.pop_front();
}

StoredRun MemoryCluster::stored(RunId id, const Run& run) const {
  StoredRun stored;
  if (run.info != nullptr) stored.info = *run.info;
  else stored.info.run = id;
  stored.record = run.record;
  stored.tasks_total = run.tasks_total;
  stored.tasks.reserve(run.record.records_live);
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i)
    if (run.tasks[i].version > 0) stored.tasks.push_back({TaskIndex{i}, run.tasks[i]});
  stored.tasks.insert(stored.tasks.end(), run.items.begin(), run.items.end());
  return stored;
}

// ---------------------------------------------------------------- reads

StoreAnswer MemoryCluster::read(const StoreRead& read) {
  return std::visit([this](const auto& arm) { return answer(arm); }, read);
}

StoreAnswer MemoryCluster::answer(const ReadOwner& read) { return OwnerAnswer{owner(read.partition), false}; }

StoreAnswer MemoryCluster::answer(const TakePartition& read) {
  OwnerRecord& owner = partitions_[read.partition].owner;
  if (owner != read.seen || read.epoch.counter <= owner.epoch.counter) return OwnerAnswer{owner, false};
  owner.owner = read.owner;
  owner.epoch = read.epoch;
  owner.beat = 0;
  owner.heir.clear();
  owner.since = read.now;
  partitions_[read.partition].finished.clear();  // the next owner counts anew
  return OwnerAnswer{owner, true};
}

StoreAnswer MemoryCluster::answer(const ReleasePartition& read) {
  OwnerRecord& owner = partitions_[read.partition].owner;
  if (owner.owner.empty() || owner.epoch != read.epoch || owner.number < read.expects) return OwnerAnswer{owner, false};
  owner.owner.clear();
  owner.heir = read.heir;
  return OwnerAnswer{owner, true};
}

StoreAnswer MemoryCluster::answer(const LoadActive& read) {
  const auto& active = partitions_[read.partition].active;
  auto next = active.begin();
  if (!read.cursor.empty()) {
    auto position = parse_token(read.cursor);
    if (!position.has_value()) return ReadFailed{Error{Code::kInvalid, "load active: bad cursor", {}, {}}};
    next = active.upper_bound(*position);
  }
  ActivePage page;
  std::size_t records = 0;
  for (; next != active.end(); ++next) {
    const Run& run = runs_.at(next->second);
    records += run.record.records_live;
    if (page.runs.size() == page_runs_ || (!page.runs.empty() && records > kActivePageRecords)) break;
    page.runs.push_back(stored(next->second, run));
  }
  if (next != active.end()) page.next = to_token(std::prev(next)->first);
  return page;
}

StoreAnswer MemoryCluster::answer(const LoadRun& read) { return RunAnswer{run(read.run)}; }

StoreAnswer MemoryCluster::answer(const LoadDefinition& read) {
  const auto& definitions = partitions_[read.partition].definitions;
  auto found = definitions.find(read.definition);
  return DefinitionAnswer{read.definition, found == definitions.end() ? nullptr : found->second};
}

StoreAnswer MemoryCluster::answer(const LoadValue& read) {
  auto found = values_.find(read.hash);
  if (found == values_.end()) return ValueAnswer{read.hash, std::nullopt};
  const std::string& json = *found->second.json;
  if (read.max == 0) return ValueAnswer{read.hash, json, json.size()};
  return ValueAnswer{read.hash, json.substr(std::min<std::uint64_t>(read.from, json.size()), read.max), json.size()};
}

StoreAnswer MemoryCluster::answer(const StorePart& part) {
  PartTaken taken{part.hash};
  auto kept = values_.find(part.hash);
  if (kept == values_.end()) {
    std::string& come = parts_[part.hash];
    if (part.from == come.size()) come += part.bytes;
    taken.have = come.size();
    if (come.size() < part.size) return taken;
    taken.damaged = hash128(come) != part.hash;
    if (!taken.damaged)
      kept =
          values_.emplace(part.hash, StoredValue{std::make_shared<const std::string>(std::move(come)), {}, {}}).first;
    parts_.erase(part.hash);
    if (taken.damaged) return PartTaken{part.hash, 0, false, true};
  }
  need({part.hash, partition_of(part.run), part.run, "", 0}, part.now);
  return PartTaken{part.hash, kept->second.json->size(), true, false};
}

StoreAnswer MemoryCluster::answer(const ScanKeys& read) {
  KeysAnswer all;
  for (const auto& [name, key] : partitions_[read.partition].keys)
    all.fingerprints.push_back(key_fingerprint(name.first, name.second));
  return all;
}

StoreAnswer MemoryCluster::answer(const FindKey& read) {
  const auto& keys = partitions_[read.partition].keys;
  auto found = keys.find({read.tenant, read.key});
  if (found == keys.end()) return KeyAnswer{};
  return KeyAnswer{found->second.run, short_request(found->second.request)};
}

StoreAnswer MemoryCluster::answer(const FindRuns& read) {
  auto next = listed_.rbegin();
  if (!read.query.page.empty()) {
    auto position = parse_token(read.query.page);
    if (!position.has_value()) return ReadFailed{Error{Code::kInvalid, "list runs: bad page token", {}, {}}};
    next = std::make_reverse_iterator(listed_.lower_bound(*position));
  }
  const Result<RunFilter> filter = RunFilter::compile(read.query);
  if (!filter.ok()) return ReadFailed{filter.error()};
  const std::size_t limit = std::min(read.query.limit, kListLimitMax);
  RunsAnswer answer;
  for (; next != listed_.rend() && answer.runs.size() < limit; ++next) {
    if (!next->first.id.starts_with(read.prefix)) continue;
    const Run& run = runs_.at(next->second);
    if (!filter->matches(*run.info, run.record, run.tasks_total, run.tasks_done)) continue;
    answer.runs.push_back(summarize(*run.info, run.record, run.tasks_total, run.tasks_done));
  }
  if (next != listed_.rend() && next != listed_.rbegin()) answer.next = to_token(std::prev(next)->first);
  return answer;
}

StoreAnswer MemoryCluster::answer(const ReadRunEvents& read) {
  auto found = runs_.find(read.run);
  if (found == runs_.end()) return EventsAnswer{};
  const auto& events = found->second.events;
  auto from = std::ranges::upper_bound(events, read.since, {}, &Event::seq);
  auto left = static_cast<std::size_t>(events.end() - from);
  auto to = from + static_cast<std::ptrdiff_t>(std::min<std::size_t>(left, std::min(read.limit, kReadLimitMax)));
  return EventsAnswer{{from, to}};
}

StoreAnswer MemoryCluster::answer(const ReadRunLogs& read) {
  LogsAnswer answer{{}, read.since};
  auto found = runs_.find(read.run);
  if (found == runs_.end()) return answer;
  std::uint64_t since = 0;
  std::from_chars(read.since.data(), read.since.data() + read.since.size(), since);
  const std::size_t limit = std::min(read.limit, kReadLimitMax);
  for (const StoredLog& log : found->second.logs) {
    if (log.number <= since) continue;
    if (answer.lines.size() == limit) break;
    answer.cursor = std::to_string(log.number);
    if (!is_line_of(log.line.node, read.node)) continue;
    if (read.attempt != 0 && read.attempt != log.line.attempt) continue;
    answer.lines.push_back(log.line);
  }
  return answer;
}

StoreAnswer MemoryCluster::answer(const ReadFleet&) {
  return FleetAnswer{std::vector<std::string>(fleet_.begin(), fleet_.end())};
}

StoreAnswer MemoryCluster::answer(const MeetMembers& read) {
  MembersAnswer answer;
  if (!read.self.name.empty()) {
    if (auto own = members_.find(read.self.name); own != members_.end()) answer.before = own->second;
    members_[read.self.name] = read.self;
  }
  for (const auto& [name, member] : members_) answer.members.push_back(member);
  return answer;
}

StoreAnswer MemoryCluster::answer(const ForgetMember& read) {
  members_.erase(read.name);
  return MembersAnswer{};
}

// It has lost nothing, and nothing is kept beside it.
StoreAnswer MemoryCluster::answer(const RepairPartition& read) { return RepairAnswer{owner(read.partition).number}; }

StoreAnswer MemoryCluster::answer(const ScanRuns& read) {
  ScanAnswer answer;
  auto next = listed_.begin();
  if (!read.cursor.empty()) {
    auto position = parse_token(read.cursor);
    if (!position.has_value()) return ReadFailed{Error{Code::kInvalid, "scan runs: bad cursor", {}, {}}};
    next = listed_.upper_bound(*position);
  }
  for (; next != listed_.end(); ++next) {
    if (partition_of(next->second) != read.partition) continue;
    if (answer.runs.size() >= read.limit) {
      answer.next = to_token(position_of(answer.runs.back().run, answer.runs.back().accepted));
      break;
    }
    const Run& run = runs_.at(next->second);
    answer.runs.push_back({next->second, run.info->tenant, run.info->workflow, run.info->definition, run.info->accepted,
                           is_terminal(run.record.state) ? run.record.ended : Time{}, run.epoch});
  }
  return answer;
}

StoreAnswer MemoryCluster::answer(const ReadFinished& read) {
  const auto& counts = partitions_[read.partition].finished;
  return FinishedAnswer{{counts.begin(), counts.end()}};
}

// Events and logs are kept with their run here, and go with it.
StoreAnswer MemoryCluster::answer(const Sweep& read) {
  SweptAnswer answer;
  if (read.kind == Sweep::Kind::kKeys) {
    answer.dropped = std::erase_if(partitions_[read.partition].keys, [&](const auto& entry) {
      ++answer.looked;
      return entry.second.accepted < read.before && !runs_.contains(entry.second.run);
    });
  } else if (read.kind == Sweep::Kind::kValues && read.partition == PartitionId{0}) {
    for (auto value = values_.begin(); value != values_.end();) {
      StoredValue& stored = value->second;
      ++answer.looked;
      std::erase_if(stored.runs, [&](RunId run) { return !runs_.contains(run) && stored.used < read.before; });
      std::erase_if(stored.entries, [&](const auto& entry) {
        return !partitions_[entry.first].shelves[Shelf::kCache].contains(entry.second) && stored.used < read.before;
      });
      if (stored.runs.empty() && stored.entries.empty() && stored.used < read.before) {
        ++answer.dropped;
        answer.bytes += stored.json->size();
        value = values_.erase(value);
      } else {
        ++value;
      }
    }
  }
  return answer;
}

StoreAnswer MemoryCluster::answer(const ReadShelf& read) {
  ShelfAnswer answer;
  for (const auto& record : partitions_[read.partition].shelves[read.shelf]) answer.records.push_back(record);
  return answer;
}

StoreAnswer MemoryCluster::answer(const ExamineStore&) {
  ServerFacts health;
  health.kind = "memory";
  return HealthAnswer{health};
}

// ---------------------------------------------------------------- for checkers

std::vector<RunId> MemoryCluster::runs() const {
  std::vector<RunId> ids;
  ids.reserve(runs_.size());
  for (const auto& entry : runs_) ids.push_back(entry.first);
  std::ranges::sort(ids);
  return ids;
}

std::optional<StoredRun> MemoryCluster::run(RunId run) const {
  auto found = runs_.find(run);
  if (found == runs_.end()) return std::nullopt;
  return stored(run, found->second);
}

std::vector<Event> MemoryCluster::events(RunId run) const {
  auto found = runs_.find(run);
  return found == runs_.end() ? std::vector<Event>() : found->second.events;
}

const OwnerRecord& MemoryCluster::owner(PartitionId partition) const {
  static const OwnerRecord kNobody;
  auto found = partitions_.find(partition);
  return found == partitions_.end() ? kNobody : found->second.owner;
}

std::map<std::string, std::string> MemoryCluster::shelf(PartitionId partition, Shelf shelf) const {
  auto found = partitions_.find(partition);
  if (found == partitions_.end()) return {};
  auto records = found->second.shelves.find(shelf);
  return records == found->second.shelves.end() ? std::map<std::string, std::string>() : records->second;
}

}  // namespace millrace
