#include "cli/submission.h"

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "cli/inputs.h"
#include "cli/session.h"
#include "cli/sources.h"
#include "common/base/units.h"
#include "common/spec/parse.h"
#include "common/wire/codec.h"

namespace millrace {
namespace {

constexpr std::size_t kSentAtOnceMax = 256 * 1024;  // a larger definition is offered by its hash first
constexpr unsigned kSendInputsMax = 3;              // times in a row that they arrive damaged, or are gone again

std::vector<InputFlag> input_flags(const Arguments& arguments) {
  std::vector<InputFlag> flags;
  for (const Arguments::Given& one : arguments.in_order()) {
    if (one.option == "input") flags.push_back({InputFlag::Kind::kAssign, one.value});
    else if (one.option == "inputs") flags.push_back({InputFlag::Kind::kDocument, one.value});
  }
  return flags;
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Sends large inputs ahead, part after part; afterwards the request names them. A coordinator of an earlier version
// does not know of that, and is sent them within the request.
Status send_inputs(Client& client, SubmitRun& request, Duration timeout) {
  if (!request.inputs.is_inline() || request.inputs.size() <= kSentAtOnceMax) return Done{};
  const std::string_view json = request.inputs.json();
  const Hash128 hash = hash128(json);
  PartPace pace;
  unsigned damaged = 0;
  for (std::uint64_t from = 0;;) {
    const std::string part(json.substr(from, pace.bytes()));
    const auto sent = std::chrono::steady_clock::now();
    const Result<InputsTaken> taken =
        client.call_for<InputsTaken>(PutInputs{hash, json.size(), from, part_check(hash, from, part), part}, timeout);
    if (!taken.ok() && taken.error().code == Code::kInvalid && from == 0) return Done{};
    if (!taken.ok()) return taken.error();
    if (taken->kept) break;
    if (taken->damaged && ++damaged >= kSendInputsMax)
      return Error{Code::kFailed, "the inputs arrive damaged again and again", {}, "damaged"};
    pace.came(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - sent));
    from = std::min<std::uint64_t>(taken->have, json.size());
  }
  request.inputs = Payload::reference(hash, json.size());
  return Done{};
}

// The flag must be right; a variable that is not ours to judge is left aside.
Result<TraceId> trace_id(const CommandContext& context, const Arguments& arguments) {
  if (arguments.given("traceparent")) return trace_of(arguments.text("traceparent"));
  const char* inherited = context.environment("TRACEPARENT");
  if (inherited == nullptr) return TraceId();
  Result<TraceId> trace = trace_of(inherited);
  return trace.ok() ? std::move(trace) : TraceId();
}

// A coordinator adds the workflow's own priority to that of a request.
std::int32_t priority_over(std::int32_t workflow, std::optional<std::int64_t> wanted) {
  constexpr std::int64_t kMost = 1'000'000;
  return wanted ? static_cast<std::int32_t>(std::clamp(*wanted, -kMost, kMost) - workflow) : 0;
}

}  // namespace

std::vector<Option> submission_options() {
  return {
      {"input", 'i', Takes::kText, "NAME=VALUE",
       "an input; VALUE may be @FILE (its content) or @- (standard input), @@ starts a literal @", true},
      {"inputs",
       0,
       Takes::kText,
       "FILE",
       "inputs from a JSON or YAML object, - for standard input; later flags win",
       true,
       {},
       Completes::kFile},
      {"label", 'l', Takes::kText, "NAME=VALUE", "a label of the run, to find it by", true},
      {"priority", 0, Takes::kNumber, "N", "higher runs first (default: the workflow's)"},
      {"deadline", 0, Takes::kText, "TIME",
       "until when the run must have ended: a duration from now (2h) or a moment (2026-01-31T08:00:00Z); else it "
       "fails"},
      {"tenant", 0, Takes::kText, "NAME", "on whose behalf (default: default)"},
      {"traceparent", 0, Takes::kText, "TEXT", "W3C trace context to continue (environment: TRACEPARENT)"},
  };
}

Result<WorkflowSpec> load_workflow(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text.ok()) return std::move(text).error();
  return parse_workflow(*text, path == "-" ? "stdin" : path, outside_of(path));
}

std::string random_key() {
  static constexpr char kDigits[] = "0123456789abcdef";
  unsigned char bytes[16];
  ssize_t n = ::getrandom(bytes, sizeof bytes, 0);
  assert(n == static_cast<ssize_t>(sizeof bytes));  // up to 256 bytes come whole
  std::string key;
  for (unsigned char byte : bytes) key += {kDigits[byte >> 4], kDigits[byte & 15]};
  return key;
}

