#include "worker/executors/llm.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include "common/base/hash.h"
#include "common/model/json_schema.h"
#include "common/model/llm_fields.h"
#include "worker/executors/completion.h"
#include "worker/executors/reactor.h"
#include "worker/executors/sse.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr Duration kFirstPause = 500ms;
constexpr Duration kPauseMax = 30s;
constexpr Duration kRetryAfterMax = 60s;  // a target that wants more is given up
constexpr Duration kTokensEvery = 50ms;   // news of tokens are gathered for so long
constexpr Duration kIdleMax = 10min;      // a model may think for long before its first byte
constexpr std::size_t kAnswerMax = 16 * 1024 * 1024;
constexpr std::size_t kErrorShownMax = 300;

class LlmExecutor;

struct Target {
  std::string name;  // of its provider; empty: the node's own endpoint
  LlmProvider provider;
  std::string model;
  std::string key;
};

// What went wrong with one request, and what it means for the next.
struct Setback {
  std::string message;
  bool again = false;  // worth asking the same target once more
  std::optional<Duration> retry_after;
  Reason reason = Reason::kError;
};

class LlmTask {
 public:
  LlmTask(LlmExecutor& owner, AttemptId attempt, LlmFields fields, std::vector<Target> targets)
      : owner_(owner), attempt_(attempt), fields_(std::move(fields)), targets_(std::move(targets)) {}
  ~LlmTask();

  void ask();
  void answered(Result<OutgoingReply> reply);
  std::int64_t started_us() const { return started_us_; }

 private:
  OutgoingRequest request() const;
  std::string request_body() const;
  bool take(std::string_view bytes);
  bool take_event(std::string_view data);
  std::optional<Setback> judge(Result<OutgoingReply>& reply);
  std::optional<Setback> judge_answer();
  void set_back(const Setback& setback);
  void tell_tokens();
  void succeed();
  const Target& target() const { return targets_[at_]; }

  LlmExecutor& owner_;
  AttemptId attempt_;
  LlmFields fields_;
  std::vector<Target> targets_;
  std::size_t at_ = 0;
  int tries_ = 0;  // of this target
  int requests_ = 0;
  std::optional<EgressId> call_;
  std::optional<TimerId> pause_, tokens_timer_;
  std::string tokens_;  // not told yet
  std::string raw_;     // what came instead of a stream
  Sse sse_;
  Completion completion_;
  Value json_;           // of the answer, with a schema
  std::string problem_;  // of the stream
  std::string earlier_;  // setbacks before the latest
  std::int64_t started_us_ = steady_us();
};

class LlmExecutor final : public Executor {
 public:
  LlmExecutor(LlmProviders providers, const Secrets& secrets, Egress& egress, Reactor& reactor, TaskObserver& observer)
      : egress(egress), reactor(reactor), observer(observer), providers_(std::move(providers)), secrets_(secrets) {}

  void start(TaskContext task) override {
    Result<LlmFields> fields = LlmFields::read(task.fields);
    if (!fields.ok()) return observer.on_done(task.attempt, failed(Reason::kInvalidInput, fields.error().what));
    Result<std::vector<Target>> targets = targets_of(task.attempt, *fields);
    if (!targets.ok()) return observer.on_done(task.attempt, failed(Reason::kInvalidInput, targets.error().what));
    auto job = std::make_unique<LlmTask>(*this, task.attempt, std::move(*fields), std::move(*targets));
    LlmTask& one = *job;
    jobs_.emplace(task.attempt, std::move(job));
    one.ask();
  }

  void kill(const AttemptId& attempt, Reason why) override {
    if (jobs_.contains(attempt)) finish(attempt, killed(why));
  }

  // The last thing a caller does: the observer may start and kill tasks.
  void finish(AttemptId attempt, Outcome outcome) {
    auto found = jobs_.find(attempt);
    outcome.ran = since(found->second->started_us());
    jobs_.erase(found);
    observer.on_done(attempt, std::move(outcome));
  }

  Egress& egress;
  Reactor& reactor;
  TaskObserver& observer;

 private:
  Result<std::vector<Target>> targets_of(const AttemptId& attempt, const LlmFields& fields) const;
  Result<Target> target_of(const AttemptId& attempt, const LlmFields& fields, const LlmTarget& wanted) const;

  LlmProviders providers_;
  const Secrets& secrets_;
  std::map<AttemptId, std::unique_ptr<LlmTask>> jobs_;
};

