#include "cli/pauses.h"
#include "cli/session.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"
#include "cli/verbs/bulk.h"

namespace millrace {
namespace {

Result<int> pause_or_resume(const CommandContext& context, const Arguments& arguments, bool pauses) {
  Result<bool> scope = is_scope(arguments, pauses);
  if (!scope.ok()) return std::move(scope).error();
  if (*scope) return act_on_scope(context, arguments, pauses);
  Result<bool> all = is_bulk(arguments);
  if (!all.ok()) return std::move(all).error();
  const std::string why = arguments.text("reason");
  if (!*all) return act(context, arguments, PauseRun{run_name(arguments.operand(0)), pauses, why});
  Bulk bulk{
      pauses ? "pause" : "resume", pauses ? "status == 'accepted' or status == 'running'" : "status == 'paused'", {}};
  bulk.act = [&](Session& session, const RunSummary& run) -> Result<std::string> {
    Result<ActReply> reply = session.call<ActReply>(PauseRun{{to_string(run.run), ""}, pauses, why});
    if (!reply.ok()) return std::move(reply).error();
    return std::string(to_string(reply->state));
  };
  return act_on_all(context, arguments, bulk);
}

Result<int> pause(const CommandContext& context, const Arguments& arguments) {
  return pause_or_resume(context, arguments, true);
}
Result<int> resume(const CommandContext& context, const Arguments& arguments) {
  return pause_or_resume(context, arguments, false);
}

std::vector<Option> options(bool pauses) {
  std::vector<Option> all = scope_options(pauses);
  for (Option& option : bulk_options()) all.push_back(std::move(option));
  return act_options(with_reason(std::move(all)));
}

}  // namespace

Verb pause_verb() {
  return {
      "pause",
      "let a run, a workflow or a queue start nothing more",
      "Pauses a run: what runs goes on to its end and is recorded, timers and signals are taken note of, nothing more\n"
      "is dispatched and the run does not end until millrace resume. Its timeout goes on. Pausing a paused run is\n"
      "fine. With --workflow the same of all runs of a registered workflow, all over the cluster: new ones are "
      "accepted\n"
      "and wait, its triggers go on firing. With --queue no task of that queue is started anywhere.",
      {"millrace pause k3f7", "millrace pause --where 'labels.team == \"search\"' --dry-run",
       "millrace pause --workflow nightly --reason 'the source is down'", "millrace pause --queue gpu",
       "millrace pause --list"},
      {{{"RUN", "an id, a prefix of it, or @latest", false, false, Completes::kNothing, {}}}, options(true)},
      pause};
}

Verb resume_verb() {
  return {
      "resume",
      "let what is paused go on",
      "Lets a run, a workflow or a queue go on that millrace pause has stopped. Resuming one that is not paused is\n"
      "fine.",
      {"millrace resume k3f7", "millrace resume --workflow nightly", "millrace resume --queue gpu"},
      {{{"RUN", "an id, a prefix of it, or @latest", false, false, Completes::kNothing, {}}}, options(false)},
      resume};
}

}  // namespace millrace
