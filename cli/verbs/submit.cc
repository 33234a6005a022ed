#include <utility>

#include "cli/exit_code.h"
#include "cli/registered.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/verbs/all.h"
#include "cli/verbs/submitted.h"

namespace millrace {
namespace {

Value submitted_json(const SubmitReply& reply) {
  return Value::Object{{"run", to_string(reply.run)},
                       {"existing", reply.existing},
                       {"trace_id", reply.trace_id.empty() ? Value() : Value(reply.trace_id)}};
}

Result<Submission> prepare_registered(const CommandContext& context, const Arguments& arguments, Session& session) {
  Result<FoundWorkflow> found = find_workflow(session, arguments, arguments.operand(0));
  if (!found.ok()) return std::move(found).error();
  Result<Submission> submission = prepare_submission(context, arguments, std::move(found->spec), found->bytes);
  if (submission.ok()) submission->request.version = found->version.version;
  return submission;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const Console& console = context.console;
  bool waits = arguments.given("wait");
  if (Status key = check_key(arguments); !key.ok()) return key.error();
  const bool registered = names_registered(arguments.operand(0));
  Result<Submission> submission = Submission();
  if (!registered) submission = prepare_submission(context, arguments, arguments.operand(0));
  if (!submission.ok()) return std::move(submission).error();
  Result<Session> session = connect(context, arguments, waits);
  if (!session.ok()) return std::move(session).error();
  if (registered) submission = prepare_registered(context, arguments, *session);
  if (!submission.ok()) return std::move(submission).error();
  if (arguments.given("idempotency-key")) submission->request.key = arguments.text("idempotency-key");
  Result<SubmitReply> submitted = submit(*session->client, submission->request, session->answer);
  if (!submitted.ok()) return std::move(submitted).error();
  if (waits) return wait_for(context, arguments, *session, *submitted, submission->spec);
  Format format = output_format(arguments);
  if (submitted->existing && is_for_people(format)) console.note("this run existed: it has the same idempotency key");
  console.out(is_for_people(format) ? to_string(submitted->run) + "\n"
                                    : render_object(submitted_json(*submitted), "run", format));
  return kExitOk;
}

}  // namespace

Verb submit_verb() {
  std::vector<Option> options = submission_options();
  for (Option& option : submitted_options()) options.push_back(std::move(option));
  return {"submit",
          "start a run on a cluster",
          "Sends a workflow with its inputs to a coordinator and prints the id of the run as soon as it is durable: a "
          "file,\n"
          "or a registered workflow by its name (see millrace workflow).",
          {"millrace submit flow.yaml -i day=2026-01-31 --label team=search",
           "millrace submit flow.yaml --wait -o json", "millrace submit insight@3"},
          {{{"WORKFLOW",
             "a workflow file, or NAME or NAME@VERSION; - is standard input",
             true,
             false,
             Completes::kFile,
             {}}},
           std::move(options)},
          run};
}

}  // namespace millrace
