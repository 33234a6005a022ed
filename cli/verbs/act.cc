#include "cli/verbs/act.h"

#include <utility>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"

namespace millrace {

Result<int> act(const CommandContext& context, const Arguments& arguments, OperatorRequest request) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<ActReply> reply = session->call<ActReply>(std::move(request));
  if (!reply.ok()) return std::move(reply).error();
  const std::string id = to_string(reply->run);
  const bool of_node = !reply->node.empty();
  const std::string status(to_string(reply->state));
  const Value node_status = of_node ? Value(to_string(reply->node_state)) : Value();
  Value whole = Value::Object{{"run", id},
                              {"status", status},
                              {"node", of_node ? Value(reply->node) : Value()},
                              {"node_status", node_status},
                              {"repeated", reply->repeated}};
  const Format format = output_format(arguments);
  const std::string line =
      of_node ? id + " " + cell_text(whole, "node") + " " + cell_text(whole, "node_status") : id + " " + status;
  if (reply->repeated && is_for_people(format)) context.console.note("nothing was left to do: it had been done before");
  context.console.out(is_for_people(format) ? line + "\n" : render_object(whole, "run", format));
  return kExitOk;
}

Option reason_option() { return {"reason", 0, Takes::kText, "TEXT", "why: it stands with the run"}; }

std::vector<Option> with_reason(std::vector<Option> own) {
  own.insert(own.begin(), reason_option());
  return own;
}

std::vector<Option> act_options(std::vector<Option> own) {
  own.push_back(output_option());
  own.push_back(coordinator_option());
  own.push_back(timeout_option());
  return own;
}

}  // namespace millrace
