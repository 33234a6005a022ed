#include "common/graph/dag.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <set>

namespace millrace {
namespace {

using Nodes = std::vector<std::uint32_t>;
using Edges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;  // (node, upstream)

Dag built(std::uint32_t n, Edges edges) {
  Result<Dag> dag = Dag::build(make_adjacency(n, std::move(edges)));
  EXPECT_TRUE(dag.ok()) << (dag.ok() ? "" : dag.error().what);
  return dag.ok() ? std::move(dag).value() : Dag();
}

// 0 -> 1 -> 3, 0 -> 2 -> 3, 3 -> 4; 5 alone.
Dag diamond() { return built(6, {{1, 0}, {2, 0}, {3, 2}, {3, 1}, {4, 3}}); }

std::string why_not(Adjacency upstream) {
  Result<Dag> dag = Dag::build(std::move(upstream));
  return dag.ok() ? "" : dag.error().what;
}

TEST(Dag, OfNothingHasNoNodes) {
  Result<Dag> dag = Dag::build({});
  ASSERT_TRUE(dag.ok());
  EXPECT_EQ(dag->node_count(), 0U);
  EXPECT_TRUE(dag->order().empty());
  EXPECT_TRUE(dag->sources().empty());
}

TEST(Dag, SeesEveryEdgeFromBothEnds) {
  const Dag dag = diamond();
  EXPECT_EQ(dag.edge_count(), 5U);
  EXPECT_EQ(dag.upstream().offsets, (Nodes{0, 0, 1, 2, 4, 5, 5}));
  EXPECT_EQ(dag.upstream().targets, (Nodes{0, 0, 1, 2, 3}));
  EXPECT_EQ(dag.downstream().offsets, (Nodes{0, 2, 3, 4, 5, 5, 5}));
  EXPECT_EQ(dag.downstream().targets, (Nodes{1, 2, 3, 3, 4}));
  EXPECT_EQ(reversed(dag.downstream()), dag.upstream());
}

TEST(Dag, SourcesWaitForNothingAndNothingWaitsForSinks) {
  EXPECT_EQ(diamond().sources(), (Nodes{0, 5}));
  EXPECT_EQ(diamond().sinks(), (Nodes{4, 5}));
}

TEST(Dag, OrdersLayerByLayerWithTiesToTheLowerIndex) { EXPECT_EQ(diamond().order(), (Nodes{0, 5, 1, 2, 3, 4})); }

TEST(Dag, LayerIsTheLongestWayFromASource) {
  EXPECT_EQ(diamond().layers(), (Nodes{0, 1, 1, 2, 3, 0}));
  EXPECT_EQ(built(4, {{3, 0}, {1, 0}, {2, 1}, {3, 2}}).layers(), (Nodes{0, 1, 2, 3}));  // the short cut does not count
}

TEST(Dag, EndOfWhatHasAStandInComesAfterIt) {
  const Adjacency chain = make_adjacency(3, {{1, 0}, {2, 0}});  // 1 stands in for 0, 2 waits for the end of that
  const std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs = {{0, 1}};
  EXPECT_EQ(with_stand_ins(chain, pairs), make_adjacency(4, {{1, 0}, {2, 3}, {3, 0}, {3, 1}}));
  const Adjacency waits_behind = make_adjacency(3, {{1, 0}, {2, 0}, {1, 2}});
  EXPECT_TRUE(find_cycle(waits_behind).empty());
  EXPECT_EQ(find_cycle(with_stand_ins(waits_behind, pairs)), (Nodes{1, 3, 2}));
}

TEST(Dag, RankIsTheHeaviestRemainingPath) {
  EXPECT_EQ(diamond().ranks(), (Nodes{4, 3, 3, 2, 1, 1}));
  EXPECT_EQ(diamond().ranks(Nodes{1, 10, 2, 5, 0, 7}), (Nodes{16, 15, 7, 5, 0, 7}));
}

TEST(Dag, RankSaturatesInsteadOfWrapping) {
  const std::uint32_t half = 1U << 31;
  EXPECT_EQ(built(3, {{1, 0}, {2, 1}}).ranks(Nodes{half, half, half}), (Nodes{UINT32_MAX, UINT32_MAX, half}));
}

TEST(Dag, MakeAdjacencySortsAndDropsRepeats) {
  const Adjacency rows = make_adjacency(3, {{2, 1}, {2, 0}, {2, 1}});
  EXPECT_EQ(rows.offsets, (Nodes{0, 0, 0, 2}));
  EXPECT_EQ(rows.targets, (Nodes{0, 1}));
}

TEST(Dag, RefusesRowsThatAreNotRows) {
  EXPECT_EQ(why_not({{}, {0}}), "build graph: edges without nodes");
  EXPECT_EQ(why_not({{1, 1}, {0}}), "build graph: the row offsets do not fit the edges");
  EXPECT_EQ(why_not({{0, 1}, {}}), "build graph: the row offsets do not fit the edges");
  EXPECT_EQ(why_not({{0, 2, 1, 2}, {0, 0}}), "build graph: the row offsets do not fit the edges");
  EXPECT_EQ(why_not({{0, 0, 0, 2}, {1, 0}}), "build graph: the upstream of node 2 must ascend without repeats");
  EXPECT_EQ(why_not({{0, 0, 2}, {0, 0}}), "build graph: the upstream of node 1 must ascend without repeats");
  EXPECT_EQ(why_not({{0, 0, 1}, {7}}), "build graph: node 1 depends on node 7 of 2");
}

TEST(Dag, RefusesACycleAndPrintsItInTheDirectionOfTheData) {
  // 3 -> 1 -> 2 -> 3, entered from 0, leaving to 4
  const Edges edges = {{1, 0}, {2, 1}, {3, 2}, {1, 3}, {4, 3}};
  EXPECT_EQ(why_not(make_adjacency(5, edges)), "build graph: cycle 1 -> 2 -> 3 -> 1");
  EXPECT_EQ(find_cycle(make_adjacency(5, edges)), (Nodes{1, 2, 3}));
  EXPECT_EQ(why_not(make_adjacency(2, {{1, 1}})), "build graph: cycle 1 -> 1");
  EXPECT_TRUE(find_cycle(diamond().upstream()).empty());
}

TEST(Dag, PrintsOnlyTheBeginningOfAHugeCycle) {
  Edges edges = {{0, 999}};
  for (std::uint32_t v = 1; v < 1000; ++v) edges.emplace_back(v, v - 1);
  const std::string what = why_not(make_adjacency(1000, edges));
  EXPECT_NE(what.find("-> 19 -> ... -> 0"), std::string::npos) << what;
  EXPECT_EQ(find_cycle(make_adjacency(1000, edges)).size(), 1000U);
}

// What order, layers, ranks and cycles promise, checked from their definitions on many random graphs.
TEST(Dag, KeepsItsPromisesOnRandomGraphs) {
  std::mt19937 random(7);
  int cyclic = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::uint32_t n = 1 + random() % 12;
    Edges edges;
    for (std::uint32_t i = random() % 20; i > 0; --i) edges.emplace_back(random() % n, random() % n);
    const Adjacency rows = make_adjacency(n, edges);
    const Nodes cycle = find_cycle(rows);
    Result<Dag> dag = Dag::build(rows);
    ASSERT_EQ(dag.ok(), cycle.empty());
    if (!dag.ok()) {
      ++cyclic;
      const std::set<std::uint32_t> distinct(cycle.begin(), cycle.end());
      ASSERT_EQ(distinct.size(), cycle.size());
      for (std::size_t i = 0; i < cycle.size(); ++i) {
        const auto row = rows.of(cycle[(i + 1) % cycle.size()]);
        ASSERT_TRUE(std::ranges::count(row, cycle[i]) == 1);
      }
      continue;
    }
    const Nodes order = dag->order();
    const Nodes layers = dag->layers();
    const Nodes ranks = dag->ranks();
    Nodes place(n, UINT32_MAX);
    for (std::uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;
    ASSERT_EQ(order.size(), n);
    for (std::uint32_t v = 0; v < n; ++v) {
      std::uint32_t layer = 0;
      std::uint32_t rank = 1;
      for (std::uint32_t u : rows.of(v)) {
        ASSERT_LT(place[u], place[v]);
        layer = std::max(layer, layers[u] + 1);
      }
      for (std::uint32_t d : dag->downstream().of(v)) rank = std::max(rank, ranks[d] + 1);
      ASSERT_EQ(layers[v], layer);
      ASSERT_EQ(ranks[v], rank);
      if (place[v] > 0) { ASSERT_LE(layers[order[place[v] - 1]], layers[v]); }
    }
  }
  EXPECT_GT(cyclic, 200);
  EXPECT_LT(cyclic, 1800);
}

TEST(Dag, TwoMillionNodesInAChainNeitherRecurseNorTakeLong) {
  constexpr std::uint32_t kNodes = 2'000'000;
  Adjacency chain;
  chain.offsets.push_back(0);
  for (std::uint32_t v = 0; v < kNodes; ++v) {
    if (v > 0) chain.targets.push_back(v - 1);
    chain.offsets.push_back(static_cast<std::uint32_t>(chain.targets.size()));
  }
  const auto start = std::chrono::steady_clock::now();
  Result<Dag> dag = Dag::build(chain);
  ASSERT_TRUE(dag.ok());
  EXPECT_EQ(dag->ranks()[0], kNodes);
  EXPECT_EQ(dag->layers()[kNodes - 1], kNodes - 1);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));  // 0.1 s when optimised and alone

  Adjacency ring;  // the same, and the first waits for the last
  ring.offsets.push_back(0);
  for (std::uint32_t v = 0; v < kNodes; ++v) {
    ring.targets.push_back(v == 0 ? kNodes - 1 : v - 1);
    ring.offsets.push_back(v + 1);
  }
  EXPECT_EQ(find_cycle(ring).size(), kNodes);
}

}  // namespace
}  // namespace millrace
