#include "common/wire/assign_codec.h"

#include <cassert>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace millrace {
namespace {

// ---------------------------------------------------------------- trace ids

void write_trace(const TraceId& trace, pb::ContextEntry* out) {
  const std::optional<Hash128> id = parse_hash128(trace);
  if (id.has_value() && !id->is_zero()) {
    out->set_trace_high(id->high);
    out->set_trace_low(id->low);
  } else {
    out->set_trace_other(trace);
  }
}

TraceId read_trace(pb::ContextEntry* entry) {
  if ((entry->trace_high() | entry->trace_low()) == 0) return std::move(*entry->mutable_trace_other());
  return to_string(Hash128{entry->trace_high(), entry->trace_low()});
}

// ---------------------------------------------------------------- writing

class AssignWriter {
 public:
  AssignWriter(SentSpecs& sent, pb::AssignBatch* out) : sent_(sent), out_(out), payloads_(out->mutable_payloads()) {}

  void write(const AssignBatch& batch) {
    out_->set_forget_specs(sent_.begin_batch(batch.assignments.size()));
    for_each_stretch(
        batch.assignments, [](const Assignment& a, const Assignment& b) { return a.context == b.context; },
        [&](std::size_t first, std::size_t count) { group(std::span(batch.assignments).subspan(first, count)); });
  }

 private:
  std::uint32_t definition(const RunContext& context) {
    const auto next = static_cast<std::uint32_t>(out_->definitions_size());
    const auto [it, added] = definitions_.try_emplace({context.definition, context.workflow}, next);
    if (added) {
      pb::DefinitionEntry* entry = out_->add_definitions();
      entry->set_high(context.definition.high);
      entry->set_low(context.definition.low);
      entry->set_workflow(context.workflow);
    }
    return it->second;
  }

  std::uint32_t context(const RunContext& context) {
    const auto next = static_cast<std::uint32_t>(out_->contexts_size());
    const auto [it, added] = contexts_.try_emplace(&context, next);
    if (added) {
      pb::ContextEntry* entry = out_->add_contexts();
      entry->set_run(context.run.value);
      entry->set_epoch(context.epoch);
      entry->set_definition(definition(context));
      write_trace(context.trace_id, entry);
      entry->set_inputs(payloads_.number(context.inputs));
    }
    return it->second;
  }

  void specs(std::span<const Assignment> tasks) {
    const RunContext& run = *tasks[0].context;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (i > 0 && tasks[i].spec == tasks[i - 1].spec) continue;
      if (!sent_.insert({run.definition, tasks[i].spec})) continue;
      assert(tasks[i].node_spec != nullptr);
      pb::SpecEntry* entry = out_->add_specs();
      entry->set_definition(definition(run));
      entry->set_spec(tasks[i].spec);
      millrace::write(*tasks[i].node_spec, entry->mutable_node_spec());
    }
  }

  void bindings(std::span<const Assignment> tasks, pb::AssignGroup* group) {
    write_versions(
        tasks.size(), [&](std::size_t i) { return tasks[i].task.value; },
        [&](std::size_t i) -> const auto& { return tasks[i].bindings; }, [&] { return group->mutable_bindings(); });
    if (!group->has_bindings()) return;
    std::vector<std::uint32_t> values;
    std::vector<std::pair<const std::string*, std::uint32_t>> names;
    for (const Assignment& task : tasks) {
      assert(task.names.size() == task.bindings.size());
      for (std::size_t i = 0; i < task.bindings.size(); ++i) {
        values.push_back(payloads_.number(task.bindings[i].value));
        names.emplace_back(&task.names[i], task.bindings[i].task.value);
      }
    }
    write_column<std::uint32_t>(group->mutable_binding_values(), values.size(), 0,
                                [&](std::size_t i) { return values[i]; });
    write_text_column(
        group->mutable_binding_names(), names.size(),
        [&](std::size_t i) { return is_packed_id(*names[i].first, names[i].second); },
        [&](std::size_t i) -> const std::string& { return *names[i].first; });
  }

