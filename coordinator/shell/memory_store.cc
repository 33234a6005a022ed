#include "coordinator/shell/memory_store.h"

#include <algorithm>
#include <iterator>

namespace millrace {

void MemoryStore::commit(const TurnCommit& commit) { replies_.commits.push_back(cluster_->apply(commit)); }

void MemoryStore::read(std::uint64_t tag, const StoreRead& read) {
  replies_.reads.push_back({.tag = tag, .answer = cluster_->read(read)});
}

void MemoryStore::poll(StoreReplies& out) {
  std::ranges::move(replies_.commits, std::back_inserter(out.commits));
  std::ranges::move(replies_.reads, std::back_inserter(out.reads));
  replies_.commits.clear();
  replies_.reads.clear();
}

}  // namespace millrace
