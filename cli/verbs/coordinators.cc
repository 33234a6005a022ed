#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

Document coordinators_document(const CoordinatorsReply& reply) {
  Document document;
  document.name_key = "name";
  for (const CoordinatorView& one : reply.coordinators) document.rows.push_back(coordinator_json(one));
  document.whole = Value::Object{{"coordinators", Value::Array(document.rows)}};
  document.columns = {
      {"NAME", [](const Value& row) { return cell_text(row, "name"); }},
      {"ADDRESS", [](const Value& row) { return cell_text(row, "address"); }},
      {"STATE", [](const Value& row) { return cell_text(row, "state"); }, false, false, true},
      {"PARTITIONS", [](const Value& row) { return cell_text(row, "partitions"); }, false, true},
      {"EPOCH", [](const Value& row) { return cell_text(row, "epoch"); }, false, true},
      {"SINCE", [](const Value& row) { return cell_text(row, "since").substr(0, 19); }},
      {"VERSION", [](const Value& row) { return cell_text(row, "version"); }},
      {"EVENTS", [](const Value& row) { return cell_text(row, "events"); }, true},
      {"DURABILITY", [](const Value& row) { return cell_text(row, "durability"); }, true},
      {"WEAKER", [](const Value& row) { return cell_text(row, "weaker"); }, true},
  };
  return document;
}

Result<int> drain(const CommandContext& context, const Arguments& arguments, Session& session) {
  const std::string name = arguments.operand(1);
  if (name.empty())
    return Error{Code::kInvalid, "coordinators drain: name one: millrace coordinators drain NAME", {}, "usage"};
  Result<DrainCoordinatorReply> reply = session.call<DrainCoordinatorReply>(DrainCoordinator{name});
  if (!reply.ok()) return std::move(reply).error();
  Value whole =
      Value::Object{{"name", reply->name}, {"state", "draining"}, {"partitions", std::uint64_t{reply->partitions}}};
  Format format = output_format(arguments);
  context.console.out(is_for_people(format) ? reply->name + " draining, " + std::to_string(reply->partitions) +
                                                  " partitions go to others\n"
                                            : render_object(whole, "name", format));
  return kExitOk;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  if (arguments.operand(0) == "drain") return drain(context, arguments, *session);
  return show_or_watch(context, arguments, [&]() -> Result<Shown> {
    Result<CoordinatorsReply> reply = session->call<CoordinatorsReply>(ListCoordinators{});
    if (!reply.ok()) return std::move(reply).error();
    return Shown{render(coordinators_document(*reply), output_format(arguments), context.console), false, kExitOk};
  });
}

}  // namespace

Verb coordinators_verb() {
  return {"coordinators",
          "list the coordinators of a cluster; drain one",
          "Lists the coordinators: ready, draining, or silent (their beat stands still), and how many partitions each\n"
          "owns. `drain NAME` lets one give up all its partitions to the others, in an orderly way; it goes on to\n"
          "accept requests and to forward them, until it is stopped. Without another coordinator it keeps them.",
          {"millrace coordinators", "millrace coordinators -o wide --watch", "millrace coordinators drain c2"},
          {{{"ACTION", "drain; without it they are listed", false, false, Completes::kNothing, {"drain"}},
            {"NAME", "of drain: as millrace coordinators prints it", false, false, Completes::kNothing, {}}},
           {output_option(), watch_option(), coordinator_option(), timeout_option()}},
          run};
}

}  // namespace millrace
