// Listing: the order in which runs are listed, page tokens, filters; shared by every Store.
//
// Runs are listed newest first by acceptance, over all partitions. One index per partition (all runs by position)
// serves every listing: workflow, labels, state, caller and tenant are filters over a scan of it, newest first. Further
// indexes would cost about 120 bytes each for every run ever finished, and most lists ask for the newest. A scan stops
// after kListScanMax runs; the reply then holds a token and perhaps fewer rows than asked for: the caller goes on with
// it.
//
// Threads: pure functions. Fails: a malformed token is no position.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/ids.h"
#include "common/model/operator_messages.h"
#include "common/model/records.h"
#include "common/model/run_view.h"

namespace millrace {

constexpr std::size_t kActivePageRuns = 64;         // of one LoadActive answer
constexpr std::size_t kActivePageRecords = 50'000;  // task records; one run may be larger
constexpr std::size_t kListScanMax = 10'000;        // runs looked at for one FindRuns answer
constexpr std::size_t kPrefixScanMax = 1'000'000;   // ids looked at when only a prefix is asked for
constexpr std::uint32_t kListLimitMax = 1'000;      // rows of one answer
constexpr std::uint32_t kReadLimitMax = 10'000;     // events or log lines of one answer
constexpr std::size_t kLogLinesMax = 10'000;        // kept per run, about; the oldest go first
constexpr Duration kKeyLife = 24h;                  // an idempotency key lives as long as its run, and at least this

// Where a run stands. The score is 41 bits of milliseconds and 12 bits of the run's number, so it is exact as a double
// and practically unique; the printed id breaks ties.
struct RunPosition {
  std::uint64_t score = 0;
  std::string id;
  auto operator<=>(const RunPosition&) const = default;
};

RunPosition position_of(RunId run, Time accepted);
std::string to_token(const RunPosition& position);  // "<score>-<id>"
std::optional<RunPosition> parse_token(std::string_view token);

bool matches(const ListRuns& query, const RunInfo& info, const RunRecord& record);
RunSummary summarize(const RunInfo& info, const RunRecord& record, std::uint32_t tasks_total, std::uint32_t tasks_done);

// The cursor of the events of one commit, which is also the id of its entry in the partition's event stream.
std::string stream_id(std::uint32_t epoch, std::uint64_t commit);  // "<epoch>-<commit>"

}  // namespace millrace
