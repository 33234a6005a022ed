// RunScope: what an expression sees of a run: inputs, nodes (those that have ended), run, and what comes beside them.
//
// Values are parsed when they are asked for. What is held by reference and not at hand is named by missing(): the
// result does not count then, and the evaluation is done again when it has come. Of a list reference only the pieces
// are needed whose elements are read, none for its length; where it is read whole, all. Threads: lives on the stack of
// one evaluation; what it is made of outlives it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/expr/expression.h"
#include "common/model/composed.h"
#include "coordinator/core/run.h"

namespace millrace {

using FetchedValues = std::map<Hash128, std::shared_ptr<const std::string>>;

class RunScope : public expr::Scope {
 public:
  // `task`: whose expression it is; nothing: the run's. `error`: what it handles; null: nothing. `item`: null: of none.
  RunScope(const Run& run, const FetchedValues& fetched, Value error, std::optional<TaskIndex> task,
           const BoundItem* item);
  ~RunScope() override;

  bool has_root(std::string_view root) const override;
  Value root(std::string_view root) const override;
  const Value* member(std::string_view root, std::string_view head) const override;
  const Value* borrow(std::string_view root) const override;
  const expr::ListView* list(std::string_view root, std::string_view head) const override;

  const std::vector<Hash128>& missing() const { return missing_; }
  const std::string& broken() const { return broken_; }  // what cannot be read, and why; empty: nothing

 private:
  class List;
  std::optional<TaskIndex> ended(std::string_view head) const;
  const Value& variables() const;
  const Value* node(TaskIndex task) const { return parsed(run_.plan->id(task), run_.tasks[task.value].output); }
  const Value* parsed(const std::string& name, const Payload& payload) const;
  const std::string* fetched(const Hash128& hash) const;  // null: it is missing
  void lacks(const Hash128& hash) const;
  void breaks(const std::string& name, const std::string& why) const;

  const Run& run_;
  const FetchedValues& fetched_;
  mutable std::map<std::string, Value> values_;
  mutable std::map<std::uint32_t, std::unique_ptr<List>> lists_;  // by task; null: it is none
  mutable std::vector<Hash128> missing_;
  mutable std::string broken_;
  mutable Value run_value_;
  mutable Value round_;
  mutable Value variables_;
  std::optional<TaskIndex> task_;
  Value error_;
  const BoundItem* item_;
};

}  // namespace millrace
