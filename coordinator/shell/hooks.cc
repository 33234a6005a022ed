#include "coordinator/shell/hooks.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "common/base/value.h"

namespace millrace {
namespace {

constexpr std::uint64_t kOurs = 1ULL << 63U;  // in the number of a request
constexpr Duration kFirstLookUp = 3ms;
constexpr Duration kNextLookUp = 20ms;
constexpr Duration kHomeWait = 10s;  // longer than the server waits: by then it has answered
constexpr std::size_t kNameMax = 256;

int hex_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Nothing: it cannot be read, or is a name that none can have.
std::optional<std::string> read_name(std::string_view text) {
  std::string name;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || hex_of(text[i + 1]) < 0 || hex_of(text[i + 2]) < 0) return std::nullopt;
      c = static_cast<char>(hex_of(text[i + 1]) * 16 + hex_of(text[i + 2]));
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    name += c;
  }
  if (name.empty() || name.size() > kNameMax) return std::nullopt;
  return name;
}

Error wrong_path() {
  return {Code::kNotFound, "POST /v1/hooks/WORKFLOW/TRIGGER, or with ?tenant=NAME, is expected", {}, "webhook"};
}

unsigned status_of(const Error& error) {
  if (error.name == "hook_signature") return 401;
  if (error.name == "queue_full" || error.name == "hooks_full" || error.name == "hook_rate") return 429;
  switch (error.code) {
    case Code::kNotFound: return 404;
    case Code::kInvalid: return 400;
    case Code::kConflict: return 409;
    case Code::kRefused:
    case Code::kTimeout:
    case Code::kUnavailable: return 503;
    case Code::kCancelled:
    case Code::kFailed:
    case Code::kInternal: return 500;
  }
  return 500;
}

unsigned status_of(EventFate fate) {
  switch (fate) {
    case EventFate::kFired:
    case EventFate::kWaits: return 202;
    case EventFate::kDuplicate:
    case EventFate::kFiltered:
    case EventFate::kPaused: return 200;
    case EventFate::kFailed: return 422;
  }
  return 500;
}

std::int64_t steady_us() {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

}  // namespace

Result<HookDelivery> read_delivery(const HttpRequest& request) {
  std::string_view path = request.path;
  path.remove_prefix(std::min(path.size(), std::string_view(Hooks::kUnder).size()));
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos || path.find('/', slash + 1) != std::string_view::npos) return wrong_path();
  const std::optional<std::string> workflow = read_name(path.substr(0, slash));
  const std::optional<std::string> trigger = read_name(path.substr(slash + 1));
  if (!workflow || !trigger) return wrong_path();
  HookDelivery delivery;
  delivery.workflow = *workflow;
  delivery.trigger = *trigger;
  static constexpr std::string_view kTenant = "tenant=";
  if (!request.query.empty()) {
    if (!request.query.starts_with(kTenant)) return wrong_path();
    const std::optional<std::string> tenant = read_name(std::string_view(request.query).substr(kTenant.size()));
    if (!tenant || tenant->find('&') != std::string::npos) return wrong_path();
    delivery.tenant = *tenant;
  }
  if (request.headers.size() > kDeliveryHeadersMax || request.body.size() > kHookBodyMax)
    return Error{Code::kInvalid, "a delivery is too large", {}, "body"};
  delivery.headers = request.headers;
  delivery.body = request.body;
  return delivery;
}

HttpReply hook_answer(const HookReply& reply, const std::string& run) {
  const Value json = Value::Object{{"status", to_string(reply.fate)},
                                   {"run", text_or_null(run)},
                                   {"idempotency_key", text_or_null(reply.key)},
                                   {"error", text_or_null(reply.why)}};
  return {status_of(reply.fate), "application/json", json.dump() + "\n"};
}

HttpReply hook_answer(const Error& error) {
  const unsigned status = status_of(error);
  const Value json = Value::Object{{"status", "refused"},
                                   {"run", Value()},
                                   {"idempotency_key", Value()},
                                   {"error", error.name.empty() ? error.what : error.name + ": " + error.what}};
  HttpReply reply{status, "application/json", json.dump() + "\n"};
  if (status == 429 || status == 503) reply.retry_after = 1s;
  return reply;
}

Hooks::Hooks(HooksOptions options, std::function<void()> wake)
    : options_(std::move(options)), wake_(std::move(wake)), all_(options_.per_second), others_(options_.each) {}

