#include "cli/exit_code.h"
#include "cli/large_lists.h"
#include "cli/render.h"
#include "cli/run_output.h"
#include "cli/session.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  RunName name = run_name(arguments.operand(0, "@latest"));
  const Format format = output_format(arguments);
  LargeLists lists(*session->client, session->answer, format);
  Console console = context.console;
  console.out = lists.unfolding(context.console.out);
  Result<int> shown = show_or_watch({console, context.environment}, arguments, [&]() -> Result<Shown> {
    Result<RunReply> reply = session->call<RunReply>(GetRun{name});
    if (!reply.ok()) return std::move(reply).error();
    name.text = to_string(reply->view.info.run);  // @latest stays the run that it was
    Result<std::string> text = render_run(reply->view, RunStyle::kNodes, format, context.console, lists.reader());
    if (!text.ok()) return std::move(text).error();
    return Shown{std::move(*text), is_terminal(reply->view.record.state), kExitOk};
  });
  if (shown.ok() && !lists.status().ok()) return lists.status().error();
  return shown;
}

}  // namespace

Verb status_verb() {
  return {
      "status",
      "show a run and its nodes",
      "Shows one run as it is now. RUN is an id, a unique prefix of at least 4 characters, or @latest (the default):\n"
      "the newest run of user@host. The exit code tells whether the run could be read, not how it went.",
      {"millrace status", "millrace status k3f7 -o json", "millrace status --watch"},
      {{{"RUN", "a run (default: @latest)", false, false, Completes::kNothing, {}}},
       {output_option(), watch_option(), coordinator_option(), timeout_option()}},
      run};
}

}  // namespace millrace
