#include <memory>
#include <utility>

#include "cli/exit_code.h"
#include "cli/follow.h"
#include "cli/large_lists.h"
#include "cli/render.h"
#include "cli/run_output.h"
#include "cli/session.h"
#include "cli/verbs/all.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

// For the shape of the tree; without it the nodes are a plain list.
std::unique_ptr<WorkflowSpec> definition_of(Session& session, const RunName& name) {
  Result<DefinitionReply> reply = session.call<DefinitionReply>(GetDefinition{name});
  if (!reply.ok() || reply->bytes == nullptr) return nullptr;
  Result<WorkflowSpec> spec = decode_definition(*reply->bytes);
  return spec.ok() ? std::make_unique<WorkflowSpec>(std::move(*spec)) : nullptr;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const Console& console = context.console;
  Result<Session> session = connect(context, arguments, /*waits=*/true);
  if (!session.ok()) return std::move(session).error();
  GetRun look{run_name(arguments.operand(0, "@latest")), 0};
  Result<RunReply> found = session->call<RunReply>(look);
  if (!found.ok()) return std::move(found).error();
  RunId id = found->view.info.run;
  ProgressKind kind = arguments.given("no-progress") || is_terminal(found->view.record.state) ? ProgressKind::kNone
                                                                                              : ProgressKind::kAuto;
  std::unique_ptr<WorkflowSpec> spec;
  if (kind == ProgressKind::kAuto && console.err_terminal) spec = definition_of(*session, {to_string(id), ""});
  auto progress = make_progress(kind, console, id, found->view.info.workflow, spec.get());
  Result<RunView> view = follow(*session->client, *progress, {id, arguments.duration("timeout"), {}, {}});
  if (!view.ok()) return std::move(view).error();
  return print_run(*view, RunStyle::kNodes, output_format(arguments), console, *session->client, session->answer);
}

}  // namespace

Verb wait_verb() {
  return {
      "wait",
      "wait for the end of a run",
      "Waits until a run has ended, through restarts of the coordinator, and prints it as status does. The exit code\n"
      "is the run's: 0 succeeded or degraded, 1 failed, 8 cancelled; 4 if --timeout is over first (the run goes on).",
      {"millrace wait k3f7 --timeout 60s", "millrace wait @latest -o json"},
      {{{"RUN", "an id, a prefix of it, or @latest (default)", false, false, Completes::kNothing, {}}},
       {output_option(),
        coordinator_option(),
        timeout_option("stop waiting after this long (default: never)"),
        {"no-progress", 0, Takes::kNothing, "", "print nothing while it runs"}}},
      run};
}

}  // namespace millrace
