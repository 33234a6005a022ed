#include "common/model/difference.h"

#include <gtest/gtest.h>

#include "tests/support/dag_text.h"

namespace millrace::test {
namespace {

using Edges = std::vector<std::pair<std::string, std::string>>;

WorkflowDifference between(const char* before, const char* after) {
  return difference(DagText::parse(before), DagText::parse(after));
}

TEST(Difference, OfTheSameDefinitionIsEmpty) {
  const char* text = "(timeout=5s; finally=f) a[retry=3] -> b[value=1] -> c, f";
  EXPECT_TRUE(between(text, text).empty());
}

TEST(Difference, NamesNodesEdgesAndSettings) {
  const WorkflowDifference found =
      between("(timeout=5s) a -> b -> c, x -> c, a -> d", "(timeout=6s) a -> b[retry=3] -> c, y -> c, d, b -> d");
  EXPECT_EQ(found.added, std::vector<std::string>{"y"});
  EXPECT_EQ(found.removed, std::vector<std::string>{"x"});
  EXPECT_EQ(found.changed, (std::vector<NodeDifference>{{"b", {"retry"}}}));
  EXPECT_EQ(found.edges_added, (Edges{{"b", "d"}})) << "edges of nodes that came go without saying";
  EXPECT_EQ(found.edges_removed, (Edges{{"a", "d"}}));
  EXPECT_EQ(found.settings, std::vector<std::string>{"timeout"});
}

TEST(Difference, NamesEachKeyOfANodeThatDiffers) {
  WorkflowSpec before = DagText::parse("a");
  WorkflowSpec after = before;
  before.specs[0].fields = Value::Object{{"script", "one"}, {"cwd", "/"}};
  after.specs[0].fields = Value::Object{{"script", "two"}, {"env", Value::Object{}}};
  after.specs[0].timeout = 5s;
  after.specs[0].flow.when = Value(true);
  const WorkflowDifference found = difference(before, after);
  ASSERT_EQ(found.changed.size(), 1U);
  EXPECT_EQ(found.changed[0].what, (std::vector<std::string>{"script", "env", "cwd", "timeout", "when"}));
}

TEST(Difference, ANodeIsTheSameWhereverItStandsIfItWaitsForTheSame) {
  const WorkflowSpec before = DagText::parse("a -> b, c -> d, e");
  const WorkflowSpec after = DagText::parse("e, c -> d, a[retry=2] -> b, e -> d");
  const std::vector<std::optional<std::uint32_t>> same = unchanged_nodes(before, after);
  const auto was = [&](std::string_view id) {
    const auto at = std::ranges::find(after.ids, id) - after.ids.begin();
    const std::optional<std::uint32_t> node = same[static_cast<std::size_t>(at)];
    return node ? before.ids[*node] : std::string("-");
  };
  EXPECT_EQ(was("a"), "-");
  EXPECT_EQ(was("b"), "b");
  EXPECT_EQ(was("c"), "c");
  EXPECT_EQ(was("d"), "-");
  EXPECT_EQ(was("e"), "e");
}

TEST(Difference, OfPackedFormsGoesByPlace) {
  WorkflowSpec before;
  before.specs.resize(1);
  before.spec_of = {0, 0, 0};
  before.upstream = make_adjacency(3, {{1, 0}, {2, 1}});
  WorkflowSpec after = before;
  after.spec_of = {0, 0, 0, 0};
  after.upstream = make_adjacency(4, {{1, 0}, {2, 0}, {3, 2}});
  const std::vector<std::optional<std::uint32_t>> same = unchanged_nodes(before, after);
  EXPECT_EQ(same[1], 1U);
  EXPECT_EQ(same[2], std::nullopt);
  EXPECT_EQ(same[3], std::nullopt);
  EXPECT_EQ(difference(before, after).added, std::vector<std::string>{"n3"});
}

}  // namespace
}  // namespace millrace::test
