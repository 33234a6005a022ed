// The graph from the edges that the text names; every cycle is reported where it could be cut.
#include <algorithm>
#include <utility>

#include "common/graph/dag.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr std::size_t kCyclesMax = 10;        // reported at once
constexpr std::size_t kCyclePrintedMax = 20;  // nodes of one

using Pair = std::pair<std::uint32_t, std::uint32_t>;

std::string print_cycle(const Reader& reader, const std::vector<std::uint32_t>& cycle) {
  std::string text;
  for (std::size_t i = 0; i < std::min(cycle.size(), kCyclePrintedMax); ++i) text += reader.spec.ids[cycle[i]] + " -> ";
  if (cycle.size() > kCyclePrintedMax) text += "... -> ";
  return text + reader.spec.ids[cycle.front()];
}

// Where the text makes the first node of a cycle wait for the last one.
std::uint32_t closing_edge(const Reader& reader, const std::vector<std::uint32_t>& cycle) {
  const auto closes = [&](const Edge& e) { return e.node == cycle.front() && e.upstream == cycle.back(); };
  return std::ranges::find_if(reader.edges, closes)->offset;
}

// A stand-in must not wait for what waits for the end of whom it stands in for.
void check_ends(Reader& reader) {
  std::vector<Pair> pairs;
  for (const Edge& one : reader.stand_ins) {
    pairs.emplace_back(one.upstream, one.node);
    const std::size_t others = reader.spec.upstream.of(one.node).size() - 1;
    const std::uint32_t join = reader.spec.specs[one.node].flow.join;
    if (join <= others) continue;
    reader.report.add(reader.document.problem_at(
        one.offset,
        "node '" + reader.spec.ids[one.node] + "' has 'join: " + std::to_string(join) + "' and waits for " +
            std::to_string(others) + " nodes beside '" + reader.spec.ids[one.upstream] + "', for which it stands in",
        "no more than it waits for", ""));
  }
  std::vector<std::uint32_t> cycle = find_cycle(with_stand_ins(reader.spec.upstream, pairs));
  if (cycle.empty()) return;
  const auto nodes = static_cast<std::uint32_t>(reader.spec.ids.size());
  const auto end = std::ranges::find_if(cycle, [&](std::uint32_t vertex) { return vertex >= nodes; });
  const Edge& stand_in = reader.stand_ins[*end - nodes];
  for (std::uint32_t& vertex : cycle) {
    if (vertex >= nodes) vertex = reader.stand_ins[vertex - nodes].upstream;
  }
  reader.report.add(reader.document.problem_at(
      stand_in.offset,
      "node '" + reader.spec.ids[stand_in.node] + "' stands in for '" + reader.spec.ids[stand_in.upstream] +
          "' and waits for what waits for that: " + print_cycle(reader, cycle),
      "a node that waits for nothing behind '" + reader.spec.ids[stand_in.upstream] + "'", ""));
}

}  // namespace

void link_nodes(Reader& reader) {
  const auto vertices = static_cast<std::uint32_t>(reader.spec.ids.size());
  std::vector<Pair> pairs;
  pairs.reserve(reader.edges.size());
  for (const Edge& edge : reader.edges) pairs.emplace_back(edge.node, edge.upstream);
  reader.spec.upstream = make_adjacency(vertices, pairs);
  std::vector<std::uint32_t> cycle = find_cycle(reader.spec.upstream);
  if (cycle.empty()) return check_ends(reader);
  for (std::size_t i = 0; i < kCyclesMax && !cycle.empty(); ++i) {
    reader.report.add(reader.document.problem_at(
        closing_edge(reader, cycle), "the nodes wait for each other in a cycle: " + print_cycle(reader, cycle),
        "dependencies without a cycle", "take out one of them"));
    // Look on without the nodes of this one: a cycle apart from it is a problem of its own.
    std::erase_if(pairs, [&](const Pair& pair) { return std::ranges::find(cycle, pair.first) != cycle.end(); });
    cycle = find_cycle(make_adjacency(vertices, pairs));
  }
}

}  // namespace millrace
