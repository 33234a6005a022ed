#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

std::string amount_text(const std::string& name, const Value& amount) {
  if (name != "memory" || !amount.is_int()) return amount.dump();
  return format_amount({name, static_cast<std::uint64_t>(amount.as_int())});
}

std::string resources_cell(const Value& row) {  // cpu=2/8,memory=4GiB/32GiB
  std::string text;
  for (const auto& [name, both] : row.find("resources")->as_object()) {
    text += (text.empty() ? "" : ",") + name + "=" + amount_text(name, *both.find("used")) + "/" +
            amount_text(name, *both.find("total"));
  }
  return printable(text);
}

Document workers_document(const WorkersReply& reply) {
  Document document;
  document.name_key = "worker";
  for (const WorkerView& one : reply.workers) document.rows.push_back(worker_json(one));
  document.whole = Value::Object{{"workers", Value::Array(document.rows)}};
  document.columns = {
      {"WORKER", [](const Value& row) { return cell_text(row, "worker"); }},
      {"STATUS", [](const Value& row) { return cell_text(row, "status"); }, false, false, true},
      {"SLOTS", [](const Value& row) { return cell_text(row, "slots"); }, false, true},
      {"USED", [](const Value& row) { return cell_text(row, "used"); }, false, true},
      {"RUNNING", [](const Value& row) { return cell_text(row, "running"); }, false, true},
      {"QUEUED", [](const Value& row) { return cell_text(row, "queued"); }, false, true},
      {"HOST", [](const Value& row) { return cell_text(row, "host"); }},
      {"PID", [](const Value& row) { return cell_text(row, "pid"); }, false, true},
      {"LABELS", [](const Value& row) { return cell_pairs(row, "labels"); }},
      {"VERSION", [](const Value& row) { return cell_text(row, "version"); }, true},
      {"RESOURCES", resources_cell, true},
      {"QUEUES", [](const Value& row) { return cell_pairs(row, "queues"); }, true},
      {"EXECUTORS", [](const Value& row) { return cell_pairs(row, "executors"); }, true},
      {"JOINED", [](const Value& row) { return cell_text(row, "joined").substr(0, 19); }, true},
      {"HEARD", [](const Value& row) { return cell_text(row, "heard").substr(0, 19); }, true},
  };
  return document;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  return show_or_watch(context, arguments, [&]() -> Result<Shown> {
    Result<WorkersReply> reply = session->call<WorkersReply>(ListWorkers{});
    if (!reply.ok()) return std::move(reply).error();
    return Shown{render(workers_document(*reply), output_format(arguments), context.console), false, kExitOk};
  });
}

}  // namespace

Verb workers_verb() {
  return {
      "workers",
      "list the workers of a cluster",
      "Lists the workers that the coordinators know: ready, draining, or silent (nothing heard for a while). USED are\n"
      "the attempts that coordinators have out there; RUNNING and QUEUED what the worker says of them. -o wide also\n"
      "shows resources as used/total, queues and executors.",
      {"millrace workers", "millrace workers -o wide --watch"},
      {{}, {output_option(), watch_option(), coordinator_option(), timeout_option()}},
      run};
}

}  // namespace millrace
