#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"
#include "cli/verbs/bulk.h"

namespace millrace {
namespace {

Result<CancelReply> cancel(const Arguments& arguments, Session& session, const RunName& run) {
  return session.call<CancelReply>(CancelRun{run, arguments.text("reason")});
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<bool> all = is_bulk(arguments);
  if (!all.ok()) return std::move(all).error();
  if (*all) {
    Bulk bulk{"cancel", "ended == null and status != 'cancelling'", {}};
    bulk.act = [&](Session& session, const RunSummary& one) -> Result<std::string> {
      Result<CancelReply> reply = cancel(arguments, session, {to_string(one.run), ""});
      if (!reply.ok()) return std::move(reply).error();
      return std::string(to_string(reply->state));
    };
    return act_on_all(context, arguments, bulk);
  }
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<CancelReply> reply = cancel(arguments, *session, run_name(arguments.operand(0)));
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
      {"millrace cancel k3f7", "millrace cancel @latest --reason 'wrong input'",
       "millrace cancel --where 'workflow == \"nightly\"' --yes"},
      {{{"RUN", "an id, a prefix of it, or @latest", false, false, Completes::kNothing, {}}},
       act_options(with_reason(bulk_options()))},
      run};
}

}  // namespace millrace
