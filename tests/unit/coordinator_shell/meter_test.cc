// Meter: what is counted, what is timed, and that both stay bounded.
#include "coordinator/shell/meter.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

const LatencyHistogram& of(const Meter& meter, Stage stage) {
  return meter.counts().stages[static_cast<std::size_t>(stage)];
}

TaskRecord ended_record(Time ready, Duration waited, Duration took, Duration ran) {
  TaskRecord record;
  record.state = TaskState::kSucceeded;
  record.ready = ready;
  record.dispatched = ready + waited;
  record.ended = record.dispatched + took;
  record.ran = ran;
  return record;
}

Effects reply_of(RequestId request, OperatorReply reply) {
  Effects effects;
  effects.replies.push_back({request, std::move(reply)});
  return effects;
}

TEST(Meter, ATaskThatEndedTellsHowLongItWaitedWasOutAndRan) {
  Meter meter;
  Effects effects;
  RunWrite write;
  write.tasks.emplace_back(TaskIndex{1}, ended_record(from_us(1'000), 10us, 300us, 200us));
  effects.writes.push_back(write);

  meter.closed(effects);

  EXPECT_EQ(of(meter, Stage::kReadyToDispatch).sum(), 10us);
  EXPECT_EQ(of(meter, Stage::kDispatchToEnd).sum(), 300us);
  EXPECT_EQ(of(meter, Stage::kTaskRun).sum(), 200us);
  EXPECT_EQ(meter.counts().records, 1U);
}

TEST(Meter, ATaskThatWasNeverDispatchedIsRecordedButNotTimed) {
  Meter meter;
  Effects effects;
  RunWrite write;
  TaskRecord skipped;
  skipped.state = TaskState::kSkipped;
  skipped.ended = from_us(5'000);
  write.tasks.emplace_back(TaskIndex{1}, skipped);
  effects.writes.push_back(write);

  meter.closed(effects);

  EXPECT_EQ(of(meter, Stage::kDispatchToEnd).count(), 0U);
  EXPECT_EQ(meter.counts().records, 1U);
}

TEST(Meter, ASubmissionIsTimedUntilItsAcknowledgementLeaves) {
  Meter meter;
  meter.submitted(RequestId{7}, from_us(100));

  meter.leaves(reply_of(RequestId{7}, SubmitReply{}), from_us(600));

  EXPECT_EQ(of(meter, Stage::kSubmitToAck).count(), 1U);
  EXPECT_EQ(of(meter, Stage::kSubmitToAck).sum(), 500us);
}

TEST(Meter, AnAcknowledgementOfASubmissionThatIsForgottenIsNotTimed) {
  Meter meter;
  meter.submitted(RequestId{7}, from_us(100));
  meter.submitted(RequestId{7 + Meter::kOpenSubmits}, from_us(200));  // takes its place

  meter.leaves(reply_of(RequestId{7}, SubmitReply{}), from_us(600));

  EXPECT_EQ(of(meter, Stage::kSubmitToAck).count(), 0U);
}

TEST(Meter, RefusalsAreCountedByNameAndWithoutOneByCode) {
  Meter meter;
  Error full{Code::kRefused, "queue_full: 5 of 5 runs", {}, "queue_full"};
  meter.leaves(reply_of(RequestId{1}, ErrorReply{full}), Time{});
  meter.leaves(reply_of(RequestId{2}, ErrorReply{full}), Time{});
  meter.refused({Code::kNotFound, "no run x", {}, ""});

  EXPECT_EQ(meter.counts().refusals.at("queue_full"), 2U);
  EXPECT_EQ(meter.counts().refusals.at(to_string(Code::kNotFound)), 1U);
}

TEST(Meter, NamesOfRefusalsAreBounded) {
  Meter meter;
  for (int i = 0; i < 1'000; ++i) meter.refused({Code::kRefused, "", {}, "name-" + std::to_string(i)});

  EXPECT_LE(meter.counts().refusals.size(), Meter::kRefusalsMax + 1);
  std::uint64_t all = 0;
  for (const auto& [name, count] : meter.counts().refusals) all += count;
  EXPECT_EQ(all, 1'000U);
  EXPECT_EQ(meter.counts().refusals.at("other"), 1'000U - Meter::kRefusalsMax);
}

TEST(Meter, LiveRunsOfAPartitionThatIsGivenUpAreHandedOverAndTheSumStillHolds) {
  Tally tally;
  tally.accepted = 5;
  tally.restored = 2;
  tally.of(RunState::kSucceeded) = 3;
  tally.of(RunState::kFailed) = 1;
  tally.of(TaskState::kReady) = 9;
  Meter meter;

  meter.gave_up(tally);

  const MeterCounts& counts = meter.counts();
  EXPECT_EQ(counts.runs_handed_over, 3U);
  EXPECT_EQ(counts.gone.accepted + counts.gone.restored,
            counts.gone.of(RunState::kSucceeded) + counts.gone.of(RunState::kFailed) + counts.runs_handed_over);
  EXPECT_EQ(counts.gone.of(TaskState::kReady), 0U) << "its tasks are not here any more";
}

class ToldTime : public Clock {
 public:
  Time now() const override { return now_; }
  mutable Time now_{};
};

TEST(Laps, ATurnIsTheSumOfItsStagesAndOfWhatTimesItself) {
  ToldTime clock;
  Meter meter;
  Laps laps(clock, clock.now());
  clock.now_ += 5us;
  laps.skip();
  clock.now_ += 100us;
  laps.mark(Stage::kTakeIn);
  clock.now_ += 30us;
  laps.mark(Stage::kPlace);
  clock.now_ += 20us;
  laps.mark(Stage::kClose);
  clock.now_ += 7us;

  laps.keep(meter);

  EXPECT_EQ(of(meter, Stage::kTakeIn).sum(), 100us);
  EXPECT_EQ(of(meter, Stage::kPlace).sum(), 30us);
  EXPECT_EQ(of(meter, Stage::kClose).sum(), 20us);
  EXPECT_EQ(of(meter, Stage::kTurn).sum(), 162us);
}

TEST(LoopSnapshot, IsReadyWhileItServesOrOthersDoAndTheStoreIsThere) {
  LoopSnapshot snapshot;
  snapshot.partitions = snapshot.partitions_awaited = 16;
  snapshot.store_ready = true;
  EXPECT_FALSE(snapshot.is_ready()) << "nobody serves";
  snapshot.partitions_awaited = 0;
  EXPECT_TRUE(snapshot.is_ready()) << "others serve all: requests are passed on";
  snapshot.partitions_awaited = 3;
  snapshot.partitions_serving = 5;
  EXPECT_TRUE(snapshot.is_ready());
  snapshot.store_ready = false;
  EXPECT_FALSE(snapshot.is_ready());
  snapshot.store_ready = snapshot.stopping = true;
  EXPECT_FALSE(snapshot.is_ready());
}

}  // namespace
}  // namespace millrace
