#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "cli/artifacts.h"
#include "cli/children.h"
#include "cli/embedded.h"
#include "cli/exit_code.h"
#include "cli/follow.h"
#include "cli/interrupts.h"
#include "cli/large_lists.h"
#include "cli/places.h"
#include "cli/render.h"
#include "cli/run_output.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "cli/verbs/all.h"
#include "common/io/log.h"

namespace millrace {
namespace {

// How long the embedded worker has for killing its tasks when we leave at once; then their processes are killed anyway.
constexpr auto kForcedGrace = std::chrono::milliseconds(200);

struct Running {  // destroyed from the bottom up: client, then coordinator and worker, then the context
  std::unique_ptr<ZmqContext> context;
  std::unique_ptr<Embedded> embedded;
  std::unique_ptr<Client> client;
  Duration answer = kAnswerTimeout;
};

Result<Running> start_embedded(const CommandContext& context, const Arguments& arguments) {
  const char* ignored = context.environment("MILLRACE_COORDINATOR");
  if (ignored != nullptr && *ignored != '\0') {
    context.console.note("MILLRACE_COORDINATOR is ignored: run works in this process unless --coordinator is given");
  }
  LogOptions log;
  log.level = arguments.given("verbose") ? LogLevel::kInfo : LogLevel::kWarn;
  set_log(log);
  Running running;
  running.context = std::make_unique<ZmqContext>();
  Embedded::Options embed;
  embed.slots = static_cast<std::uint32_t>(arguments.number("slots").value_or(0));
  embed.python = arguments.text("python");
  embed.requirements_dir = requirements_directory(context.environment, arguments);
  embed.find_links = arguments.list("find-links");
  embed.no_index = arguments.given("no-index");
  embed.secrets = secrets_to_use(context.environment, arguments);
  auto embedded = Embedded::start(*running.context, embed);
  if (!embedded.ok()) return std::move(embedded).error();
  running.embedded = std::move(*embedded);
  ClientOptions options;
  options.endpoints = {Embedded::kEndpoint};
  running.client = std::make_unique<Client>(*running.context, std::move(options));
  return running;
}

Result<Running> start(const CommandContext& context, const Arguments& arguments) {
  if (!arguments.given("coordinator")) return start_embedded(context, arguments);
  for (std::string_view local :
       {"slots", "python", "secrets-file", "secrets-key-file", "requirements-dir", "find-links", "no-index", "apply"}) {
    if (!arguments.given(local)) continue;
    return Error{Code::kInvalid,
                 "--" + std::string(local) + " is for a run in this process, without --coordinator",
                 {},
                 "usage"};
  }
  Result<Session> session = connect(context, arguments, /*waits=*/true);
  if (!session.ok()) return std::move(session).error();
  return Running{std::move(session->context), nullptr, std::move(session->client), session->answer};
}

Result<RunView> submit_and_follow(const CommandContext& context, const Arguments& arguments,
                                  const Submission& submission, const std::vector<WorkflowSpec>& children,
                                  Running& running, const Interrupts& interrupts) {
  if (running.embedded != nullptr) {
    Result<PingReply> ping = running.client->connect();
    if (!ping.ok()) return running.embedded->fault().value_or(ping.error());
    Status applied = apply_children(*running.client, children, submission.request.tenant, running.answer);
    if (!applied.ok()) return applied.error();
  }
  Result<SubmitReply> submitted = submit(*running.client, submission.request, running.answer);
  if (!submitted.ok()) return std::move(submitted).error();
  ProgressKind kind = arguments.given("no-progress") ? ProgressKind::kNone : ProgressKind::kAuto;
  auto progress = make_progress(kind, context.console, submitted->run, submission.spec.name, &submission.spec);
  FollowOptions options;
  options.run = submitted->run;
  options.timeout = arguments.duration("timeout");
  options.interrupted = [&interrupts] { return interrupts.requested(); };
  if (running.embedded != nullptr) options.fault = [&running] { return running.embedded->fault(); };
  Result<RunView> view = follow(*running.client, *progress, options);
  if (view.ok() || view.error().code != Code::kTimeout) return view;
  // Nobody will look after this run any more.
  (void)running.client->call(CancelRun{{to_string(submitted->run), ""}, "timed out waiting"}, 2s);
  return view;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  const Console& console = context.console;
  if (std::optional<std::int64_t> slots = arguments.number("slots"); slots && (*slots < 1 || *slots > 100'000)) {
    return Error{Code::kInvalid, "--slots " + std::to_string(*slots) + ": expected 1 to 100000", {}, "usage"};
  }
  Result<Submission> submission = prepare_submission(context, arguments, arguments.operand(0));
  if (!submission.ok()) return std::move(submission).error();
  Result<std::vector<WorkflowSpec>> children = std::vector<WorkflowSpec>();
  if (!arguments.given("coordinator")) children = load_children(submission->spec, arguments.list("apply"));
  if (!children.ok()) return std::move(children).error();
  Result<Running> running = start(context, arguments);
  if (!running.ok()) return std::move(running).error();
  Interrupts interrupts([embedded = running->embedded.get()] {
    if (embedded == nullptr) return;
    embedded->kill();
    std::this_thread::sleep_for(kForcedGrace);
  });
  Result<RunView> view = submit_and_follow(context, arguments, *submission, *children, *running, interrupts);
  if (!view.ok()) return std::move(view).error();
  Format format = output_format(arguments);
  LargeLists lists(*running->client, running->answer, format);
  Result<std::string> text = render_run(*view, RunStyle::kOutputs, format, console, lists.reader());
  if (!text.ok()) return std::move(text).error();
  if (arguments.given("artifacts")) {  // of a run in this process there will be no other chance
    std::vector<RunArtifact> artifacts = artifacts_of(*view);
    Status done = download(*running->client, arguments.text("artifacts"), false, running->answer, artifacts);
    if (!done.ok()) return done.error();
  }
  console.err(run_remarks(*view, console.err_terminal && console.colour));
  lists.unfolding(console.out)(*text);
  if (!lists.status().ok()) return lists.status().error();
  return exit_code(view->record.state);
}

}  // namespace

Verb run_verb() {
  std::vector<Option> options = submission_options();
  options.push_back(output_option());
  options.push_back({"coordinator", 'c', Takes::kText, "ENDPOINT[,...]",
                     "run on this cluster instead of in this process; the environment variable does not count here"});
  options.push_back({"slots", 0, Takes::kNumber, "N", "tasks at the same time, in this process (default: cores)"});
  options.push_back({"apply",
                     0,
                     Takes::kText,
                     "FILE",
                     "register this workflow first, for nodes that run it as a child (executor: workflow), in this "
                     "process",
                     true,
                     {},
                     Completes::kFile});
  options.push_back({"python",
                     0,
                     Takes::kText,
                     "FILE",
                     "the interpreter of python tasks, in this process (default: python3)",
                     false,
                     {},
                     Completes::kFile});
  options.push_back({"requirements-dir",
                     0,
                     Takes::kText,
                     "DIR",
                     "where environments for `requirements` of python tasks are made (default: ~/.cache/millrace)",
                     false,
                     {},
                     Completes::kFile});
  options.push_back(
      {"find-links", 0, Takes::kText, "DIR|URL", "wheels for them, besides pip's index", true, {}, Completes::kFile});
  options.push_back({"no-index", 0, Takes::kNothing, "", "requirements come from --find-links only"});
  for (const Option& option : secrets_options()) options.push_back(option);
  options.push_back(timeout_option("cancel the run and exit with 4 if it has not ended by then"));
  options.push_back({"artifacts",
                     0,
                     Takes::kText,
                     "DIR",
                     "bring the files that tasks hand over to DIR/NODE/NAME",
                     false,
                     {},
                     Completes::kFile});
  options.push_back({"no-progress", 0, Takes::kNothing, "", "print no tree and no lines while it runs"});
  options.push_back({"verbose", 'v', Takes::kNothing, "", "also the log of the embedded coordinator and worker"});
  return {
      "run",
      "run a workflow now and print its outputs",
      "Runs a workflow to its end. Without --coordinator everything happens in this process: coordinator, worker and\n"
      "a store in memory, the same code as on a cluster. Progress goes to standard error: a live tree on a terminal,\n"
      "one line a change elsewhere. The outputs go to standard output; with -o json the whole run as one object.\n"
      "Ctrl-C cancels the run and ends its processes (exit code 8); a second Ctrl-C leaves at once (130).",
      {"millrace run examples/insight.yaml -i text=@notes.txt", "millrace run flow.yaml --inputs inputs.json -o json",
       "millrace run flow.yaml --coordinator tcp://10.0.0.5:5711", "millrace run parent.yaml --apply child.yaml"},
      {{{"FILE", "a workflow file; - is standard input", true, false, Completes::kFile, {}}}, std::move(options)},
      run};
}

}  // namespace millrace
