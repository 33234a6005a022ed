// What YAML values mean: YAML 1.2's core schema, which agrees with JSON. `yes`, `no` and `on` are strings; what is
// quoted stays a string; integers are exact in 64 bits; what JSON cannot say (.nan, .inf) is a problem.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/spec/report.h"
#include "common/spec/yaml_source.h"

namespace millrace {

// The value of a plain scalar. Errors: one Problem without a place.
Result<Value> plain_scalar(std::string_view text);

// The value of a node and all below it. What is wrong goes to the report and reads as null.
Value to_value(const YamlDocument& document, std::uint32_t node, Report& report);

// A whole file of YAML or JSON as one value; for inputs and configuration. Errors: kInvalid with every problem.
Result<Value> parse_yaml_value(std::string_view text, std::string_view file_name);

}  // namespace millrace
