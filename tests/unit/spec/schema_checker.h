// A JSON Schema checker for the part of draft 2020-12 that docs/workflow.schema.json uses. A keyword that it does not
// know fails the test: nothing in the schema goes unchecked.
#pragma once

#include <set>
#include <string>

#include "common/base/value.h"

namespace millrace {

class SchemaChecker {
 public:
  explicit SchemaChecker(const Value& root) : root_(root) {}

  // Empty: the value fits. Otherwise where and why it does not.
  std::string check(const Value& value) { return check(root_, value, "$"); }
  const std::set<std::string>& unknown_keywords() const { return unknown_; }

 private:
  std::string check(const Value& schema, const Value& value, const std::string& at);
  std::string keyword(const std::string& word, const Value& rule, const Value& schema, const Value& value,
                      const std::string& at);
  std::string check_object(const std::string& word, const Value& rule, const Value& schema, const Value& value,
                           const std::string& at);
  std::string check_scalar(const std::string& word, const Value& rule, const Value& value, const std::string& at);
  std::string check_combined(const std::string& word, const Value& rule, const Value& value, const std::string& at);
  const Value& resolve(const std::string& reference) const;

  const Value& root_;
  std::set<std::string> unknown_;
};

}  // namespace millrace
