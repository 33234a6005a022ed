#include "worker/shell/bindings.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "common/model/composed.h"

namespace millrace {
namespace {

const SharedText& null_text() {
  static const SharedText kNull = std::make_shared<const std::string>("null");
  return kNull;
}

}  // namespace

// The values of one rendering: where they are found, and which were not.
class Bindings::Found {
 public:
  Found(const ValueSource& values, ValueCache& wholes, Parsed& parsed, std::vector<Hash128>& missing)
      : values_(values), wholes_(wholes), parsed_(parsed), missing_(missing) {}

  const std::string* stored(const Hash128& hash) {
    held_.push_back(values_.value(hash));
    if (held_.back() == nullptr && std::ranges::find(missing_, hash) == missing_.end()) missing_.push_back(hash);
    return held_.back().get();
  }
  // As it is kept: what a list is put together from.
  SharedText kept(const Payload& payload) {
    if (payload.is_null()) return null_text();
    if (payload.is_inline()) return payload.json_text();
    return stored(payload.hash()) == nullptr ? null_text() : held_.back();
  }
  // Its JSON. Null where something is missing, or there is a problem.
  SharedText whole(const std::string& name, const Payload& payload) {
    SharedText text = kept(payload);
    if (!is_composed(*text)) return text;
    if (SharedText known = wholes_.find(payload.hash())) return known;
    Whole whole = whole_of(
        *text, [this](const Hash128& hash) { return stored(hash); }, kValueMax);
    if (!whole.problem.empty() && problem.empty())
      problem = "the output of `" + name + "` cannot be had whole: " + whole.problem +
                "; expressions read its length and elements, python all of it one after the other";
    if (!whole.problem.empty() || !whole.missing.empty()) return null_text();
    text = std::make_shared<const std::string>(std::move(whole.json));
    wholes_.put(payload.hash(), text);
    return text;
  }
  std::shared_ptr<const Value> parsed(const std::string& name, const Payload& payload) {
    if (std::shared_ptr<const Value> known = parsed_.find(payload)) return known;
    const SharedText text = whole(name, payload);
    Result<Value> value = Value::parse(*text);
    if (!value.ok() && problem.empty()) problem = "the output of `" + name + "` is not JSON: " + value.error().what;
    auto one = std::make_shared<const Value>(value.ok() ? std::move(value).value() : Value());
    if (missing_.empty() && problem.empty()) parsed_.keep(payload, text->size(), one);
    return one;
  }
  const std::vector<Hash128>& missing() const { return missing_; }

  std::string problem;

 private:
  const ValueSource& values_;
  ValueCache& wholes_;
  Parsed& parsed_;
  std::vector<Hash128>& missing_;
  std::vector<SharedText> held_;  // what was lent
};

std::shared_ptr<const Value> Bindings::Parsed::find(const Payload& payload) const {
  const auto found =
      std::ranges::find_if(values_, [&](const One& one) { return one.of.identity() == payload.identity(); });
  return found == values_.end() ? nullptr : found->value;
}

void Bindings::Parsed::keep(const Payload& payload, std::size_t bytes, std::shared_ptr<const Value> value) {
  if (bytes < kBytesMin || bytes > kBytesMax) return;
  bytes_ += bytes;
  values_.push_back({payload, bytes, std::move(value)});
  std::size_t gone = 0;
  for (; bytes_ > kBytesMax; ++gone) bytes_ -= values_[gone].bytes;
  values_.erase(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(gone));
}

namespace {

Value run_value(const Assignment& assignment) {
  const RunContext& context = *assignment.context;
  return Value::Object{{"id", to_string(context.run)},
                       {"attempt", std::uint64_t{assignment.number}},
                       {"workflow", context.workflow},
                       {"trace_id", context.trace_id}};
}

// What comes beside the outputs, and is read by a name of its own: the failure that a node handles, and variables.
bool is_beside(std::string_view name) { return name == "error" || name == "vars"; }

// What the expressions of one assignment read. Values are parsed when they are first read.
class BindingScope final : public expr::Scope {
 public:
  BindingScope(const Assignment& assignment, Bindings::Found& found, std::shared_ptr<const Value> inputs,
               const Secrets* secrets, const ItemBinding* item)
      : assignment_(assignment),
        found_(found),
        inputs_(std::move(inputs)),
        secrets_(secrets),
        item_(item),
        parsed_(assignment.bindings.size()) {}

