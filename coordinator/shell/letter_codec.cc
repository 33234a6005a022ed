#include "coordinator/shell/letter_codec.h"

#include <charconv>

#include "coordinator/shell/cache_codec.h"
#include "coordinator/shell/packing.h"
#include "coordinator/shell/pause_codec.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/trigger_codec.h"

namespace millrace {
namespace {

constexpr std::uint64_t kLetterPlace = 11;
constexpr std::uint64_t kMarkPlace = 12;
enum BodyKind : std::uint8_t {
  kRunWanted = 1,
  kChildWanted,
  kChildCancelled,
  kChildTold,
  kRunUnwanted,
  kRunOver,
  kRunEndWatched,
  kRunEnded,
  kChildToldAgain = 20,  // of a later try
  kCacheAsked,
  kCacheLeft,
  kCacheTold,
  kPauseTold
};

void pack_run(Packer& out, const RunWanted& wanted) {
  out.text(wanted.tenant);
  out.text(wanted.key);
  out.hash(wanted.definition);
  out.number(wanted.home.value);
  out.payload(wanted.inputs);
  pack(out, wanted.labels);
  out.text(wanted.trace_id);
  out.text(wanted.caller);
  out.difference(static_cast<std::uint64_t>(std::int64_t{wanted.priority}), 0);
  out.number(wanted.version);
  pack(out, wanted.parent);
}

void pack(Packer& out, const RunWanted& wanted) {
  out.byte(kRunWanted);
  pack_run(out, wanted);
}
void pack(Packer& out, const ChildWanted& wanted) {
  out.byte(kChildWanted);
  out.text(wanted.name);
  pack_run(out, wanted.run);
}
void pack(Packer& out, const ChildCancelled& cancelled) {
  out.byte(kChildCancelled);
  out.text(cancelled.tenant);
  out.text(cancelled.key);
  out.number(cancelled.parent.value);
  out.byte(cancelled.passed_on ? 1 : 0);
}
void pack(Packer& out, const ChildTold& told) {
  out.byte(told.attempt == 1 ? kChildTold : kChildToldAgain);
  if (told.attempt != 1) out.number(told.attempt);
  out.number(told.parent.value);
  out.number(told.task.value);
  out.number(told.child.value);
  out.byte(static_cast<std::uint8_t>(told.state));
  out.payload(told.outputs);
  out.text(told.why);
}

void pack(Packer& out, const RunUnwanted& unwanted) {
  out.byte(kRunUnwanted);
  out.text(unwanted.tenant);
  out.text(unwanted.key);
  out.text(unwanted.why);
}

void pack(Packer& out, const RunOver& over) {
  out.byte(kRunOver);
  pack(out, over.trigger);
  out.text(over.key);
  out.text(over.error);
}

void pack(Packer& out, const RunEndWatched& watched) {
  out.byte(kRunEndWatched);
  pack(out, watched.trigger);
  out.byte(watched.runs ? 1 : 0);
  if (watched.runs) pack(out, *watched.runs);
}

void pack(Packer& out, const RunEnded& ended) {
  out.byte(kRunEnded);
  pack(out, ended.trigger);
  out.fixed64(ended.news.run.value);
  out.text(ended.news.workflow);
  out.byte(static_cast<std::uint8_t>(ended.news.state));
  pack(out, ended.news.labels);
  out.time(ended.news.ended, Time{});
}

void pack(Packer& out, const CacheAsked& asked) {
  out.byte(kCacheAsked);
  pack(out, asked.name);
  out.fixed64(asked.run.value);
  out.number(asked.task.value);
  out.duration(asked.ttl);
  out.byte(asked.wants_old ? 1 : 0);
}

void pack(Packer& out, const CacheLeft& left) {
  out.byte(kCacheLeft);
  pack(out, left.name);
  out.fixed64(left.run.value);
  out.number(left.task.value);
  out.byte(left.value ? 1 : 0);
  if (!left.value) return;
  out.duration(left.ttl);
  out.payload(*left.value);
}

void pack(Packer& out, const CacheTold& told) {
  out.byte(kCacheTold);
  pack(out, told.answer.name);
  out.fixed64(told.answer.run.value);
  out.number(told.answer.task.value);
  out.byte(static_cast<std::uint8_t>(told.answer.kind));
  out.byte(told.answer.has_value ? 1 : 0);
  if (told.answer.has_value) out.payload(told.answer.value);
}

void pack(Packer& out, const PauseTold& told) {
  out.byte(kPauseTold);
  out.byte(told.paused ? 1 : 0);
  pack(out, told.pause);
}

PartitionId unpack_partition(Unpacker& in) {
  const std::uint64_t value = in.number();
  if (value >= kPartitionsMax) in.fail();
  return PartitionId{static_cast<std::uint16_t>(value)};
}

RunWanted unpack_run_wanted(Unpacker& in) {
  RunWanted wanted;
  wanted.tenant = in.text();
  wanted.key = in.text();
  wanted.definition = in.hash();
  wanted.home = unpack_partition(in);
  wanted.inputs = in.payload();
  if (wanted.inputs.is_reference()) in.fail();
  wanted.labels = unpack_labels(in);
  wanted.trace_id = in.text();
  wanted.caller = in.text();
  wanted.priority = static_cast<std::int32_t>(static_cast<std::int64_t>(in.difference(0)));
  wanted.version = in.number32();
  wanted.parent = unpack_parent(in);
  return wanted;
}

LetterBody unpack_body(Unpacker& in) {
  const auto text = [&] { return std::string(in.text()); };
  switch (const std::uint8_t kind = in.byte()) {
    case kRunWanted: return unpack_run_wanted(in);
    case kChildWanted: {
      ChildWanted wanted;
      wanted.name = in.text();
      wanted.run = unpack_run_wanted(in);
      return wanted;
    }
    case kChildCancelled: {
      ChildCancelled cancelled;
      cancelled.tenant = in.text();
      cancelled.key = in.text();
      cancelled.parent = RunId{in.number()};
      cancelled.passed_on = in.byte() != 0;
      return cancelled;
    }
    case kChildTold:
    case kChildToldAgain: {
      ChildTold told;
      if (kind == kChildToldAgain && (told.attempt = in.number32()) == 1) in.fail();
      told.parent = RunId{in.number()};
      told.task = TaskIndex{in.number32()};
      told.child = RunId{in.number()};
      told.state = unpack_run_state(in);
      told.outputs = in.payload();
      told.why = in.text();
      return told;
    }
    case kRunUnwanted: {
      RunUnwanted unwanted;
      unwanted.tenant = text();
      unwanted.key = text();
      unwanted.why = text();
      return unwanted;
    }
    case kRunOver: {
      RunOver over;
      over.trigger = unpack_trigger_name(in);
      over.key = text();
      over.error = text();
      return over;
    }
    case kRunEndWatched: {
      RunEndWatched watched;
      watched.trigger = unpack_trigger_name(in);
      if (in.byte() != 0) watched.runs = unpack_run_end(in);
      return watched;
    }
    case kRunEnded: {
      RunEnded ended;
      ended.trigger = unpack_trigger_name(in);
      ended.news.run = RunId{in.fixed64()};
      ended.news.workflow = text();
      ended.news.state = unpack_run_state(in);
      ended.news.labels = unpack_labels(in);
      ended.news.ended = in.time(Time{});
      return ended;
    }
    case kCacheAsked: {
      CacheAsked asked;
      asked.name = unpack_cache_name(in);
      asked.run = RunId{in.fixed64()};
      asked.task = TaskIndex{in.number32()};
      asked.ttl = in.duration();
      asked.wants_old = in.byte() != 0;
      return asked;
    }
    case kCacheLeft: {
      CacheLeft left;
      left.name = unpack_cache_name(in);
      left.run = RunId{in.fixed64()};
      left.task = TaskIndex{in.number32()};
      if (in.byte() == 0) return left;
      left.ttl = in.duration();
      left.value = in.payload();
      return left;
    }
    case kCacheTold: {
      CacheTold told;
      told.answer.name = unpack_cache_name(in);
      told.answer.run = RunId{in.fixed64()};
      told.answer.task = TaskIndex{in.number32()};
      const std::uint8_t kind = in.byte();
      if (kind > static_cast<std::uint8_t>(CacheAnswer::Kind::kThere)) in.fail();
      told.answer.kind = static_cast<CacheAnswer::Kind>(kind);
      told.answer.has_value = in.byte() != 0;
      if (told.answer.has_value) told.answer.value = in.payload();
      return told;
    }
    case kPauseTold: {
      PauseTold told;
      told.paused = in.byte() != 0;
      told.pause = unpack_pause(in);
      return told;
    }
    default: in.fail();
  }
  return RunWanted{};
}

std::string open_error(std::uint8_t version, std::string_view sealed) {
  const std::string newer = newer_version(version, sealed);
  return newer.empty() ? ": wrong version or checksum" : " " + newer;
}
Error unreadable(const std::string& what, std::string_view sealed) {
  const bool newer = !newer_version(kLetterVersion, sealed).empty();
  return {newer ? Code::kRefused : Code::kInternal,
          what + open_error(kLetterVersion, sealed),
          {},
          newer ? "newer_version" : "damaged"};
}

}  // namespace

std::optional<PartitionId> parse_partition(std::string_view text) {
  std::uint16_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || value >= kPartitionsMax) return std::nullopt;
  return PartitionId{value};
}

