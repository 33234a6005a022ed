// Loop: a submission that runs an earlier run again. What it does not say is as that run had it: its definition,
// inputs, labels, priority. The new run lives in the old one's partition, where its records are.
#include <algorithm>

#include "common/model/composed.h"
#include "coordinator/core/resume.h"
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

Error invalid(std::string what, std::string name) { return {Code::kInvalid, std::move(what), {}, std::move(name)}; }

// The inputs of the old run under a definition that may be another one, with those that are given anew. What the
// definition does not declare any more is dropped; null is what nobody had given.
Result<Value> merged_inputs(const WorkflowSpec& workflow, const Value& old, const Value& given) {
  Value inputs = Value::Object{};
  if (old.is_object()) {
    for (const auto& [name, value] : old.as_object()) {
      const auto declared = std::ranges::find(workflow.inputs, name, &InputSpec::name);
      if (declared != workflow.inputs.end() && !value.is_null()) inputs.set(name, value);
    }
  }
  if (!given.is_object()) return invalid("inputs: a JSON object", "");
  for (const auto& [name, value] : given.as_object()) inputs.set(name, value);
  return bind_inputs(workflow.inputs, inputs);
}

}  // namespace

struct Loop::State::Resumption {
  RequestId request;
  std::uint8_t hops = 0;
  SubmitRun asked;  // as it came
  Hash128 hash;     // of that
  Epoch epoch;      // under which its key was looked up
  SubmitRun submit;
  std::shared_ptr<const Plan> plan;  // null: that of the old run
  std::shared_ptr<const RestoredRun> old;
  std::vector<Hash128> lists;  // outputs of its nodes that may be list references, to be looked at
  std::vector<Hash128> parts;  // of those that are
};

void Loop::State::on_resume(Time now, RequestId request, SubmitRun& submit, std::uint8_t hops) {
  const RunId of = submit.resume->of;
  if (share_of(of) == nullptr) return refuse(request, {Code::kNotFound, "no run " + to_string(of), {}, ""});
  if (submit.resume->from.size() > kResumeFromMax)
    return refuse(request, invalid("at most " + std::to_string(kResumeFromMax) + " nodes to run again from", ""));
  auto all = std::make_shared<Resumption>();
  all->request = request;
  all->hops = hops;
  all->hash = request_hash(submit);
  if (!submit.definition.is_zero()) {
    Result<std::shared_ptr<const Plan>> plan = plan_of(request, submit);
    if (!plan.ok()) return;  // answered
    all->plan = std::move(plan).value();
  }
  look_up_key(now, request, std::move(submit), hops, all->hash, [this, all, of](Time at, SubmitRun&& fresh) {
    all->submit = std::move(fresh);
    all->asked = all->submit;
    all->epoch = share_of(of)->epoch;
    const auto go_on = [this, all](Time then, std::shared_ptr<const RestoredRun> old) {
      all->old = std::move(old);
      resume_inputs(then, all);
    };
    Share* share = share_of(of);
    const Run* kept = share != nullptr && share->open() ? share->core->find(of) : nullptr;
    if (kept != nullptr) return go_on(at, std::make_shared<const RestoredRun>(as_stored(*kept)));
    with_stored(of, all->request, [go_on](Time then, RestoredRun& stored) {
      go_on(then, std::make_shared<const RestoredRun>(std::move(stored)));
    });
  });
}

// As they were where nothing speaks against it; else they are read, changed and bound anew.
void Loop::State::resume_inputs(Time now, std::shared_ptr<Resumption> all) {
  SubmitRun& submit = all->submit;
  const RunInfo& old = *all->old->info;
  if (submit.tenant != old.tenant) {
    return refuse(all->request, invalid("run " + to_string(old.run) + " is one of tenant '" + old.tenant +
                                            "', not of '" + submit.tenant + "'",
                                        "other_tenant"));
  }
  if (all->plan == nullptr) all->plan = all->old->plan;
  Result<Value> given = submit.inputs.is_null() ? Value(Value::Object{}) : Value::parse(submit.inputs.json());
  if (!given.ok()) return refuse(all->request, std::move(given).error());
  const bool as_it_was =
      given->is_object() && given->as_object().empty() && all->plan->definition() == all->old->plan->definition();
  for (const auto& [task, record] : all->old->tasks) {
    const Plan& plan = *all->old->plan;
    const bool node = !plan.is_item(task) && record.output.is_reference();
    const Flow* flow = node ? plan.flow(task) : nullptr;
    if (node && (plan.is_mapped(task) || (flow != nullptr && flow->loop))) all->lists.push_back(record.output.hash());
  }
  if (as_it_was) {
    submit.inputs = old.inputs;
    return resume_lists(now, all);
  }
  const auto bind = [this, all, given = std::move(given).value()](Time at, std::string_view json) {
    Result<Value> before = Value::parse(json);
    Result<Value> bound =
        before.ok() ? merged_inputs(all->plan->workflow(), *before, given) : Result<Value>(before.error());
    if (!bound.ok()) return refuse(all->request, std::move(bound).error());
    all->submit.inputs = Payload::inline_json(bound->dump());
    resume_lists(at, all);
  };
  if (old.inputs.is_inline()) return bind(now, old.inputs.json());
  load_value({old.inputs.hash()}, [this, all, bind](Time at, ValueAnswer* found) {
    if (found == nullptr)
      return refuse(all->request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
    if (!found->json) {
      return refuse(
          all->request,
          {Code::kNotFound, "the inputs of run " + to_string(all->old->info->run) + " are not in the store", {}, ""});
    }
    bind(at, *found->json);
  });
}

// A result that is shared and is a list reference needs its parts as long as the new run: that is written down with it.
void Loop::State::resume_lists(Time now, std::shared_ptr<Resumption> all) {
  if (all->lists.empty()) return admit_resumed(now, *all);
  const Hash128 hash = all->lists.back();
  all->lists.pop_back();
  const auto unread = [this, all] {
    refuse(all->request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
  };
  load_value({hash, 0, kPartMin}, [this, all, hash, unread](Time at, ValueAnswer* begun) {
    if (begun == nullptr) return unread();
    if (!begun->json || !is_composed(*begun->json)) return resume_lists(at, all);
    load_value({hash}, [this, all, unread](Time then, ValueAnswer* found) {
      if (found == nullptr) return unread();
      Result<Composed> list = Composed::parse(found->json.value_or(""));
      const std::vector<Hash128> parts = list.ok() ? list->names() : std::vector<Hash128>();
      all->parts.insert(all->parts.end(), parts.begin(), parts.end());
      resume_lists(then, all);
    });
  });
}

void Loop::State::admit_resumed(Time now, Resumption& all) {
  SubmitRun& submit = all.submit;
  const RunInfo& old = *all.old->info;
  const Share& share = *share_of(old.run);
  if (!share.open() || share.epoch != all.epoch)  // somebody else may have accepted it meanwhile
    return hold(now, {all.request, std::move(all.asked), all.hops, now + kHoldMax});
  for (const auto& [name, value] : old.labels) submit.labels.emplace(name, value);
  if (submit.version == 0 && all.plan->definition() == all.old->plan->definition())
    submit.version = old.workflow_version;
  submit.priority += old.priority - all.old->plan->workflow().priority;
  admit(now, all.request, std::move(submit), std::move(all.plan), all.hash, std::move(all.old), std::move(all.parts));
}

}  // namespace millrace
