#include "cli/verbs/submitted.h"

#include <utility>

#include "cli/exit_code.h"
#include "cli/follow.h"
#include "cli/large_lists.h"
#include "cli/render.h"
#include "cli/run_output.h"

namespace millrace {

std::vector<Option> submitted_options() {
  return {
      {"idempotency-key", 'k', Takes::kText, "TEXT",
       "the same key with the same request is the same run, with another request a conflict (exit code 7)"},
      {"wait", 0, Takes::kNothing, "", "wait for the end, as millrace wait does"},
      {"no-progress", 0, Takes::kNothing, "", "with --wait: print nothing while it runs"},
      output_option(),
      coordinator_option(),
      timeout_option("give up after this long; with --wait: stop waiting (exit code 4), the run goes on"),
  };
}

Status check_key(const Arguments& arguments) {
  if (!arguments.given("idempotency-key") || !arguments.text("idempotency-key").empty()) return Done{};
  return Error{Code::kInvalid, "--idempotency-key: a key is not empty", {}, "usage"};
}

Result<int> wait_for(const CommandContext& context, const Arguments& arguments, Session& session,
                     const SubmitReply& submitted, const WorkflowSpec& spec) {
  const Console& console = context.console;
  ProgressKind kind = arguments.given("no-progress") ? ProgressKind::kNone : ProgressKind::kAuto;
  auto progress = make_progress(kind, console, submitted.run, spec.name, &spec);
  Result<RunView> view = follow(*session.client, *progress, {submitted.run, arguments.duration("timeout"), {}, {}});
  if (!view.ok()) return std::move(view).error();
  return print_run(*view, RunStyle::kNodes, output_format(arguments), console, *session.client, session.answer);
}

}  // namespace millrace
