// Run codec: what the store keeps of a run beside its segments: the info written once, the record overwritten by each
// commit, the entry of its idempotency key; and blobs and definitions in their envelope.
//
// Promises: decode(encode(x)) == x. Decoding is total and bounded by its input; what belongs to another run or key does
// not open. The first bytes of an encoded blob hold its length, so pieces left over behind it do no harm.
// Threads: pure functions. Fails: an Error names what was to be read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/model/operator_messages.h"
#include "common/model/records.h"
#include "coordinator/core/home.h"
#include "coordinator/shell/packing.h"

namespace millrace {

constexpr std::uint8_t kRunFormatVersion = 1;
constexpr std::uint8_t kContentVersion = 2;  // of what a value is put together from; values are of version 1
// Of what is fixed of a run: 2 for a run of a registered workflow and for a child run, 3 for one with a deadline;
// others are written as version 1, which earlier programs read, too.
constexpr std::uint8_t kInfoVersionParent = 2;
constexpr std::uint8_t kInfoVersion = 3;
// Of a run's record: 2 where it holds signals, 3 where it says why it was acted on; others are written as version 1,
// which earlier programs read, too.
constexpr std::uint8_t kRecordVersionSignals = 2;
constexpr std::uint8_t kRecordVersion = 3;

struct StoredInfo {  // field `.i`
  RunInfo info;
  std::uint32_t epoch = 0;   // epoch counter and number of the commit that accepted it:
  std::uint64_t commit = 0;  // where its events begin
};
struct StoredRecord {  // field `.m`
  RunRecord record;
  std::uint32_t tasks_total = 0;
  std::uint32_t tasks_done = 0;
  std::uint32_t epoch = 0;   // of the latest commit that changed the run
  std::uint64_t commit = 0;  // its number
};
// The same, of what stays where it is: for writing.
struct StoredInfoView {
  const RunInfo* info = nullptr;
  std::uint32_t epoch = 0;
  std::uint64_t commit = 0;
};
struct StoredRecordView {
  const RunRecord* record = nullptr;
  std::uint32_t tasks_total = 0;
  std::uint32_t tasks_done = 0;
  std::uint32_t epoch = 0;
  std::uint64_t commit = 0;
};
// What is kept of a request's hash beside its key: a conflict passes for a repeat once in four thousand million.
inline std::uint32_t short_request(const Hash128& request) { return static_cast<std::uint32_t>(request.low); }

struct StoredKey {  // in the hash of idempotency keys; its first 13 bytes are the printed run id, its last 4 the time
  RunId run;
  std::uint32_t request = 0;  // short_request()
  Time accepted{};            // to the second
};

// What letters pack as runs do.
void pack(Packer& out, const Labels& labels);
Labels unpack_labels(Unpacker& in);
void pack(Packer& out, const RunParent& parent);
RunParent unpack_parent(Unpacker& in);

// Each encoder also appends to a Packer, so that a commit of many runs packs into one buffer.
void encode_info(const StoredInfoView& info, Packer& out);
std::string encode_info(const StoredInfo& info);
Result<StoredInfo> decode_info(RunId run, std::string_view bytes);
void encode_record(RunId run, const StoredRecordView& record, Packer& out);
std::string encode_record(RunId run, const StoredRecord& record);
Result<StoredRecord> decode_record(RunId run, std::string_view bytes);
// How many task records the run has, from the first piece of its encoded record. Unchecked: a hint for page sizes.
std::uint32_t records_hint(std::string_view first_piece);

std::string key_field(std::string_view tenant, std::string_view key);  // 12 bytes
std::uint64_t key_fingerprint(std::string_view tenant, std::string_view key);
std::uint64_t key_fingerprint(std::string_view field);  // the same, of a key_field()
std::string encode_key(const StoredKey& key);
Result<StoredKey> decode_key(std::string_view bytes);

// Whether a line of that node is one that was asked for: of a mapped node all its items are.
inline bool is_line_of(std::string_view node, std::string_view wanted) {
  return wanted.empty() || node == wanted || (node.starts_with(wanted) && node.substr(wanted.size()).starts_with('['));
}
std::string encode_log(RunId run, const LogLine& line);
Result<LogLine> decode_log(RunId run, std::string_view bytes);

std::string encode_content(const Hash128& hash, std::string_view bytes);  // definitions and values
// What encode_content() puts before bytes that come one part after the other.
HashStream content_stream(const Hash128& hash);
std::string content_envelope(const HashStream& bytes);
Result<std::string> decode_content(const Hash128& hash, std::string_view bytes);

}  // namespace millrace
