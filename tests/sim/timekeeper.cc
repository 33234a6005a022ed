#include "tests/sim/timekeeper.h"

#include <algorithm>

#include "common/wire/codec.h"
#include "coordinator/core/plan.h"
#include "tests/support/dag_text.h"

namespace millrace::sim {

Timekeeper::Timekeeper(Context& context, std::uint64_t seed, int coordinators, Ask ask)
    : context_(context), random_(seed ^ 0x71E5), coordinators_(coordinators), ask_(std::move(ask)) {
  TriggerSpec after_each;
  after_each.name = "after";
  after_each.run_end = RunEndSpec{"timed", {}};
  workflows_.push_back(make("follows", after_each));
  TriggerSpec each_minute;
  each_minute.name = "minutely";
  each_minute.schedule = {"* * * * *", "UTC", Duration::zero(), Overlap::kAllow, CatchUp::kAll, kCatchUpMax};
  workflows_.push_back(make("timed", each_minute));
}

Timekeeper::Workflow Timekeeper::make(const std::string& name, const TriggerSpec& trigger) {
  WorkflowSpec workflow = test::DagText::parse("tick -> tock");
  workflow.name = name;
  workflow.triggers = {trigger};
  auto definition = std::make_shared<const std::string>(encode_definition(workflow));
  const Hash128 hash = hash128(*definition);
  context_.checker.definition(Plan::build(decode_definition(*definition).value(), hash).value());
  return {name, std::move(definition), hash};
}

void Timekeeper::start() {
  ask();
  set_clock();
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

void Timekeeper::receive(const OperatorReply& reply) {
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