  bool has_root(std::string_view root) const override {
    return root == "inputs" || root == "nodes" || root == "run" || root == "secrets" || is_beside(root) ||
           (item_ != nullptr && (root == "item" || root == "index"));
  }

  Value root(std::string_view root) const override {
    if (const Value* whole = borrow(root)) return *whole;
    if (root == "secrets") {
      problem_ = "`secrets` cannot be read whole: name one";
      return Value();
    }
    Value::Object nodes;
    for (std::size_t i = 0; i < parsed_.size(); ++i) {
      if (!is_beside(assignment_.names[i])) nodes.emplace_back(assignment_.names[i], node(i));
    }
    return nodes;
  }

  const Value* member(std::string_view root, std::string_view head) const override {
    if (const Value* whole = borrow(root)) return whole->find(head);
    if (root == "secrets") return secret(head);
    const auto name = std::ranges::find(assignment_.names, head);
    return name == assignment_.names.end() ? nullptr
                                           : &node(static_cast<std::size_t>(name - assignment_.names.begin()));
  }

  const Value* borrow(std::string_view root) const override {
    if (root == "inputs") return inputs_.get();
    if (is_beside(root)) {  // elsewhere null
      static const Value kNone;
      const auto name = std::ranges::find(assignment_.names, root);
      return name == assignment_.names.end() ? &kNone
                                             : &node(static_cast<std::size_t>(name - assignment_.names.begin()));
    }
    if (item_ != nullptr && (root == "item" || root == "index")) return item(root);
    if (root != "run") return nullptr;
    if (!run_) run_ = run_value(assignment_);
    return &*run_;
  }

  const expr::ListView* list(std::string_view root, std::string_view head) const override {
    const auto name = std::ranges::find(assignment_.names, head);
    if (root != "nodes" || name == assignment_.names.end()) return nullptr;
    const auto i = static_cast<std::size_t>(name - assignment_.names.begin());
    if (!assignment_.bindings[i].value.is_reference()) return nullptr;
    if (const auto known = lists_.find(i); known != lists_.end()) return known->second.get();
    std::unique_ptr<List>& list = lists_[i];
    const SharedText kept = found_.kept(assignment_.bindings[i].value);
    if (!is_composed(*kept)) return nullptr;
    if (Result<Composed> what = Composed::parse(*kept); what.ok() && what->list)
      list = std::make_unique<List>(*this, assignment_.names[i], std::move(what).value());
    return list.get();
  }

  const std::string& problem() const { return problem_; }
  std::vector<std::string> secrets_read() const {
    std::vector<std::string> out;
    for (const auto& [name, value] : read_) out.push_back(value.as_string());
    return out;
  }

 private:
  class List final : public expr::ListView {
   public:
    List(const BindingScope& scope, std::string name, Composed what)
        : scope_(scope),
          name_(std::move(name)),
          reader_(std::move(what), [&scope](const Hash128& hash) { return scope.found_.stored(hash); }) {}
    std::uint64_t count() const override { return reader_.count(); }
    const Value* element(std::uint64_t index) const override {
      const Value* element = reader_.element(index);
      if (!reader_.problem().empty()) scope_.problem_ = "the output of `" + name_ + "`: " + reader_.problem();
      return element;
    }

   private:
    const BindingScope& scope_;
    std::string name_;
    mutable ListReader reader_;
  };

