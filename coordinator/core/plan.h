// Plan: a workflow made ready to run. Built once per definition, shared by all its runs.
//
// Promises: immutable after build(); the graph is valid and acyclic; every expression that the core evaluates is
// compiled; `visible(node)` are the upstream tasks that a node's fields may see. Threads: may be read by any.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/expr/expression.h"
#include "common/graph/dag.h"
#include "common/model/executor_fields.h"
#include "common/model/workflow.h"

namespace millrace {

// Joins over more upstream tasks than this get their outputs as one value by reference, not one by one.
constexpr std::uint32_t kVisibleMax = 1'000;

// Where the tasks of a node would rather run: by other nodes of the run, and by keys that are evaluated for each task.
struct Wish {
  std::optional<TaskIndex> node;
  std::optional<expr::Template> key;
};
struct Wishes {
  std::vector<Wish> sticky;  // at most one
  std::vector<Wish> apart;
};

// When a node runs that is no part of the work itself: when everything else has ended, in this order.
enum class Cleanup : std::uint8_t { kNone, kCompensate, kOnFailure, kFinally };

// What decides whether a node runs: the compiled FlowSpec.
struct Flow {
  struct Case {
    expr::Template when;
    std::vector<std::string> to;
  };
  std::optional<expr::Template> when;
  std::vector<Case> cases;  // of a branch node
  std::vector<std::string> otherwise;
  bool first = false;
  std::uint32_t join = 0;
  OnUpstreamFailure on_upstream_failure = OnUpstreamFailure::kSkip;
  std::optional<expr::Template> fallback;
  struct Wait {
    WaitSpec spec;
    std::optional<expr::Template> limit;
    std::optional<expr::Template> otherwise;
    std::optional<expr::Template> message;
    std::optional<expr::Template> with;
  };
  std::optional<Wait> wait;
  struct Cache {
    Hash128 does;        // of what the node does: its executor and fields as they are written
    bool index = false;  // of items: it may see the index
    std::optional<expr::Template> key;
  };
  std::optional<Cache> cache;
  bool has_handlers = false;              // nodes that run if it fails
  std::optional<expr::Template> foreach;  // what a mapped node goes over
  std::optional<LoopSpec> loop;
  std::uint32_t round = 0;
};

class Plan {
 public:
  // Checks what cannot be trusted to a client. Errors: kInvalid, with what and where.
  static Result<std::shared_ptr<const Plan>> build(WorkflowSpec spec, const Hash128& definition);

  const WorkflowSpec& workflow() const { return workflow_; }
  const Hash128& definition() const { return definition_; }
  const Dag& dag() const { return dag_; }
  std::uint32_t node_count() const { return dag_.node_count(); }
  const NodeSpec& spec(TaskIndex task) const { return workflow_.spec(task.value); }
  // The spec as the messages share it: a pointer that lives as long as anybody holds it.
  std::shared_ptr<const NodeSpec> shared_spec(std::uint32_t spec_index) const { return shared_specs_[spec_index]; }
  std::string id(TaskIndex task) const;  // of an item "node[7]"
  std::optional<TaskIndex> find(std::string_view id) const;
  // What a task calls others: the name under which it sees a node, and the node of a name. In a loop `previous` is the
  // end of the round before.
  std::string name_from(TaskIndex from, TaskIndex of) const;
  std::optional<TaskIndex> find_from(TaskIndex from, std::string_view name) const;
  std::uint32_t round_of(TaskIndex task) const;                      // of the innermost loop around it; zero: none
  std::optional<TaskIndex> round_end(TaskIndex task) const;          // the node that this round ends in
  std::optional<TaskIndex> previous_end(TaskIndex round_end) const;  // of the round before; nothing: it is the first
  bool is_control_node(TaskIndex task) const { return spec(task).is_control(); }
  const Flow* flow(TaskIndex task) const;  // null: it runs when all upstream has succeeded
  bool has_flow() const { return !flows_.empty(); }
  bool has_cleanup() const { return !cleanup_.empty(); }
  Cleanup cleanup_of(TaskIndex task) const;  // of an item that of its node
  std::span<const std::uint32_t> cleanups(Cleanup kind) const { return cleanups_[static_cast<std::size_t>(kind)]; }
  std::uint32_t cleanup_count() const { return cleanup_count_; }
  std::optional<TaskIndex> undone_by(TaskIndex task) const;         // the node that it compensates
  std::uint32_t place_in_order(TaskIndex task) const;               // a topological one
  std::span<const std::uint32_t> handled_by(TaskIndex task) const;  // nodes of whose failure it is told
  std::optional<TaskIndex> stand_in(TaskIndex task) const;          // the node that runs in its place if it fails
  std::optional<TaskIndex> stands_in_for(TaskIndex task) const;     // and the other way round
  const std::map<std::uint32_t, std::uint32_t>& stand_ins() const { return stand_ins_; }
  std::span<const std::uint32_t> signal_nodes(std::string_view name) const;  // that wait for it, in their order
  std::vector<std::string_view> signals() const;                             // all that nodes wait for, by name
  // Mapped nodes. Above all nodes lie their items: item i of a node is the task base(node) + i, and each has room for
  // item_room() of them. The same for all runs, so a task's index says whose item it is.
  bool is_mapped(TaskIndex task) const {
    return !mapped_.empty() && task.value < node_count() && base_of_.contains(task.value);
  }
  std::uint32_t base(TaskIndex node) const { return base_of_.at(node.value); }
  std::uint32_t item_room() const { return item_room_; }
  bool is_item(TaskIndex task) const { return task.value >= node_count(); }
  // The node of a task: itself, or whose item it is. Nothing: there is no such task.
  std::optional<TaskIndex> node_of(TaskIndex task) const;
  const std::vector<std::uint32_t>& mapped() const { return mapped_; }
  const std::vector<std::uint32_t>& setters() const { return setters_; }  // nodes that set variables
  bool reads_variables(TaskIndex task) const {
    return !setters_.empty() && reads_variables_[workflow_.spec_index(task.value)];
  }
  std::uint32_t child_count() const { return child_count_; }  // nodes that start runs of other workflows
  // The node that its sub-graph begins with: it runs only if that did, whatever else it waits for.
  std::optional<TaskIndex> gate_of(TaskIndex task) const {
    if (gates_.empty()) return std::nullopt;
    const auto gate = gates_.find(task.value);
    return gate == gates_.end() ? std::nullopt : std::optional(TaskIndex{gate->second});
  }
  std::span<const std::uint32_t> early_joins() const { return early_joins_; }  // tasks with `join: any` or a number
  bool opens_early() const { return !early_joins_.empty() || !stand_ins_.empty(); }
  // Branch nodes that may choose this one; empty: it needs no choice.
  std::span<const std::uint32_t> chosen_by(TaskIndex task) const;
  // What a task asks of a worker; tasks that ask for the same share one.
  const std::shared_ptr<const Requirements>& needs(TaskIndex task) const {
    return needs_[workflow_.spec_index(task.value)];
  }
  const Wishes* wishes(TaskIndex task) const;                         // about its place; null: none
  bool noted(TaskIndex task) const { return noted_.contains(task); }  // another node has wishes about it
  SlotClass slot_class(TaskIndex task) const { return slot_classes_[workflow_.spec_index(task.value)]; }
  bool reads_upstream(TaskIndex task) const { return reads_upstream_[workflow_.spec_index(task.value)]; }
  std::uint32_t rank(TaskIndex task) const { return ranks_[task.value]; }  // longest path to a sink, itself included
  const std::vector<std::uint32_t>& ranks() const { return ranks_; }
  const std::vector<std::uint32_t>& sinks() const { return sinks_; }

