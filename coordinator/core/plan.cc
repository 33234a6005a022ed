#include "coordinator/core/plan.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace millrace {
namespace {

Error invalid(std::string what) { return Error{Code::kInvalid, "definition: " + std::move(what), {}, ""}; }

std::string in_spec(const WorkflowSpec& workflow, std::uint32_t spec, const std::string& what) {
  if (!workflow.spec_of.empty()) return "spec " + std::to_string(spec) + ": " + what;
  return "node '" + workflow.id(spec) + "': " + what;
}

}  // namespace

Plan::Plan(WorkflowSpec workflow, const Hash128& definition, Dag dag)
    : workflow_(std::move(workflow)), definition_(definition), dag_(std::move(dag)) {}

Result<std::shared_ptr<const Plan>> Plan::build(WorkflowSpec spec, const Hash128& definition) {
  const std::uint32_t nodes = spec.node_count();
  if (nodes == 0) return invalid("it has no nodes");
  if (nodes > kTasksMax) return invalid("more than " + std::to_string(kTasksMax) + " nodes");
  if (!spec.ids.empty() && spec.ids.size() != nodes) return invalid("ids and nodes differ in number");
  if (spec.spec_of.empty() ? spec.specs.size() != nodes : spec.spec_of.size() != nodes)
    return invalid("specs and nodes differ in number");
  for (std::uint32_t index : spec.spec_of) {
    if (index >= spec.specs.size()) return invalid("a node names a spec that is not there");
  }
  Result<Dag> dag = Dag::build(std::move(spec.upstream));
  if (!dag.ok()) return dag.error();
  spec.upstream = dag->upstream();

  auto plan = std::shared_ptr<Plan>(new Plan(std::move(spec), definition, std::move(dag).value()));
  const WorkflowSpec& workflow = plan->workflow_;
  for (std::uint32_t i = 0; i < workflow.specs.size(); ++i) {
    const NodeSpec& node = workflow.specs[i];
    plan->shared_specs_.push_back(std::make_shared<const NodeSpec>(node));
    if (node.is_control()) {
      if (node.value) {
        Result<expr::Template> value = expr::Template::compile(*node.value);
        if (!value.ok()) return invalid(in_spec(workflow, i, value.error().what));
        plan->values_.emplace(i, std::move(value).value());
      }
      plan->slot_classes_.push_back(SlotClass::kCpu);
      plan->reads_upstream_.push_back(true);
      plan->reads_variables_.push_back(false);  // the core sees them
      continue;
    }
    if (!is_node_id(node.executor)) return invalid(in_spec(workflow, i, "unknown executor '" + node.executor + "'"));
    const ExecutorFields& executor = fields_of_executor(node.executor);
    plan->slot_classes_.push_back(executor.slot_class);
    const std::string fields = node.fields.dump();
    plan->reads_upstream_.push_back(executor.sees_values || fields.find("{{") != std::string::npos);
    plan->reads_variables_.push_back(executor.sees_values || fields.find("vars") != std::string::npos);
  }
  for (const auto& [name, value] : workflow.outputs) {
    Result<expr::Template> output = expr::Template::compile(value);
    if (!output.ok()) return invalid("output '" + name + "': " + output.error().what);
    plan->outputs_.emplace_back(name, std::move(output).value());
  }
  plan->ranks_ = plan->dag_.ranks();
  plan->sinks_ = plan->dag_.sinks();
  plan->by_id_.reserve(workflow.ids.size());
  for (std::uint32_t i = 0; i < workflow.ids.size(); ++i) plan->by_id_.emplace(workflow.ids[i], i);
  plan->find_scopes();
  if (Status read = plan->read_wishes(); !read.ok()) return read.error();
  plan->share_needs();
  if (Status read = plan->read_flows(); !read.ok()) return read.error();
  if (Status read = plan->read_cleanup(); !read.ok()) return read.error();
  if (Status read = plan->read_stand_ins(); !read.ok()) return read.error();
  plan->find_sinks();
  return std::shared_ptr<const Plan>(std::move(plan));
}

