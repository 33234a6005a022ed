#include "coordinator/shell/run_codec.h"

#include <algorithm>

#include "common/model/composed.h"
#include "coordinator/shell/packing.h"

namespace millrace {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kEnvelopeBytes = 5;
constexpr std::size_t kIdChars = 13;
constexpr std::size_t kKeyBytes = kIdChars + 4 + 4;
constexpr std::size_t kKeyBytesOld = kIdChars + 16 + 4;  // with the request's whole hash, its low half last

// Trace ids are 32 hex digits nearly always: 16 bytes then, or the 8 that do not follow from the run's id.
enum TraceKind : std::uint8_t { kTraceText, kTraceHash, kTraceOfRun };

Error damaged(RunId run, const char* what) {
  return {Code::kInternal, "run " + to_string(run) + ", " + what + ": wrong version or checksum", {}, "damaged"};
}

Error unreadable(RunId run, const char* what, std::string_view sealed, std::uint8_t reads = kRunFormatVersion) {
  const std::string newer = newer_version(reads, sealed);
  if (newer.empty()) return damaged(run, what);
  return {Code::kRefused, "run " + to_string(run) + ", " + what + " " + newer, {}, "newer_version"};
}

// The sealed bytes of a blob whose pieces were joined; what is left over behind them is ignored.
std::string_view without_length(std::string_view joined) {
  if (joined.size() < kLengthBytes) return {};
  std::uint32_t size = Unpacker(joined.substr(0, kLengthBytes)).fixed32();
  joined.remove_prefix(kLengthBytes);
  return size > joined.size() ? std::string_view() : joined.substr(0, size);
}

void pack_trace(Packer& out, RunId run, const TraceId& trace) {
  auto hash = parse_hash128(trace);
  if (hash.has_value() && hash->high == trace_half(run)) {
    out.byte(kTraceOfRun);
    return out.fixed64(hash->low);
  }
  out.byte(hash.has_value() ? kTraceHash : kTraceText);
  if (hash.has_value()) out.hash(*hash);
  else out.text(trace);
}

TraceId unpack_trace(Unpacker& in, RunId run) {
  std::uint8_t kind = in.byte();
  if (kind == kTraceOfRun) return to_string(Hash128{trace_half(run), in.fixed64()});
  if (kind == kTraceHash) return to_string(in.hash());
  if (kind != kTraceText) in.fail();
  return TraceId(in.text());
}

constexpr std::uint64_t kInfoPlace = 1;
constexpr std::uint64_t kRecordPlace = 2;

}  // namespace

void pack(Packer& out, const Labels& labels) {
  out.number(labels.size());
  for (const auto& [name, value] : labels) {
    out.text(name);
    out.text(value);
  }
}

Labels unpack_labels(Unpacker& in) {
  Labels labels;
  for (std::size_t i = in.count(2); i > 0 && !in.failed(); --i) {
    std::string name(in.text());
    labels.insert_or_assign(std::move(name), std::string(in.text()));
  }
  return labels;
}

void pack(Packer& out, const RunParent& parent) {
  out.number(parent.run.value);
  out.number(parent.task.value);
  out.text(parent.node);
  out.number(parent.depth);
  out.number(parent.room);
}

RunParent unpack_parent(Unpacker& in) {
  RunParent parent;
  parent.run = RunId{in.number()};
  parent.task = TaskIndex{in.number32()};
  parent.node = in.text();
  parent.depth = in.number32();
  parent.room = in.number32();
  return parent;
}

void encode_info(const StoredInfoView& stored, Packer& out) {
  const RunInfo& info = *stored.info;
  const bool plain = info.workflow_version == 0 && info.parent.run == RunId{};
  const std::uint8_t version = info.deadline != Time{} ? kInfoVersion : plain ? kRunFormatVersion : kInfoVersionParent;
  const std::size_t begun = out.begin_sized();
  const std::size_t opened = out.open(version);
  out.number(stored.epoch);
  out.number(stored.commit);
  out.text(info.tenant);
  out.text(info.workflow);
  out.hash(info.definition);
  pack(out, info.labels);
  out.text(info.key);
  out.hash(info.request);
  pack_trace(out, info.run, info.trace_id);
  out.text(info.caller);
  out.difference(static_cast<std::uint64_t>(std::int64_t{info.priority}), 0);
  out.number(info.retry_of.value);
  out.payload(info.inputs);
  out.time(info.accepted, Time{});
  if (version >= kInfoVersionParent) {
    out.number(info.workflow_version);
    pack(out, info.parent);
  }
  if (version >= kInfoVersion) out.time(info.deadline, info.accepted);
  out.close(opened, version, place_of(info.run.value, kInfoPlace));
  out.end_sized(begun);
}