  void items(std::span<const Assignment> tasks, pb::AssignGroup* group) {
    std::vector<std::uint32_t> numbers;  // none in most groups
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (tasks[i].items == nullptr) continue;
      const AssignedItems& items = *tasks[i].items;
      pb::AssignedItems* entry = group->add_assigned_items();
      entry->set_first(items.first);
      entry->set_count(items.count);
      entry->set_values(payloads_.number(items.values));
      entry->set_budget_us(items.budget.count());
      numbers.resize(tasks.size());
      numbers[i] = static_cast<std::uint32_t>(group->assigned_items_size());
    }
    write_column<std::uint32_t>(group->mutable_items(), numbers.size(), 0, [&](std::size_t i) { return numbers[i]; });
  }

  void group(std::span<const Assignment> tasks) {
    const std::size_t n = tasks.size();
    pb::AssignGroup* out = out_->add_groups();
    out->set_context(context(*tasks[0].context));
    specs(tasks);
    out->mutable_task_deltas()->Reserve(static_cast<int>(n));
    std::uint32_t previous = 0;
    for (const Assignment& task : tasks) {
      out->mutable_task_deltas()->AddAlreadyReserved(static_cast<std::int32_t>(task.task.value - previous));
      previous = task.task.value;
    }
    write_column<std::uint32_t>(out->mutable_numbers(), n, 1, [&](std::size_t i) { return tasks[i].number; });
    write_column<std::uint32_t>(out->mutable_specs(), n, 0, [&](std::size_t i) { return tasks[i].spec; });
    write_column<std::int32_t>(out->mutable_priorities(), n, 0, [&](std::size_t i) { return tasks[i].priority; });
    write_column<std::int64_t>(out->mutable_ages_us(), n, 0, [&](std::size_t i) { return to_us(tasks[i].age); });
    write_text_column(
        out->mutable_nodes(), n, [&](std::size_t i) { return is_packed_id(tasks[i].node, tasks[i].task.value); },
        [&](std::size_t i) -> const std::string& { return tasks[i].node; });
    write_column<std::uint32_t>(out->mutable_bundles(), n, 0,
                                [&](std::size_t i) { return payloads_.number(tasks[i].bundle); });
    items(tasks, out);
    bindings(tasks, out);
  }

  SentSpecs& sent_;
  pb::AssignBatch* out_;
  PayloadTable payloads_;
  std::map<std::pair<Hash128, std::string>, std::uint32_t> definitions_;
  std::unordered_map<const RunContext*, std::uint32_t> contexts_;
};

// ---------------------------------------------------------------- reading

class AssignReader {
 public:
  AssignReader(Reader& in, pb::AssignBatch* batch, SpecCache& cache, std::optional<SpecKey>& unknown_spec)
      : in_(in), batch_(batch), cache_(cache), unknown_spec_(unknown_spec) {}

  AssignBatch read() {
    AssignBatch out;
    const auto& groups = batch_->groups();
    const std::size_t total = count_entries(in_, groups, kBatchMax, [](const auto& g) { return g.task_deltas_size(); });
    count_entries(in_, groups, kBindingsMax, [](const auto& g) { return g.bindings().task_deltas_size(); });
    in_.require(static_cast<std::size_t>(batch_->specs_size()) <= kBatchMax, "too many node specs");
    if (!in_.ok()) return out;
    read_specs();
    payloads_ = read_payloads(in_, batch_->mutable_payloads());
    read_contexts();
    out.assignments.reserve(total);
    for (const pb::AssignGroup& group : groups) {
      if (in_.ok()) read_group(group, out.assignments);
    }
    return out;
  }

 private:
  const pb::DefinitionEntry& definition(std::uint32_t index) {
    const bool known = in_.require(index < static_cast<std::uint32_t>(batch_->definitions_size()),
                                   "a definition index is out of range");
    return known ? batch_->definitions(static_cast<int>(index)) : pb::DefinitionEntry::default_instance();
  }
  static Hash128 hash_of(const pb::DefinitionEntry& entry) { return {entry.high(), entry.low()}; }

  void read_specs() {
    if (batch_->forget_specs()) cache_.clear();
    in_.require(cache_.size() <= SentSpecs::kMax, "more node specs than agreed");
    for (const pb::SpecEntry& entry : batch_->specs()) {
      if (!in_.ok()) return;
      const SpecKey key{hash_of(definition(entry.definition())), entry.spec()};
      auto spec = std::make_shared<const NodeSpec>(read_node_spec(in_, entry.node_spec()));
      if (in_.ok()) cache_.put(key, std::move(spec));
    }
  }

  void read_contexts() {
    for (pb::ContextEntry& entry : *batch_->mutable_contexts()) {
      if (!in_.ok()) return;
      const pb::DefinitionEntry& d = definition(entry.definition());
      in_.require(d.workflow().size() <= kWorkflowNameMax, "a text is too long");
      contexts_.push_back(std::make_shared<const RunContext>(RunContext{RunId{entry.run()}, entry.epoch(), hash_of(d),
                                                                        d.workflow(), read_trace(&entry),
                                                                        payload_at(in_, payloads_, entry.inputs())}));
    }
  }

  const std::shared_ptr<const NodeSpec>& spec(const SpecKey& key) {
    if (last_spec_ == nullptr || last_key_ != key) {
      last_spec_ = cache_.find(key);
      last_key_ = key;
      if (last_spec_ == nullptr && !unknown_spec_) unknown_spec_ = key;
    }
    return last_spec_;
  }

