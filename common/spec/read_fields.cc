// An executor's own fields: held to the kinds of common/model/executor_fields.h and kept as written, in their order.
#include <algorithm>

#include "common/base/units.h"
#include "common/model/executor_fields.h"
#include "common/model/field_checks.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

bool is_scalar(const YamlNode& node) { return node.kind == YamlKind::kPlain || node.kind == YamlKind::kText; }

bool has_expression(const YamlNode& node) { return is_scalar(node) && node.text.find("{{") != std::string::npos; }

std::string expected_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::kAny: return "any value";
    case FieldKind::kString: return "text";
    case FieldKind::kBoolean: return "true or false";
    case FieldKind::kInteger: return "an integer";
    case FieldKind::kDuration: return "a duration with its unit: 100ms, 30s, 5m, 1h, 2d";
    case FieldKind::kStringList: return "a list of texts";
    case FieldKind::kStringMap: return "a mapping of names to texts";
    case FieldKind::kStringOrList: return "text or a list of texts";
  }
  return "";
}

// Whether a node has the shape that a kind asks for; entries of lists and mappings are looked at apart.
bool fits(FieldKind kind, const YamlNode& node) {
  const Result<Value> plain = node.kind == YamlKind::kPlain ? plain_scalar(node.text) : Result<Value>(Value());
  const bool text = node.kind == YamlKind::kText || (plain.ok() && plain->is_string());
  switch (kind) {
    case FieldKind::kAny: return true;
    case FieldKind::kString: return text;
    case FieldKind::kBoolean: return plain.ok() && plain->is_bool();
    case FieldKind::kInteger: return plain.ok() && plain->is_integer();
    case FieldKind::kDuration: return is_scalar(node) && parse_duration(node.text).ok();
    case FieldKind::kStringList: return node.kind == YamlKind::kSequence;
    case FieldKind::kStringMap: return node.kind == YamlKind::kMapping;
    case FieldKind::kStringOrList: return text || node.kind == YamlKind::kSequence;
  }
  return false;
}

bool holds_texts(FieldKind kind) {
  return kind == FieldKind::kStringList || kind == FieldKind::kStringMap || kind == FieldKind::kStringOrList;
}

// An entry of a list or mapping of texts: any scalar, as the text that it was written with (`PORT: 8080`, `V: 1.10`).
Value read_entry(Reader& reader, std::uint32_t index, const std::string& what) {
  const YamlNode& node = reader.at(index);
  if (is_scalar(node)) return reader.qualified(node.text);
  reader.problem(index, what + " has an entry that is " + kind_of(node), "text");
  return nullptr;
}

Value read_texts(Reader& reader, std::uint32_t index, const std::string& what) {
  const YamlNode& node = reader.at(index);
  if (node.kind == YamlKind::kSequence) {
    Value::Array items;
    for (std::uint32_t item : node.children) items.push_back(read_entry(reader, item, what));
    return items;
  }
  Value::Object members;
  for (const Entry& entry : reader.entries(index)) {
    members.emplace_back(entry.name, read_entry(reader, entry.value, what + "." + entry.name));
  }
  return members;
}

Value read_field(Reader& reader, const FieldSpec& field, std::uint32_t index, const std::string& what) {
  const YamlNode& node = reader.at(index);
  if (field.templated && has_expression(node)) return reader.qualified(node.text);
  if (!fits(field.kind, node)) {
    const Result<Value> plain = plain_scalar(node.text);
    const bool quote = expected_of(field.kind).starts_with("text") && node.kind == YamlKind::kPlain && plain.ok();
    reader.problem(index, what + " is " + kind_of(node), expected_of(field.kind),
                   quote ? "write \"" + node.text.substr(0, 40) + "\" with quotes for text" : "");
    return nullptr;
  }
  if (holds_texts(field.kind) && !is_scalar(node)) return read_texts(reader, index, what);
  if (field.kind == FieldKind::kDuration) return node.text;
  return field.templated ? reader.value(index) : to_value(reader.document, index, reader.report);  // code is as written
}

