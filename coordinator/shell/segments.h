// Segments: the task records of one run that one commit changed, packed into one blob, about 15 bytes a record.
//
// Layout (in the envelope of packing.h; its place is the run and the commit): base time and base epoch; a dictionary of
// worker names; then the records by task, each as the distance to the task before, state, the set of fields that are
// not at their default, and those fields. Times are distances to the base or to each other.
//
// Promises: decode(encode(x)) == x sorted by task, with only the highest version of a task that stands twice. Decoding
// is total and bounded by the size of its input; a blob of another run or commit is an error. Threads: pure functions.
// Fails: an Error names the run and the commit.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/model/records.h"
#include "coordinator/shell/packing.h"

namespace millrace {

constexpr std::uint8_t kSegmentVersion = 1;
// Where a record has a field that version 1 does not know; other segments are written as version 1, which earlier
// programs read, too.
constexpr std::uint8_t kSegmentVersionItems = 2;
constexpr std::uint8_t kSegmentVersionCause = 3;
constexpr std::uint8_t kSegmentVersionLosses = 4;
constexpr std::uint8_t kSegmentVersionArtifacts = 5;
constexpr std::uint8_t kSegmentVersionLast = 6;  // of claims to kept values

using TaskEntry = std::pair<TaskIndex, TaskRecord>;

// Worker names, one copy each, for records read back. Values; one thread.
class NamePool {
 public:
  SharedName share(std::string_view name);

 private:
  struct ByText {
    using is_transparent = void;
    bool operator()(const SharedName& a, const SharedName& b) const { return *a < *b; }
    bool operator()(const SharedName& a, std::string_view b) const { return *a < b; }
    bool operator()(std::string_view a, const SharedName& b) const { return a < *b; }
  };
  std::set<SharedName, ByText> names_;
};

void encode_segment(RunId run, std::uint64_t commit, std::span<const TaskEntry> entries, Packer& out);
std::string encode_segment(RunId run, std::uint64_t commit, std::span<const TaskEntry> entries);
Result<std::vector<TaskEntry>> decode_segment(RunId run, std::uint64_t commit, std::string_view bytes, NamePool& names);

// Sorts by task and keeps the highest version of each; of equal versions the one that came last.
void keep_latest(std::vector<TaskEntry>& entries);

struct Segment {
  std::uint64_t commit = 0;
  std::string_view bytes;
};
struct Compacted {
  std::uint64_t commit = 0;  // the highest of those merged: the one segment belongs there, the others can go
  std::string bytes;
  std::size_t records = 0;  // in the one segment
  std::size_t dead = 0;     // records left out because a higher version stands in another segment
};

// Merges segments of one run when at least half of their records are dead; otherwise `bytes` is empty.
Result<Compacted> compact(RunId run, std::span<const Segment> segments);

}  // namespace millrace