Error invalid(std::string what) { return Error{Code::kInvalid, std::move(what), {}, ""}; }

Result<Target> LlmExecutor::target_of(const AttemptId& attempt, const LlmFields& fields,
                                      const LlmTarget& wanted) const {
  Target out;
  if (wanted.provider.empty() && !fields.base_url.empty()) {
    out.provider.base_url = fields.base_url;
    out.key = fields.api_key;
  } else {
    out.name = wanted.provider.empty() ? "openai" : wanted.provider;
    const auto found = providers_.find(out.name);
    if (found == providers_.end()) {
      std::string known;
      for (const auto& [name, provider] : providers_) known += (known.empty() ? "" : ", ") + name;
      return invalid("`provider` is \"" + out.name + "\", which this worker does not know; it has " + known);
    }
    out.provider = found->second;
    const bool own = wanted.provider == fields.target.provider;  // the node's key is for the node's provider alone
    out.key = fields.api_key.empty() || !own ? out.provider.key_value : fields.api_key;
    if (out.key.empty() && !out.provider.key.empty()) {
      Result<std::string> key = secrets_.find(out.provider.key);
      if (!key.ok()) return invalid("provider " + out.name + ": " + key.error().what);
      out.key = std::move(*key);
    }
  }
  if (!out.key.empty()) observer.on_secret(attempt, out.key);
  if (out.key.find_first_of("\r\n") != std::string::npos)
    return invalid("the key of the endpoint has a line break in it");
  out.model = !wanted.model.empty() ? wanted.model : out.provider.model;
  if (out.model.empty()) out.model = fields.target.model;
  if (out.model.empty()) return invalid("`model` is missing, and the provider has none of its own");
  return out;
}

Result<std::vector<Target>> LlmExecutor::targets_of(const AttemptId& attempt, const LlmFields& fields) const {
  std::vector<LlmTarget> wanted = {fields.target};
  for (LlmTarget fallback : fields.fallbacks) {
    if (fallback.provider.empty()) fallback.provider = fields.target.provider;  // another model of the same one
    wanted.push_back(std::move(fallback));
  }
  std::vector<Target> out;
  for (const LlmTarget& one : wanted) {
    Result<Target> target = target_of(attempt, fields, one);
    if (!target.ok()) return target.error();
    out.push_back(std::move(*target));
  }
  return out;
}

LlmTask::~LlmTask() {
  if (call_) owner_.egress.cancel(*call_);
  if (pause_) owner_.reactor.cancel(*pause_);
  if (tokens_timer_) owner_.reactor.cancel(*tokens_timer_);
}

std::string LlmTask::request_body() const {
  Value body = Value::Object{{"model", target().model}, {"messages", fields_.messages}};
  for (const auto& [name, value] : fields_.parameters.as_object()) body.set(name, value);
  if (!fields_.tools.is_null()) body.set("tools", fields_.tools);
  if (!fields_.tool_choice.is_null()) body.set("tool_choice", fields_.tool_choice);
  if (!fields_.schema.is_null()) {
    body.set("response_format",
             Value::Object{
                 {"type", "json_schema"},
                 {"json_schema", Value::Object{{"name", "answer"}, {"schema", fields_.schema}, {"strict", true}}}});
  }
  body.set("stream", fields_.stream);
  if (fields_.stream) body.set("stream_options", Value::Object{{"include_usage", true}});
  return body.dump();
}

OutgoingRequest LlmTask::request() const {
  OutgoingRequest out;
  out.method = "POST";
  out.url = target().provider.base_url + "/chat/completions";
  out.headers = target().provider.headers;
  for (const auto& [name, value] : out.headers) {
    std::string lower = name;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    out.private_headers.push_back(std::move(lower));
  }
  out.headers.emplace_back("Content-Type", "application/json");
  out.headers.emplace_back("Accept", fields_.stream ? "text/event-stream, application/json" : "application/json");
  if (!target().key.empty()) out.headers.emplace_back("Authorization", "Bearer " + target().key);
  out.body = request_body();
  out.has_body = true;
  out.body_max = kAnswerMax;
  out.idle_max = kIdleMax;
  return out;
}

void LlmTask::ask() {
  pause_.reset();
  completion_ = {};
  sse_ = {};
  raw_.clear();
  problem_.clear();
  ++requests_;
  OutgoingRequest call = request();
  if (fields_.stream) call.on_data = [this](std::string_view bytes) { return take(bytes); };
  call_ = owner_.egress.start(std::move(call), [this](Result<OutgoingReply> reply) { answered(std::move(reply)); });
}