const FieldSpec* find_field(const ExecutorFields& executor, std::string_view name) {
  for (const FieldSpec& field : executor.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

const ExecutorFields* some_executor_with(std::string_view field) {
  for (const ExecutorFields& row : executor_table()) {
    if (find_field(row, field) != nullptr) return &row;
  }
  return nullptr;
}

void unknown_field(Reader& reader, const Entry& entry, const ExecutorFields& executor, const std::string& where) {
  std::vector<std::string_view> known(keys::kNode.begin(), keys::kNode.end());
  for (const FieldSpec& field : executor.fields) known.push_back(field.name);
  std::string hint = reader.suggestion(entry.name, known);
  if (const ExecutorFields* other = some_executor_with(entry.name)) {
    hint = "'" + entry.name + "' is a field of the executor '" + std::string(other->executor) + "'";
  } else if (entry.name == "<<") {
    hint = "merge keys are not part of YAML 1.2: repeat the entries";
  }
  reader.problem(entry.key, "unknown key '" + entry.name + "' in " + where, "one of " + list_words(known),
                 std::move(hint));
}

// Without a known executor a key is only wrong when no executor has such a field.
void read_fields_of_unknown(Reader& reader, const std::vector<Entry>& own, const std::string& where) {
  for (const Entry& entry : own) {
    if (some_executor_with(entry.name) != nullptr) continue;
    if (find_field(fields_of_executor(""), entry.name) != nullptr) continue;  // of one that was not declared, perhaps
    std::vector<std::string_view> known(keys::kNode.begin(), keys::kNode.end());
    known.push_back("value");
    reader.unknown_key(entry, where, known);
  }
}

void check_required(Reader& reader, const ExecutorFields& executor, const std::vector<Entry>& own,
                    const std::string& where, std::uint32_t executor_at) {
  if (executor.required_one_of.empty()) return;
  for (const Entry& entry : own) {
    if (std::ranges::find(executor.required_one_of, entry.name) != executor.required_one_of.end()) return;
  }
  std::string wanted;
  for (std::string_view name : executor.required_one_of) {
    wanted += (wanted.empty() ? "'" : " or '") + std::string(name) + "'";
  }
  reader.problem(executor_at, where + " has executor '" + std::string(executor.executor) + "' but no " + wanted,
                 "the key " + wanted);
}

// What lies inside fields of any kind: the shape of `auth`, `body`, `messages` ...
void check_more(Reader& reader, const ExecutorFields& executor, const std::vector<Entry>& own, const std::string& where,
                const Value& fields) {
  for (const FieldProblem& problem : check_fields(executor.executor, fields)) {
    const auto entry = std::ranges::find_if(own, [&](const Entry& e) { return e.name == problem.field; });
    if (entry == own.end()) continue;
    const YamlNode& node = reader.at(entry->value);
    const FieldSpec* field = find_field(executor, problem.field);
    if (field->kind != FieldKind::kAny && !(field->templated && has_expression(node)) && !fits(field->kind, node))
      continue;  // told already
    reader.problem(entry->value, "'" + problem.field + "' of " + where + " " + problem.message, problem.expected);
  }
}

}  // namespace

Value read_fields(Reader& reader, const TaskBody& body) {
  const std::string where = "node '" + reader.spec.ids[body.node] + "'";
  Value fields = Value::Object{};
  const std::string& name = reader.spec.specs[body.node].executor;
  if (name.empty()) {
    read_fields_of_unknown(reader, body.own, where);
    return fields;
  }
  const ExecutorFields* executor = &fields_of_executor(name);
  for (const Entry& entry : body.own) {
    const FieldSpec* field = find_field(*executor, entry.name);
    if (field == nullptr) {
      unknown_field(reader, entry, *executor, where);
      continue;
    }
    const std::string what = "'" + entry.name + "' of " + where;
    fields.as_object().emplace_back(entry.name, read_field(reader, *field, entry.value, what));
    ExpressionPlace place{what, body.node, /*core=*/false, body.depends_on};
    if (body.mapped) place.more = keys::kItemRoots;
    if (field->templated) check_expressions(reader, entry.value, place);
  }
  check_required(reader, *executor, body.own, where, body.executor_at);
  check_more(reader, *executor, body.own, where, fields);
  pack_sources(reader, name, body.own, where, fields);
  return fields;
}

}  // namespace millrace