std::string encode_info(const StoredInfo& stored) {
  Packer out;
  encode_info({.info = &stored.info, .epoch = stored.epoch, .commit = stored.commit}, out);
  return out.take();
}

Result<StoredInfo> decode_info(RunId run, std::string_view bytes) {
  std::uint8_t version = kRunFormatVersion;
  auto body = unseal(version, place_of(run.value, kInfoPlace), without_length(bytes));
  while (!body.has_value() && version < kInfoVersion)
    body = unseal(++version, place_of(run.value, kInfoPlace), without_length(bytes));
  if (!body.has_value()) return unreadable(run, "field .i", without_length(bytes), kInfoVersion);
  Unpacker in(*body);
  StoredInfo stored;
  RunInfo& info = stored.info;
  info.run = run;
  stored.epoch = in.number32();
  stored.commit = in.number();
  info.tenant = in.text();
  info.workflow = in.text();
  info.definition = in.hash();
  info.labels = unpack_labels(in);
  info.key = in.text();
  info.request = in.hash();
  info.trace_id = unpack_trace(in, run);
  info.caller = in.text();
  info.priority = static_cast<std::int32_t>(static_cast<std::int64_t>(in.difference(0)));
  info.retry_of = RunId{in.number()};
  info.inputs = in.payload();
  info.accepted = in.time(Time{});
  if (version >= kInfoVersionParent) {
    info.workflow_version = in.number32();
    info.parent = unpack_parent(in);
    if (info.workflow_version == 0 && info.parent.run == RunId{} && info.parent != RunParent{}) in.fail();
  }
  if (version >= kInfoVersion) {
    info.deadline = in.time(info.accepted);
    if (info.deadline == Time{}) in.fail();  // then version 2 holds it
  }
  if (!in.done()) return damaged(run, "field .i");
  return stored;
}

void encode_record(RunId run, const StoredRecordView& stored, Packer& out) {
  const RunRecord& record = *stored.record;
  const std::uint8_t version = !record.why.empty()       ? kRecordVersion
                               : !record.signals.empty() ? kRecordVersionSignals
                                                         : kRunFormatVersion;
  const std::size_t begun = out.begin_sized();
  const std::size_t opened = out.open(version);
  out.fixed32(record.records_live);
  out.byte(static_cast<std::uint8_t>(record.state));
  out.byte(static_cast<std::uint8_t>(record.reason));
  out.number(record.version);
  out.number(record.seq);
  out.fixed64(record.records_sum);
  out.time(record.started, Time{});
  out.time(record.ended, record.started);
  out.payload(record.outputs);
  out.byte(record.error != nullptr ? 1 : 0);
  if (record.error != nullptr) {
    out.text(record.error->code);
    out.text(record.error->message);
    out.text(record.error->node);
    out.number(record.error->attempt);
    out.text(record.error->traceback);
  }
  out.number(stored.tasks_total);
  out.number(stored.tasks_done);
  out.number(stored.epoch);
  out.number(stored.commit);
  if (version >= kRecordVersionSignals) {
    out.number(record.signals.size());
    for (std::uint64_t key : record.signals) out.fixed64(key);
  }
  if (version >= kRecordVersion) out.text(record.why);
  out.close(opened, version, place_of(run.value, kRecordPlace));
  out.end_sized(begun);
}

std::string encode_record(RunId run, const StoredRecord& stored) {
  Packer out;
  encode_record(run,
                {.record = &stored.record,
                 .tasks_total = stored.tasks_total,
                 .tasks_done = stored.tasks_done,
                 .epoch = stored.epoch,
                 .commit = stored.commit},
                out);
  return out.take();
}

Result<StoredRecord> decode_record(RunId run, std::string_view bytes) {
  std::optional<std::string_view> body;
  std::uint8_t version = 0;
  while (!body.has_value() && version < kRecordVersion)
    body = unseal(++version, place_of(run.value, kRecordPlace), without_length(bytes));
  if (!body.has_value()) return unreadable(run, "field .m", without_length(bytes), kRecordVersion);
  Unpacker in(*body);
  StoredRecord stored;
  RunRecord& record = stored.record;
  record.records_live = in.fixed32();
  record.state = static_cast<RunState>(in.byte());
  record.reason = static_cast<Reason>(in.byte());
  if (record.state > RunState::kCancelled || record.reason > kReasonLast) in.fail();
  record.version = in.number32();
  record.seq = in.number();
  record.records_sum = in.fixed64();
  record.started = in.time(Time{});
  record.ended = in.time(record.started);
  record.outputs = in.payload();
  if (in.byte() != 0) {
    RunError error;
    error.code = in.text();
    error.message = in.text();
    error.node = in.text();
    error.attempt = in.number32();
    error.traceback = in.text();
    record.error = std::make_shared<const RunError>(std::move(error));
  }
  stored.tasks_total = in.number32();
  stored.tasks_done = in.number32();
  stored.epoch = in.number32();
  stored.commit = in.number();
  if (version >= kRecordVersionSignals) {
    for (std::size_t i = in.count(8); i > 0 && !in.failed(); --i) record.signals.push_back(in.fixed64());
  }
  if (version >= kRecordVersion) record.why = in.text();
  if (!in.done()) return damaged(run, "field .m");
  return stored;
}

