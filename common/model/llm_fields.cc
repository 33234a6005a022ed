#include "common/model/llm_fields.h"

#include <algorithm>
#include <array>
#include <functional>

namespace millrace {
namespace {

constexpr int kRetriesMax = 10;
constexpr std::size_t kFallbacksMax = 8;
// What has a field of its own, or is ours to say.
constexpr std::array<std::string_view, 7> kNotParameters = {"model", "messages",    "stream",         "stream_options",
                                                            "tools", "tool_choice", "response_format"};
constexpr const char* kMessagesExpected = "a list of {role, content}";
constexpr const char* kFallbacksExpected = "a list of {provider, model}, or of models";

std::string kind_is(const Value& value) { return std::string("is of kind ") + value.kind_name(); }

const Value* present(const Value& fields, std::string_view name) {
  const Value* value = fields.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Status text_into(std::string& target, std::string_view field, const Value& value) {
  if (!value.is_string()) return field_error(field, kind_is(value), "text");
  target = value.as_string();
  return Done{};
}

Status read_messages(const Value& value, LlmFields& out) {
  if (!value.is_array()) return field_error("messages", kind_is(value), kMessagesExpected);
  if (value.as_array().empty()) return field_error("messages", "is empty", kMessagesExpected);
  for (const Value& one : value.as_array()) {
    if (is_templated(one)) continue;
    const Value* role = one.find("role");
    if (role == nullptr || !role->is_string())
      return field_error("messages", "has a message without a 'role'", kMessagesExpected);
  }
  out.messages = value;
  return Done{};
}

Status read_parameters(const Value& value, LlmFields& out) {
  if (!value.is_object()) return field_error("parameters", kind_is(value), "a mapping: temperature, max_tokens ...");
  for (const auto& [name, one] : value.as_object()) {
    if (std::ranges::find(kNotParameters, std::string_view(name)) != kNotParameters.end())
      return field_error("parameters", "has '" + name + "'", "that as a field of the node, not as a parameter");
  }
  out.parameters = value;
  return Done{};
}

Status read_fallbacks(const Value& value, LlmFields& out) {
  if (!value.is_array()) return field_error("fallbacks", kind_is(value), kFallbacksExpected);
  if (value.as_array().size() > kFallbacksMax) return field_error("fallbacks", "has more than 8 entries");
  for (const Value& one : value.as_array()) {
    LlmTarget target;
    if (one.is_string()) {
      target.model = one.as_string();
    } else if (one.is_object()) {
      for (const auto& [name, text] : one.as_object()) {
        if ((name != "provider" && name != "model") || !text.is_string())
          return field_error("fallbacks", "has an entry with '" + name + "'", kFallbacksExpected);
        (name == "model" ? target.model : target.provider) = text.as_string();
      }
    }
    if (target == LlmTarget{}) return field_error("fallbacks", "has an entry that names nothing", kFallbacksExpected);
    out.fallbacks.push_back(std::move(target));
  }
  return Done{};
}

Status read_object(Value& target, std::string_view field, const Value& value, const char* expected) {
  if (!value.is_object()) return field_error(field, kind_is(value), expected);
  target = value;
  return Done{};
}

Status read_tools(const Value& value, LlmFields& out) {
  if (!value.is_array()) return field_error("tools", kind_is(value), "a list of tools");
  out.tools = value;
  return Done{};
}

Status read_retries(const Value& value, LlmFields& out) {
  if (!value.is_int() || value.as_int() < 0 || value.as_int() > kRetriesMax)
    return field_error("retries", "is " + value.dump().substr(0, 20), "an integer from 0 to 10");
  out.retries = static_cast<int>(value.as_int());
  return Done{};
}

Status read_base_url(const Value& value, LlmFields& out) {
  if (Status read = text_into(out.base_url, "base_url", value); !read.ok()) return read;
  if (!out.base_url.starts_with("http://") && !out.base_url.starts_with("https://"))
    return field_error("base_url", "does not start with http:// or https://", "a URL like https://host/v1");
  while (out.base_url.ends_with('/')) out.base_url.pop_back();
  return Done{};
}

struct Row {
  std::string_view field;
  std::function<Status(const Value&, LlmFields&)> read;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows = {
      {"provider", [](const Value& v, LlmFields& f) { return text_into(f.target.provider, "provider", v); }},
      {"model", [](const Value& v, LlmFields& f) { return text_into(f.target.model, "model", v); }},
      {"base_url", read_base_url},
      {"api_key", [](const Value& v, LlmFields& f) { return text_into(f.api_key, "api_key", v); }},
      {"messages", read_messages},
      {"parameters", read_parameters},
      {"schema", [](const Value& v, LlmFields& f) { return read_object(f.schema, "schema", v, "a JSON Schema"); }},
      {"tools", read_tools},
      {"tool_choice",
       [](const Value& v, LlmFields& f) -> Status {
         f.tool_choice = v;
         return Done{};
       }},
      {"stream",
       [](const Value& v, LlmFields& f) -> Status {
         if (!v.is_bool()) return field_error("stream", kind_is(v), "true or false");
         f.stream = v.as_bool();
         return Done{};
       }},
      {"retries", read_retries},
      {"fallbacks", read_fallbacks},
  };
  return kRows;
}

// `{{ secrets.NAME }}` and nothing else.
bool is_secret_expression(const Value& value) {
  if (!value.is_string()) return false;
  std::string_view text = value.as_string();
  const auto trim = [&] {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  };
  trim();
  if (!text.starts_with("{{") || !text.ends_with("}}")) return false;
  text = text.substr(2, text.size() - 4);
  trim();
  return (text.starts_with("secrets.") || text.starts_with("secrets[")) && text.find("{{") == std::string_view::npos;
}

Status check_endpoint(const Value& fields) {
  if (present(fields, "provider") != nullptr && present(fields, "base_url") != nullptr)
    return field_error("base_url", "stands beside 'provider'", "one of them");
  return Done{};
}

// `prompt` and `system` are short for `messages`.
Status add_prompt(const Value& fields, LlmFields& out) {
  const Value* prompt = present(fields, "prompt");
  const Value* system = present(fields, "system");
  if (present(fields, "messages") != nullptr) {
    if (prompt != nullptr) return field_error("prompt", "stands beside 'messages'", "one of them");
    if (system != nullptr) return field_error("system", "stands beside 'messages'", "a message with role: system");
    return Done{};
  }
  if (prompt == nullptr) return field_error("prompt", "is missing", "'prompt' or 'messages'");
  const auto text = [](const Value& value) { return value.is_string() ? value.as_string() : value.dump(); };
  if (system != nullptr) out.messages.push_back(Value::Object{{"role", "system"}, {"content", text(*system)}});
  out.messages.push_back(Value::Object{{"role", "user"}, {"content", text(*prompt)}});
  return Done{};
}

}  // namespace

Result<LlmFields> LlmFields::read(const Value& fields) {
  LlmFields out;
  for (const Row& row : rows()) {
    const Value* value = present(fields, row.field);
    if (value == nullptr) continue;
    if (Status read = row.read(*value, out); !read.ok()) return read.error();
  }
  if (Status one = check_endpoint(fields); !one.ok()) return one.error();
  if (Status added = add_prompt(fields, out); !added.ok()) return added.error();
  return out;
}

std::vector<FieldProblem> check_llm_fields(const Value& fields) {
  std::vector<FieldProblem> out;
  LlmFields ignored;
  const auto add = [&](std::string_view field, const Error& error) {
    const Problem& problem = error.details.front();
    out.push_back({std::string(field), problem.message, problem.expected});
  };
  for (const Row& row : rows()) {
    const Value* value = present(fields, row.field);
    if (value == nullptr || is_templated(*value)) continue;
    if (Status read = row.read(*value, ignored); !read.ok()) add(row.field, read.error());
  }
  if (const Value* key = present(fields, "api_key"); key != nullptr && !is_secret_expression(*key))
    out.push_back({"api_key", "is not a secret", "\"{{ secrets.NAME }}\": a key never stands in a workflow"});
  if (Status one = check_endpoint(fields); !one.ok()) add("base_url", one.error());
  const bool asks = present(fields, "prompt") != nullptr || present(fields, "messages") != nullptr;
  if (Status added = add_prompt(fields, ignored); asks && !added.ok())
    add(present(fields, "prompt") != nullptr ? "prompt" : "system", added.error());
  return out;
}

}  // namespace millrace
