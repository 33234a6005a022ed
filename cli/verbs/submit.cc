#include <utility>

#include "cli/exit_code.h"
#include "cli/follow.h"
#include "cli/render.h"
#include "cli/run_output.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Value submitted_json(const SubmitReply& reply) {
  return Value::Object{{"run", to_string(reply.run)},
                       {"existing", reply.existing},
                       {"trace_id", reply.trace_id.empty() ? Value() : Value(reply.trace_id)}};
}

Result<int> wait_for(const CommandContext& context, const Arguments& arguments, Session& session,
                     const SubmitReply& submitted, const WorkflowSpec& spec) {
  const Console& console = context.console;
  ProgressKind kind = arguments.given("no-progress") ? ProgressKind::kNone : ProgressKind::kAuto;
  auto progress = make_progress(kind, console, submitted.run, spec.name, &spec);
  Result<RunView> view = follow(*session.client, *progress, {submitted.run, arguments.duration("timeout"), {}, {}});
  if (!view.ok()) return std::move(view).error();
  Result<std::string> text = render_run(*view, RunStyle::kNodes, output_format(arguments), console, session.reader());
  if (!text.ok()) return std::move(text).error();
  console.err(run_remarks(*view, console.err_terminal && console.colour));
  console.out(*text);
  return exit_code(view->record.state);
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const Console& console = context.console;
  bool waits = arguments.given("wait");
  if (arguments.given("idempotency-key") && arguments.text("idempotency-key").empty()) {
    return Error{Code::kInvalid, "--idempotency-key: a key is not empty", {}, "usage"};
  }
  Result<Submission> submission = prepare_submission(context, arguments, arguments.operand(0));
  if (!submission.ok()) return std::move(submission).error();
  if (arguments.given("idempotency-key")) submission->request.key = arguments.text("idempotency-key");
  Result<Session> session = connect(context, arguments, waits);
  if (!session.ok()) return std::move(session).error();
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
  options.push_back(
      {"idempotency-key", 'k', Takes::kText, "TEXT",
       "the same key with the same request is the same run, with another request a conflict (exit code 7)"});
  options.push_back({"wait", 0, Takes::kNothing, "", "wait for the end, as millrace wait does"});
  options.push_back({"no-progress", 0, Takes::kNothing, "", "with --wait: print nothing while it runs"});
  options.push_back(output_option());
  options.push_back(coordinator_option());
  options.push_back(
      timeout_option("give up after this long; with --wait: stop waiting (exit code 4), the run goes on"));
  return {
      "submit",
      "start a run on a cluster",
      "Sends a workflow with its inputs to a coordinator and prints the id of the run as soon as it is durable.",
      {"millrace submit flow.yaml -i day=2026-01-31 --label team=search", "millrace submit flow.yaml --wait -o json"},
      {{{"FILE", "a workflow file; - is standard input", true, false, Completes::kFile, {}}}, std::move(options)},
      run};
}

}  // namespace millrace