  std::shared_ptr<const AssignedItems> assigned_items(const pb::AssignGroup& group, std::uint32_t index) {
    if (!in_.require(index < static_cast<std::uint32_t>(group.assigned_items_size()), "items are missing"))
      return nullptr;
    const pb::AssignedItems& entry = group.assigned_items(static_cast<int>(index));
    in_.require(entry.count() > 0 && entry.count() <= kChunkMax && entry.budget_us() >= 0, "items out of range");
    return std::make_shared<const AssignedItems>(AssignedItems{
        entry.first(), entry.count(), payload_at(in_, payloads_, entry.values()), Duration{entry.budget_us()}});
  }

  void read_group(const pb::AssignGroup& group, std::vector<Assignment>& out) {
    const auto n = static_cast<std::size_t>(group.task_deltas_size());
    in_.require(n > 0, "an empty group");
    in_.require(group.context() < contexts_.size(), "a context index is out of range");
    const Column<std::uint32_t> numbers(in_, group.numbers(), n, 1);
    const Column<std::uint32_t> specs(in_, group.specs(), n, 0);
    const Column<std::int32_t> priorities(in_, group.priorities(), n, 0);
    const Column<std::int64_t> ages(in_, group.ages_us(), n, 0);
    const TextColumn nodes(in_, group.nodes(), n, kNodePathMax);
    const Column<std::uint32_t> bundles(in_, group.bundles(), n, 0);
    const Column<std::uint32_t> items(in_, group.items(), n, 0);
    VersionReader bindings(in_, group.bindings(), n);
    const Column<std::uint32_t> values(in_, group.binding_values(), bindings.total(), 0);
    const TextColumn names(in_, group.binding_names(), bindings.total(), kNodePathMax);
    if (!in_.ok()) return;
    const std::shared_ptr<const RunContext>& context = contexts_[group.context()];
    std::uint32_t task = 0;
    std::size_t binding = 0;
    for (std::size_t i = 0; i < n; ++i) {
      task += static_cast<std::uint32_t>(group.task_deltas(static_cast<int>(i)));
      Assignment& a = out.emplace_back();
      a.context = context;
      a.task = TaskIndex{task};
      a.number = numbers[i];
      a.spec = specs[i];
      a.node_spec = spec({context->definition, a.spec});
      a.node = nodes.all_default() ? to_packed_id(task) : nodes[i];
      a.priority = priorities[i];
      a.age = from_us(ages[i]);
      a.bundle = payload_at(in_, payloads_, bundles[i]);
      if (items[i] > 0) a.items = assigned_items(group, items[i] - 1);
      const std::size_t bound = bindings.count(i);
      a.bindings.reserve(bound);
      a.names.reserve(bound);
      for (std::size_t b = 0; b < bound; ++b, ++binding) {
        const UpstreamVersion upstream = bindings.next(a.task);
        a.bindings.push_back({upstream.task, upstream.version, payload_at(in_, payloads_, values[binding])});
        a.names.push_back(names.all_default() ? to_packed_id(upstream.task.value) : names[binding]);
      }
    }
  }

  static constexpr std::size_t kWorkflowNameMax = 4096;  // it is copied into each context
  Reader& in_;
  pb::AssignBatch* batch_;
  SpecCache& cache_;
  std::optional<SpecKey>& unknown_spec_;
  std::vector<Payload> payloads_;
  std::vector<std::shared_ptr<const RunContext>> contexts_;
  SpecKey last_key_;
  std::shared_ptr<const NodeSpec> last_spec_;
};

}  // namespace

void write_assignments(const AssignBatch& batch, SentSpecs& sent, pb::AssignBatch* out) {
  AssignWriter(sent, out).write(batch);
}

AssignBatch read_assignments(Reader& in, pb::AssignBatch* batch, SpecCache& cache,
                             std::optional<SpecKey>& unknown_spec) {
  return AssignReader(in, batch, cache, unknown_spec).read();
}

std::size_t wire_size(const Assignment& assignment) {
  std::size_t size = 32 + assignment.node.size() + (assignment.bundle.is_inline() ? assignment.bundle.size() : 24);
  for (std::size_t i = 0; i < assignment.bindings.size(); ++i) {
    const Payload& value = assignment.bindings[i].value;
    size += 32 + (value.is_inline() && !value.is_null() ? value.size() : 24);
  }
  for (const std::string& name : assignment.names) size += name.size();
  if (assignment.items != nullptr) {
    const Payload& values = assignment.items->values;
    size += 40 + (values.is_inline() ? values.size() : 24);
  }
  return size;
}

}  // namespace millrace
