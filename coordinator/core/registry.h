// Registry: the registered workflows whose home is this partition.
//
// Promises: version numbers of a name grow by one and never come again; what is applied twice in a row is one version;
// uses() is true for every definition that some version has. In order of (tenant, name). Threads: none; a value, owned
// by a Partition. Times are handed in. Fails: kNotFound, kInvalid, kRefused (`workflows_full`); nothing is changed
// then. Bounded: kWorkflowsMax names, deleted ones among them; kVersionsMax versions each, the oldest go.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/model/registered.h"

namespace millrace {

constexpr std::size_t kWorkflowsMax = 10'000;

class Registry {
 public:
  using Key = std::pair<std::string, std::string>;  // tenant, name

  struct Change {
    const RegisteredWorkflow* workflow = nullptr;  // as it is now
    bool changed = false;
    std::vector<Hash128> dropped = {};  // definitions that no version has any more
  };
  Result<Change> apply(Time now, const Key& key, const Hash128& definition, std::string caller);
  Result<Change> roll_back(Time now, const Key& key, std::uint32_t version, std::string caller);
  Result<Change> erase(const Key& key);

  // One that exists; else an error that says what there is. `version` zero: any.
  Result<const RegisteredWorkflow*> find(const Key& key, std::uint32_t version) const;
  const std::map<Key, RegisteredWorkflow>& all() const { return workflows_; }
  bool uses(const Hash128& definition) const { return uses_.contains(definition); }
  void restore(RegisteredWorkflow workflow);

 private:
  void add(RegisteredWorkflow& workflow, WorkflowVersion version, Change& change);
  void drop(RegisteredWorkflow& workflow, std::size_t versions, Change& change);

  std::map<Key, RegisteredWorkflow> workflows_;
  std::map<Hash128, std::uint64_t> uses_;
};

}  // namespace millrace