Status Plan::read_wishes() {
  for (std::uint32_t i = 0; i < workflow_.specs.size(); ++i) {
    const NodeSpec& node = workflow_.specs[i];
    if (node.sticky.empty() && node.apart.empty()) continue;
    Wishes& wishes = wishes_[i];
    for (const PlaceHint& hint : node.sticky) {
      if (Status read = read_wish(i, hint, wishes.sticky); !read.ok()) return read;
    }
    for (const PlaceHint& hint : node.apart) {
      if (Status read = read_wish(i, hint, wishes.apart); !read.ok()) return read;
    }
  }
  return Done{};
}

Status Plan::read_wish(std::uint32_t spec, const PlaceHint& hint, std::vector<Wish>& wishes) {
  if (hint.node) {
    const std::optional<TaskIndex> node = find(hint.text);
    if (!node) return invalid(in_spec(workflow_, spec, "no node '" + hint.text + "' to be placed by"));
    noted_.insert(*node);
    wishes.push_back({node, std::nullopt});
    return Done{};
  }
  Result<expr::Template> key = expr::Template::compile(Value(hint.text));
  if (!key.ok()) return invalid(in_spec(workflow_, spec, key.error().what));
  wishes.push_back({std::nullopt, std::move(key).value()});
  return Done{};
}

void Plan::share_needs() {
  std::vector<bool> hinted(workflow_.specs.size());
  for (const auto& [spec, wishes] : wishes_) hinted[spec] = true;
  for (TaskIndex task : noted_) hinted[workflow_.spec_index(task.value)] = true;
  std::map<Requirements, std::shared_ptr<const Requirements>> seen;
  for (std::uint32_t i = 0; i < workflow_.specs.size(); ++i) {
    const NodeSpec& node = workflow_.specs[i];
    if (node.is_control()) {
      needs_.push_back(nullptr);
      continue;
    }
    Requirements needs{node.executor, node.queue, slot_classes_[i], node.labels, node.resources, hinted[i]};
    std::shared_ptr<const Requirements>& shared = seen[needs];
    if (shared == nullptr) shared = std::make_shared<const Requirements>(std::move(needs));
    needs_.push_back(shared);
  }
}

