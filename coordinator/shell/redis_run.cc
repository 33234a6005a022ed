#include "coordinator/shell/redis_run.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>

#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/segments.h"

namespace millrace {
namespace {

Error damaged(RunId run, const std::string& why) {
  return {Code::kInternal, "run " + to_string(run) + ", key " + run_key(run) + ": " + why, {}, "damaged"};
}

// What could not be read, with its own name: what is newer than we are is not damage.
Error unreadable(RunId run, const std::string& where, const Error& why) {
  return {why.code, "run " + to_string(run) + ", key " + run_key(run) + ": " + where + why.what, {}, why.name};
}

// Field name without its piece number -> pieces in order -> bytes.
using Values = std::map<std::string, std::map<unsigned, std::string_view>>;

void add_piece(Values& values, std::string_view field, std::string_view bytes) {
  std::size_t dot = field.rfind('.');
  unsigned piece = 0;
  if (dot != std::string_view::npos && dot > 0) {
    std::from_chars(field.data() + dot + 1, field.data() + field.size(), piece);
    field = field.substr(0, dot);
  }
  values[std::string(field)][piece] = bytes;
}

std::string join(const Values& values, const std::string& name) {
  std::string joined;
  auto found = values.find(name);
  if (found == values.end()) return joined;
  for (const auto& piece : found->second) joined += piece.second;
  return joined;
}

Result<RunHeader> open_header(RunId run, const Values& values) {
  auto info = decode_info(run, join(values, ".i"));
  if (!info.ok()) return unreadable(run, "", info.error());
  auto record = decode_record(run, join(values, ".m"));
  if (!record.ok()) return unreadable(run, "", record.error());
  return RunHeader{.info = std::move(*info), .record = std::move(*record)};
}

Status check_records(RunId run, const RunRecord& record, const std::vector<TaskEntry>& tasks) {
  std::uint64_t sum = 0;
  std::uint32_t live = 0;
  for (const auto& [task, kept] : tasks) {
    sum += checksum(task, kept);
    live += kept.version > 0 ? 1 : 0;
  }
  if (live != record.records_live)
    return damaged(run, std::to_string(live) + " task records, " + std::to_string(record.records_live) + " expected");
  if (sum != record.records_sum) return damaged(run, "the checksums of its task records do not add up");
  return Done{};
}

}  // namespace

Result<std::optional<StoredRun>> read_run(RunId run, const RedisReply& fields) {
  if (fields.items.empty()) return std::optional<StoredRun>();
  Values values;
  for (std::size_t i = 0; i + 1 < fields.items.size(); i += 2)
    add_piece(values, fields.items[i].text, fields.items[i + 1].text);
  auto header = open_header(run, values);
  if (!header.ok()) return header.error();

  StoredRun stored{.info = std::move(header->info.info),
                   .record = std::move(header->record.record),
                   .tasks = {},
                   .tasks_total = header->record.tasks_total};
  stored.tasks.reserve(stored.record.records_live);
  NamePool names;
  for (const auto& [name, pieces] : values) {
    if (name.front() == '.') continue;
    auto commit = parse_segment_field(name);
    if (!commit.has_value()) return damaged(run, "unknown field " + name);
    if (*commit > header->record.commit) return damaged(run, "segment " + name + " is newer than the record");
    auto entries = pieces.size() == 1 ? decode_segment(run, *commit, pieces.begin()->second, names)
                                      : decode_segment(run, *commit, join(values, name), names);
    if (!entries.ok()) return unreadable(run, "field " + name + ": ", entries.error());
    std::ranges::move(*entries, std::back_inserter(stored.tasks));
  }
  keep_latest(stored.tasks);
  Status sound = check_records(run, stored.record, stored.tasks);
  if (!sound.ok()) return sound.error();
  return std::optional<StoredRun>(std::move(stored));
}

RedisCommand header_command(RunId run) {
  RedisCommand command = {"HMGET", run_key(run)};
  for (const char* name : {".i", ".m"})
    for (std::size_t piece = 0; piece < kPiecesMax; ++piece) command.push_back(piece_name(name, piece));
  return command;
}

Result<std::optional<RunHeader>> read_header(RunId run, const RedisReply& reply) {
  Values values;
  bool any = false;
  for (std::size_t i = 0; i < reply.items.size() && i < 2 * kPiecesMax; ++i) {
    if (reply.items[i].is_nil()) continue;
    any = true;
    add_piece(values, piece_name(i < kPiecesMax ? ".i" : ".m", i % kPiecesMax), reply.items[i].text);
  }
  if (!any) return std::optional<RunHeader>();
  auto header = open_header(run, values);
  if (!header.ok()) return header.error();
  return std::optional<RunHeader>(std::move(*header));
}

}  // namespace millrace
