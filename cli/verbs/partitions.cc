#include <charconv>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

Document partitions_document(const PartitionsReply& reply) {
  Document document;
  document.name_key = "partition";
  for (const PartitionView& one : reply.partitions) document.rows.push_back(partition_json(one));
  document.whole = Value::Object{{"partitions", Value::Array(document.rows)}};
  document.columns = {
      {"PARTITION", [](const Value& row) { return cell_text(row, "partition"); }, false, true},
      {"OWNER", [](const Value& row) { return cell_text(row, "owner"); }},
      {"EPOCH", [](const Value& row) { return cell_text(row, "epoch"); }, false, true},
      {"SINCE", [](const Value& row) { return cell_text(row, "since").substr(0, 19); }},
      {"LIVE RUNS", [](const Value& row) { return cell_text(row, "live_runs"); }, false, true},
      {"STATE", [](const Value& row) { return cell_text(row, "state"); }, false, false, true},
  };
  return document;
}

Error usage(const std::string& what) { return {Code::kInvalid, "partitions move: " + what, {}, "usage"}; }

Result<int> move(const CommandContext& context, const Arguments& arguments, Session& session) {
  const std::string text = arguments.operand(1);
  MovePartition request;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), request.partition);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return usage("which one? millrace partitions move PARTITION --to COORDINATOR");
  request.to = arguments.text("to");
  if (request.to.empty()) return usage("--to says which coordinator shall have it");
  Result<MoveReply> reply = session.call<MoveReply>(request);
  if (!reply.ok()) return std::move(reply).error();
  const bool there = reply->from == reply->to;
  Value whole = Value::Object{{"partition", std::uint64_t{reply->partition}},
                              {"from", reply->from},
                              {"to", reply->to},
                              {"state", there ? "serving" : "moving"}};
  Format format = output_format(arguments);
  const std::string words =
      there ? " is with " + reply->to + " already" : " moves from " + reply->from + " to " + reply->to;
  context.console.out(is_for_people(format) ? "partition " + text + words + "\n"
                                            : render_object(whole, "partition", format));
  return kExitOk;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const bool moves = arguments.operand(0) == "move";
  if (!moves && arguments.given("to")) return usage("--to is for move");
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  if (moves) return move(context, arguments, *session);
  return show_or_watch(context, arguments, [&]() -> Result<Shown> {
    Result<PartitionsReply> reply = session->call<PartitionsReply>(ListPartitions{});
    if (!reply.ok()) return std::move(reply).error();
    return Shown{render(partitions_document(*reply), output_format(arguments), context.console), false, kExitOk};
  });
}

}  // namespace

Verb partitions_verb() {
  return {
      "partitions",
      "list the partitions and their owners; move one",
      "Lists the partitions (shares of all runs), who owns each since when, and how many live runs it has: serving,\n"
      "loading, moving, silent (its owner's beat stands still) or free. `move PARTITION --to NAME` lets its owner\n"
      "give it up to another coordinator, without losing anything; what balance asks for then is given back in\n"
      "another one.",
      {"millrace partitions", "millrace partitions move 7 --to c2"},
      {{{"ACTION", "move; without it they are listed", false, false, Completes::kNothing, {"move"}},
        {"PARTITION", "of move: its number", false, false, Completes::kNothing, {}}},
       {{"to", 0, Takes::kText, "NAME", "of move: the coordinator that shall have it"},
        output_option(),
        watch_option(),
        coordinator_option(),
        timeout_option()}},
      run};
}

}  // namespace millrace
