#include "coordinator/core/run_scope.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/variables.h"

namespace millrace {

// A list reference. Its pieces are asked of the scope, which notes those that are not here.
class RunScope::List final : public expr::ListView {
 public:
  List(const RunScope& scope, std::string name, Composed what)
      : scope_(scope),
        name_(std::move(name)),
        reader_(std::move(what), [&scope](const Hash128& hash) { return scope.fetched(hash); }) {}

  std::uint64_t count() const override { return reader_.count(); }
  const Value* element(std::uint64_t index) const override {
    const Value* element = reader_.element(index);
    if (!reader_.problem().empty()) scope_.breaks(name_, reader_.problem());
    return element;
  }

 private:
  const RunScope& scope_;
  std::string name_;
  mutable ListReader reader_;
};

RunScope::RunScope(const Run& run, const FetchedValues& fetched, Value error, std::optional<TaskIndex> task,
                   const BoundItem* item)
    : run_(run), fetched_(fetched), task_(task), error_(std::move(error)), item_(item) {}
RunScope::~RunScope() = default;

bool RunScope::has_root(std::string_view root) const {
  return root == "inputs" || root == "nodes" || root == "run" || root == "error" || root == "vars" ||
         (item_ != nullptr && (root == "item" || root == "index"));
}

Value RunScope::root(std::string_view root) const {
  if (root == "inputs") return *parsed("inputs", run_.info->inputs);
  if (root == "item") return item_->item;
  if (root == "index") return item_->index;
  if (root == "vars") return variables();
  Value all = Value::Object{};
  if (root == "run") {
    all.set("id", to_string(run_.id()));
    all.set("workflow", run_.info->workflow);
    all.set("trace_id", run_.info->trace_id);
  } else {
    for (std::uint32_t task = 0; task < run_.tasks.size(); ++task) {
      if (!is_terminal(run_.states[task])) continue;
      const TaskIndex of{task};
      all.set(task_ ? run_.plan->name_from(*task_, of) : run_.plan->id(of), *node(of));
    }
  }
  return all;
}

const Value* RunScope::member(std::string_view root, std::string_view head) const {
  if (root == "inputs") return parsed("inputs", run_.info->inputs)->find(head);
  if (root == "nodes") {
    if (head == "round" && task_ && run_.plan->round_of(*task_) > 0) {
      round_ = Value(std::uint64_t{run_.plan->round_of(*task_)});
      return &round_;
    }
    const std::optional<TaskIndex> task = ended(head);
    return task ? node(*task) : nullptr;
  }
  if (root == "error") return error_.find(head);
  if (root == "vars") return variables().find(head);
  if (root == "item" || root == "index") return root == "item" ? item_->item.find(head) : nullptr;
  if (run_value_.is_null()) run_value_ = this->root("run");
  return run_value_.find(head);
}

const Value* RunScope::borrow(std::string_view root) const {
  if (root == "error") return &error_;
  if (root == "item") return &item_->item;
  if (root == "index") return &item_->index;
  if (root == "vars") return &variables();
  return root == "inputs" ? parsed("inputs", run_.info->inputs) : nullptr;
}

const expr::ListView* RunScope::list(std::string_view root, std::string_view head) const {
  const std::optional<TaskIndex> task = root == "nodes" ? ended(head) : std::nullopt;
  if (!task || !run_.tasks[task->value].output.is_reference()) return nullptr;
  const auto known = lists_.find(task->value);
  if (known != lists_.end()) return known->second.get();
  const std::string* stored = fetched(run_.tasks[task->value].output.hash());
  if (stored == nullptr) return nullptr;
  std::unique_ptr<List>& list = lists_[task->value];
  if (!is_composed(*stored)) return nullptr;
  if (Result<Composed> what = Composed::parse(*stored); what.ok() && what->list)
    list = std::make_unique<List>(*this, run_.plan->id(*task), std::move(what).value());
  return list.get();
}

std::optional<TaskIndex> RunScope::ended(std::string_view head) const {
  const std::optional<TaskIndex> task = task_ ? run_.plan->find_from(*task_, head) : run_.plan->find(head);
  return task && is_terminal(run_.states[task->value]) ? task : std::nullopt;
}

const Value& RunScope::variables() const {
  if (variables_.is_null()) variables_ = variables_json(run_.plan->setters(), record_of(run_.tasks));
  return variables_;
}

const std::string* RunScope::fetched(const Hash128& hash) const {
  const auto found = fetched_.find(hash);
  if (found != fetched_.end()) return found->second.get();
  lacks(hash);
  return nullptr;
}

void RunScope::lacks(const Hash128& hash) const {
  if (std::ranges::find(missing_, hash) == missing_.end()) missing_.push_back(hash);
}

void RunScope::breaks(const std::string& name, const std::string& why) const {
  if (broken_.empty()) broken_ = "the value of '" + name + "' cannot be read: " + why;
}

const Value* RunScope::parsed(const std::string& name, const Payload& payload) const {
  const auto [it, fresh] = values_.try_emplace(name);
  if (!fresh) return &it->second;
  std::string_view json;
  Whole whole;
  if (payload.is_reference()) {
    const std::string* stored = fetched(payload.hash());
    if (stored == nullptr) return &it->second;
    json = *stored;
    if (is_composed(json)) {
      const auto find = [&](const Hash128& hash) -> const std::string* {
        const auto found = fetched_.find(hash);
        return found == fetched_.end() ? nullptr : found->second.get();
      };
      whole = whole_of(json, find, kValueMax);
      if (!whole.problem.empty()) breaks(name, whole.problem + ": its length and its elements can be read");
      for (const Hash128& hash : whole.missing) lacks(hash);
      if (!whole.problem.empty() || !whole.missing.empty()) return &it->second;
      json = whole.json;
    }
  } else {
    json = payload.json();
  }
  Result<Value> value = Value::parse(json);
  if (value.ok()) it->second = std::move(value).value();
  else breaks(name, value.error().what);
  return &it->second;
}

}  // namespace millrace