Status Plan::read_flows() {
  const auto compile = [](const std::optional<Value>& value, std::optional<expr::Template>& out) -> Status {
    if (!value) return Done{};
    Result<expr::Template> compiled = expr::Template::compile(*value);
    if (!compiled.ok()) return compiled.error();
    out = std::move(compiled).value();
    return Done{};
  };
  static const FlowSpec kPlain;
  for (std::uint32_t i = 0; i < workflow_.specs.size(); ++i) {
    const FlowSpec& spec = workflow_.specs[i].flow;
    if (spec == kPlain) continue;
    Flow& flow = flows_[i];
    flow.join = spec.join;
    flow.round = spec.round;
    flow.loop = spec.loop;
    if (Status loop = check_loop(i); !loop.ok()) return loop;
    if (!spec.gate.empty()) {
      const std::optional<TaskIndex> gate = workflow_.spec_of.empty() ? find(spec.gate) : std::nullopt;
      if (!gate || !std::ranges::binary_search(dag_.upstream().of(i), gate->value))
        return invalid(in_spec(workflow_, i, "it does not wait for '" + spec.gate + "', which it begins with"));
      gates_.emplace(i, gate->value);
    }
    flow.has_handlers = !spec.on_failure.empty();
    flow.on_upstream_failure = spec.on_upstream_failure;
    if (Status when = compile(spec.when, flow.when); !when.ok())
      return invalid(in_spec(workflow_, i, when.error().what));
    if (Status fallback = compile(spec.fallback, flow.fallback); !fallback.ok())
      return invalid(in_spec(workflow_, i, fallback.error().what));
    if (spec.wait) {
      Flow::Wait& wait = flow.wait.emplace();
      wait.spec = *spec.wait;
      for (auto [from, to] :
           {std::pair{&spec.wait->limit, &wait.limit}, std::pair{&spec.wait->otherwise, &wait.otherwise},
            std::pair{&spec.wait->message, &wait.message}, std::pair{&spec.wait->with, &wait.with}}) {
        if (Status compiled = compile(*from, *to); !compiled.ok())
          return invalid(in_spec(workflow_, i, compiled.error().what));
      }
      if (spec.wait->kind == WaitKind::kChild && spec.wait->workflow.empty())
        return invalid(in_spec(workflow_, i, "a child run without the name of its workflow"));
      if (spec.wait->kind == WaitKind::kTimer && !wait.limit)
        return invalid(in_spec(workflow_, i, "a timer without its time"));
    }
    if (Status branch = read_branch(i, flow); !branch.ok()) return branch;
    if (spec.cache) {
      const NodeSpec& node = workflow_.specs[i];
      if (node.is_control()) return invalid(in_spec(workflow_, i, "a 'cache' of what no worker runs"));
      std::string does = node.executor + '\0' + node.fields.dump();
      flow.cache = Flow::Cache{};
      if (spec.foreach) {  // of each item a value of its own, in an array
        if (spec.foreach->collect == Value(false)) return invalid(in_spec(workflow_, i, "a 'cache' of no outputs"));
        does += (spec.foreach->collect ? spec.foreach->collect->dump() : std::string()) + ":item";
        flow.cache->index = does.find("index") != std::string::npos;
      }
      flow.cache->does = hash128(does);
      if (Status key = compile(spec.cache->key, flow.cache->key); !key.ok())
        return invalid(in_spec(workflow_, i, key.error().what));
    }
    if (!spec.foreach) continue;
    const bool child = spec.wait && spec.wait->kind == WaitKind::kChild;
    if (workflow_.specs[i].is_control() && !child)
      return invalid(in_spec(workflow_, i, "a node without an executor is mapped"));
    if (child && spec.foreach->collect && !spec.foreach->collect->is_bool())
      return invalid(in_spec(workflow_, i, "'collect' of child runs is no boolean"));
    if (!workflow_.spec_of.empty()) return invalid(in_spec(workflow_, i, "a mapped node in the packed form"));
    if (Status over = compile(spec.foreach->over, flow.foreach); !over.ok())
      return invalid(in_spec(workflow_, i, over.error().what));
    mapped_.push_back(i);
  }
  if (!mapped_.empty()) {
    static constexpr std::uint32_t kTop = 0xFFFF'FFF0;  // the last ones mean other things
    item_room_ = (kTop - node_count()) / static_cast<std::uint32_t>(mapped_.size());
    for (std::uint32_t i = 0; i < mapped_.size(); ++i) base_of_[mapped_[i]] = node_count() + i * item_room_;
  }
  if (flows_.empty()) return Done{};
  for (std::uint32_t task = 0; task < node_count(); ++task) {
    const Flow* flow = this->flow(TaskIndex{task});
    if (spec(TaskIndex{task}).flow.sets) setters_.push_back(task);
    if (flow != nullptr && flow->wait && flow->wait->spec.kind == WaitKind::kChild) ++child_count_;
    if (flow != nullptr && flow->wait && flow->wait->spec.kind == WaitKind::kSignal)
      signal_nodes_[flow->wait->spec.signal].push_back(task);
  }
  for (std::uint32_t task = 0; task < node_count(); ++task) {
    const Flow* flow = this->flow(TaskIndex{task});
    if (flow != nullptr && flow->join > 0) early_joins_.push_back(task);
  }
  return Done{};
}

// A loop, and the end of a round, are value nodes; a loop waits for the ends of its rounds.
Status Plan::check_loop(std::uint32_t spec) const {
  const FlowSpec& flow = workflow_.specs[spec].flow;
  if (flow.round == 0 && !flow.loop) return Done{};
  if (!workflow_.spec_of.empty() || !workflow_.specs[spec].value)
    return invalid(in_spec(workflow_, spec, "a loop, or a round, is no value node"));
  if (!flow.loop) return Done{};
  for (std::uint32_t round = 1; round <= flow.loop->rounds; ++round) {
    const std::optional<TaskIndex> end = find(workflow_.ids[spec] + '/' + std::to_string(round));
    if (!end || !std::ranges::binary_search(dag_.upstream().of(spec), end->value) ||
        workflow_.spec(end->value).flow.round != round)
      return invalid(in_spec(workflow_, spec, "a loop without the end of round " + std::to_string(round)));
  }
  return Done{};
}

