// Attempts that have items, on the worker.
#include "worker/shell/item_runs.h"

#include <gtest/gtest.h>

#include "tests/support/assignments.h"

namespace millrace {
namespace {

ItemRun items(std::string values, std::uint32_t count, Duration budget = Duration::zero()) {
  Assignment assignment = test::make_assignment({});
  assignment.items = std::make_shared<const AssignedItems>(AssignedItems{10, count, Payload(), budget});
  return {assignment, std::make_shared<const std::string>(std::move(values)), 0};
}

Outcome gives(const std::string& json) {
  Outcome outcome;
  outcome.success = true;
  outcome.output = Payload::inline_json(json);
  return outcome;
}

Outcome fails(const std::string& message) {
  Outcome outcome;
  outcome.reason = Reason::kError;
  outcome.error.message = message;
  return outcome;
}

TEST(ItemRun, RunsItsItemsOneAfterTheOtherAndReportsThemTogether) {
  ItemRun run = items(R"([1,{"a":[2]},"x"])", 3);
  EXPECT_EQ(run.next().index, 10U);
  EXPECT_EQ(run.next().json, "1");
  run.ended(gives("11"));
  EXPECT_EQ(run.next().json, R"({"a":[2]})");
  run.ended(fails("it broke"));
  EXPECT_EQ(run.next().index, 12U);
  EXPECT_EQ(run.next().json, R"("x")");
  EXPECT_FALSE(run.is_over(1'000'000'000));
  run.ended(gives("null"));
  ASSERT_TRUE(run.is_over(0));
  const Outcome all = run.report(5'000);
  EXPECT_TRUE(all.success);
  EXPECT_EQ(all.output.json(), "[11,null,null]");
  EXPECT_EQ(all.ran, 5ms);
  EXPECT_EQ(*all.items, (ItemsOutcome{3, 3, {{1, Reason::kError, {"it broke", ""}}}}));
}

TEST(ItemRun, EndsWhenItsBudgetIsSpentButNotBeforeItsFirstItem) {
  ItemRun run = items("[1,2,3]", 3, 1s);
  EXPECT_FALSE(run.is_over(2'000'000));
  run.ended(gives("1"));
  EXPECT_FALSE(run.is_over(999'999));
  EXPECT_TRUE(run.is_over(1'000'000));
  const Outcome all = run.report(1'000'000);
  EXPECT_TRUE(all.success);
  EXPECT_EQ(*all.items, (ItemsOutcome{3, 1, {}}));
}

TEST(ItemRun, OfOneThatIsKilledWhatHasEndedStays) {
  ItemRun run = items("[1,2,3]", 3);
  run.ended(gives("1"));
  run.kill(Reason::kLost);
  run.ended(fails("killed"));  // the one that ran
  ASSERT_TRUE(run.is_over(0));
  const Outcome all = run.report(0);
  EXPECT_FALSE(all.success);
  EXPECT_EQ(all.reason, Reason::kLost);
  EXPECT_EQ(all.output.json(), "[1]");
  EXPECT_EQ(*all.items, (ItemsOutcome{3, 1, {}}));
}

TEST(ItemRun, ManyFailuresOrLargeOutputsEndItSoThatItsReportStaysSmall) {
  ItemRun failing = items("[1,2,3]", 10'000);
  for (std::size_t i = 0; i < kItemFailuresMax; ++i) failing.ended(fails("no"));
  EXPECT_TRUE(failing.is_over(0));
  ItemRun large = items("[1,2,3]", 3);
  large.ended(gives('"' + std::string(kItemOutputsMax, 'x') + '"'));
  EXPECT_TRUE(large.is_over(0));
}

}  // namespace
}  // namespace millrace