Result<TraceId> trace_of(std::string_view text) {
  bool shaped = text.size() >= 55 && text[2] == '-' && text[35] == '-' && text[52] == '-' &&
                is_hex(text.substr(0, 2)) && is_hex(text.substr(3, 32)) && is_hex(text.substr(36, 16)) &&
                is_hex(text.substr(53, 2)) && text.substr(0, 2) != "ff" &&
                (text.size() == 55 || text.substr(0, 2) != "00");
  if (shaped && text.substr(3, 32).find_first_not_of('0') != std::string_view::npos) return TraceId(text.substr(3, 32));
  return Error{
      Code::kInvalid, "--traceparent " + std::string(text) + ": expected 00-<32 hex>-<16 hex>-<2 hex>", {}, "usage"};
}

Result<Labels> parse_labels(const std::vector<std::string>& texts) {
  Labels labels;
  std::vector<Problem> problems;
  for (const std::string& text : texts) {
    std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      problems.push_back({"", 0, 0, "label '" + text + "'", "NAME=VALUE", ""});
    else labels[text.substr(0, equals)] = text.substr(equals + 1);
  }
  if (problems.empty()) return labels;
  return Error{Code::kInvalid, "--label: a label is written NAME=VALUE", std::move(problems), "usage"};
}

Result<Submission> prepare_submission(const CommandContext& context, const Arguments& arguments,
                                      const std::string& path) {
  Result<WorkflowSpec> spec = load_workflow(path);
  if (!spec.ok()) return std::move(spec).error();
  auto bytes = std::make_shared<const std::string>(encode_definition(*spec));
  return prepare_submission(context, arguments, std::move(*spec), std::move(bytes));
}

Result<Submission> prepare_submission(const CommandContext& context, const Arguments& arguments, WorkflowSpec spec,
                                      std::shared_ptr<const std::string> bytes) {
  std::vector<InputFlag> flags = input_flags(arguments);
  Result<Value> inputs = gather_inputs(spec.inputs, flags, files_on_disk());
  if (!inputs.ok()) return std::move(inputs).error();
  Result<Labels> labels = parse_labels(arguments.list("label"));
  if (!labels.ok()) return std::move(labels).error();
  Result<TraceId> trace = trace_id(context, arguments);
  if (!trace.ok()) return std::move(trace).error();

  Deadline deadline;
  if (arguments.given("deadline")) {
    Result<Deadline> given = parse_deadline(arguments.text("deadline"));
    if (!given.ok()) return Error{Code::kInvalid, "--deadline " + given.error().what, {}, "usage"};
    deadline = *given;
  }

  Submission submission;
  SubmitRun& request = submission.request;
  request.tenant = arguments.text("tenant", "default");
  request.key = random_key();
  request.definition = hash128(*bytes);
  request.definition_bytes = std::move(bytes);
  request.inputs = Payload::inline_json(inputs->dump());
  request.labels = std::move(*labels);
  request.trace_id = std::move(*trace);
  request.caller = caller_name();
  request.priority = priority_over(spec.priority, arguments.number("priority"));
  request.deadline = deadline;
  submission.spec = std::move(spec);
  return submission;
}

// Inputs that were sent ahead are kept a while only: when they are gone already, they are sent once more.
Result<SubmitReply> submit(Client& client, const SubmitRun& request, Duration timeout) {
  for (unsigned sent = 1;; ++sent) {
    SubmitRun whole = request;
    if (Status ahead = send_inputs(client, whole, timeout); !ahead.ok()) return ahead.error();
    SubmitRun first = whole;
    const bool offered = whole.definition_bytes != nullptr && whole.definition_bytes->size() > kSentAtOnceMax;
    if (offered) first.definition_bytes = nullptr;
    Result<OperatorReply> reply = client.call(std::move(first), timeout);
    if (reply.ok() && whole.definition_bytes != nullptr && std::holds_alternative<NeedDefinition>(*reply))
      reply = client.call(whole, timeout);
    if (!reply.ok() && reply.error().name == "inputs_gone" && sent < kSendInputsMax) continue;
    if (!reply.ok()) return std::move(reply).error();
    if (auto* submitted = std::get_if<SubmitReply>(&*reply)) return std::move(*submitted);
    return Error{Code::kInternal, "the coordinator gave an answer of another kind", {}, "protocol"};
  }
}

}  // namespace millrace