Status Plan::mark(const std::string& id, Cleanup kind) {
  const std::optional<TaskIndex> task = find(id);
  if (!task) return invalid("no node '" + id + "' to clean up with");
  if (cleanup_.empty()) cleanup_.resize(node_count());
  Cleanup& known = cleanup_[task->value];
  if (known == kind && kind != Cleanup::kCompensate) return Done{};
  if (known != Cleanup::kNone) return invalid("node '" + id + "' is to clean up twice");
  known = kind;
  cleanups_[static_cast<std::size_t>(kind)].push_back(task->value);
  ++cleanup_count_;
  return Done{};
}

// Who undoes, who handles failures, who runs in any case; and that none of the work waits for them.
Status Plan::read_cleanup() {
  for (std::uint32_t i = 0; i < workflow_.specs.size(); ++i) {
    const FlowSpec& flow = workflow_.specs[i].flow;
    if (flow.compensate.empty() && flow.on_failure.empty()) continue;
    if (!workflow_.spec_of.empty()) return invalid(in_spec(workflow_, i, "a handler in the packed form"));
    for (const std::string& id : flow.on_failure) {
      const std::optional<TaskIndex> handler = find(id);
      if (!handler || !std::ranges::binary_search(dag_.downstream().of(i), handler->value))
        return invalid(in_spec(workflow_, i, "'" + id + "' is not a node that waits for it"));
      handled_by_[handler->value].push_back(i);
    }
    if (flow.compensate.empty()) continue;
    if (Status marked = mark(flow.compensate, Cleanup::kCompensate); !marked.ok()) return marked;
    undone_by_[find(flow.compensate)->value] = i;
  }
  for (const std::string& id : workflow_.on_failure) {
    if (Status marked = mark(id, Cleanup::kOnFailure); !marked.ok()) return marked;
  }
  for (const std::string& id : workflow_.finally_run) {
    if (Status marked = mark(id, Cleanup::kFinally); !marked.ok()) return marked;
  }
  if (!cleanup_.empty()) {
    if (cleanup_count_ == node_count()) return invalid("every node is there to clean up");
    for (std::uint32_t task = 0; task < node_count(); ++task) {
      const Cleanup kind = cleanup_[task];
      for (std::uint32_t up : dag_.upstream().of(task)) {
        const Cleanup before = cleanup_[up];
        if (before == Cleanup::kNone || (before == kind && kind != Cleanup::kCompensate)) continue;
        return invalid("node '" + id(TaskIndex{task}) + "' waits for '" + id(TaskIndex{up}) +
                       "', which runs when everything else has ended");
      }
      if (kind == Cleanup::kCompensate && cleanup_[undone_by_[task]] != Cleanup::kNone)
        return invalid("node '" + id(TaskIndex{task}) + "' undoes a node that is there to clean up");
    }
    std::uint32_t place = 0;
    for (std::uint32_t task : dag_.order()) places_[task] = place++;
  }
  return Done{};
}