  const expr::Template* value_template(TaskIndex task) const;  // of value nodes; null otherwise
  const std::vector<std::pair<std::string, expr::Template>>& outputs() const { return outputs_; }

 private:
  Plan(WorkflowSpec workflow, const Hash128& definition, Dag dag);
  Status read_wishes();
  Status read_wish(std::uint32_t spec, const PlaceHint& hint, std::vector<Wish>& wishes);
  void share_needs();
  Status read_flows();
  Status read_cleanup();
  Status mark(const std::string& id, Cleanup kind);
  Status read_stand_ins();
  Status check_loop(std::uint32_t spec) const;
  void find_scopes();
  std::string_view scope_of(TaskIndex task) const;
  void find_sinks();
  Status read_branch(std::uint32_t spec, Flow& flow);

  WorkflowSpec workflow_;
  Hash128 definition_;
  Dag dag_;
  std::vector<std::shared_ptr<const NodeSpec>> shared_specs_;
  std::vector<SlotClass> slot_classes_;                     // by spec
  std::vector<std::shared_ptr<const Requirements>> needs_;  // by spec; null: a value node
  std::unordered_map<std::uint32_t, Wishes> wishes_;        // by spec; lookups only
  std::set<TaskIndex> noted_;
  std::unordered_map<std::uint32_t, Flow> flows_;  // by spec; lookups only
  std::uint32_t child_count_ = 0;
  std::vector<std::uint32_t> setters_;
  std::vector<std::uint32_t> early_joins_;
  std::vector<Cleanup> cleanup_;  // by task; empty: none
  std::array<std::vector<std::uint32_t>, 4> cleanups_;
  std::uint32_t cleanup_count_ = 0;
  std::map<std::uint32_t, std::uint32_t> undone_by_;
  std::map<std::uint32_t, std::uint32_t> places_;  // of what may be undone
  std::map<std::uint32_t, std::vector<std::uint32_t>> handled_by_;
  std::map<std::uint32_t, std::uint32_t> stand_ins_;  // by whom they stand in for
  std::map<std::uint32_t, std::uint32_t> stands_in_for_;
  std::map<std::string, std::vector<std::uint32_t>, std::less<>> signal_nodes_;
  std::vector<std::uint32_t> mapped_;                         // nodes
  std::unordered_map<std::uint32_t, std::uint32_t> base_of_;  // by node; lookups only
  std::uint32_t item_room_ = 0;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> chosen_by_;  // by task; lookups only
  std::vector<bool> reads_upstream_;   // by spec: its code or one of its fields sees upstream outputs
  std::vector<bool> reads_variables_;  // by spec: code, and what names them
  std::vector<std::uint32_t> ranks_;
  std::vector<std::uint32_t> sinks_;
  std::unordered_map<std::uint32_t, std::uint32_t> gates_;     // by task; lookups only
  std::set<std::string, std::less<>> scopes_;                  // ids of sub-graphs
  std::unordered_map<std::string_view, std::uint32_t> by_id_;  // lookups only: order never reaches an effect
  std::unordered_map<std::uint32_t, expr::Template> values_;   // by spec; lookups only
  std::vector<std::pair<std::string, expr::Template>> outputs_;
};

}  // namespace millrace
