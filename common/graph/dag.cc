#include "common/graph/dag.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace millrace {
namespace {

constexpr std::size_t kCyclePrintedMax = 20;  // nodes of a cycle in an error message

std::uint32_t vertices_of(const Adjacency& rows) { return static_cast<std::uint32_t>(rows.vertices()); }

// Kahn's algorithm. On return `unmet` is zero for exactly the nodes in the result; the others are on a cycle or
// downstream of one.
std::vector<std::uint32_t> topological(const Adjacency& upstream, const Adjacency& downstream,
                                       std::vector<std::uint32_t>& unmet) {
  const std::uint32_t n = vertices_of(upstream);
  unmet.resize(n);
  std::vector<std::uint32_t> order;
  order.reserve(n);
  for (std::uint32_t v = 0; v < n; ++v) {
    unmet[v] = upstream.offsets[v + 1] - upstream.offsets[v];
    if (unmet[v] == 0) order.push_back(v);
  }
  for (std::size_t next = 0; next < order.size(); ++next) {  // the order is its own queue
    for (std::uint32_t d : downstream.of(order[next])) {
      if (--unmet[d] == 0) order.push_back(d);
    }
  }
  return order;
}

// From a node that topological() left over, walks upstream within what was left until a node comes up twice.
std::vector<std::uint32_t> walk_to_cycle(const Adjacency& upstream, const std::vector<std::uint32_t>& unmet) {
  const auto left = [&](std::uint32_t v) { return unmet[v] > 0; };
  std::uint32_t v = 0;
  while (!left(v)) ++v;
  constexpr std::uint32_t kUnseen = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> place(unmet.size(), kUnseen);
  std::vector<std::uint32_t> walk;
  while (place[v] == kUnseen) {
    place[v] = static_cast<std::uint32_t>(walk.size());
    walk.push_back(v);
    v = *std::ranges::find_if(upstream.of(v), left);  // whoever is left waits for one who is left
  }
  std::vector<std::uint32_t> cycle(walk.begin() + place[v], walk.end());
  std::ranges::reverse(cycle);
  std::rotate(cycle.begin(), std::ranges::min_element(cycle), cycle.end());
  return cycle;
}

Error invalid(std::string what) { return Error{Code::kInvalid, "build graph: " + std::move(what), {}, ""}; }

Status check_rows(const Adjacency& rows) {
  if (rows.offsets.empty()) {
    if (!rows.targets.empty()) return invalid("edges without nodes");
    return Done{};
  }
  if (rows.vertices() >= std::numeric_limits<std::uint32_t>::max()) return invalid("too many nodes");
  if (rows.offsets.front() != 0 || rows.offsets.back() != rows.targets.size() ||
      !std::ranges::is_sorted(rows.offsets)) {
    return invalid("the row offsets do not fit the edges");
  }
  const std::uint32_t n = vertices_of(rows);
  for (std::uint32_t v = 0; v < n; ++v) {
    const auto row = rows.of(v);
    if (std::ranges::adjacent_find(row, std::ranges::greater_equal{}) != row.end()) {
      return invalid("the upstream of node " + std::to_string(v) + " must ascend without repeats");
    }
    if (!row.empty() && row.back() >= n) {
      return invalid("node " + std::to_string(v) + " depends on node " + std::to_string(row.back()) + " of " +
                     std::to_string(n));
    }
  }
  return Done{};
}

std::string print_cycle(const std::vector<std::uint32_t>& cycle) {
  std::string text;
  for (std::size_t i = 0; i < std::min(cycle.size(), kCyclePrintedMax); ++i) text += std::to_string(cycle[i]) + " -> ";
  if (cycle.size() > kCyclePrintedMax) text += "... -> ";
  return text + std::to_string(cycle.front());
}

}  // namespace

Adjacency reversed(const Adjacency& rows) {
  Adjacency out;
  if (rows.offsets.empty()) return out;
  const std::uint32_t n = vertices_of(rows);
  out.offsets.assign(rows.offsets.size(), 0);
  out.targets.resize(rows.targets.size());
  for (std::uint32_t target : rows.targets) ++out.offsets[target + 1];
  for (std::uint32_t v = 0; v < n; ++v) out.offsets[v + 1] += out.offsets[v];
  // Filling moves each row's offset to its end, which is the start of the next row: shift back afterwards.
  for (std::uint32_t v = 0; v < n; ++v) {
    for (std::uint32_t target : rows.of(v)) out.targets[out.offsets[target]++] = v;
  }
  for (std::uint32_t v = n; v > 0; --v) out.offsets[v] = out.offsets[v - 1];
  out.offsets[0] = 0;
  return out;
}