// Who runs in the place of a node that failed. Each is there for one node and for nothing else, and nothing that it
// waits for waits for the end of that node.
Status Plan::read_stand_ins() {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  for (std::uint32_t i = 0; i < workflow_.specs.size(); ++i) {
    const FlowSpec& flow = workflow_.specs[i].flow;
    if (flow.stand_in.empty()) continue;
    if (!workflow_.spec_of.empty()) return invalid(in_spec(workflow_, i, "a stand-in in the packed form"));
    const std::string named = "'" + flow.stand_in + "'";
    const std::optional<TaskIndex> next = find(flow.stand_in);
    if (!next || is_item(*next) || !std::ranges::binary_search(dag_.downstream().of(i), next->value))
      return invalid(in_spec(workflow_, i, named + " is not a node that waits for it"));
    if (flow.fallback) return invalid(in_spec(workflow_, i, "two fallbacks"));
    if (workflow_.specs[next->value].flow.join >= dag_.upstream().of(next->value).size())
      return invalid(in_spec(workflow_, i, named + " joins more nodes than it waits for"));
    if (cleanup_of(TaskIndex{i}) != Cleanup::kNone || cleanup_of(*next) != Cleanup::kNone ||
        handled_by_.contains(next->value) || chosen_by_.contains(next->value))
      return invalid(in_spec(workflow_, i, named + " cannot stand in: one of them runs for another reason"));
    if (!stands_in_for_.emplace(next->value, i).second)
      return invalid(in_spec(workflow_, i, named + " stands in for another node already"));
    stand_ins_.emplace(i, next->value);
    pairs.emplace_back(i, next->value);
  }
  if (!pairs.empty() && !find_cycle(with_stand_ins(dag_.upstream(), pairs)).empty())
    return invalid("a node that stands in for another waits for what waits for that");
  return Done{};
}

std::optional<TaskIndex> Plan::stand_in(TaskIndex task) const {
  auto it = stand_ins_.find(task.value);
  return it == stand_ins_.end() ? std::nullopt : std::optional(TaskIndex{it->second});
}

std::optional<TaskIndex> Plan::stands_in_for(TaskIndex task) const {
  auto it = stands_in_for_.find(task.value);
  return it == stands_in_for_.end() ? std::nullopt : std::optional(TaskIndex{it->second});
}

// What nothing depends on, but for handlers, stand-ins and what cleans up, which are none themselves.
void Plan::find_sinks() {
  if (cleanup_.empty() && handled_by_.empty() && stand_ins_.empty()) return;
  const auto aside = [&](std::uint32_t task) {
    return cleanup_of(TaskIndex{task}) != Cleanup::kNone || handled_by_.contains(task) || stands_in_for_.contains(task);
  };
  sinks_.clear();
  for (std::uint32_t task = 0; task < node_count(); ++task) {
    if (!aside(task) && std::ranges::all_of(dag_.downstream().of(task), aside)) sinks_.push_back(task);
  }
}

std::optional<TaskIndex> Plan::undone_by(TaskIndex task) const {
  auto it = undone_by_.find(task.value);
  if (it == undone_by_.end()) return std::nullopt;
  return TaskIndex{it->second};
}

std::uint32_t Plan::place_in_order(TaskIndex task) const {
  auto it = places_.find(task.value);
  return it == places_.end() ? 0 : it->second;
}

std::span<const std::uint32_t> Plan::handled_by(TaskIndex task) const {
  if (handled_by_.empty()) return {};
  auto it = handled_by_.find(task.value);
  return it == handled_by_.end() ? std::span<const std::uint32_t>() : std::span<const std::uint32_t>(it->second);
}

Status Plan::read_branch(std::uint32_t spec, Flow& flow) {
  const std::optional<BranchSpec>& branch = workflow_.specs[spec].flow.branch;
  if (!branch) return Done{};
  if (!workflow_.spec_of.empty()) return invalid(in_spec(workflow_, spec, "a branch in the packed form"));
  const auto target = [&](const std::string& id) -> Status {
    const std::optional<TaskIndex> task = find(id);
    if (!task || !std::ranges::binary_search(dag_.downstream().of(spec), task->value))
      return invalid(in_spec(workflow_, spec, "'" + id + "' is not a node that waits for this branch"));
    std::vector<std::uint32_t>& by = chosen_by_[task->value];
    if (by.empty() || by.back() != spec) by.push_back(spec);
    return Done{};
  };
  for (const BranchCase& one : branch->cases) {
    Result<expr::Template> when = expr::Template::compile(one.when);
    if (!when.ok()) return invalid(in_spec(workflow_, spec, when.error().what));
    for (const std::string& id : one.to) {
      if (Status known = target(id); !known.ok()) return known;
    }
    flow.cases.push_back({std::move(when).value(), one.to});
  }
  for (const std::string& id : branch->otherwise) {
    if (Status known = target(id); !known.ok()) return known;
  }
  flow.otherwise = branch->otherwise;
  flow.first = branch->first;
  return Done{};
}

