#include "cli/artifacts.h"

#include <algorithm>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/text.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

Document artifacts_document(RunId run, const std::vector<RunArtifact>& artifacts) {
  Document document;
  document.name_key = "name";
  for (const RunArtifact& one : artifacts) document.rows.push_back(artifact_json(one));
  document.whole = Value::Object{{"run", to_string(run)}, {"artifacts", Value::Array(document.rows)}};
  document.columns = {
      {"NODE", [](const Value& row) { return cell_text(row, "node"); }},
      {"NAME", [](const Value& row) { return cell_text(row, "name"); }},
      {"TYPE", [](const Value& row) { return cell_text(row, "content_type"); }},
      {"BYTES", [](const Value& row) { return cell_text(row, "bytes"); }, false, true},
      {"HASH", [](const Value& row) { return cell_text(row, "hash"); }, true},
  };
  const bool brought = !artifacts.empty() && !artifacts.front().file.empty();
  if (brought) document.columns.push_back({"FILE", [](const Value& row) { return cell_text(row, "file"); }});
  return document;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  if (arguments.given("force") && !arguments.given("download"))
    return Error{Code::kInvalid, "--force is for --download", {}, "usage"};
  Result<Session> session = connect(context, arguments);
  if (!session.ok()) return std::move(session).error();
  Result<RunReply> reply = session->call<RunReply>(GetRun{run_name(arguments.operand(0))});
  if (!reply.ok()) return std::move(reply).error();
  const RunView& view = reply->view;
  if (view.nodes.size() < view.nodes_total)
    return Error{Code::kRefused,
                 "the run has " + std::to_string(view.nodes_total) + " tasks: more than are looked through",
                 {},
                 "too_many_nodes"};
  const std::span<const std::string> operands = arguments.operands();
  Result<std::vector<RunArtifact>> wanted =
      chosen(artifacts_of(view), operands.subspan(std::min<std::size_t>(1, operands.size())));
  if (!wanted.ok()) return std::move(wanted).error();
  if (arguments.given("download")) {
    Status done =
        download(*session->client, arguments.text("download"), arguments.given("force"), session->answer, *wanted);
    if (!done.ok()) return done.error();
  }
  const Format format = output_format(arguments);
  if (wanted->empty() && is_for_people(format)) context.console.note("no task of the run has handed over a file");
  context.console.out(render(artifacts_document(view.info.run, *wanted), format, context.console));
  return kExitOk;
}

}  // namespace

Verb artifacts_verb() {
  return {"artifacts",
          "list the files that the tasks of a run have handed over, and download them",
          "Lists the artifacts of a run, or those that are named: NAME, or NODE/NAME. With --download they come to\n"
          "DIR/NODE/NAME, each checked against its hash; one that is there already is left, and a download that broke\n"
          "off goes on where it stopped.",
          {"millrace artifacts @latest", "millrace artifacts k3f7 --download out",
           "millrace artifacts k3f7 report.html --download ."},
          {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}},
            {"NAME", "only these: NAME, or NODE/NAME", false, true, Completes::kNothing, {}}},
           {{"download", 'd', Takes::kText, "DIR", "bring them to this directory", false, {}, Completes::kFile},
            {"force", 0, Takes::kNothing, "", "overwrite files that are others"},
            output_option(),
            coordinator_option(),
            timeout_option("give up after this long without an answer (default: 5s to connect, 30s)")}},
          run};
}

}  // namespace millrace