std::string encode_letter(const Letter& letter) {
  Packer out;
  out.number(letter.to.value);
  out.number(letter.number);
  std::visit([&](const auto& body) { pack(out, body); }, letter.body);
  return seal(kLetterVersion, place_of(kLetterPlace, letter.from.value), out.bytes());
}

Result<Letter> decode_letter(PartitionId from, std::string_view bytes) {
  const std::string what = "a letter of partition " + std::to_string(from.value);
  const auto body = unseal(kLetterVersion, place_of(kLetterPlace, from.value), bytes);
  if (!body) return unreadable(what, bytes);
  Unpacker in(*body);
  Letter letter;
  letter.from = from;
  letter.to = unpack_partition(in);
  letter.number = in.number();
  letter.body = unpack_body(in);
  if (!in.done()) return Error{Code::kInternal, what + ": does not parse", {}, "damaged"};
  return letter;
}

std::string encode_mark(PartitionId from, PartitionId at, const Mark& mark) {
  Packer out;
  out.number(mark.number);
  out.number(mark.taken);
  return seal(kLetterVersion, place_of(place_of(kMarkPlace, from.value), at.value), out.bytes());
}

Result<Mark> decode_mark(PartitionId from, PartitionId at, std::string_view bytes) {
  const std::string what = "the mark of partition " + std::to_string(from.value) + "'s letters";
  const auto body = unseal(kLetterVersion, place_of(place_of(kMarkPlace, from.value), at.value), bytes);
  if (!body) return unreadable(what, bytes);
  Unpacker in(*body);
  Mark mark;
  mark.number = in.number();
  mark.taken = in.number();
  if (!in.done()) return Error{Code::kInternal, what + ": does not parse", {}, "damaged"};
  return mark;
}

}  // namespace millrace
