// Every decoder of what the store keeps, fed with arbitrary bytes: none may crash, read outside its input or allocate
// much more than it; what decodes must encode to something that decodes to the same.
//
// The first byte picks the decoder. Bytes are tried as they are and, since a checksum stops nearly all of them, also
// as the body of an envelope with the right one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "coordinator/shell/cache_codec.h"
#include "coordinator/shell/letter_codec.h"
#include "coordinator/shell/listing.h"
#include "coordinator/shell/packed_events.h"
#include "coordinator/shell/packing.h"
#include "coordinator/shell/pause_codec.h"
#include "coordinator/shell/registry_codec.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/segments.h"
#include "coordinator/shell/trigger_codec.h"

namespace millrace {
namespace {

constexpr RunId kRun{0x0040'0001'0000'0001ULL};
constexpr std::uint64_t kCommit = 5;
constexpr std::uint32_t kEpochCounter = 2;
const StreamPlace kPlace{.partition = PartitionId{1}, .epoch = kEpochCounter, .commit = kCommit};

void require(bool holds) {
  if (!holds) std::abort();
}

void try_segment(std::string_view bytes) {
  NamePool names;
  auto entries = decode_segment(kRun, kCommit, bytes, names);
  if (!entries.ok()) return;
  auto again = decode_segment(kRun, kCommit, encode_segment(kRun, kCommit, *entries), names);
  require(again.ok() && *again == *entries);
  const Segment one[] = {{kCommit, bytes}};
  require(compact(kRun, one).ok());
}

void try_events(std::string_view bytes) {
  auto events = decode_events(kPlace, bytes);
  if (!events.ok()) return;
  auto again = decode_events(kPlace, encode_events(kPlace, *events));
  require(again.ok() && again->size() == events->size());
}

void try_info(std::string_view bytes) {
  auto info = decode_info(kRun, bytes);
  if (!info.ok()) return;
  auto again = decode_info(kRun, encode_info(*info));
  require(again.ok() && again->info == info->info);
}

void try_record(std::string_view bytes) {
  records_hint(bytes);
  auto record = decode_record(kRun, bytes);
  if (!record.ok()) return;
  auto again = decode_record(kRun, encode_record(kRun, *record));
  require(again.ok() && again->record == record->record);
}

void try_letter(std::string_view bytes) {
  auto letter = decode_letter(kPlace.partition, bytes);
  if (!letter.ok()) return;
  auto again = decode_letter(kPlace.partition, encode_letter(*letter));
  require(again.ok() && *again == *letter);
}

void try_workflow(std::string_view bytes) {
  const std::string field = workflow_field("t", "w");
  auto workflow = decode_workflow(field, bytes);
  if (!workflow.ok()) return;
  auto again = decode_workflow(workflow_field(workflow->tenant, workflow->name), encode_workflow(*workflow));
  require(again.ok() && *again == *workflow);
}

const std::string kTriggerField = trigger_field({"t", "w", "x"});

void try_trigger(std::string_view bytes) {
  auto trigger = decode_trigger(kPlace.partition, kTriggerField, bytes);
  if (!trigger.ok()) return;
  auto again = decode_trigger(kPlace.partition, kTriggerField, encode_trigger(kPlace.partition, *trigger));
  require(again.ok() && *again == *trigger);
}

const CacheEntry kEntry{{"t", hash128("k")}, Payload::inline_json("5"), {}, {}};
const CacheAsker kAsker{{"t", hash128("k")}, kRun, TaskIndex{2}, 0, {}, false, false};

void try_cache(std::string_view bytes) {
  if (auto entry = decode_cache_entry(kPlace.partition, entry_field(kEntry), bytes); entry.ok()) {
    auto again =
        decode_cache_entry(kPlace.partition, entry_field(kEntry), encode_cache_entry(kPlace.partition, *entry));
    require(again.ok() && *again == *entry);
  }
  auto asker = decode_cache_asker(kPlace.partition, asker_field(kAsker), bytes);
  if (!asker.ok()) return;
  auto again = decode_cache_asker(kPlace.partition, asker_field(kAsker), encode_cache_asker(kPlace.partition, *asker));
  require(again.ok() && *again == *asker);
}

const PauseName kPaused{PauseKind::kQueue, "", "q"};

void try_pause(std::string_view bytes) {
  auto pause = decode_pause(kPlace.partition, pause_field(kPaused), bytes);
  if (!pause.ok()) return;
  auto again = decode_pause(kPlace.partition, pause_field(kPaused), encode_pause(kPlace.partition, *pause));
  require(again.ok() && *again == *pause);
}

std::string with_length(const std::string& sealed) {
  Packer length;
  length.fixed32(static_cast<std::uint32_t>(sealed.size()));
  return length.take() + sealed;
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      try_segment(bytes);
      try_segment(seal(kSegmentVersion, place_of(kRun.value, kCommit), bytes));
      break;
    case 1:
      try_events(bytes);
      try_events(seal(kPackedEventsVersion, place_of(place_of(1, kEpochCounter), kCommit), bytes));
      break;
    case 2:
      try_info(bytes);
      try_info(with_length(seal(kInfoVersion, place_of(kRun.value, 1), bytes)));
      try_info(with_length(seal(kInfoVersionParent, place_of(kRun.value, 1), bytes)));
      try_info(with_length(seal(kRunFormatVersion, place_of(kRun.value, 1), bytes)));
      break;
    case 3:
      try_record(bytes);
      try_record(with_length(seal(kRunFormatVersion, place_of(kRun.value, 2), bytes)));
      break;
    case 6:
      try_letter(bytes);
      try_letter(seal(kLetterVersion, place_of(11, kPlace.partition.value), bytes));
      try_workflow(seal(kWorkflowVersion, place_of(13, hash64(workflow_field("t", "w"))), bytes));
      (void)decode_mark(kPlace.partition, PartitionId{2}, bytes);
      break;
    case 7:
      try_trigger(bytes);
      try_trigger(seal(kTriggerVersion, place_of(place_of(14, kPlace.partition.value), hash64(kTriggerField)), bytes));
      try_pause(
          seal(kPauseVersion, place_of(place_of(18, kPlace.partition.value), hash64(pause_field(kPaused))), bytes));
      try_cache(bytes);
      for (const auto& [kind, field] : {std::pair(20, entry_field(kEntry)), std::pair(21, asker_field(kAsker))})
        try_cache(seal(kCacheVersion, place_of(place_of(kind, kPlace.partition.value), hash64(field)), bytes));
      break;
    case 4:
      (void)decode_key(bytes);
      (void)decode_log(kRun, bytes);
      (void)decode_log(kRun, seal(kRunFormatVersion, kRun.value, bytes));
      (void)decode_content(Hash128{1, 2}, bytes);
      break;
    default: (void)parse_token(bytes); break;
  }
  return 0;
}
