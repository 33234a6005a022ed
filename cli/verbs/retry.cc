#include <algorithm>
#include <utility>

#include "cli/difference.h"
#include "cli/exit_code.h"
#include "cli/inputs.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"
#include "cli/verbs/bulk.h"
#include "cli/verbs/submitted.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

// What is run again, as the cluster has it, and how.
struct Again {
  RunView old;
  WorkflowSpec before;
  std::optional<WorkflowSpec> changed;  // by --file
  std::optional<WorkflowDifference> difference;
  SubmitRun request;
  const WorkflowSpec& spec() const { return changed ? *changed : before; }
};

Value again_json(const Again& again, const SubmitReply& reply) {
  return Value::Object{{"run", to_string(reply.run)},
                       {"retry_of", to_string(again.old.info.run)},
                       {"existing", reply.existing},
                       {"trace_id", reply.trace_id.empty() ? Value() : Value(reply.trace_id)},
                       {"shared", std::uint64_t{reply.shared}},
                       {"difference", again.difference ? difference_json(*again.difference) : Value()}};
}

// Of --with: the inputs that are given anew, read as those of submit; the others stay as they were.
Result<Value> inputs_anew(const WorkflowSpec& spec, const Arguments& arguments) {
  std::vector<InputSpec> declared = spec.inputs;
  for (InputSpec& input : declared) input.required = false, input.default_value.reset();
  std::vector<InputFlag> flags;
  for (const std::string& text : arguments.list("with")) flags.push_back({InputFlag::Kind::kAssign, text});
  Result<Value> gathered = gather_inputs(declared, flags, files_on_disk());
  if (!gathered.ok()) return gathered;
  Value given = Value::Object{};
  for (const InputFlag& flag : flags) {
    const std::string name = flag.text.substr(0, flag.text.find('='));
    if (const Value* value = gathered->find(name)) given.set(name, *value);
  }
  return given;
}

Result<Again> prepare(const Arguments& arguments, Session& session) {
  Again again;
  Result<RunReply> reply = session.call<RunReply>(GetRun{run_name(arguments.operand(0)), 0});
  if (!reply.ok()) return std::move(reply).error();
  again.old = std::move(reply->view);
  const RunInfo& info = again.old.info;
  Result<DefinitionReply> stored = session.call<DefinitionReply>(GetDefinition{{to_string(info.run), ""}});
  if (!stored.ok()) return std::move(stored).error();
  Result<WorkflowSpec> before = decode_definition(*stored->bytes);
  if (!before.ok()) return std::move(before).error();
  again.before = std::move(*before);
  again.request.tenant = info.tenant;
  again.request.key = arguments.text("idempotency-key", random_key());
  again.request.caller = caller_name();
  if (!arguments.given("file")) return again;
  Result<WorkflowSpec> changed = load_workflow(arguments.text("file"));
  if (!changed.ok()) return std::move(changed).error();
  auto bytes = std::make_shared<const std::string>(encode_definition(*changed));
  again.request.definition = hash128(*bytes);
  again.request.definition_bytes = std::move(bytes);
  again.difference = difference(again.before, *changed);
  again.changed = std::move(*changed);
  return again;
}

Result<int> send(const CommandContext& context, const Arguments& arguments, Session& session, const Again& again) {
  const Console& console = context.console;
  const Format format = output_format(arguments);
  if (again.difference && is_for_people(format)) {
    const std::string text = difference_text(*again.difference);
    console.note(text.empty() ? "the definition is the one that the run had" : "the definition has changed:");
    console.err(text);
  }
  Result<SubmitReply> submitted = submit(*session.client, again.request, session.answer);
  if (!submitted.ok()) return std::move(submitted).error();
  if (is_for_people(format)) {
    if (submitted->existing) console.note("this run existed: it has the same idempotency key");
    if (submitted->shared > 0) {
      console.note("it takes over the results of " + std::to_string(submitted->shared) + " of " +
                   std::to_string(again.spec().node_count()) + " nodes of run " + to_string(again.old.info.run));
    }
  }
  if (arguments.given("wait")) return wait_for(context, arguments, session, *submitted, again.spec());
  console.out(is_for_people(format) ? to_string(submitted->run) + "\n"
                                    : render_object(again_json(again, *submitted), "run", format));
  return kExitOk;
}

Resume how_of(const Arguments& arguments, RunId of) {
  Resume how{of, ResumeScope::kFailed, arguments.list("from"), arguments.text("reason")};
  if (!how.from.empty()) how.scope = ResumeScope::kFrom;
  return how;
}

