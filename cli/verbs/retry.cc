#include <algorithm>
#include <utility>

#include "cli/difference.h"
#include "cli/exit_code.h"
#include "cli/inputs.h"
#include "cli/registered.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/text.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"
#include "cli/verbs/bulk.h"
#include "cli/verbs/submitted.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

// The version that is current now, and how it differs from the one that is run again.
struct Current {
  std::uint32_t version = 0;
  WorkflowDifference difference;
};

// What is run again, as the cluster has it, and how.
struct Again {
  RunView old;
  WorkflowSpec before;
  std::optional<WorkflowSpec> changed;  // by --file
  std::optional<WorkflowDifference> difference;
  std::optional<Current> current;  // of a run of a registered workflow that has another version by now
  SubmitRun request;
  // Of the registered workflow that the new run is one of; zero: of none.
  std::uint32_t version() const { return changed ? request.version : old.info.workflow_version; }
  const WorkflowSpec& spec() const { return changed ? *changed : before; }
};

Value current_json(const Current& current) {
  return Value::Object{{"version", std::uint64_t{current.version}},
                       {"difference", difference_json(current.difference)}};
}

Value again_json(const Again& again, const SubmitReply& reply) {
  return Value::Object{{"run", to_string(reply.run)},
                       {"retry_of", to_string(again.old.info.run)},
                       {"existing", reply.existing},
                       {"trace_id", reply.trace_id.empty() ? Value() : Value(reply.trace_id)},
                       {"shared", std::uint64_t{reply.shared}},
                       {"version", again.version() == 0 ? Value() : Value(std::uint64_t{again.version()})},
                       {"difference", again.difference ? difference_json(*again.difference) : Value()},
                       {"current", again.current ? current_json(*again.current) : Value()}};
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

// Nothing: it is a run of no registered workflow, or of its current version, or that is not there any more.
Result<std::optional<Current>> current_of(Session& session, const RunInfo& info, const WorkflowSpec& before) {
  if (info.workflow_version == 0) return std::optional<Current>();
  Result<FoundWorkflow> found = find_workflow(session, info.tenant, info.workflow);
  if (!found.ok() && found.error().code == Code::kNotFound) return std::optional<Current>();
  if (!found.ok()) return std::move(found).error();
  if (found->version.definition == info.definition) return std::optional<Current>();
  return std::optional(Current{found->version.version, difference(before, found->spec)});
}

// The definition that --file names: of a file, or of a registered workflow of the run's tenant.
Status take_changed(const Arguments& arguments, Session& session, Again& again) {
  const std::string file = arguments.text("file");
  if (names_registered(file)) {
    Result<FoundWorkflow> found = find_workflow(session, again.old.info.tenant, file);
    if (!found.ok()) return std::move(found).error();
    again.changed = std::move(found->spec);
    again.request.definition = found->version.definition;
    again.request.definition_bytes = std::move(found->bytes);
    again.request.version = found->version.version;
  } else {
    Result<WorkflowSpec> changed = load_workflow(file);
    if (!changed.ok()) return std::move(changed).error();
    auto bytes = std::make_shared<const std::string>(encode_definition(*changed));
    again.changed = std::move(*changed);
    again.request.definition = hash128(*bytes);
    again.request.definition_bytes = std::move(bytes);
  }
  again.difference = difference(again.before, *again.changed);
  return Done{};
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
  if (arguments.given("file")) {
    if (Status taken = take_changed(arguments, session, again); !taken.ok()) return taken.error();
    return again;
  }
  Result<std::optional<Current>> current = current_of(session, info, again.before);
  if (!current.ok()) return std::move(current).error();
  again.current = std::move(*current);
  return again;
}

// Under which definition it runs, and how that differs from others that it may be meant to run under.
void tell_definitions(const Console& console, const Again& again) {
  const std::string name = printable(again.spec().name);
  const std::string version = again.version() == 0 ? "" : name + " version " + std::to_string(again.version());
  if (again.difference) {
    const std::string text = difference_text(*again.difference);
    if (!version.empty()) console.note("it runs as " + version);
    console.note(text.empty() ? "the definition is the one that the run had" : "the definition has changed:");
    console.err(text);
  } else if (!version.empty()) {
    console.note("it runs as " + version + (again.current ? "" : ", like the run before"));
  }
  if (!again.current) return;
  const std::string current = std::to_string(again.current->version);
  const std::string text = difference_text(again.current->difference);
  console.note("version " + current + " is current" +
               (text.empty() ? ", and has the same structure" : ", and differs:"));
  console.err(text);
  console.note("-f " + name + "@" + current + " runs it under that");
}

Result<int> send(const CommandContext& context, const Arguments& arguments, Session& session, const Again& again) {
  const Console& console = context.console;
  const Format format = output_format(arguments);
  if (is_for_people(format)) tell_definitions(console, again);
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
                 "FILE|NAME[@V]",
                 "run it under this definition, or that of the registered NAME[@VERSION]; how it differs is shown "
                 "first (default: "
                 "the run's own)",
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
