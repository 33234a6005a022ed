// A small part of JSON Schema: what structured answers are asked for in. Pure and total; unknown keywords are ignored.
//
// Knows: type, enum, const, properties, required, additionalProperties, items, minItems, maxItems, minLength,
// maxLength, minimum, maximum, anyOf, oneOf, allOf. Nesting deeper than Value::kDepthMax does not arise.
#pragma once

#include <string>

#include "common/base/value.h"

namespace millrace {

// What is wrong with `value`, with its path ("$.items[2].name is of kind integer, not string"); empty: it fits.
std::string schema_problem(const Value& schema, const Value& value);

}  // namespace millrace
