// Dag: a directed acyclic graph of nodes 0..n-1, held as compressed rows in both directions.
//
// Promises: a built Dag has no cycle, every index in it is in range and every row ascends without repeats. All answers
// are deterministic; ties go to the lower index. Nothing recurses: 2,000,000 nodes take well under a second and, with
// e edges, about 8(n + e) bytes. Order, layers and ranks are computed when asked for, not held.
// Threads: immutable once built; any thread may read. Fails: build() says which row is wrong or prints the cycle.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/base/adjacency.h"
#include "common/base/result.h"

namespace millrace {

class Dag {
 public:
  Dag() = default;                               // no nodes
  static Result<Dag> build(Adjacency upstream);  // row v: the nodes that v waits for

  const Adjacency& upstream() const { return upstream_; }
  const Adjacency& downstream() const { return downstream_; }
  std::uint32_t node_count() const { return static_cast<std::uint32_t>(upstream_.vertices()); }
  std::size_t edge_count() const { return upstream_.targets.size(); }

  std::vector<std::uint32_t> sources() const;  // wait for nothing; ascending
  std::vector<std::uint32_t> sinks() const;    // nothing waits for them; ascending

  // Every node after all it waits for; layer by layer.
  std::vector<std::uint32_t> order() const;

  // Per node: the number of edges on the longest path to it. Sources are in layer 0.
  std::vector<std::uint32_t> layers() const;

  // Per node: the weight of the heaviest path that starts with it, itself included; what is left to do once it may
  // start. Without weights every node weighs 1. Saturates at 2^32 - 1. `weights` is empty or has one entry a node.
  std::vector<std::uint32_t> ranks(std::span<const std::uint32_t> weights = {}) const;

 private:
  Adjacency upstream_;
  Adjacency downstream_;
};

// A cycle in rows whose indices are in range: each node of the path is upstream of the next, the last one of the
// first. Starts with the path's lowest index. Empty: there is none.
std::vector<std::uint32_t> find_cycle(const Adjacency& upstream);

// What waits for what where node `first` of a pair ends no earlier than `second`, which waits for it only to have
// failed: the end of each first node is a vertex of its own, behind the nodes, in the order of the pairs.
Adjacency with_stand_ins(const Adjacency& upstream, std::span<const std::pair<std::uint32_t, std::uint32_t>> stand_ins);

// The same edges seen from the other end; rows ascend.
Adjacency reversed(const Adjacency& rows);

// Rows from (node, upstream) pairs in any order, repeats allowed. Indices are below `vertices`.
Adjacency make_adjacency(std::uint32_t vertices, std::vector<std::pair<std::uint32_t, std::uint32_t>> edges);

}  // namespace millrace
