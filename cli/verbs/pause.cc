#include "cli/session.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"
#include "cli/verbs/bulk.h"

namespace millrace {
namespace {

Result<int> pause_or_resume(const CommandContext& context, const Arguments& arguments, bool pauses) {
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

}  // namespace

Verb pause_verb() {
  return {
      "pause",
      "let a run start nothing more",
      "Pauses a run: what runs goes on to its end and is recorded, timers and signals are taken note of, nothing more\n"
      "is dispatched and the run does not end until millrace resume. Its timeout goes on. Pausing a paused run is "
      "fine.",
      {"millrace pause k3f7", "millrace pause --where 'labels.team == \"search\"' --dry-run"},
      {{{"RUN", "an id, a prefix of it, or @latest", false, false, Completes::kNothing, {}}},
       act_options(with_reason(bulk_options()))},
      pause};
}

Verb resume_verb() {
  return {"resume",
          "let a paused run go on",
          "Lets a run go on that millrace pause has stopped. Resuming one that is not paused is fine.",
          {"millrace resume k3f7"},
          {{{"RUN", "an id, a prefix of it, or @latest", false, false, Completes::kNothing, {}}},
           act_options(with_reason(bulk_options()))},
          resume};
}

}  // namespace millrace
