// The fields of the executor `llm`, read. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/model/field_checks.h"

namespace millrace {

// Where a request goes: empty texts are the provider's own, or the first target's.
struct LlmTarget {
  std::string provider, model;
  bool operator==(const LlmTarget&) const = default;
};

struct LlmFields {
  LlmTarget target;
  std::string base_url, api_key;       // of an endpoint that is no configured provider
  Value messages = Value::Array{};     // from `messages`, or from `system` and `prompt`
  Value parameters = Value::Object{};  // temperature, max_tokens ...: passed on as they are
  Value schema, tools, tool_choice;    // null: none
  bool stream = true;
  int retries = 2;  // of one target, after 429, 5xx and broken connections
  std::vector<LlmTarget> fallbacks;
  static Result<LlmFields> read(const Value& fields);  // kInvalid: names the field
};

std::vector<FieldProblem> check_llm_fields(const Value& fields);

}  // namespace millrace
