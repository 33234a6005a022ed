#include "coordinator/shell/redis_commit.h"

#include <algorithm>
#include <charconv>

#include "commit_lua.h"
#include "coordinator/shell/listing.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/segments.h"
#include "coordinator/shell/value_needs.h"

namespace millrace {
namespace {

constexpr std::size_t kCountsAtOnce = 500;  // of commit.lua's FIELDS_MAX

std::uint32_t epoch_of(RunId run) {
  return static_cast<std::uint32_t>(run.value >> kRunCounterBits) & ((1U << kRunEpochBits) - 1);
}

// How many fields a value takes: one, or several pieces.
std::size_t pieces_of(std::string_view value, bool small) {
  if (!small || value.size() <= kPieceBytes || value.size() > kPieceBytes * kPiecesMax) return 1;
  return (value.size() + kPieceBytes - 1) / kPieceBytes;
}

void add_fields(RedisCommand& args, std::string_view name, std::string_view value, std::size_t pieces) {
  args.push_back(name);
  if (pieces == 1) return args.push_back(value);
  args.push_back(value.substr(0, kPieceBytes));
  for (std::size_t piece = 1; piece < pieces; ++piece) {
    args.push_back(piece_name(name, piece));
    args.push_back(value.substr(piece * kPieceBytes, kPieceBytes));
  }
}

// `anew`: as a whole, in the place of what stands there. Where its events begin is not known then: with its epoch.
void add_run(RedisCommand& args, const PartitionCommit& commit, const RunWrite& write, Packer& packed,
             bool anew = false) {
  const std::uint32_t epoch = commit.epoch.counter;
  const bool small = write.tasks_total <= kSmallRunTasks;
  const bool accepted = write.info != nullptr;
  const std::string id = to_string(write.run);
  args.push_back(id);
  args.push_number(anew ? 8U : (accepted ? 1U : 0U) + (is_terminal(write.record.state) ? 2U : 0U));
  if (accepted && !anew) {
    const RunInfo& info = *write.info;
    args.push_number(position_of(write.run, info.accepted).score);
    args.push_back(key_field(info.tenant, info.key));
    args.push_back(encode_key({.run = write.run, .request = short_request(info.request), .accepted = info.accepted}));
  }
  // All values behind one another, so that the fields can be counted before they are written.
  packed.clear();
  if (accepted) {
    encode_info(
        {.info = write.info.get(), .epoch = anew ? epoch_of(write.run) : epoch, .commit = anew ? 0 : commit.number},
        packed);
  }
  const std::size_t record_at = packed.bytes().size();
  encode_record(write.run,
                {.record = &write.record,
                 .tasks_total = write.tasks_total,
                 .tasks_done = write.tasks_done,
                 .epoch = epoch,
                 .commit = commit.number},
                packed);
  const std::size_t segment_at = packed.bytes().size();
  if (!write.tasks.empty()) encode_segment(write.run, commit.number, write.tasks, packed);
  const std::string_view all = packed.bytes();
  const std::string_view info = all.substr(0, record_at);
  const std::string_view record = all.substr(record_at, segment_at - record_at);
  const std::string_view segment = all.substr(segment_at);
  const std::size_t info_pieces = accepted ? pieces_of(info, small) : 0;
  const std::size_t record_pieces = pieces_of(record, small);
  const std::size_t segment_pieces = write.tasks.empty() ? 0 : pieces_of(segment, small);
  args.push_number(2 * (info_pieces + record_pieces + segment_pieces));
  if (info_pieces > 0) add_fields(args, ".i", info, info_pieces);
  add_fields(args, ".m", record, record_pieces);
  if (segment_pieces > 0) add_fields(args, segment_field(commit.number), segment, segment_pieces);
}

// Rows of one shelf behind one another, in the place of runs (commit.lua). How many places they take is in
// shelf_rows().
std::size_t shelf_row_end(const std::vector<ShelfWrite>& writes, std::size_t first) {
  std::size_t end = first;
  while (end < writes.size() && end - first < kCountsAtOnce && writes[end].shelf == writes[first].shelf) ++end;
  return end;
}
std::size_t shelf_rows(const std::vector<ShelfWrite>& writes) {
  std::size_t rows = 0;
  for (std::size_t first = 0; first < writes.size(); first = shelf_row_end(writes, first)) ++rows;
  return rows;
}
void add_shelves(RedisCommand& args, const std::vector<ShelfWrite>& writes) {
  for (std::size_t first = 0; first < writes.size();) {
    const std::size_t end = shelf_row_end(writes, first);
    args.push_back(to_string(writes[first].shelf));
    args.push_back("7");
    args.push_number(2 * (end - first));
    for (; first < end; ++first) {
      args.push_back(writes[first].field);
      args.push_back(writes[first].bytes);
    }
  }
}

// What goes: in the place of runs, with fields that say nothing (commit.lua).
void add_clearing(RedisCommand& args, const PartitionCommit& commit) {
  auto add = [&](std::string_view id, const char* flags, std::size_t fields) {
    args.push_back(id);
    args.push_back(flags);
    args.push_number(fields);
  };
  for (RunId run : commit.deletes) {
    add(to_string(run), "4", 2);
    args.push_back("");
    args.push_back("");
  }
  for (const Hash128& definition : commit.definitions_gone) {
    add(to_string(definition), "5", 2);
    args.push_back("");
    args.push_back("");
  }
  for (std::size_t first = 0; first < commit.finished.size(); first += kCountsAtOnce) {
    const std::size_t end = std::min(first + kCountsAtOnce, commit.finished.size());
    add("", "6", 2 * (end - first));
    for (std::size_t i = first; i < end; ++i) {
      args.push_back(commit.finished[i].first);
      args.push_number(commit.finished[i].second);
    }
  }
}

void add_batch(RedisCommand& args, const PartitionCommit& commit, Time now, Packer& packed) {
  args.push_number(commit.epoch.counter);
  args.push_number(commit.epoch.nonce);
  args.push_number(commit.number);
  args.push_number(commit.beat);
  args.push_number(static_cast<std::uint64_t>(std::max<std::int64_t>(0, to_us(now) / 1'000'000)));
  const bool empty = commit.number == 0;
  packed.clear();
  if (!empty && !commit.events.empty()) {
    encode_events({.partition = commit.partition, .epoch = commit.epoch.counter, .commit = commit.number},
                  commit.events, packed);
  }
  if (empty) args.push_number(commit.expects);  // where a commit has its events
  else args.push_back(packed.bytes());
  args.push_number(empty ? 0 : commit.definitions.size());
  const std::size_t counts = (commit.finished.size() + kCountsAtOnce - 1) / kCountsAtOnce;
  args.push_number(empty ? 0
                         : commit.runs.size() + commit.anew.size() + commit.deletes.size() +
                               commit.definitions_gone.size() + counts + shelf_rows(commit.shelves));
  if (empty) return;
  for (const auto& [hash, bytes] : commit.definitions) {
    args.push_back(to_string(hash));
    args.push_back(encode_content(hash, *bytes));
  }
  for (const RunWrite& run : commit.runs) add_run(args, commit, run, packed);
  for (const RunWrite& run : commit.anew) add_run(args, commit, run, packed, true);
  add_clearing(args, commit);
  add_shelves(args, commit.shelves);
}

Error refused(const char* what, std::string_view why) {
  return {Code::kUnavailable, std::string(what) + ": " + std::string(why), {}, {}};
}

}  // namespace

CommitResult parse_result(std::string_view word) {
  if (word == "applied") return CommitResult::kApplied;
  if (word == "already") return CommitResult::kAlready;
  if (word == "gap") return CommitResult::kGap;
  if (word == "fenced") return CommitResult::kFenced;
  return CommitResult::kUnknown;
}

std::string piece_name(std::string_view name, std::size_t piece) {
  std::string text(name);
  if (piece > 0) text += "." + std::to_string(piece);
  return text;
}

std::string segment_field(std::uint64_t commit) {
  char text[16];
  auto [end, failure] = std::to_chars(text, text + sizeof text, commit, 36);
  return std::string(text, end);
}

std::optional<std::uint64_t> parse_segment_field(std::string_view field) {
  std::uint64_t commit = 0;
  auto [end, failure] = std::from_chars(field.data(), field.data() + field.size(), commit, 36);
  if (failure != std::errc() || end != field.data() + field.size()) return std::nullopt;
  return commit;
}

std::vector<RedisCommand> value_commands(const TurnCommit& commit) {
  std::vector<RedisCommand> commands;
  for (const ValueWrite& value : commit.values)
    commands.push_back({"SET", blob_key(value.hash), encode_content(value.hash, *value.json)});
  for (const StoredNeed& need : value_needs(commit))
    commands.push_back(
        {"ZADD", partition_key(need.at, "needs"), "0",
         need.entry.empty() ? need_member(need.hash, need.run) : need_member(need.hash, need.commit, need.entry)});
  if (!commit.fleet.empty()) {
    RedisCommand add = {"SADD", kFleetKey};
    for (const std::string& name : commit.fleet) add.push_back(name);
    commands.push_back(std::move(add));
  }
  if (!commit.fleet_gone.empty()) {
    RedisCommand remove = {"SREM", kFleetKey};
    for (const std::string& name : commit.fleet_gone) remove.push_back(name);
    commands.push_back(std::move(remove));
  }
  return commands;
}

std::vector<RedisCommand> log_commands(const TurnCommit& commit) {
  std::vector<RedisCommand> commands;
  for (const LogAppend& log : commit.logs)
    commands.push_back({"XADD", log_key(log.run), "MAXLEN", "~", std::to_string(kLogLinesMax), "*", "l",
                        encode_log(log.run, log.line)});
  return commands;
}

RedisCommand commit_command(const TurnCommit& commit) {
  std::vector<std::size_t> all(commit.partitions.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return format_commit(commit, all, false).command;
}

FormattedCommit format_commit(const TurnCommit& commit, std::span<const std::size_t> which, bool on_cluster,
                              std::size_t bytes) {
  const auto part_of = [&](std::size_t i) -> const PartitionCommit& { return commit.partitions[i]; };
  const bool only_beats = std::ranges::all_of(which, [&](std::size_t i) { return part_of(i).number == 0; });
  FormattedCommit call;
  RedisCommand& args = call.command;
  args.reserve(bytes);
  args.push_back("FCALL");
  if (on_cluster) args.push_back(only_beats ? "millrace_beat_many" : "millrace_commit_many");
  else args.push_back(only_beats ? "millrace_beat" : "millrace_commit");
  args.push_number(on_cluster ? std::min<std::size_t>(which.size(), 1) : which.size());
  for (std::size_t i = 0; i < which.size(); ++i) {
    args.push_back(partition_key(part_of(which[i]).partition));
    if (on_cluster && i == 0) args.push_number(which.size() - 1);
  }
  Packer packed;
  for (const std::size_t i : which) {
    const PartitionCommit& part = part_of(i);
    const std::size_t begin = args.formatted().size();
    const std::size_t args_before = args.size();
    add_batch(args, part, commit.now - commit.keys_beyond, packed);
    if (part.number == 0) continue;
    call.slices.push_back(
        {part.partition, part.epoch, part.number, begin, args.formatted().size() - begin, args.size() - args_before});
  }
  return call;
}

CommitOutcome read_commit_reply(std::uint64_t turn, const std::vector<PartitionId>& partitions,
                                const RedisReply& reply) {
  CommitOutcome outcome{.turn = turn, .partitions = {}, .error = {}};
  if (reply.is_error()) outcome.error = "refused by the store: " + reply.text;
  else if (!reply.is_array() || reply.items.size() != partitions.size())
    outcome.error = "the store's answer does not parse";
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    CommitResult result = CommitResult::kUnknown;
    if (outcome.error.empty()) {
      result = parse_result(reply.items[i].text);
      if (result == CommitResult::kUnknown) outcome.error = "refused by the store: " + reply.items[i].text;
    }
    outcome.partitions.push_back({partitions[i], result});
  }
  return outcome;
}

// ---------------------------------------------------------------- a cluster

Status check_cluster(Redis& redis, std::uint16_t partitions) {
  const std::pair<std::string, std::string> wanted[] = {{"format", std::to_string(kStoreFormat)},
                                                        {"partitions", std::to_string(partitions)}};
  for (const auto& [field, value] : wanted) {
    auto set = redis.command({"HSETNX", kMetaKey, field, value});
    if (!set.ok()) return set.error();
    if (set->is_error()) return refused("check the cluster", set->text);
    if (set->integer == 1) continue;
    auto found = redis.command({"HGET", kMetaKey, field});
    if (!found.ok()) return found.error();
    if (found->is_error()) return refused("check the cluster", found->text);
    if (found->text != value)
      return Error{Code::kConflict,
                   "this Redis holds a Millrace cluster with " + field + " " + found->text + ", not " + value,
                   {},
                   "cluster_mismatch"};
  }
  return Done{};
}

Status load_functions(Redis& redis) {
  auto version = redis.command({"FCALL", "millrace_version", "0"});
  if (!version.ok()) return version.error();
  if (version->is_integer() && version->integer >= kFunctionVersion) return Done{};
  if (version->is_error() && version->text.find("Function not found") == std::string::npos)
    return refused("look for the function library", version->text);
  return redis.load_function(kCommitLua);
}

}  // namespace millrace
