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

}  // namespace

void link_nodes(Reader& reader) {
  const auto vertices = static_cast<std::uint32_t>(reader.spec.ids.size());
  std::vector<Pair> pairs;
  pairs.reserve(reader.edges.size());
  for (const Edge& edge : reader.edges) pairs.emplace_back(edge.node, edge.upstream);
  reader.spec.upstream = make_adjacency(vertices, pairs);
  std::vector<std::uint32_t> cycle = find_cycle(reader.spec.upstream);
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
