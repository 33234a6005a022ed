#include "cli/session.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Result<int> pause(const CommandContext& context, const Arguments& arguments) {
  return act(context, arguments, PauseRun{run_name(arguments.operand(0)), true});
}
Result<int> resume(const CommandContext& context, const Arguments& arguments) {
  return act(context, arguments, PauseRun{run_name(arguments.operand(0)), false});
}

}  // namespace

Verb pause_verb() {
  return {
      "pause",
      "let a run start nothing more",
      "Pauses a run: what runs goes on to its end and is recorded, timers and signals are taken note of, nothing more\n"
      "is dispatched and the run does not end until millrace resume. Its timeout goes on. Pausing a paused run is "
      "fine.",
      {"millrace pause k3f7"},
      {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}}}, act_options({})},
      pause};
}

Verb resume_verb() {
  return {"resume",
          "let a paused run go on",
          "Lets a run go on that millrace pause has stopped. Resuming one that is not paused is fine.",
          {"millrace resume k3f7"},
          {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}}}, act_options({})},
          resume};
}

}  // namespace millrace
