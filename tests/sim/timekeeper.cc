#include "tests/sim/timekeeper.h"

#include <algorithm>

#include "common/vault/hook_signature.h"
#include "common/wire/codec.h"
#include "coordinator/core/plan.h"
#include "tests/support/dag_text.h"

namespace millrace::sim {

Timekeeper::Timekeeper(Context& context, std::uint64_t seed, int coordinators, Ask ask)
    : context_(context), random_(seed ^ 0x71E5), coordinators_(coordinators), ask_(std::move(ask)) {
  TriggerSpec after_each;
  after_each.name = "after";
  after_each.run_end = RunEndSpec{"timed", {}};
  workflows_.push_back(make("follows", {after_each}));
  TriggerSpec alone;
  alone.name = "alone";
  alone.webhook = WebhookSpec{"s", HookAuth::kSignature};
  alone.inputs = Value::Object{{"ids", "{{ event.delivery }}"}};
  TriggerSpec together = alone;
  together.name = "together";
  together.webhook->auth = HookAuth::kBearer;
  together.collect = {{}, {}, 3, kWindow};
  together.inputs = Value::Object{{"ids", "{{ event.payload }}"}};
  workflows_.push_back(make("hooked", {alone, together}));
  TriggerSpec each = alone;
  each.name = "each";
  each.webhook = std::nullopt;
  each.stream = StreamSpec{"r", "k", true};
  each.inputs = Value::Object{{"ids", "each {{ event.id }}"}};
  TriggerSpec some = each;
  some.name = "some";
  some.collect = {{}, {}, 4, kWindow};
  some.inputs = Value::Object{{"ids", "{{ event.payload }}"}};
  workflows_.push_back(make("streamed", {each, some}));
  TriggerSpec each_minute;
  each_minute.name = "minutely";
  each_minute.schedule = {"* * * * *", "UTC", Duration::zero(), Overlap::kAllow, CatchUp::kAll, kCatchUpMax};
  workflows_.push_back(make("timed", {each_minute}));
}

Timekeeper::Workflow Timekeeper::make(const std::string& name, const std::vector<TriggerSpec>& triggers) {
  WorkflowSpec workflow = test::DagText::parse("tick -> tock");
  workflow.name = name;
  workflow.triggers = triggers;
  if (name == "hooked" || name == "streamed") workflow.inputs.emplace_back().name = "ids";
  auto definition = std::make_shared<const std::string>(encode_definition(workflow));
  const Hash128 hash = hash128(*definition);
  context_.checker.definition(Plan::build(decode_definition(*definition).value(), hash).value());
  return {name, std::move(definition), hash};
}

void Timekeeper::start() {
  ask();
  set_clock();
  deliver();
  add_entries();
}

// Somebody adds entries to a stream, which is there whoever reads it.
void Timekeeper::add_entries() {
  if (context_.entries.size() >= kEntries) return;
  for (auto n = random_.below(4); n > 0 && context_.entries.size() < kEntries; --n) {
    latest_ = context_.now();
    context_.entries.push_back("1-" + std::to_string(context_.entries.size() + 1));
    context_.checker.delivered("each " + context_.entries.back());
    context_.checker.delivered(context_.entries.back());
  }
  context_.schedule.after(random_.between(100ms, 1s), [this] { add_entries(); });
}

// The next one that is not acknowledged, or by chance one that is: whoever sends may have missed that.
void Timekeeper::deliver() {
  std::size_t which = 0;
  while (acknowledged_.contains(which)) ++which;
  if (!acknowledged_.empty() && random_.chance(300)) which = *acknowledged_.begin();
  if (which >= kDeliveries) return;
  HookDelivery delivery;
  delivery.workflow = "hooked";
  delivery.trigger = which % 2 == 0 ? "alone" : "together";
  const std::string id = "delivery-" + std::to_string(which);
  delivery.body = '"' + id + '"';
  delivery.headers = {{"x-delivery-id", id},
                      {"x-hub-signature-256", hook_signature(delivery.body, kSecret)},
                      {"authorization", std::string("Bearer ") + kSecret}};
  const auto to = static_cast<int>(random_.below(static_cast<std::uint64_t>(coordinators_)));
  ask_(to, RequestId{kNumber << 32 | kDelivering | which}, delivery);
  context_.schedule.after(random_.between(200ms, 900ms), [this] { deliver(); });
}

void Timekeeper::ask() {
  if (paused_) return;
  const auto to = static_cast<int>(random_.below(static_cast<std::uint64_t>(coordinators_)));
  const RequestId request{kNumber << 32 | ++asked_};
  const auto next = std::ranges::find(workflows_, false, &Workflow::applied);
  if (next != workflows_.end()) {
    WorkflowRequest apply;
    apply.act = WorkflowAct::kApply;
    apply.name = next->name;
    apply.definition = next->hash;
    apply.definition_bytes = next->definition;
    ask_(to, request, apply);
  } else if (context_.healed) {
    ask_(to, request, TellTrigger{"default", "timed", "minutely", TriggerAct::kPause, 0});
  }
  context_.schedule.after(random_.between(1s, 2s), [this] { ask(); });
}

void Timekeeper::receive(RequestId request, const OperatorReply& reply) {
  if (const auto* taken = std::get_if<HookReply>(&reply)) {
    const std::size_t which = request.value & (kDelivering - 1);
    if (acknowledged_.insert(which).second) latest_ = context_.now();
    context_.checker.delivered("delivery-" + std::to_string(which));
    if (taken->fate > EventFate::kDuplicate)
      context_.checker.fail("triggers: a delivery was " + std::string(to_string(taken->fate)) + ": " + taken->why);
  }
  if (const auto* applied = std::get_if<WorkflowReply>(&reply)) {
    const auto which = std::ranges::find(workflows_, applied->workflow.name, &Workflow::name);
    if (which != workflows_.end()) which->applied = true;
  }
  if (std::holds_alternative<TriggerReply>(reply)) paused_ = true;
}

// Somebody sets the clock on the wall: by minutes, forwards or back.
void Timekeeper::set_clock() {
  context_.schedule.after(random_.between(1s, 8s), [this] {
    if (context_.healed) return;
    context_.wall_set += std::chrono::seconds(random_.between(-240, 300));
    context_.note("the clock on the wall is set");
    set_clock();
  });
}

}  // namespace millrace::sim