// By its name, whether there is such a webhook or not: those that nobody has heard of for a while are forgotten.
TokenBucket& Hooks::bucket_of(const HookDelivery& delivery, std::int64_t now_us) {
  const std::string name = delivery.tenant + '\0' + delivery.workflow + '\0' + delivery.trigger;
  if (const auto known = each_.find(name); known != each_.end()) return known->second;
  if (each_.size() >= kBucketsMax) std::erase_if(each_, [&](const auto& one) { return one.second.is_full(now_us); });
  if (each_.size() >= kBucketsMax) return others_;
  return each_.emplace(name, TokenBucket(options_.each)).first->second;
}

// One webhook that is flooded leaves the others their share.
std::optional<Error> Hooks::too_many(const HookDelivery& delivery) {
  const std::int64_t now = options_.steady_us ? options_.steady_us() : steady_us();
  const auto refused = [](std::uint32_t most, const char* option) {
    const std::string text = "more than " + std::to_string(most) + " deliveries a second (" + option + ")";
    return Error{Code::kRefused, text, {}, "hook_rate"};
  };
  if (!bucket_of(delivery, now).take(now)) return refused(options_.each, "--hook-per-second, of each webhook");
  if (!all_.take(now)) return refused(options_.per_second, "--hooks-per-second");
  return std::nullopt;
}

void Hooks::handle(const HttpRequest& request, HttpAnswer answer) {
  Result<HookDelivery> delivery = read_delivery(request);
  if (!delivery.ok()) return answer(hook_answer(delivery.error()));
  if (const std::optional<Error> why = too_many(*delivery)) return answer(hook_answer(*why));
  {
    std::lock_guard lock(mutex_);
    if (waiting_ >= options_.open_max)
      return answer(hook_answer(Error{Code::kRefused, "too many deliveries wait to be taken", {}, "hooks_full"}));
    ++waiting_;
    arrived_.push_back({std::move(*delivery), std::move(answer)});
  }
  wake_();
}

void Hooks::poll(Time now, std::vector<Incoming>& out, std::size_t at_most) {
  drop_old(now);
  while (!lookups_.empty() && lookups_.begin()->first <= now) {
    const std::uint64_t number = lookups_.begin()->second;
    lookups_.erase(lookups_.begin());
    const auto open = open_.find(number);
    if (open == open_.end()) continue;
    out.push_back(FromClient{RequestId{kOurs | number}, FindRunOfKey{open->second.tenant, open->second.fired.key}, 0});
  }
  std::lock_guard lock(mutex_);
  for (; at_most > 0 && !arrived_.empty(); --at_most) {
    Arrived one = std::move(arrived_.front());
    arrived_.pop_front();
    const std::uint64_t number = ++made_;
    open_.emplace(number, Open{std::move(one.answer), one.delivery.tenant, now + kHomeWait, {}});
    out.push_back(FromClient{RequestId{kOurs | number}, std::move(one.delivery), 0});
  }
}

// The server has answered for us.
void Hooks::drop_old(Time now) {
  while (!open_.empty() && open_.begin()->second.gone <= now) {
    open_.erase(open_.begin());
    std::lock_guard lock(mutex_);
    --waiting_;
  }
}

void Hooks::look_up(Time at, std::uint64_t number) { lookups_.emplace(at, number); }

bool Hooks::reply(Time now, RequestId request, const OperatorReply& reply) {
  if ((request.value & kOurs) == 0) return false;
  const std::uint64_t number = request.value & ~kOurs;
  const auto open = open_.find(number);
  if (open != open_.end()) found(now, number, open->second, reply);
  return true;
}

// What its home has said; then the run, as soon as it is there. Of a duplicate it is there, or waits in a batch.
void Hooks::found(Time now, std::uint64_t number, Open& open, const OperatorReply& reply) {
  std::optional<HttpReply> answer;
  if (const auto* fired = std::get_if<HookReply>(&reply)) {
    open.fired = *fired;
    open.durable = true;
    open.until = fired->fate == EventFate::kFired ? now + options_.run_wait : now;
    if (fired->fate == EventFate::kFired || fired->fate == EventFate::kDuplicate)
      return look_up(fired->fate == EventFate::kFired ? now + kFirstLookUp : now, number);
    answer = hook_answer(*fired, "");
  } else if (const auto* run = std::get_if<SubmitReply>(&reply)) {
    answer = hook_answer(open.fired, to_string(run->run));
  } else if (open.durable) {
    if (now < open.until) return look_up(now + kNextLookUp, number);
    answer = hook_answer(open.fired, "");
  } else if (const auto* error = std::get_if<ErrorReply>(&reply)) {
    answer = hook_answer(error->error);
  } else {
    answer = hook_answer(Error{Code::kInternal, "another answer than was asked for", {}, ""});
  }
  open.answer(std::move(*answer));
  open_.erase(number);
  std::lock_guard lock(mutex_);
  --waiting_;
}

}  // namespace millrace