Adjacency make_adjacency(std::uint32_t vertices, std::vector<std::pair<std::uint32_t, std::uint32_t>> edges) {
  std::ranges::sort(edges);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  Adjacency rows;
  rows.offsets.assign(std::size_t{vertices} + 1, 0);
  rows.targets.reserve(edges.size());
  for (const auto& [node, upstream] : edges) {
    assert(node < vertices && upstream < vertices);
    ++rows.offsets[node + 1];
    rows.targets.push_back(upstream);
  }
  for (std::uint32_t v = 0; v < vertices; ++v) rows.offsets[v + 1] += rows.offsets[v];
  return rows;
}

Adjacency with_stand_ins(const Adjacency& upstream,
                         std::span<const std::pair<std::uint32_t, std::uint32_t>> stand_ins) {
  const auto nodes = static_cast<std::uint32_t>(upstream.vertices());
  std::vector<std::uint32_t> end_of(nodes);  // the vertex that is its end: itself where nobody stands in
  std::vector<std::uint32_t> stand_in_of(nodes, nodes);
  std::iota(end_of.begin(), end_of.end(), 0U);
  for (std::uint32_t i = 0; i < stand_ins.size(); ++i) {
    end_of[stand_ins[i].first] = nodes + i;
    stand_in_of[stand_ins[i].first] = stand_ins[i].second;
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges;
  edges.reserve(upstream.targets.size() + 2 * stand_ins.size());
  for (std::uint32_t v = 0; v < nodes; ++v) {
    for (std::uint32_t up : upstream.of(v)) edges.emplace_back(v, stand_in_of[up] == v ? up : end_of[up]);
  }
  for (const auto& [node, stand_in] : stand_ins) {
    edges.emplace_back(end_of[node], node);
    edges.emplace_back(end_of[node], end_of[stand_in]);
  }
  return make_adjacency(nodes + static_cast<std::uint32_t>(stand_ins.size()), std::move(edges));
}

std::vector<std::uint32_t> find_cycle(const Adjacency& upstream) {
  std::vector<std::uint32_t> unmet;
  const std::size_t sorted = topological(upstream, reversed(upstream), unmet).size();
  if (sorted == upstream.vertices()) return {};
  return walk_to_cycle(upstream, unmet);
}

Result<Dag> Dag::build(Adjacency upstream) {
  if (Status checked = check_rows(upstream); !checked.ok()) return checked.error();
  Dag dag;
  dag.downstream_ = reversed(upstream);
  std::vector<std::uint32_t> unmet;
  if (topological(upstream, dag.downstream_, unmet).size() != upstream.vertices()) {
    return invalid("cycle " + print_cycle(walk_to_cycle(upstream, unmet)));
  }
  dag.upstream_ = std::move(upstream);
  return dag;
}

std::vector<std::uint32_t> Dag::sources() const {
  std::vector<std::uint32_t> found;
  for (std::uint32_t v = 0; v < node_count(); ++v) {
    if (upstream_.of(v).empty()) found.push_back(v);
  }
  return found;
}

std::vector<std::uint32_t> Dag::sinks() const {
  std::vector<std::uint32_t> found;
  for (std::uint32_t v = 0; v < node_count(); ++v) {
    if (downstream_.of(v).empty()) found.push_back(v);
  }
  return found;
}

std::vector<std::uint32_t> Dag::order() const {
  std::vector<std::uint32_t> unmet;
  return topological(upstream_, downstream_, unmet);
}

std::vector<std::uint32_t> Dag::layers() const {
  std::vector<std::uint32_t> layer(node_count(), 0);
  for (std::uint32_t v : order()) {
    for (std::uint32_t d : downstream_.of(v)) layer[d] = std::max(layer[d], layer[v] + 1);
  }
  return layer;
}

std::vector<std::uint32_t> Dag::ranks(std::span<const std::uint32_t> weights) const {
  assert(weights.empty() || weights.size() == node_count());
  constexpr std::uint32_t kMax = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> rank(node_count(), 0);
  const std::vector<std::uint32_t> sorted = order();
  for (auto v = sorted.rbegin(); v != sorted.rend(); ++v) {
    std::uint32_t below = 0;
    for (std::uint32_t d : downstream_.of(*v)) below = std::max(below, rank[d]);
    const std::uint32_t own = weights.empty() ? 1 : weights[*v];
    rank[*v] = below > kMax - own ? kMax : below + own;
  }
  return rank;
}

}  // namespace millrace
