// RunFilter: which runs a list shows: what is named (tenant, workflow, labels ...) and an expression over the run.
//
// The expression sees run, workflow, status, tenant, caller, priority, labels, accepted, ended, elapsed, tasks, error,
// retry_of and reason (docs/cli.md); what does not apply is null. A run for which it cannot be evaluated is not shown.
// Promises: total and bounded by the limits of expressions. Threads: a plain value; any may ask it.
// Fails: compile() names what is wrong, also a name that is none of these (kInvalid).
#pragma once

#include <optional>

#include "common/base/result.h"
#include "common/expr/expression.h"
#include "common/model/operator_messages.h"
#include "common/model/records.h"

namespace millrace {

class RunFilter {
 public:
  static Result<RunFilter> compile(const ListRuns& query);
  bool matches(const RunInfo& info, const RunRecord& record, std::uint32_t tasks_total, std::uint32_t tasks_done) const;

 private:
  explicit RunFilter(const ListRuns& query) : query_(query) {}

  ListRuns query_;
  std::optional<expr::Expression> where_;
};

}  // namespace millrace
