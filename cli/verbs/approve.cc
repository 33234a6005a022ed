#include "cli/session.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  return act(context, arguments,
             DecideApproval{run_name(arguments.operand(0)), arguments.operand(1), !arguments.given("reject"),
                            arguments.text("role"), arguments.text("comment"), caller_name()});
}

}  // namespace

Verb approve_verb() {
  return {"approve",
          "decide what a run asks for",
          "Approves, or with --reject rejects, what a node of a run asks for (an `approval`). An approved node has "
          "succeeded,\n"
          "a rejected one has failed with the reason `rejected`. The same decision again is fine (0); one that comes "
          "after\n"
          "another, or before the node asks, is a conflict (7). Where the node names roles, --role must be one of them "
          "(6).",
          {"millrace approve k3f7 release --role manager",
           "millrace approve @latest release --reject --comment 'not on a Friday'"},
          {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}},
            {"NODE", "the node that asks", true, false, Completes::kNothing, {}}},
           act_options({{"reject", 0, Takes::kNothing, "", "say no"},
                        {"role", 0, Takes::kText, "ROLE", "in which role"},
                        {"comment", 0, Takes::kText, "TEXT", "why, for the records"}})},
          run};
}

}  // namespace millrace
