#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<DrainReply> reply = session->call<DrainReply>(DrainWorkerRequest{arguments.operand(0)});
  if (!reply.ok()) return std::move(reply).error();
  Value whole = Value::Object{{"worker", reply->name}, {"status", "draining"}};
  Format format = output_format(arguments);
  context.console.out(is_for_people(format) ? cell_text(whole, "worker") + " draining\n"
                                            : render_object(whole, "worker", format));
  return kExitOk;
}

}  // namespace

Verb drain_verb() {
  return {"drain",
          "let a worker finish and leave",
          "Tells a worker to take nothing new, finish what it runs and leave. Its queued work goes to others.",
          {"millrace drain worker-3"},
          {{{"WORKER", "its name, as millrace workers prints it", true, false, Completes::kNothing, {}}},
           {output_option(), coordinator_option(), timeout_option()}},
          run};
}

}  // namespace millrace
