#include "coordinator/shell/segments.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/store/store_world.h"

namespace millrace::test {
namespace {

std::vector<TaskEntry> decoded(RunId run, std::uint64_t commit, std::string_view bytes) {
  NamePool names;
  auto entries = decode_segment(run, commit, bytes, names);
  EXPECT_TRUE(entries.ok()) << (entries.ok() ? "" : entries.error().what);
  return entries.ok() ? *entries : std::vector<TaskEntry>();
}

bool opens(RunId run, std::uint64_t commit, std::string_view bytes) {
  NamePool names;
  return decode_segment(run, commit, bytes, names).ok();
}

TaskRecord everything_set() {
  TaskRecord r;
  r.state = TaskState::kFailed;
  r.reason = Reason::kPoisoned;
  r.failures = 65535;
  r.losses = 3;
  r.tries = UINT32_MAX;
  r.epoch = 77;
  r.version = UINT32_MAX;
  r.ready = from_us(INT64_MIN);
  r.dispatched = from_us(INT64_MAX);
  r.ended = from_us(-1);
  r.due = from_us(1);
  r.queued = Duration{-5};
  r.ran = Duration{INT64_MAX};
  r.worker = std::make_shared<const std::string>("worker with a name");
  r.output = Payload::reference(hash128("x"), 1ULL << 40);
  r.error = std::make_shared<const ErrorInfo>(ErrorInfo{.message = "boom", .traceback = std::string("a\0b", 3)});
  return r;
}

std::vector<TaskEntry> no_ops(std::uint32_t count) {
  TestRun run(run_id(1));
  return run.succeed(0, count).tasks;
}

TEST(Segments, ReadBackWhatWasWritten) {
  TaskRecord inline_output = everything_set();
  inline_output.output = Payload::inline_json(R"({"a":[1,2,3]})");
  inline_output.error = nullptr;
  const std::vector<TaskEntry> entries = {{TaskIndex{0}, everything_set()},
                                          {TaskIndex{7}, TaskRecord{}},
                                          {TaskIndex{8}, inline_output},
                                          {TaskIndex{UINT32_MAX}, TestRun(run_id(1)).succeeded(4)}};
  EXPECT_TRUE(decoded(run_id(1), 9, encode_segment(run_id(1), 9, entries)) == entries);
  EXPECT_TRUE(decoded(run_id(1), 9, encode_segment(run_id(1), 9, {})).empty());
}

TEST(Segments, WhatHasItemsIsWrittenInANewerVersionAndAnythingElseInTheOldOne) {
  TaskRecord items = TestRun(run_id(1)).succeeded(4);
  items.items = 1'000;
  items.items_failed = 3;
  const std::vector<TaskEntry> entries = {{TaskIndex{2}, TaskRecord{}}, {TaskIndex{4'000'000'000}, items}};
  const std::string bytes = encode_segment(run_id(1), 9, entries);
  EXPECT_EQ(bytes[0], kSegmentVersionItems);
  EXPECT_TRUE(decoded(run_id(1), 9, bytes) == entries);
  EXPECT_EQ(encode_segment(run_id(1), 9, no_ops(2))[0], kSegmentVersion);
}

TEST(Segments, KeepWhyATaskFailedForWhichAnotherStandsIn) {
  TaskRecord aside = TestRun(run_id(1)).succeeded(4);
  aside.state = TaskState::kWaiting;
  aside.reason = Reason::kFallback;
  aside.cause = Reason::kCrashed;
  const std::vector<TaskEntry> entries = {{TaskIndex{2}, TaskRecord{}}, {TaskIndex{4}, aside}};
  const std::string bytes = encode_segment(run_id(1), 9, entries);
  EXPECT_EQ(bytes[0], kSegmentVersionCause);
  EXPECT_TRUE(decoded(run_id(1), 9, bytes) == entries);
}

TEST(Segments, KeepWhatIsKnownOfLostAttempts) {
  TaskRecord poisoned = everything_set();
  poisoned.error = std::make_shared<const ErrorInfo>(
      ErrorInfo{"lost 2 times", "", {{1, "w1", from_us(5), from_us(9), "went silent"}, {2, "", from_us(-7), {}, ""}}});
  const std::vector<TaskEntry> entries = {{TaskIndex{2}, TaskRecord{}}, {TaskIndex{4}, poisoned}};
  const std::string bytes = encode_segment(run_id(1), 9, entries);
  EXPECT_EQ(bytes[0], kSegmentVersionLosses);
  EXPECT_TRUE(decoded(run_id(1), 9, bytes) == entries);
}

TEST(Segments, KeepTheArtifactsOfATaskAndOnlyThenHaveTheirVersion) {
  TaskRecord record = everything_set();
  record.artifacts = std::make_shared<const std::vector<Artifact>>(
      std::vector<Artifact>{{"plot.png", "image/png", hash128("a"), kArtifactMax}, {"empty", "", hash128(""), 0}});
  const std::vector<TaskEntry> entries = {{TaskIndex{2}, TaskRecord{}}, {TaskIndex{4}, record}};
  const std::string bytes = encode_segment(run_id(1), 9, entries);
  EXPECT_EQ(bytes[0], kSegmentVersionArtifacts);
  EXPECT_TRUE(decoded(run_id(1), 9, bytes) == entries);
  TaskRecord other = record;
  other.artifacts = nullptr;
  EXPECT_NE(checksum(TaskIndex{4}, record), checksum(TaskIndex{4}, other)) << "a stale record shows";
}

TEST(Segments, KeepWhoAsksForTheValueOfAKey) {
  TaskRecord asks = everything_set();
  asks.claim = std::make_shared<const CacheClaim>(CacheClaim{hash128("k"), false, {}});
  TaskRecord knows = everything_set();
  knows.claim =
      std::make_shared<const CacheClaim>(CacheClaim{hash128("k"), true, Payload::reference(hash128("v"), 99)});
  const std::vector<TaskEntry> entries = {{TaskIndex{2}, asks}, {TaskIndex{4}, knows}};
  const std::string bytes = encode_segment(run_id(1), 9, entries);
  EXPECT_EQ(bytes[0], kSegmentVersionLast);
  EXPECT_TRUE(decoded(run_id(1), 9, bytes) == entries);
}

TEST(Segments, AnArtifactWhoseNameLeadsElsewhereIsDamage) {
  TaskRecord record = everything_set();
  for (const char* name : {"../up", "a/b", "..", ""}) {
    record.artifacts =
        std::make_shared<const std::vector<Artifact>>(std::vector<Artifact>{{name, "", hash128("a"), 1}});
    NamePool names;
    const std::string bytes = encode_segment(run_id(1), 9, std::vector<TaskEntry>{{TaskIndex{4}, record}});
    EXPECT_FALSE(decode_segment(run_id(1), 9, bytes, names).ok()) << name;
  }
}

TEST(Segments, KeepTheHighestVersionOfATaskThatStandsTwice) {
  TaskRecord old_one = everything_set();
  old_one.version = 1;
  TaskRecord new_one = everything_set();
  new_one.version = 2;
  std::vector<TaskEntry> entries = {{TaskIndex{5}, new_one}, {TaskIndex{2}, old_one}, {TaskIndex{5}, old_one}};
  const std::vector<TaskEntry> expected = {{TaskIndex{2}, old_one}, {TaskIndex{5}, new_one}};
  EXPECT_TRUE(decoded(run_id(1), 1, encode_segment(run_id(1), 1, entries)) == expected);
  keep_latest(entries);
  EXPECT_TRUE(entries == expected);
}

TEST(Segments, ANoOpRecordTakesFewBytes) {
  const double bytes = static_cast<double>(encode_segment(run_id(1), 1, no_ops(1000)).size()) / 1000;
  RecordProperty("bytes_per_record", std::to_string(bytes));
  EXPECT_LE(bytes, 20);
  EXPECT_LE(encode_segment(run_id(1), 1, no_ops(100)).size(), 100U * 30);
}

TEST(Segments, ShareOneCopyOfAWorkersName) {
  NamePool names;
  auto first = decode_segment(run_id(1), 1, encode_segment(run_id(1), 1, no_ops(4)), names);
  auto second = decode_segment(run_id(1), 2, encode_segment(run_id(1), 2, no_ops(4)), names);
  EXPECT_EQ((*first)[0].second.worker, (*first)[2].second.worker);
  EXPECT_EQ((*first)[0].second.worker, (*second)[0].second.worker);
}

TEST(Segments, ThoseOfAnotherRunOrCommitDoNotOpen) {
  const std::string bytes = encode_segment(run_id(1), 5, no_ops(3));
  EXPECT_TRUE(opens(run_id(1), 5, bytes));
  EXPECT_FALSE(opens(run_id(2), 5, bytes));
  EXPECT_FALSE(opens(run_id(1), 6, bytes));
}

TEST(Segments, EveryFlippedBitAndEveryCutShows) {
  const std::string bytes = encode_segment(run_id(1), 5, no_ops(3));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(opens(run_id(1), 5, damaged)) << "bit " << bit;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(opens(run_id(1), 5, bytes.substr(0, size)));
}

TEST(Segments, AreCompactedWhenHalfOfTheirRecordsAreDead) {
  TestRun run(run_id(1));
  const std::string first = encode_segment(run_id(1), 1, run.succeed(0, 10).tasks);
  const std::string second = encode_segment(run_id(1), 2, run.succeed(0, 9).tasks);
  const std::string third = encode_segment(run_id(1), 7, run.succeed(0, 1).tasks);
  const std::vector<Segment> two = {{1, first}, {2, second}};
  const std::vector<Segment> three = {{1, first}, {2, second}, {7, third}};

  auto not_yet = compact(run_id(1), two);
  EXPECT_EQ(not_yet->dead, 9U);
  EXPECT_TRUE(not_yet->bytes.empty());

  auto done = compact(run_id(1), three);
  EXPECT_EQ(done->dead, 10U);
  EXPECT_EQ(done->records, 10U);
  EXPECT_EQ(done->commit, 7U);
  const std::vector<TaskEntry> expected(run.tasks().begin(), run.tasks().end());
  EXPECT_TRUE(decoded(run_id(1), 7, done->bytes) == expected);
}

TEST(Segments, CompactingADamagedOneIsRefused) {
  const std::string bytes = encode_segment(run_id(1), 1, no_ops(3));
  const std::vector<Segment> segments = {{1, bytes}, {2, bytes}};
  EXPECT_FALSE(compact(run_id(1), segments).ok());
}

}  // namespace
}  // namespace millrace::test
