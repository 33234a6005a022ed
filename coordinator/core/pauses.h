// Pauses: what is paused, as a partition knows it. The home of a name decides and tells every partition by letter; each
// keeps a copy of its own (ADR 22).
//
// Promises: a value; in order of names. Threads: none; owned by a Partition. Fails: never.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ids.h"
#include "common/model/pause.h"

namespace millrace {

// The partition that decides about it: of a workflow where that is registered.
PartitionId home_of(const PauseName& what, std::uint16_t partitions);

class Pauses {
 public:
  bool none() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  void set(Pause pause);
  void lift(const PauseName& what);

  // Loans until the next change; null: it is not paused.
  const Pause* find(const PauseName& what) const { return find(what.kind, what.tenant, what.name); }
  const Pause* of_workflow(std::string_view tenant, std::string_view workflow) const;
  const Pause* of_queue(std::string_view queue) const;
  std::vector<Pause> list() const;

 private:
  using ByName = std::map<std::string, Pause, std::less<>>;
  using ByTenant = std::map<std::string, ByName, std::less<>>;
  const Pause* find(PauseKind kind, std::string_view tenant, std::string_view name) const;

  ByTenant kinds_[static_cast<std::size_t>(kPauseKindLast) + 1];
  std::size_t size_ = 0;
};

}  // namespace millrace
