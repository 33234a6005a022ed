#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  CancelRun request{run_name(arguments.operand(0)), arguments.text("reason", "cancelled by " + caller_name())};
  Result<CancelReply> reply = session->call<CancelReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  std::string id = to_string(reply->run);
  if (is_terminal(reply->state) && reply->state != RunState::kCancelled) {
    return Error{Code::kConflict, "run " + id + " has ended: " + std::string(to_string(reply->state)), {}, "run_ended"};
  }
  Value whole =
      Value::Object{{"run", id}, {"status", to_string(reply->state)}, {"was_cancelled", reply->was_cancelled}};
  Format format = output_format(arguments);
  context.console.out(is_for_people(format) ? id + " " + std::string(to_string(reply->state)) + "\n"
                                            : render_object(whole, "run", format));
  return kExitOk;
}

}  // namespace

Verb cancel_verb() {
  return {
      "cancel",
      "cancel a run",
      "Cancels a run: nothing more is dispatched, what runs is stopped. Does not wait for that (millrace wait does).\n"
      "Cancelling a cancelled run is fine (0); a run that ended otherwise is a conflict (7).",
      {"millrace cancel k3f7", "millrace cancel @latest --reason 'wrong input'"},
      {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}}},
       {{"reason", 0, Takes::kText, "TEXT", "why, for the records"},
        output_option(),
        coordinator_option(),
        timeout_option()}},
      run};
}

}  // namespace millrace
