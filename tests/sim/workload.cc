#include "tests/sim/workload.h"

#include <set>

#include "common/graph/dag.h"
#include "common/wire/codec.h"
#include "tests/sim/checker.h"

namespace millrace::sim {
namespace {

using Edges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;  // (node, upstream)

// A generator of its own for a part of the workload that came later, so that seeds without it stay what they were.
Random skipped(Random random, int draws) {
  for (int i = 0; i < draws; ++i) (void)random.below(1'000);
  return random;
}

Edges make_edges(Random& random, std::uint32_t nodes) {
  Edges edges;
  const std::uint64_t shape = random.below(6);
  const auto width = static_cast<std::uint32_t>(random.between(2, 6));
  for (std::uint32_t node = 1; node < nodes; ++node) {
    switch (shape) {
      case 0: edges.emplace_back(node, node - 1); break;  // a chain
      case 1: edges.emplace_back(node, 0); break;         // a fan-out
      case 2:                                             // a fan-out that is joined
        if (node + 1 < nodes) edges.emplace_back(node, 0);
        else
          for (std::uint32_t up = nodes > 60 ? nodes - 60 : 0; up < node; ++up) edges.emplace_back(node, up);
        break;
      case 3:  // layers
        if (node >= width) {
          const std::uint32_t first = (node / width - 1) * width;
          for (std::uint32_t up = first; up < first + width; ++up) {
            if (random.chance(500)) edges.emplace_back(node, up);
          }
        }
        break;
      case 4:  // anything
        for (int i = random.between(0, 3); i > 0; --i)
          edges.emplace_back(node, static_cast<std::uint32_t>(random.below(node)));
        break;
      default: break;  // nothing depends on anything
    }
  }
  return edges;
}

std::string sum_of(std::span<const std::uint32_t> upstream) {
  std::string text = "{{ (1";
  for (std::uint32_t up : upstream) text += " + (nodes.t" + std::to_string(up) + ".sum | default(0))";
  return text + ") % 1000003 }}";
}

NodeSpec make_node(Random& random, bool large) {
  NodeSpec spec;
  spec.executor = random.chance(500) ? "noop" : "python";
  std::int64_t ms = large ? random.between(0, 3) : random.between(0, 60);
  if (!large && random.chance(60)) ms = random.between(300, 4'000);
  spec.fields = Value::Object{};
  spec.fields.set("ms", ms);
  if (random.chance(40)) spec.priority = random.between(-3, 3);
  if (random.chance(150)) {
    spec.retry.attempts_max = static_cast<std::uint32_t>(random.between(2, 4));
    spec.retry.backoff.initial = random.between(10ms, 300ms);
    spec.retry.backoff.max = 1s;
  }
  if (random.chance(100)) spec.timeout = random.between(100ms, 3s);
  if (random.chance(large ? 1 : 60)) spec.fields.set("fail", std::int64_t{random.between(1, 3)});
  if (spec.timeout != Duration::zero() && random.chance(300))
    spec.fields.set("hang", std::int64_t{random.between(1, 2)});
  if (random.chance(large ? 1 : 40)) spec.fields.set("pad", std::int64_t{70'000});
  spec.retry.losses_max = static_cast<std::uint32_t>(random.between(3, 30));
  if (random.chance(20)) spec.on_loss = OnLoss::kFail;
  if (!random.chance(large ? 20 : 150)) return spec;
  // Where there is one worker nobody is in zone b; nobody ever is in zone c.
  if (random.chance(400)) spec.labels.push_back({"zone", random.chance(200), {random.chance(500) ? "a" : "b"}});
  if (random.chance(20)) spec.labels = {{"zone", false, {"c"}}};
  if (random.chance(400)) spec.resources.push_back({"license", 1 + random.below(2)});
  if (random.chance(300)) spec.sticky.push_back({false, "key-" + std::to_string(random.below(3))});
  if (random.chance(300)) spec.apart.push_back({false, "{{ run.id }}"});
  return spec;
}

Value make_condition(Random& random, std::span<const std::uint32_t> upstream) {
  if (upstream.empty() || random.chance(500)) return random.chance(600);
  return "{{ (nodes.t" + std::to_string(upstream[random.below(upstream.size())]) + ".sum | default(0)) % 2 == 0 }}";
}

// It waits for a moment, for the client's signal or for its decision; never for ever.
void make_wait(Random& random, NodeSpec& spec) {
  NodeSpec waiting;
  waiting.fields = Value::Object{};
  waiting.flow = std::move(spec.flow);
  spec = std::move(waiting);
  WaitSpec& wait = spec.flow.wait.emplace();
  wait.kind = static_cast<WaitKind>(random.below(3));
  wait.limit = std::to_string(random.between(1, 4'000)) + "ms";
  if (wait.kind == WaitKind::kSignal) {
    wait.signal = "go";
    if (random.chance(700)) wait.otherwise = Value(Value::Object{{"sum", std::int64_t{kFallbackSum}}});
  } else if (wait.kind == WaitKind::kApproval) {
    wait.decides = static_cast<ApprovalDefault>(random.below(3));
    wait.message = "{{ run.id }}?";
  }
}

// Conditions, branches, joins, failures that are taken, fallbacks.
void make_flow(Random& random, WorkflowSpec& workflow) {
  const Adjacency downstream = reversed(workflow.upstream);
  for (std::uint32_t node = 0; node < workflow.specs.size(); ++node) {
    NodeSpec& spec = workflow.specs[node];
    const std::span<const std::uint32_t> before = workflow.upstream.of(node);
    const std::span<const std::uint32_t> after = downstream.of(node);
    if (random.chance(150)) spec.flow.when = make_condition(random, before);
    if (before.size() > 1 && random.chance(200))
      spec.flow.join = 1 + static_cast<std::uint32_t>(random.below(before.size()));
    if (random.chance(100)) spec.flow.on_upstream_failure = OnUpstreamFailure::kRun;
    if (!spec.value && random.chance(100))
      spec.flow.fallback = Value(Value::Object{{"sum", std::int64_t{kFallbackSum}}});
    if (random.chance(120)) {
      make_wait(random, spec);
      continue;
    }
    if (after.empty() || !random.chance(150)) continue;
    NodeSpec branching;
    branching.fields = Value::Object{};
    branching.flow = std::move(spec.flow);
    spec = std::move(branching);
    spec.flow.fallback.reset();
    BranchSpec& branch = spec.flow.branch.emplace();
    branch.first = random.chance(300);
    for (int i = random.between(1, 3); i > 0; --i)
      branch.cases.push_back({make_condition(random, before), {workflow.ids[after[random.below(after.size())]]}});
    if (random.chance(400)) branch.otherwise.push_back(workflow.ids[after[random.below(after.size())]]);
  }
}

// Some of what nothing depends on cleans up, or handles a failure.
void make_cleanup(Random& random, WorkflowSpec& workflow) {
  const Adjacency downstream = reversed(workflow.upstream);
  std::size_t work = workflow.specs.size();
  for (std::uint32_t node = 1; node < workflow.specs.size(); ++node) {
    if (work == 1 || !downstream.of(node).empty() || !random.chance(600)) continue;
    const std::span<const std::uint32_t> before = workflow.upstream.of(node);
    NodeSpec& spec = workflow.specs[node];
    spec.flow = FlowSpec{};
    if (spec.executor.empty() && !spec.value) spec = make_node(random, false);
    spec.fields.is_object() ? spec.fields.set("hang", std::int64_t{0}) : void();
    const std::uint64_t kind = random.below(6);
    if (kind == 0) workflow.finally_run.push_back(workflow.ids[node]);
    else if (kind == 1) workflow.on_failure.push_back(workflow.ids[node]);
    else if (!before.empty()) {
      FlowSpec& flow = workflow.specs[before[random.below(before.size())]].flow;
      if (kind == 2) flow.on_failure.push_back(workflow.ids[node]);
      else if (flow.compensate.empty()) flow.compensate = workflow.ids[node];
      if (kind == 2) continue;  // part of the work
    } else {
      continue;
    }
    --work;
  }
}

// Nodes that nothing waits for become mapped ones.
void make_fanouts(Random& random, WorkflowSpec& workflow) {
  const Adjacency downstream = reversed(workflow.upstream);
  for (std::uint32_t node = 0; node < workflow.specs.size(); ++node) {
    NodeSpec& spec = workflow.specs[node];
    if (spec.is_control() || !downstream.of(node).empty() || !random.chance(500)) continue;
    ForeachSpec& foreach = spec.flow.foreach.emplace();
    Value::Array items;
    const auto count = random.chance(100) ? 0 : random.between(1, random.chance(200) ? 200 : 20);
    for (int i = 0; i < count; ++i) items.emplace_back(i);
    foreach
      .over = std::move(items);
    foreach
      .chunk = random.chance(300) ? 0 : static_cast<std::uint32_t>(random.between(1, 9));
    if (random.chance(200))
      foreach
        .parallel_max = static_cast<std::uint32_t>(random.between(1, 3));
    foreach
      .on_error = random.chance(300)   ? OnItemError::kFail
                  : random.chance(500) ? OnItemError::kContinue
                                       : OnItemError::kDrop;
    Value fields = Value::Object{};
    fields.set("ms", std::int64_t{random.between(0, 12)});
    if (random.chance(250)) fields.set("fail", std::int64_t{random.between(1, 3)});
    spec.fields = std::move(fields);
  }
}

// Some value nodes set what they give.
void make_variables(Random& random, WorkflowSpec& workflow) {
  for (NodeSpec& spec : workflow.specs)
    if (spec.value && spec.value->is_object() && random.chance(700)) spec.flow.sets = true;
}

// Nodes that go over the output of a mapped one; with some of them it is a list reference.
void make_tails(Random& random, WorkflowSpec& workflow) {
  std::set<std::string> apart(workflow.on_failure.begin(), workflow.on_failure.end());
  apart.insert(workflow.finally_run.begin(), workflow.finally_run.end());
  for (const NodeSpec& spec : workflow.specs) {
    apart.insert(spec.flow.on_failure.begin(), spec.flow.on_failure.end());
    apart.insert(spec.flow.compensate);
  }
  const std::size_t nodes = workflow.ids.size();
  for (std::uint32_t node = 0; node < nodes; ++node) {
    const NodeSpec& before = workflow.specs[node];
    if (!before.flow.foreach || before.flow.wait || apart.contains(workflow.ids[node]) || !random.chance(700)) continue;
    NodeSpec spec = make_node(random, false);
    spec.fields = Value::Object{{"ms", std::int64_t{random.between(0, 9)}}};
    if (random.chance(250)) spec.fields.set("fail", std::int64_t{random.between(1, 3)});
    ForeachSpec& over = spec.flow.foreach.emplace();
    over.over = "{{ nodes." + workflow.ids[node] + " }}";
    over.chunk = random.chance(300) ? 0 : static_cast<std::uint32_t>(random.between(1, 9));
    if (random.chance(300)) over.on_error = OnItemError::kDrop;
    if (random.chance(300)) spec.flow.when = "{{ (nodes." + workflow.ids[node] + " | length) >= 0 }}";
    workflow.ids.push_back("tail" + std::to_string(node));
    workflow.specs.push_back(std::move(spec));
    workflow.upstream.targets.push_back(node);
    workflow.upstream.offsets.push_back(static_cast<std::uint32_t>(workflow.upstream.targets.size()));
  }
}

WaitSpec& make_child(Random& random, NodeSpec& spec) {
  NodeSpec child;
  child.fields = Value::Object{};
  child.flow = std::move(spec.flow);
  spec = std::move(child);
  WaitSpec& wait = spec.flow.wait.emplace();
  wait.kind = WaitKind::kChild;
  wait.workflow = kRegisteredName;
  wait.version = random.chance(300) ? 1 : 0;
  if (random.chance(200)) wait.limit = std::to_string(random.between(1, 4'000)) + "ms";
  if (random.chance(200)) wait.with = Value(Value::Object{{"n", "{{ run.id }}"}});
  if (Random aside = skipped(random, 1); aside.chance(300)) {
    spec.retry.attempts_max = 2;
    spec.retry.backoff.initial = aside.between(1ms, 300ms);
  }
  return wait;
}

// Some nodes start runs of the registered workflow.
void make_children(Random& random, WorkflowSpec& workflow) {
  for (NodeSpec& spec : workflow.specs) {
    if (spec.is_control() || spec.flow.foreach || !random.chance(250)) continue;
    make_child(random, spec);
  }
}

// Some mapped nodes start such a run for each item.
void make_families(Random& random, WorkflowSpec& workflow) {
  for (NodeSpec& spec : workflow.specs) {
    if (spec.is_control() || !spec.flow.foreach || !random.chance(300)) continue;
    const bool by_item = random.chance(500);
    WaitSpec& wait = make_child(random, spec);
    if (by_item) wait.with = Value(Value::Object{{"n", "{{ item + index }}"}});
    Value::Array& items = spec.flow.foreach->over.as_array();
    if (items.size() > 9) items.resize(9);
  }
}

// Nodes that have nothing else to do stand in for one before them.
void make_stand_ins(Random& random, WorkflowSpec& workflow) {
  const Adjacency downstream = reversed(workflow.upstream);
  std::set<std::string> taken(workflow.on_failure.begin(), workflow.on_failure.end());
  taken.insert(workflow.finally_run.begin(), workflow.finally_run.end());
  for (const NodeSpec& spec : workflow.specs) {
    taken.insert(spec.flow.on_failure.begin(), spec.flow.on_failure.end());
    taken.insert(spec.flow.compensate);
    if (!spec.flow.branch) continue;
    for (const BranchCase& one : spec.flow.branch->cases) taken.insert(one.to.begin(), one.to.end());
    taken.insert(spec.flow.branch->otherwise.begin(), spec.flow.branch->otherwise.end());
  }
  const std::set<std::string> cleaning = taken;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  for (std::uint32_t node = 0; node < workflow.specs.size(); ++node) {
    FlowSpec& flow = workflow.specs[node].flow;
    const std::span<const std::uint32_t> after = downstream.of(node);
    if (after.empty() || flow.fallback || cleaning.contains(workflow.ids[node]) || !random.chance(400)) continue;
    const std::uint32_t other = after[random.below(after.size())];
    FlowSpec& next = workflow.specs[other].flow;
    if (next.foreach || !taken.insert(workflow.ids[other]).second) continue;  // a list has no sum
    next.join = std::min(next.join, static_cast<std::uint32_t>(workflow.upstream.of(other).size() - 1));
    pairs.emplace_back(node, other);
    if (!find_cycle(with_stand_ins(workflow.upstream, pairs)).empty()) {
      pairs.pop_back();
      continue;
    }
    flow.stand_in = workflow.ids[other];
    if (!workflow.specs[node].is_control() && random.chance(500) && workflow.specs[node].fields.is_object())
      workflow.specs[node].fields.set("fail", std::int64_t{9});  // it is needed
  }
}

// Nodes whose tries have a limit together; some hang until it ends them.
void make_limits(Random& random, WorkflowSpec& workflow) {
  for (NodeSpec& spec : workflow.specs) {
    if (spec.is_control() || !random.chance(400)) continue;
    spec.limit = random.between(200ms, 4s);
    if (spec.retry.attempts_max == 1) spec.retry.attempts_max = 3;
    if (random.chance(300)) spec.retry.backoff.initial = spec.retry.backoff.max = random.between(1s, 5s);
    if (!spec.flow.foreach && random.chance(300)) spec.fields.set("hang", std::int64_t{random.between(1, 2)});
  }
}

// Nodes whose values are kept under keys that others have, too. What a noop does depends on what is before it, which it
// does not say: only those without anything before them are kept.
void make_cached(Random& random, WorkflowSpec& workflow) {
  for (std::uint32_t node = 0; node < workflow.specs.size(); ++node) {
    NodeSpec& spec = workflow.specs[node];
    const bool first = workflow.upstream.of(node).empty();
    if (spec.is_control() || spec.flow.join > 0 || (spec.executor == "noop" && !first)) continue;
    if (!random.chance(first ? 700 : 300)) continue;
    if (spec.flow.foreach && Random(random).chance(400)) continue;
    CacheSpec& cache = spec.flow.cache.emplace();
    cache.ttl = random.chance(300) ? random.between(1ms, 500ms) : random.between(1s, 30s);
    if (first && random.chance(500)) cache.key = spec.flow.foreach ? "{{ ['item', item] }}" : "{{ 'key' }}";
    const bool may_fall_back = !spec.flow.fallback && spec.flow.stand_in.empty();
    if (spec.flow.foreach) {
      Random apart(random);  // the workloads of seeds that are known stay what they were
      (void)apart.chance(500);
      spec.flow.fallback_cached = may_fall_back && apart.chance(800);
      if (!spec.flow.fallback_cached) continue;
      spec.fields.set("moody", std::int64_t{1});
      cache.ttl = apart.between(1ms, 500ms);  // too old where the next asks, and better than none
      continue;
    }
    if (may_fall_back) spec.flow.fallback_cached = random.chance(400);
    spec.fields = Value::Object{{"ms", std::int64_t{random.chance(800) ? 20 : 700}}};
    if (random.chance(200)) spec.fields.set("pad", std::int64_t{70'000});
    if (random.chance(150)) spec.fields.set("fail", std::int64_t{random.between(1, 3)});
  }
}

// A loop as it is written out: t0, then rounds of two nodes and the value that ends them, then t1.
class LoopText {
 public:
  explicit LoopText(Random& random) : random_(random), rounds_(static_cast<std::uint32_t>(random.between(1, 5))) {}

  WorkflowSpec make() {
    workflow_.name = kWorkflowName;
    const std::uint32_t before = add("t0", make_node(random_, false), {});
    NodeSpec begin = null_value();
    if (random_.chance(200)) begin.flow.when = "{{ (nodes.t0.sum | default(0)) % 2 == 0 }}";
    std::uint32_t gate = add("g/begin", std::move(begin), {before});
    std::vector<std::uint32_t> ends;
    for (std::uint32_t k = 1; k <= rounds_; ++k) gate = add_round(k, gate, before, ends);
    ends.push_back(gate);
    NodeSpec loop = null_value();
    loop.flow.loop = LoopSpec{rounds_, random_.chance(500)};
    const std::uint32_t end = add("g", std::move(loop), ends);
    add("t1", make_node(random_, false), {end});
    workflow_.upstream = make_adjacency(static_cast<std::uint32_t>(workflow_.ids.size()), edges_);
    workflow_.fail_fast = random_.chance(500);
    return std::move(workflow_);
  }

 private:
  static NodeSpec null_value() {
    NodeSpec spec;
    spec.value = Value();
    spec.fields = Value::Object{};
    return spec;
  }
  std::uint32_t add(std::string id, NodeSpec spec, const std::vector<std::uint32_t>& upstream) {
    const auto node = static_cast<std::uint32_t>(workflow_.ids.size());
    workflow_.ids.push_back(std::move(id));
    workflow_.specs.push_back(std::move(spec));
    for (std::uint32_t up : upstream) edges_.emplace_back(node, up);
    return node;
  }
  std::uint32_t add_round(std::uint32_t k, std::uint32_t gate, std::uint32_t before, std::vector<std::uint32_t>& ends) {
    const std::string round = "g/" + std::to_string(k);
    const auto gated = [&](NodeSpec spec) {
      spec.flow.gate = workflow_.ids[gate];
      return spec;
    };
    const std::uint32_t a = add(round + "/a", gated(make_node(random_, false)), {gate, before});
    const std::uint32_t b = add(round + "/b", gated(make_node(random_, false)), {gate, a});
    NodeSpec end = gated(null_value());
    end.value = Value::Object{};
    end.value->set("sum", "{{ (1 + (nodes.b.sum | default(0)) + (nodes.previous.sum | default(0))) % 1000003 }}");
    end.flow.round = k;
    ends.push_back(add(round, std::move(end), {gate, b}));
    NodeSpec again = gated(null_value());
    again.flow.when = "{{ not (nodes.b.sum % " + std::to_string(2 + random_.below(3)) + " == 0) }}";
    return add(round + "/again", std::move(again), {gate, b, ends.back()});
  }

  Random& random_;
  std::uint32_t rounds_;
  WorkflowSpec workflow_;
  Edges edges_;
};

WorkflowSpec make_workflow(Random& random, bool large, const Extras& extras) {
  if (Random aside = skipped(random, 4); !large && aside.chance(80)) return LoopText(aside).make();
  WorkflowSpec workflow;
  workflow.name = kWorkflowName;
  const auto nodes = static_cast<std::uint32_t>(large ? random.between(900, 1'600) : random.between(1, 18));
  workflow.upstream = make_adjacency(nodes, make_edges(random, nodes));
  const int values = random.chance(400) ? 150 : 0;
  for (std::uint32_t node = 0; node < nodes; ++node) {
    workflow.ids.push_back("t" + std::to_string(node));
    NodeSpec spec;
    if (random.chance(values)) {
      spec.value = Value::Object{};
      spec.value->set("sum", sum_of(workflow.upstream.of(node)));
      spec.fields = Value::Object{};
    } else {
      spec = make_node(random, large);
    }
    workflow.specs.push_back(std::move(spec));
  }
  if (!large && random.chance(250)) make_flow(random, workflow);
  if (!large && random.chance(300)) make_cleanup(random, workflow);
  if (Random aside = random; !large && aside.chance(300)) make_fanouts(aside, workflow);  // seeds without keep theirs
  if (Random aside = random; extras.children && !large && aside.chance(600)) make_children(aside, workflow);
  if (Random aside = skipped(random, 6); !large && aside.chance(250)) make_variables(aside, workflow);
  if (Random aside = skipped(random, 1); !large && aside.chance(250)) make_stand_ins(aside, workflow);
  if (Random aside = skipped(random, 2); !large && aside.chance(200)) make_limits(aside, workflow);
  if (Random aside = skipped(random, 5); extras.children && !large && aside.chance(600)) make_families(aside, workflow);
  if (Random aside = skipped(random, 7); extras.cache && !large && aside.chance(700)) make_cached(aside, workflow);
  if (Random aside = skipped(random, 8); extras.lists && !large && aside.chance(600)) make_tails(aside, workflow);
  if (random.chance(300)) {
    workflow.outputs_declared = true;
    const std::uint64_t shown = random.below(nodes);
    if (workflow.specs[shown].flow.foreach)
      workflow.outputs.emplace_back("all", "{{ nodes.t" + std::to_string(shown) + " }}");
    else workflow.outputs.emplace_back("sum", "{{ nodes.t" + std::to_string(shown) + ".sum }}");
  }
  workflow.fail_fast = random.chance(500);
  if (random.chance(80)) workflow.timeout = random.between(500ms, 8s);
  workflow.priority = random.between(-1, 1);
  return workflow;
}

// Some runs are run again when they have ended: what failed, from a node on, or all; perhaps with a node that changed.
void make_again(Random& random, const WorkflowSpec& workflow, Order& order) {
  WorkflowSpec changed = workflow;
  for (int i = random.between(1, 3); i > 0; --i) {
    Again& again = order.again.emplace_back();
    again.scope = random.chance(600)   ? ResumeScope::kFailed
                  : random.chance(700) ? ResumeScope::kFrom
                                       : ResumeScope::kAll;
    if (again.scope == ResumeScope::kFrom) again.from.push_back(workflow.ids[random.below(workflow.ids.size())]);
    again.after = random.between(1ms, 500ms);
    if (!random.chance(300)) continue;
    changed.specs[random.below(changed.specs.size())].priority += 10;
    again.definition = std::make_shared<const std::string>(encode_definition(changed));
    again.plan = Plan::build(decode_definition(*again.definition).value(), hash128(*again.definition)).value();
  }
}

}  // namespace

Order make_registered() {
  Order order;
  WorkflowSpec workflow;
  workflow.name = kRegisteredName;
  workflow.inputs.push_back({"n", InputType::kAny, false, {}, ""});
  workflow.ids = {"t0", "t1"};
  workflow.upstream = make_adjacency(2, {{1, 0}});
  for (int i = 0; i < 2; ++i) {
    NodeSpec& spec = workflow.specs.emplace_back();
    spec.executor = "noop";
    spec.fields = Value::Object{{"ms", std::int64_t{40}}};
    spec.retry.losses_max = 30;
  }
  workflow.outputs_declared = true;
  workflow.outputs.emplace_back("sum", "{{ nodes.t1.sum }}");
  order.definition = std::make_shared<const std::string>(encode_definition(workflow));
  order.plan = Plan::build(decode_definition(*order.definition).value(), hash128(*order.definition)).value();
  return order;
}

Order make_order(Random& random, int number, bool large, const Extras& extras) {
  Order order;
  order.key = "key-" + std::to_string(number);
  const WorkflowSpec workflow = make_workflow(random, large, extras);
  order.definition = std::make_shared<const std::string>(encode_definition(workflow));
  order.plan = Plan::build(decode_definition(*order.definition).value(), hash128(*order.definition)).value();
  if (Random aside = skipped(random, 3); aside.chance(80)) order.deadline.after = aside.between(500ms, 8s);
  order.priority = random.between(-2, 2);
  order.submit_after = random.between(0ms, 9s);
  order.twice = random.chance(200);
  order.wait = random.chance(300);
  if (random.chance(150)) order.cancel_after = random.between(1ms, 4s);
  if (random.chance(120)) {
    order.pause_after = random.between(1ms, 3s);
    order.pause_for = random.between(10ms, 4s);
  }
  for (int i = random.chance(300) ? random.between(1, 4) : 0; i > 0; --i)
    order.signals_after.push_back(random.between(1ms, 5s));
  if (Random aside = random; aside.chance(300)) make_again(aside, workflow, order);  // likewise
  return order;
}

}  // namespace millrace::sim
