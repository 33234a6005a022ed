// Adjacency: a directed graph in compressed rows. The edges of vertex v are targets[offsets[v] .. offsets[v + 1]).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

struct Adjacency {
  std::vector<std::uint32_t> offsets;  // one more than there are vertices; empty: no vertices
  std::vector<std::uint32_t> targets;

  std::size_t vertices() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::span<const std::uint32_t> of(std::uint32_t vertex) const {
    return std::span(targets).subspan(offsets[vertex], offsets[vertex + 1] - offsets[vertex]);
  }
  bool operator==(const Adjacency&) const = default;
};

}  // namespace millrace