// A stream of events, or one document from an endpoint that does not stream.
bool LlmTask::take(std::string_view bytes) {
  const bool begun = !raw_.empty();
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  if (begun || (completion_.model().empty() && completion_.text().empty() && first != std::string_view::npos &&
                bytes[first] == '{')) {
    if (raw_.size() + bytes.size() > kAnswerMax) problem_ = "the answer is larger than 16 MiB";
    else raw_ += bytes;
    return problem_.empty();
  }
  if (!sse_.feed(bytes, [this](std::string_view data) { return take_event(data); }) && problem_.empty())
    problem_ = "an event of the stream is larger than 4 MiB";
  if (completion_.text().size() > kAnswerMax) problem_ = "the answer is larger than 16 MiB";
  return problem_.empty();
}

bool LlmTask::take_event(std::string_view data) {
  Result<std::string> added = completion_.feed(data);
  if (!added.ok()) {
    problem_ = added.error().what;
    return false;
  }
  if (added->empty()) return true;
  tokens_ += *added;
  if (!tokens_timer_) {
    tokens_timer_ = owner_.reactor.after(kTokensEvery, [this] {
      tokens_timer_.reset();
      tell_tokens();
    });
  }
  return true;
}

void LlmTask::tell_tokens() {
  if (tokens_.empty()) return;
  owner_.observer.on_news(attempt_, EventType::kTaskTokens, Value::Object{{"text", std::exchange(tokens_, {})}});
}

