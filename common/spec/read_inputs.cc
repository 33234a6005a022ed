// `inputs:`, in its short form (`text: string`) and its long form.
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

// An input may have any name that a node may have, and the reserved ones.
bool is_input_name(std::string_view name) { return is_node_id(name) || is_reserved(name); }

void read_type(Reader& reader, std::uint32_t index, const std::string& what, InputSpec& input) {
  if (const auto word = reader.read_word(index, what, keys::kInputTypes)) input.type = *parse_input_type(*word);
}

void read_default(Reader& reader, std::uint32_t index, const std::string& what, InputSpec& input) {
  Value value = reader.value(index);
  InputSpec alone = input;
  alone.required = false;
  const Result<Value> bound = bind_inputs({alone}, Value::Object{{input.name, value}});
  if (bound.ok()) input.default_value = std::move(value);
  else {
    // What stands where the name of a secret belongs may be the secret.
    const std::string is = input.type == InputType::kSecret ? "not the name of a secret" : kind_of(reader.at(index));
    reader.problem(index, what + " is " + is, bound.error().details.front().expected);
  }
}

void read_declaration(Reader& reader, std::uint32_t index, const std::string& where, InputSpec& input) {
  std::optional<std::uint32_t> default_at;  // read last: it must fit the type
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' of " + where;
    if (entry.name == "type") read_type(reader, entry.value, what, input);
    else if (entry.name == "required") input.required = reader.read_boolean(entry.value, what).value_or(false);
    else if (entry.name == "default") default_at = entry.value;
    else if (entry.name == "description") input.description = reader.read_string(entry.value, what).value_or("");
    else reader.unknown_key(entry, where, keys::kInput);
  }
  if (default_at) read_default(reader, *default_at, "'default' of " + where, input);
}

}  // namespace

void read_inputs(Reader& reader, std::uint32_t index) {
  if (!reader.expect_mapping(index, "'inputs'")) return;
  for (const Entry& entry : reader.entries(index)) {
    const std::string where = "input '" + entry.name + "'";
    InputSpec input;
    input.name = entry.name;
    if (!is_input_name(entry.name)) {
      reader.problem(entry.key, "'" + entry.name + "' cannot be the name of an input",
                     "1 to 64 letters, digits, '_', '.', '-', the first a letter, a digit or '_'");
    }
    switch (reader.at(entry.value).kind) {
      case YamlKind::kNull: break;  // `text:` takes anything
      case YamlKind::kPlain:
      case YamlKind::kText: read_type(reader, entry.value, "the type of " + where, input); break;
      case YamlKind::kMapping: read_declaration(reader, entry.value, where, input); break;
      case YamlKind::kSequence:
        reader.problem(entry.value, where + " is a list", "a type, or a mapping of " + list_words(keys::kInput));
        break;
    }
    reader.spec.inputs.push_back(std::move(input));
  }
}

}  // namespace millrace
