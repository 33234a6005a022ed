#include "common/graph/frontier.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Nodes = std::vector<std::uint32_t>;

// 0 -> 1 -> 3, 0 -> 2 -> 3; 4 alone.
Dag diamond() { return Dag::build(make_adjacency(5, {{1, 0}, {2, 0}, {3, 1}, {3, 2}})).value(); }

Nodes opened_by(Frontier& frontier, std::uint32_t node) {
  Nodes opened;
  frontier.complete(node, opened);
  return opened;
}

TEST(Frontier, StartsWithTheSources) {
  const Dag dag = diamond();
  const Frontier frontier(dag);
  Nodes opened;
  frontier.open_sources(opened);
  EXPECT_EQ(opened, (Nodes{0, 4}));
  EXPECT_EQ(frontier.unmet(0), 0U);
  EXPECT_EQ(frontier.unmet(3), 2U);
}

TEST(Frontier, OpensANodeOnlyWithTheLastNodeItWaitsFor) {
  const Dag dag = diamond();
  Frontier frontier(dag);
  EXPECT_EQ(opened_by(frontier, 0), (Nodes{1, 2}));
  EXPECT_EQ(opened_by(frontier, 2), Nodes{});
  EXPECT_EQ(frontier.unmet(3), 1U);
  EXPECT_EQ(opened_by(frontier, 1), (Nodes{3}));
  EXPECT_EQ(opened_by(frontier, 3), Nodes{});
  EXPECT_TRUE(frontier.completed(3));
  EXPECT_FALSE(frontier.completed(4));
}

TEST(Frontier, AppendsToWhatIsThere) {
  const Dag dag = diamond();
  Frontier frontier(dag);
  Nodes opened = {9};
  frontier.open_sources(opened);
  frontier.complete(0, opened);
  EXPECT_EQ(opened, (Nodes{9, 0, 4, 1, 2}));
}

TEST(Frontier, NeverOpensANodeThatWasCompletedBefore) {
  const Dag dag = diamond();
  Frontier frontier(dag);
  EXPECT_EQ(opened_by(frontier, 3), Nodes{});  // skipped
  EXPECT_EQ(opened_by(frontier, 0), (Nodes{1, 2}));
  EXPECT_EQ(opened_by(frontier, 1), Nodes{});
  EXPECT_EQ(opened_by(frontier, 2), Nodes{});
  EXPECT_EQ(frontier.unmet(3), 0U);
}

TEST(FrontierDeathTest, CompletingTwiceIsOurOwnMistake) {
  const Dag dag = diamond();
  Frontier frontier(dag);
  opened_by(frontier, 0);
  EXPECT_DEATH(opened_by(frontier, 0), "completed");
}

}  // namespace
}  // namespace millrace