std::uint32_t records_hint(std::string_view first_piece) {
  constexpr std::size_t kAt = kLengthBytes + kEnvelopeBytes;
  return first_piece.size() < kAt ? 0 : Unpacker(first_piece.substr(kAt)).fixed32();
}

// ---------------------------------------------------------------- keys

std::string key_field(std::string_view tenant, std::string_view key) {
  Packer name;
  name.text(tenant);
  name.text(key);
  Packer field;
  field.hash(hash128(name.bytes()));
  return field.take().substr(0, 12);
}

std::uint64_t key_fingerprint(std::string_view field) { return Unpacker(field).fixed64(); }
std::uint64_t key_fingerprint(std::string_view tenant, std::string_view key) {
  return key_fingerprint(key_field(tenant, key));
}

std::string encode_key(const StoredKey& key) {
  Packer out;
  out.raw(to_string(key.run));
  out.fixed32(key.request);
  auto seconds = static_cast<std::uint32_t>(std::max<std::int64_t>(0, to_us(key.accepted) / 1'000'000));
  for (int shift = 24; shift >= 0; shift -= 8) out.byte(static_cast<std::uint8_t>(seconds >> shift));
  return out.take();
}

Result<StoredKey> decode_key(std::string_view bytes) {
  auto run = parse_run_id(bytes.substr(0, std::min(kIdChars, bytes.size())));
  if ((bytes.size() != kKeyBytes && bytes.size() != kKeyBytesOld) || !run.has_value())
    return Error{Code::kInternal, "idempotency key: entry does not parse", {}, "damaged"};
  std::uint32_t seconds = 0;
  for (char c : bytes.substr(bytes.size() - 4)) seconds = (seconds << 8) | static_cast<std::uint8_t>(c);
  return StoredKey{.run = *run,
                   .request = Unpacker(bytes.substr(bytes.size() == kKeyBytes ? kIdChars : kIdChars + 8)).fixed32(),
                   .accepted = from_us(std::int64_t{seconds} * 1'000'000)};
}

// ---------------------------------------------------------------- logs

std::string encode_log(RunId run, const LogLine& line) {
  Packer out;
  out.byte(line.stderr_stream ? 1 : 0);
  out.number(line.attempt);
  out.time(line.time, Time{});
  out.text(line.node);
  out.text(line.text);
  return seal(kRunFormatVersion, run.value, out.bytes());
}

Result<LogLine> decode_log(RunId run, std::string_view bytes) {
  auto body = unseal(kRunFormatVersion, run.value, bytes);
  if (!body.has_value()) return unreadable(run, "log line", bytes);
  Unpacker in(*body);
  LogLine line;
  line.stderr_stream = in.byte() != 0;
  line.attempt = in.number32();
  line.time = in.time(Time{});
  line.node = in.text();
  line.text = in.text();
  if (!in.done()) return damaged(run, "log line");
  return line;
}

// ---------------------------------------------------------------- content

std::string encode_content(const Hash128& hash, std::string_view bytes) {
  const std::uint8_t version = is_composed(bytes) ? kContentVersion : kRunFormatVersion;
  return seal(version, place_of(hash.high, hash.low), bytes);
}

HashStream content_stream(const Hash128& hash) { return sealing(kRunFormatVersion, place_of(hash.high, hash.low)); }

std::string content_envelope(const HashStream& bytes) { return envelope(kRunFormatVersion, bytes); }

Result<std::string> decode_content(const Hash128& hash, std::string_view bytes) {
  auto body = unseal(kRunFormatVersion, place_of(hash.high, hash.low), bytes);
  if (!body.has_value()) body = unseal(kContentVersion, place_of(hash.high, hash.low), bytes);
  if (const std::string newer = newer_version(kContentVersion, bytes); !body.has_value() && !newer.empty())
    return Error{Code::kRefused, "content " + to_string(hash) + " " + newer, {}, "newer_version"};
  if (!body.has_value())
    return Error{Code::kInternal, "content " + to_string(hash) + ": wrong version or checksum", {}, "damaged"};
  return std::string(*body);
}

}  // namespace millrace