// Of each run a new one; with one key for all of them, each has a key of its own that follows from it.
Result<int> retry_all(const CommandContext& context, const Arguments& arguments) {
  if (arguments.given("file") || arguments.given("wait"))
    return Error{Code::kInvalid, "--file and --wait are for one RUN, not for --where", {}, "usage"};
  Bulk bulk{"retry", "status == 'failed' or status == 'cancelled' or status == 'degraded'", {}, "new_run"};
  bulk.act = [&](Session& session, const RunSummary& run) -> Result<std::string> {
    SubmitRun request;
    request.tenant = run.tenant;
    request.key = arguments.given("idempotency-key") ? arguments.text("idempotency-key") + "/" + to_string(run.run)
                                                     : random_key();
    request.caller = caller_name();
    request.resume = how_of(arguments, run.run);
    Result<SubmitReply> submitted = submit(*session.client, request, session.answer);
    if (!submitted.ok()) return std::move(submitted).error();
    return to_string(submitted->run);
  };
  return act_on_all(context, arguments, bulk);
}

Result<int> retry(const CommandContext& context, const Arguments& arguments) {
  if (Status key = check_key(arguments); !key.ok()) return key.error();
  if (arguments.given("failed") && arguments.given("from"))
    return Error{Code::kInvalid, "--failed and --from: one of them", {}, "usage"};
  Result<bool> all = is_bulk(arguments);
  if (!all.ok()) return std::move(all).error();
  if (*all) return retry_all(context, arguments);
  Result<Session> session = connect(context, arguments, arguments.given("wait"));
  if (!session.ok()) return std::move(session).error();
  Result<Again> again = prepare(arguments, *session);
  if (!again.ok()) return std::move(again).error();
  again->request.resume = how_of(arguments, again->old.info.run);
  return send(context, arguments, *session, *again);
}

Result<int> rerun(const CommandContext& context, const Arguments& arguments) {
  if (Status key = check_key(arguments); !key.ok()) return key.error();
  Result<Session> session = connect(context, arguments, arguments.given("wait"));
  if (!session.ok()) return std::move(session).error();
  Result<Again> again = prepare(arguments, *session);
  if (!again.ok()) return std::move(again).error();
  Result<Value> given = inputs_anew(again->spec(), arguments);
  if (!given.ok()) return std::move(given).error();
  if (arguments.given("with")) again->request.inputs = Payload::inline_json(given->dump());
  again->request.resume = Resume{again->old.info.run, ResumeScope::kAll, {}, arguments.text("reason")};
  return send(context, arguments, *session, *again);
}

Syntax syntax(std::vector<Option> own, bool run_required = true) {
  own.push_back({"file",
                 'f',
                 Takes::kText,
                 "FILE",
                 "run it under this definition; how it differs is shown first (default: the run's own)",
                 false,
                 {},
                 Completes::kFile});
  own.push_back(reason_option());
  for (Option& option : submitted_options()) own.push_back(std::move(option));
  return {{{"RUN", "an id, a prefix of it, or @latest", run_required, false, Completes::kNothing, {}}}, std::move(own)};
}

std::vector<Option> retry_options() {
  std::vector<Option> options = {
      {"failed", 0, Takes::kNothing, "", "run again what has no result (the default)"},
      {"from", 0, Takes::kText, "NODE", "run this node again, too, and everything downstream of it", true}};
  for (Option& option : bulk_options()) options.push_back(std::move(option));
  return options;
}

}  // namespace

Verb retry_verb() {
  return {"retry",
          "run again what failed in a run",
          "Starts a new run that takes over the results of RUN that still hold, and prints its id: what failed, was\n"
          "cancelled or never ran is run, and everything downstream of it. RUN has ended and stays as it is.",
          {"millrace retry k3f7", "millrace retry k3f7 --from train --wait", "millrace retry k3f7 -f fixed.yaml",
           "millrace retry --where 'status == \"failed\" and workflow == \"nightly\"' --dry-run"},
          syntax(retry_options(), false),
          retry};
}

Verb rerun_verb() {
  return {
      "rerun",
      "run all of a run again",
      "Starts a new run of the same workflow with the same inputs, but for those given with --with, and prints its\n"
      "id. Nothing is taken over; RUN stays as it is and may still be live.",
      {"millrace rerun k3f7", "millrace rerun @latest --with day=2026-02-01"},
      syntax({{"with", 'i', Takes::kText, "NAME=VALUE", "this input instead; VALUE as for submit --input", true}}),
      rerun};
}

}  // namespace millrace