// "429 Too Many ...": what an endpoint says is wrong, in one line.
std::string error_text(const OutgoingReply& reply) {
  std::string text = "status " + std::to_string(reply.status);
  const Result<Value> body = Value::parse(reply.body);
  const Value* error = body.ok() ? body->find("error") : nullptr;
  const Value* message = error == nullptr ? nullptr : error->is_string() ? error : error->find("message");
  std::string detail = message != nullptr && message->is_string() ? message->as_string() : reply.body;
  std::ranges::replace_if(
      detail, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return detail.empty() ? text : text + ": " + clip(to_valid_utf8(detail), kErrorShownMax);
}

// Seconds, as `Retry-After` and `retry-after-ms` say them; dates are not read.
std::optional<Duration> retry_after(const OutgoingReply& reply) {
  const auto number = [&](const char* name, double scale) -> std::optional<Duration> {
    const std::string* text = reply.header(name);
    if (text == nullptr || text->empty()) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(text->c_str(), &end);
    if (end == text->c_str() || *end != '\0' || !(value >= 0) || value > 1e7) return std::nullopt;
    return Duration{std::llround(value * scale)};
  };
  const std::optional<Duration> exact = number("retry-after-ms", 1e3);
  return exact ? exact : number("retry-after", 1e6);
}

std::optional<Setback> LlmTask::judge(Result<OutgoingReply>& reply) {
  if (!problem_.empty()) return Setback{problem_, true, {}};
  if (!reply.ok()) {
    const Error& error = reply.error();
    if (error.name == "egress") return Setback{error.what, false, {}, Reason::kRefused};
    if (error.name == "url") return Setback{error.what, false, {}, Reason::kInvalidInput};
    return Setback{error.what, error.name == "connect" || error.name == "timeout", {}};
  }
  if (reply->status < 200 || reply->status > 299) {
    const bool again = reply->status == 429 || reply->status == 408 || reply->status >= 500;
    return Setback{error_text(*reply), again, retry_after(*reply)};
  }
  if (fields_.stream && raw_.empty()) {
    sse_.finish([this](std::string_view data) { return take_event(data); });
    if (!problem_.empty()) return Setback{problem_, true, {}};
    if (!completion_.finished()) return Setback{"the stream broke off", true, {}};
  } else if (Status read = completion_.document(fields_.stream ? raw_ : reply->body); !read.ok()) {
    return Setback{read.error().what, true, {}};
  }
  return judge_answer();
}

std::optional<Setback> LlmTask::judge_answer() {
  json_ = nullptr;
  if (!completion_.refusal().empty() && completion_.text().empty())
    return Setback{"the model refuses: " + clip(completion_.refusal(), kErrorShownMax), false, {}};
  if (fields_.schema.is_null() || !completion_.tool_calls().is_null()) return std::nullopt;
  Result<Value> parsed = Value::parse(completion_.text());
  if (!parsed.ok()) return Setback{"the answer is not JSON: " + parsed.error().what, true, {}, Reason::kInvalidOutput};
  if (std::string wrong = schema_problem(fields_.schema, *parsed); !wrong.empty())
    return Setback{"the answer does not fit the schema: " + wrong, true, {}, Reason::kInvalidOutput};
  json_ = std::move(*parsed);
  return std::nullopt;
}

void LlmTask::answered(Result<OutgoingReply> reply) {
  call_.reset();
  std::optional<Setback> setback = judge(reply);
  if (tokens_timer_) owner_.reactor.cancel(*tokens_timer_);
  tokens_timer_.reset();
  if (!setback) return succeed();  // destroys this
  tokens_.clear();
  set_back(*setback);
}

// Half a second, doubling, with up to a tenth more that is a hash of the attempt.
Duration pause_before(int tries, const AttemptId& attempt) {
  const double base = static_cast<double>(kFirstPause.count()) * std::pow(2.0, tries);
  const std::uint64_t words[] = {attempt.run.value,
                                 std::uint64_t{attempt.task.value} << 32 | static_cast<std::uint32_t>(tries)};
  const std::uint64_t hash = hash64({reinterpret_cast<const char*>(words), sizeof words});
  const double jitter = 1.0 + 0.1 * static_cast<double>(hash >> 11) / 9007199254740992.0;
  return std::min(kPauseMax, Duration{static_cast<Duration::rep>(base * jitter)});
}

void LlmTask::set_back(const Setback& setback) {
  const std::string who = target().name.empty() ? target().model : target().name + "/" + target().model;
  const bool patient = !setback.retry_after || *setback.retry_after <= kRetryAfterMax;
  if (setback.again && patient && tries_ < fields_.retries) {
    const Duration pause = setback.retry_after.value_or(pause_before(tries_, attempt_));
    ++tries_;
    pause_ = owner_.reactor.after(pause, [this] { ask(); });
    return;
  }
  if (at_ + 1 < targets_.size()) {
    earlier_ += who + ": " + setback.message + "\n";
    ++at_;
    tries_ = 0;
    pause_ = owner_.reactor.after(Duration::zero(), [this] { ask(); });
    return;
  }
  std::string message = who + ": " + setback.message;
  if (tries_ > 0) message += " (asked " + std::to_string(tries_ + 1) + " times)";
  owner_.finish(attempt_, failed(setback.reason, std::move(message), std::move(earlier_)));  // destroys this
}

double tokens_in(const Value& usage, const char* name) {
  const Value* count = usage.find(name);
  return count != nullptr && count->is_number() ? count->to_double() : 0;
}

void LlmTask::succeed() {
  tell_tokens();
  const LlmProvider& provider = target().provider;
  Value cost;
  if (const auto price = provider.prices.find(target().model);
      price != provider.prices.end() && !completion_.usage().is_null()) {
    cost = (tokens_in(completion_.usage(), "prompt_tokens") * price->second.input +
            tokens_in(completion_.usage(), "completion_tokens") * price->second.output) /
           1e6;
  }
  Value usage;
  if (!completion_.usage().is_null()) {
    usage = Value::Object{};
    for (const char* name : {"prompt_tokens", "completion_tokens", "total_tokens"}) {
      const Value* count = completion_.usage().find(name);
      usage.set(name, count == nullptr ? Value() : *count);
    }
  }
  Value output = Value::Object{
      {"text", completion_.text()},
      {"model", completion_.model().empty() ? target().model : completion_.model()},
      {"provider", target().name.empty() ? Value() : Value(target().name)},
      {"finish_reason", completion_.finish_reason().empty() ? Value() : Value(completion_.finish_reason())},
      {"usage", std::move(usage)},
      {"cost", std::move(cost)},
      {"requests", requests_}};
  if (!fields_.schema.is_null()) output.set("json", json_);
  if (!fields_.tools.is_null())
    output.set("tool_calls", completion_.tool_calls().is_null() ? Value(Value::Array{}) : completion_.tool_calls());
  Outcome outcome;
  outcome.success = true;
  outcome.output = Payload::inline_json(output.dump());
  owner_.finish(attempt_, std::move(outcome));  // destroys this
}

}  // namespace

std::unique_ptr<Executor> make_llm_executor(LlmProviders providers, const Secrets& secrets, Egress& egress,
                                            Reactor& reactor, TaskObserver& observer) {
  return std::make_unique<LlmExecutor>(std::move(providers), secrets, egress, reactor, observer);
}

}  // namespace millrace
