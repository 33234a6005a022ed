#include "common/model/json_schema.h"

#include <algorithm>

namespace millrace {
namespace {

bool is_type(std::string_view type, const Value& value) {
  if (type == "number") return value.is_number();
  if (type == "integer")
    return value.is_integer() ||
           (value.is_double() &&
            value.as_double() == static_cast<double>(static_cast<std::int64_t>(value.as_double())));
  return type == value.kind_name();
}

std::string check(const Value& schema, const Value& value, const std::string& at);

std::string check_type(const Value& type, const Value& value, const std::string& at) {
  const auto fits = [&](const Value& word) { return word.is_string() && is_type(word.as_string(), value); };
  if (type.is_array() ? std::ranges::any_of(type.as_array(), fits) : fits(type)) return {};
  return at + " is of kind " + value.kind_name() + ", not " + (type.is_string() ? type.as_string() : type.dump());
}

std::string check_object(const Value& schema, const Value& value, const std::string& at) {
  if (const Value* required = schema.find("required"); required != nullptr && required->is_array()) {
    for (const Value& name : required->as_array()) {
      if (name.is_string() && value.find(name.as_string()) == nullptr) return at + " lacks '" + name.as_string() + "'";
    }
  }
  const Value* properties = schema.find("properties");
  const Value* others = schema.find("additionalProperties");
  for (const auto& [name, member] : value.as_object()) {
    const Value* own = properties == nullptr ? nullptr : properties->find(name);
    if (own == nullptr && others != nullptr && others->is_bool() && !others->as_bool())
      return at + " has the unknown member '" + name + "'";
    const Value* rule = own != nullptr ? own : others;
    if (rule == nullptr || !rule->is_object()) continue;
    if (std::string wrong = check(*rule, member, at + "." + name); !wrong.empty()) return wrong;
  }
  return {};
}

std::string check_count(const Value& schema, const char* least, const char* most, std::size_t count,
                        const std::string& what) {
  const auto number = static_cast<double>(count);
  if (const Value* min = schema.find(least); min != nullptr && min->is_number() && number < min->to_double())
    return what + " is " + std::to_string(count) + ", less than " + min->dump();
  if (const Value* max = schema.find(most); max != nullptr && max->is_number() && number > max->to_double())
    return what + " is " + std::to_string(count) + ", more than " + max->dump();
  return {};
}

std::string check_array(const Value& schema, const Value& value, const std::string& at) {
  std::string wrong = check_count(schema, "minItems", "maxItems", value.as_array().size(), "the length of " + at);
  const Value* items = schema.find("items");
  for (std::size_t i = 0; wrong.empty() && items != nullptr && i < value.as_array().size(); ++i)
    wrong = check(*items, value.as_array()[i], at + "[" + std::to_string(i) + "]");
  return wrong;
}

std::string check_number(const Value& schema, const Value& value, const std::string& at) {
  if (const Value* min = schema.find("minimum");
      min != nullptr && min->is_number() && value.to_double() < min->to_double())
    return at + " is less than " + min->dump();
  if (const Value* max = schema.find("maximum");
      max != nullptr && max->is_number() && value.to_double() > max->to_double())
    return at + " is more than " + max->dump();
  return {};
}

std::string check_choices(const Value& schema, const Value& value, const std::string& at) {
  for (const char* word : {"anyOf", "oneOf", "allOf"}) {
    const Value* choices = schema.find(word);
    if (choices == nullptr || !choices->is_array()) continue;
    const auto all = choices->as_array().size();
    const auto fitting = static_cast<std::size_t>(
        std::ranges::count_if(choices->as_array(), [&](const Value& c) { return check(c, value, at).empty(); }));
    const bool fits = word == std::string_view("allOf")   ? fitting == all
                      : word == std::string_view("oneOf") ? fitting == 1
                                                          : fitting > 0;
    if (!fits) return at + " fits " + std::to_string(fitting) + " of the " + std::to_string(all) + " of " + word;
  }
  return {};
}

std::string check(const Value& schema, const Value& value, const std::string& at) {
  if (!schema.is_object()) return schema == Value(false) ? at + " may not be there" : "";
  if (const Value* type = schema.find("type")) {
    if (std::string wrong = check_type(*type, value, at); !wrong.empty()) return wrong;
  }
  if (const Value* words = schema.find("enum");
      words != nullptr && words->is_array() && std::ranges::count(words->as_array(), value) == 0)
    return at + " is none of " + words->dump();
  if (const Value* one = schema.find("const"); one != nullptr && !(*one == value)) return at + " is not " + one->dump();
  std::string wrong;
  if (value.is_object()) wrong = check_object(schema, value, at);
  else if (value.is_array()) wrong = check_array(schema, value, at);
  else if (value.is_number()) wrong = check_number(schema, value, at);
  else if (value.is_string())
    wrong = check_count(schema, "minLength", "maxLength", value.as_string().size(), "the length of " + at);
  return wrong.empty() ? check_choices(schema, value, at) : wrong;
}

}  // namespace

std::string schema_problem(const Value& schema, const Value& value) { return check(schema, value, "$"); }

}  // namespace millrace
