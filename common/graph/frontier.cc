#include "common/graph/frontier.h"

#include <cassert>

namespace millrace {

Frontier::Frontier(const Dag& dag) : dag_(&dag), unmet_(dag.node_count()) {
  for (std::uint32_t v = 0; v < dag.node_count(); ++v) {
    unmet_[v] = static_cast<std::uint32_t>(dag.upstream().of(v).size());
  }
}

void Frontier::open_sources(std::vector<std::uint32_t>& opened) const {
  for (std::uint32_t v = 0; v < dag_->node_count(); ++v) {
    if (dag_->upstream().of(v).empty()) opened.push_back(v);
  }
}

void Frontier::complete(std::uint32_t node, std::vector<std::uint32_t>& opened) {
  assert(!completed(node));
  unmet_[node] |= kCompleted;
  for (std::uint32_t d : dag_->downstream().of(node)) {
    assert(unmet(d) > 0);
    if (--unmet_[d] == 0) opened.push_back(d);  // never zero again once kCompleted is set
  }
}

}  // namespace millrace