std::optional<TaskIndex> Plan::node_of(TaskIndex task) const {
  if (!is_item(task)) return task;
  if (mapped_.empty()) return std::nullopt;
  const std::uint32_t place = (task.value - node_count()) / item_room_;
  if (place >= mapped_.size()) return std::nullopt;
  return TaskIndex{mapped_[place]};
}

Cleanup Plan::cleanup_of(TaskIndex task) const {
  if (cleanup_.empty()) return Cleanup::kNone;
  const std::optional<TaskIndex> node = node_of(task);
  return node ? cleanup_[node->value] : Cleanup::kNone;
}

std::string Plan::id(TaskIndex task) const {
  if (!is_item(task)) return workflow_.id(task.value);
  const std::optional<TaskIndex> node = node_of(task);
  if (!node) return "?" + std::to_string(task.value);
  return workflow_.id(node->value) + "[" + std::to_string(task.value - base(*node)) + "]";
}

const Flow* Plan::flow(TaskIndex task) const {
  if (flows_.empty()) return nullptr;
  auto it = flows_.find(workflow_.spec_index(task.value));
  return it == flows_.end() ? nullptr : &it->second;
}

std::span<const std::uint32_t> Plan::signal_nodes(std::string_view name) const {
  auto it = signal_nodes_.find(name);
  return it == signal_nodes_.end() ? std::span<const std::uint32_t>() : std::span<const std::uint32_t>(it->second);
}

std::vector<std::string_view> Plan::signals() const {
  std::vector<std::string_view> names;
  for (const auto& [name, nodes] : signal_nodes_) names.push_back(name);
  return names;
}

std::span<const std::uint32_t> Plan::chosen_by(TaskIndex task) const {
  if (chosen_by_.empty()) return {};
  auto it = chosen_by_.find(task.value);
  return it == chosen_by_.end() ? std::span<const std::uint32_t>() : std::span<const std::uint32_t>(it->second);
}

const Wishes* Plan::wishes(TaskIndex task) const {
  if (wishes_.empty()) return nullptr;
  auto it = wishes_.find(workflow_.spec_index(task.value));
  return it == wishes_.end() ? nullptr : &it->second;
}

std::optional<TaskIndex> Plan::find(std::string_view id) const {
  if (workflow_.ids.empty()) {  // packed form: "n<i>"
    if (id.size() < 2 || id[0] != 'n') return std::nullopt;
    std::uint64_t index = 0;
    for (char c : id.substr(1)) {
      if (c < '0' || c > '9' || index > node_count()) return std::nullopt;
      index = index * 10 + static_cast<std::uint64_t>(c - '0');
    }
    if (index >= node_count()) return std::nullopt;
    return TaskIndex{static_cast<std::uint32_t>(index)};
  }
  if (auto it = by_id_.find(id); it != by_id_.end()) return TaskIndex{it->second};
  const std::size_t bracket = id.ends_with(']') ? id.find('[') : std::string_view::npos;  // an item
  const auto it = bracket == std::string_view::npos ? by_id_.end() : by_id_.find(id.substr(0, bracket));
  if (it == by_id_.end() || !base_of_.contains(it->second)) return std::nullopt;
  std::uint32_t item = 0;
  const std::string_view digits = id.substr(bracket + 1, id.size() - bracket - 2);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), item);
  if (error != std::errc() || end != digits.data() + digits.size() || item >= item_room_) return std::nullopt;
  return TaskIndex{base_of_.at(it->second) + item};
}

const expr::Template* Plan::value_template(TaskIndex task) const {
  auto it = values_.find(workflow_.spec_index(task.value));
  return it == values_.end() ? nullptr : &it->second;
}

}  // namespace millrace
