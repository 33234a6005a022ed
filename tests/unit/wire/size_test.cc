// How many bytes the hot messages take: what a no-op costs on the network.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/wire/codec.h"

namespace millrace {
namespace {

constexpr std::uint32_t kCount = 1000;
constexpr std::size_t kBytesEach = 20;

std::shared_ptr<const RunContext> context() {
  return std::make_shared<const RunContext>(
      RunContext{make_run_id(PartitionId{3}, 1, 77), 1, {11, 12}, "bench", "0123456789abcdef0123456789abcdef", {}});
}

AssignBatch no_op_assignments() {
  AssignBatch batch;
  auto spec = std::make_shared<const NodeSpec>();
  auto run = context();
  for (std::uint32_t i = 0; i < kCount; ++i) {
    Assignment a;
    a.context = run;
    a.task = TaskIndex{500'000 + i};
    a.number = 1;
    a.node_spec = spec;
    a.node = "n" + std::to_string(a.task.value);
    a.age = from_us(1'700'000'000'000'000);
    a.bindings = {{TaskIndex{a.task.value - 1000}, 1, {}}};
    a.names = {"n" + std::to_string(a.task.value - 1000)};
    batch.assignments.push_back(a);
  }
  return batch;
}

AttemptReports no_op_reports() {
  AttemptReports reports;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    AttemptReport report;
    report.attempt = {make_run_id(PartitionId{3}, 1, 77), TaskIndex{500'000 + i * 37 % kCount}, 1, 1};
    report.outcome.success = true;
    report.outcome.waited = Duration{3000 + i};
    report.outcome.ran = Duration{i % 100};
    reports.reports.push_back(report);
  }
  return reports;
}

TEST(MessageSize, ANoOpAssignmentInABatchOfOneRunTakesAtMost20Bytes) {
  SentSpecs sent;
  EXPECT_LE(encode(no_op_assignments(), sent).size(), kBytesEach * kCount);
}

TEST(MessageSize, ANoOpReportInABatchOfOneRunTakesAtMost20Bytes) {
  EXPECT_LE(encode(WorkerMessage(no_op_reports())).size(), kBytesEach * kCount);
}

TEST(MessageSize, AnAnswerInABatchOfOneRunTakesAtMost4Bytes) {
  AnswerBatch answers;
  for (const AttemptReport& report : no_op_reports().reports) answers.answers.push_back({report.attempt, {}, {}});
  SentSpecs sent;
  EXPECT_LE(encode(answers, sent).size(), 4 * kCount);
}

TEST(MessageSize, AnEventInABatchOfOneRunTakesAtMost12Bytes) {
  std::vector<Event> events(kCount);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    Event& e = events[i];
    e.run = RunId{7};
    e.seq = i + 1;
    e.type = EventType::kTaskSucceeded;
    e.task = TaskIndex{500'000 + i * 37 % kCount};
    e.attempt = 1;
    e.time = from_us(1'700'000'000'000'000 + i * 30);
    e.node = "n" + std::to_string(e.task.value);
    e.cursor = "1-99";
  }
  EXPECT_LE(encode_events(events).size(), 12 * kCount);
}

TEST(MessageSize, TheEstimateForSplittingBatchesIsNotBelowTheTruth) {
  SentSpecs sent;
  AssignBatch batch = no_op_assignments();
  batch.assignments[0].bindings[0].value = Payload::inline_json("\"" + std::string(10'000, 'x') + "\"");
  std::size_t estimate = 0;
  for (const Assignment& a : batch.assignments) estimate += wire_size(a);
  EXPECT_GE(estimate, encode(batch, sent).size());
  AttemptReports reports = no_op_reports();
  reports.reports[0].outcome.output = Payload::inline_json("\"" + std::string(10'000, 'x') + "\"");
  estimate = 0;
  for (const AttemptReport& r : reports.reports) estimate += wire_size(r);
  EXPECT_GE(estimate, encode(WorkerMessage(reports)).size());
}

}  // namespace
}  // namespace millrace
