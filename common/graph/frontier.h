// Frontier: for one run, how many upstream nodes each node still waits for, and which nodes a completion opens.
//
// Promises: a node is opened once, by the completion of the last node it waits for; nodes opened by one call come in
// index order. A node may be completed before it was opened (skipped); then it is never opened.
// Threads: none of its own; owned by one run. The Dag is a loan: it outlives the Frontier.
// Fails: never; completing a node twice is our own mistake (assert).
#pragma once

#include <cstdint>
#include <vector>

#include "common/graph/dag.h"

namespace millrace {

class Frontier {
 public:
  explicit Frontier(const Dag& dag);

  std::uint32_t unmet(std::uint32_t node) const { return unmet_[node] & ~kCompleted; }
  bool completed(std::uint32_t node) const { return (unmet_[node] & kCompleted) != 0; }

  void open_sources(std::vector<std::uint32_t>& opened) const;  // appends the nodes that wait for nothing
  void look_ahead(std::uint32_t node) const { __builtin_prefetch(&unmet_[node]); }  // it is asked for in a moment
  void complete(std::uint32_t node, std::vector<std::uint32_t>& opened);  // appends the nodes that this one opens

 private:
  static constexpr std::uint32_t kCompleted = 1U << 31;

  const Dag* dag_;
  std::vector<std::uint32_t> unmet_;  // count, and kCompleted
};

}  // namespace millrace
