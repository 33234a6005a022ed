#include "common/model/workflow.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

// Index = enumerator.
constexpr std::array<const char*, 9> kTypeWords = {"any",    "string", "integer", "number", "boolean",
                                                   "object", "array",  "file",    "secret"};
constexpr std::array<std::string_view, 9> kReserved = {"inputs", "nodes", "run",    "env",   "secrets",
                                                       "item",   "index", "output", "result"};

bool is_id_start(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}
bool is_id_char(char c) { return is_id_start(c) || c == '.' || c == '-'; }

bool fits(InputType type, const Value& value) {
  switch (type) {
    case InputType::kAny: return true;
    case InputType::kString:
    case InputType::kFile: return value.is_string();
    case InputType::kInteger: return value.is_integer();
    case InputType::kNumber: return value.is_number();
    case InputType::kBoolean: return value.is_bool();
    case InputType::kObject: return value.is_object();
    case InputType::kArray: return value.is_array();
    case InputType::kSecret: return value.is_string() && is_secret_name(value.as_string());
  }
  return false;
}

// Says nothing of the value: it may be a secret that was given where its name belongs.
Problem misfit(const InputSpec& input, const Value& value) {
  if (input.type != InputType::kSecret)
    return {"",
            0,
            0,
            "input '" + input.name + "' is of kind " + value.kind_name(),
            std::string("a value of type ") + to_string(input.type),
            ""};
  return {"",
          0,
          0,
          "input '" + input.name + "' is not the name of a secret",
          "a name of letters, digits and '_', not the secret itself: {{ secrets[inputs." + input.name + "] }} reads it",
          ""};
}

}  // namespace

const char* to_string(InputType type) { return kTypeWords[static_cast<std::size_t>(type)]; }

std::optional<InputType> parse_input_type(std::string_view word) {
  for (std::size_t i = 0; i < kTypeWords.size(); ++i) {
    if (word == kTypeWords[i]) return static_cast<InputType>(i);
  }
  return std::nullopt;
}

bool is_node_id(std::string_view id) {
  return !id.empty() && id.size() <= kNodeIdMax && is_id_start(id[0]) && std::ranges::all_of(id, is_id_char) &&
         !is_reserved(id);
}

bool is_node_path(std::string_view path) {
  if (path.size() > kNodePathMax) return false;
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/')) {
    if (!is_node_id(path.substr(0, slash))) return false;
    path.remove_prefix(slash + 1);
  }
  return is_node_id(path);
}

bool is_secret_name(std::string_view name) {
  return !name.empty() && name.size() <= kSecretNameMax && !(name[0] >= '0' && name[0] <= '9') &&
         std::ranges::all_of(name, [](char c) { return is_id_start(c); });
}

bool is_reserved(std::string_view id) { return id == "error" || std::ranges::find(kReserved, id) != kReserved.end(); }

Result<Value> bind_inputs(const std::vector<InputSpec>& declared, const Value& given) {
  std::vector<Problem> problems;
  if (!given.is_object() && !given.is_null()) { return Error{Code::kInvalid, "inputs must be an object", {}, ""}; }
  Value bound = Value::Object{};
  for (const InputSpec& input : declared) {
    const Value* value = given.find(input.name);
    if (value == nullptr && input.default_value) value = &*input.default_value;
    if (value == nullptr || (value->is_null() && !input.required)) {
      if (input.required) {
        problems.push_back({"", 0, 0, "input '" + input.name + "' is required and was not given",
                            std::string("a value of type ") + to_string(input.type), "-i " + input.name + "=..."});
      }
      bound.set(input.name, nullptr);
    } else if (!fits(input.type, *value)) {
      problems.push_back(misfit(input, *value));
    } else {
      bound.set(input.name, *value);
    }
  }
  if (given.is_object()) {
    for (const auto& [name, value] : given.as_object()) {
      bool known = std::ranges::any_of(declared, [&, &n = name](const InputSpec& input) { return input.name == n; });
      if (known) continue;
      std::string names;
      for (const InputSpec& input : declared) names += (names.empty() ? "" : ", ") + input.name;
      problems.push_back({"", 0, 0, "unknown input '" + name + "'",
                          names.empty() ? "no inputs are declared" : "one of: " + names, ""});
    }
  }
  if (!problems.empty()) return Error{Code::kInvalid, "the inputs do not fit the workflow", std::move(problems), ""};
  return bound;
}

}  // namespace millrace
