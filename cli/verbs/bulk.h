// Bulk: cancel, pause, resume and retry of all runs for which an expression holds: `--where EXPR` in place of RUN.
//
// Which runs they are is asked first, then shown with --dry-run, or asked back on a terminal; elsewhere --yes is
// required. Each is then acted on by its id: one that cannot be (it ended meanwhile) does not keep the others from it.
// Threads: one. Fails: what the coordinator says of the list; kInvalid without --yes, or with too many runs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/session.h"
#include "cli/verb.h"

namespace millrace {

constexpr std::size_t kBulkMax = 10'000;  // runs of one command

std::vector<Option> bulk_options();  // --where, --dry-run, --yes
// RUN or --where: one of them, and what belongs to the other is not there. True: it is --where.
Result<bool> is_bulk(const Arguments& arguments);

struct Bulk {
  std::string does;     // "cancel"
  std::string applies;  // an expression: runs to which it can be done at all
  // Does it to this run; what came of it ("cancelling"; of retry the new run's id), or why not.
  std::function<Result<std::string>(Session&, const RunSummary&)> act;
  std::string result = "status";  // what that is called in JSON
};
Result<int> act_on_all(const CommandContext& context, const Arguments& arguments, const Bulk& bulk);

}  // namespace millrace