  const Value* secret(std::string_view name) const {
    if (const auto known = read_.find(name); known != read_.end()) return &known->second;
    Result<std::string> value = secrets_ == nullptr
                                    ? Result<std::string>(Error{Code::kNotFound, "this worker has no secrets", {}, ""})
                                    : secrets_->find(name);
    if (!value.ok()) {
      if (problem_.empty()) problem_ = value.error().what;
      return nullptr;
    }
    return &read_.emplace(std::string(name), std::move(*value)).first->second;
  }

  const Value* item(std::string_view root) const {
    std::optional<Value>& value = root == "item" ? item_value_ : index_value_;
    if (!value) {
      if (root == "index") value = Value(std::uint64_t{item_->index});
      else if (Result<Value> parsed = Value::parse(item_->json); parsed.ok()) value = std::move(parsed).value();
      else value = Value();
    }
    return &*value;
  }

  const Value& node(std::size_t i) const {
    if (parsed_[i] == nullptr) parsed_[i] = found_.parsed(assignment_.names[i], assignment_.bindings[i].value);
    return *parsed_[i];
  }

  const Assignment& assignment_;
  Bindings::Found& found_;
  std::shared_ptr<const Value> inputs_;
  const Secrets* secrets_;
  const ItemBinding* item_;
  mutable std::optional<Value> item_value_, index_value_;
  mutable std::map<std::string, Value, std::less<>> read_;  // secrets
  mutable std::vector<std::shared_ptr<const Value>> parsed_;
  mutable std::map<std::size_t, std::unique_ptr<List>> lists_;  // by binding; null: it is none
  mutable std::optional<Value> run_;
  mutable std::string problem_;
};

Error invalid(std::string what) { return Error{Code::kInvalid, std::move(what), {}, {}}; }

// A join over very many upstream tasks: what came as one object becomes bindings like any others.
Result<Assignment> unbundled(const Assignment& assignment, Bindings::Found& found) {
  Assignment out = assignment;
  out.bundle = Payload();
  Result<Value> bundle = Value::parse(*found.kept(assignment.bundle));
  if (!bundle.ok()) return invalid("the outputs of the upstream tasks are not JSON: " + bundle.error().what);
  for (const auto& [id, value] : bundle->as_object()) {
    out.bindings.push_back({TaskIndex{}, 0, Payload::inline_json(value.dump())});
    out.names.push_back(id);
  }
  return out;
}

}  // namespace

bool Bindings::Compiled::hands_over(const std::string& node) const {
  return code && std::ranges::find(unread.nodes, node) == unread.nodes.end();
}

bool Bindings::Compiled::reads(const std::string& node) const {
  return hands_over(node) || reads_all_nodes || std::ranges::find(reads_nodes, node) != reads_nodes.end();
}

void Bindings::look_at_references(Compiled& c) {
  for (const expr::Reference& reference : c.templated.references()) {
    if (reference.root == "inputs") {
      c.reads_inputs = true;
    } else if (reference.root == "nodes") {
      if (reference.head.empty()) c.reads_all_nodes = true;
      else c.reads_nodes.push_back(reference.head);
    } else if (reference.root == "vars") {
      c.reads_variables = true;
    } else if (reference.root == "env") {
      c.problem = "`" + reference.root + "` cannot be read in fields: this worker has none";
    }
  }
}

Bindings::Compiled Bindings::compile(const std::shared_ptr<const NodeSpec>& spec) {
  Compiled c;
  c.spec = spec;
  c.executor = &fields_of_executor(spec->executor);
  c.code = c.executor->sees_values;
  c.streams = spec->executor == "python";
  if (c.code) c.unread = unread_by_code(*spec);
  Value templated = Value::Object{};
  if (spec->flow.foreach && spec->flow.foreach->collect && !spec->flow.foreach->collect->is_bool()) {
    Result<expr::Template> collect = expr::Template::compile(*spec->flow.foreach->collect);
    if (collect.ok()) c.collect = std::move(collect).value();
    else c.problem = "collect: " + collect.error().what;
  }
  if (spec->fields.is_object()) {
    for (const auto& [name, value] : spec->fields.as_object()) {
      const auto field = std::ranges::find(c.executor->fields, std::string_view(name), &FieldSpec::name);
      if (field != c.executor->fields.end() && field->templated) templated.set(name, value);
    }
  }
  c.bare = !c.code && (!spec->fields.is_object() || spec->fields.as_object().empty());
  if (c.bare) return c;
  Result<expr::Template> compiled = expr::Template::compile(templated);
  if (!compiled.ok()) {
    c.problem = "field " + compiled.error().what;
    return c;
  }
  c.templated = std::move(compiled).value();
  c.literal = c.templated.is_literal();
  look_at_references(c);
  return c;
}

const Bindings::Compiled& Bindings::compiled(const std::shared_ptr<const NodeSpec>& spec) {
  auto it = compiled_.find(spec.get());
  if (it != compiled_.end()) return it->second;
  if (compiled_.size() >= kSpecsMax) {
    compiled_.clear();
    trimmed_for_ = nullptr;
  }
  return compiled_.emplace(spec.get(), compile(spec)).first->second;
}

std::vector<Hash128> Bindings::references(const Assignment& assignment) {
  std::vector<Hash128> out;
  const Compiled& c = compiled(assignment.node_spec);
  if (c.bare && assignment.items == nullptr) return out;
  const auto add = [&](const Payload& value) {
    if (value.is_reference() && std::ranges::find(out, value.hash()) == out.end()) out.push_back(value.hash());
  };
  if (assignment.items != nullptr) add(assignment.items->values);
  if (c.code || c.reads_inputs) add(assignment.context->inputs);
  if (c.code || c.reads_all_nodes || c.reads_variables || !c.reads_nodes.empty()) add(assignment.bundle);
  for (std::size_t i = 0; i < assignment.bindings.size(); ++i) {
    if (assignment.bindings[i].value.is_reference() && c.reads(assignment.names[i])) add(assignment.bindings[i].value);
  }
  return out;
}

Result<Value> Bindings::fields(const Compiled& c, const Assignment& assignment, Found& found, const ItemBinding* item,
                               std::vector<std::string>& secrets) {
  if (c.literal) return c.spec->fields;
  const Payload& inputs = assignment.context->inputs;
  if (c.reads_inputs && (parsed_inputs_ == nullptr || inputs.identity() != parsed_inputs_of_.identity())) {
    Result<Value> parsed = inputs.is_null() ? Value(Value::Object{}) : Value::parse(*found.kept(inputs));
    if (!parsed.ok()) return invalid("the run's inputs are not JSON: " + parsed.error().what);
    parsed_inputs_ = std::make_shared<const Value>(std::move(parsed).value());
    parsed_inputs_of_ = inputs;
  }
  const BindingScope scope(assignment, found, parsed_inputs_, secrets_, item);
  Result<Value> rendered = c.templated.render(scope);
  if (!found.missing().empty()) return Value();
  if (!found.problem.empty()) return invalid(found.problem);
  if (!scope.problem().empty()) return invalid(scope.problem());
  if (!rendered.ok()) return invalid("field " + rendered.error().what);
  secrets = scope.secrets_read();
  Value all = Value::Object{};
  for (const auto& [name, written] : c.spec->fields.as_object()) {
    Value* value = nullptr;
    for (auto& [key, member] : rendered->as_object()) {
      if (key == name) value = &member;
    }
    all.as_object().emplace_back(name, value == nullptr ? Value(written) : std::move(*value));
  }
  return all;
}

Result<TaskContext> Bindings::render(const Assignment& assignment, const ValueSource& values,
                                     std::vector<Hash128>& missing, const ItemBinding* item) {
  Found found(values, wholes_, parsed_, missing);
  return render(assignment, found, item);
}

Result<TaskContext> Bindings::render(const Assignment& assignment, Found& found, const ItemBinding* item) {
  const Compiled& c = compiled(assignment.node_spec);
  TaskContext task;
  task.queue = assignment.node_spec->queue;
  task.attempt = assignment.attempt();
  task.executor = c.spec->executor;
  if (c.bare) return task;
  if (!c.problem.empty()) return invalid(c.problem);
  if (!assignment.bundle.is_null()) {
    Result<Assignment> whole = unbundled(assignment, found);
    return whole.ok() ? render(*whole, found, item) : whole.error();
  }
  Result<Value> rendered = fields(c, assignment, found, item, task.secrets);
  if (!rendered.ok()) return rendered.error();
  if (!found.missing().empty()) return task;
  task.fields = std::move(rendered).value();
  task.node = assignment.node;
  task.workflow = assignment.context->workflow;
  task.trace_id = assignment.context->trace_id;
  if (!c.code) return task;
  if (item != nullptr) {
    task.vars.emplace_back("item", std::make_shared<const std::string>(item->json));
    task.vars.emplace_back("index", std::make_shared<const std::string>(std::to_string(item->index)));
  }
  if (!assignment.context->inputs.is_null()) task.inputs_json = inputs_for_code(c, assignment.context->inputs, found);
  task.nodes.reserve(assignment.bindings.size());
  for (std::size_t i = 0; i < assignment.bindings.size(); ++i) {
    if (!c.hands_over(assignment.names[i])) continue;
    const Payload& value = assignment.bindings[i].value;
    SharedText text = found.kept(value);
    if (is_composed(*text) && !c.streams) text = found.whole(assignment.names[i], value);
    task.nodes.emplace_back(assignment.names[i], std::move(text));
  }
  if (found.missing().empty() && !found.problem.empty()) return invalid(found.problem);
  return task;
}

SharedText Bindings::inputs_for_code(const Compiled& c, const Payload& inputs, Found& found) {
  SharedText text = found.kept(inputs);
  if (c.unread.inputs.empty()) return text;
  if (trimmed_for_ == &c && inputs.identity() == trimmed_of_.identity()) return trimmed_;
  Result<Value> all = Value::parse(*text);
  if (!all.ok() || !all->is_object()) return text;
  Value::Object kept;
  for (auto& [name, value] : all->as_object()) {
    if (std::ranges::find(c.unread.inputs, name) == c.unread.inputs.end()) kept.emplace_back(name, std::move(value));
  }
  if (!found.missing().empty()) return text;
  trimmed_ = std::make_shared<const std::string>(Value(std::move(kept)).dump());
  trimmed_for_ = &c;
  trimmed_of_ = inputs;
  return trimmed_;
}

Result<Payload> Bindings::collect(const Assignment& assignment, const ItemBinding& item, Payload output) {
  const std::optional<ForeachSpec>& foreach = assignment.node_spec->flow.foreach;
  if (!foreach || !foreach->collect || *foreach->collect == Value(true)) return output;
  if (*foreach->collect == Value(false)) return Payload();
  const Compiled& c = compiled(assignment.node_spec);
  if (!c.collect) return invalid(c.problem);
  Result<Value> value = output.is_inline() ? Value::parse(output.json()) : Error{Code::kInvalid, "not here", {}, ""};
  Result<Value> one = Value::parse(item.json);
  if (!value.ok() || !one.ok()) return invalid("collect: the output is not JSON");
  const Value roots = Value::Object{
      {"output", std::move(value).value()}, {"item", std::move(one).value()}, {"index", std::uint64_t{item.index}}};
  Result<Value> kept = c.collect->render(expr::ObjectScope(roots));
  if (!kept.ok()) return invalid("collect: " + kept.error().what);
  return Payload::inline_json(kept->dump());
}

}  // namespace millrace
