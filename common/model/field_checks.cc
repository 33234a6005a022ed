#include "common/model/field_checks.h"

#include "common/model/http_fields.h"
#include "common/model/llm_fields.h"
#include "common/model/requirement_set.h"
#include "common/model/shell_fields.h"
#include "common/model/task_limits.h"

namespace millrace {

namespace {

// One of three says what is run; `function` is module:function.
std::vector<FieldProblem> check_code_fields(const Value& fields) {
  std::vector<FieldProblem> out;
  const char* first = nullptr;
  for (const char* field : {"script", "file", "function"}) {
    if (fields.find(field) == nullptr) continue;
    if (first != nullptr) out.push_back({field, std::string("stands beside '") + first + "'", "one of them"});
    else first = field;
  }
  const Value* function = fields.find("function");
  if (function == nullptr || !function->is_string() || is_templated(*function)) return out;
  const std::string& name = function->as_string();
  const std::size_t colon = name.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == name.size() ||
      name.find(':', colon + 1) != std::string::npos)
    out.push_back({"function", "is \"" + name.substr(0, 40) + "\"", "module:function"});
  return out;
}

std::vector<FieldProblem> check_python_fields(const Value& fields) {
  std::vector<FieldProblem> out = check_code_fields(fields);
  if (const Value* requirements = fields.find("requirements"); requirements != nullptr) {
    if (fields.find("venv") != nullptr) out.push_back({"requirements", "stands beside 'venv'", "one of them"});
    if (requirements->is_array()) {
      const Result<RequirementSet> set = read_requirements(*requirements);
      if (!set.ok()) out.push_back({"requirements", "is not what can be installed: " + set.error().what, ""});
    }
  }
  return out;
}

std::vector<FieldProblem> check_template_fields(const Value& fields) {
  std::vector<FieldProblem> out;
  if (fields.find("template") != nullptr && fields.find("file") != nullptr)
    out.push_back({"file", "stands beside 'template'", "one of them"});
  for (FieldProblem& problem : check_task_limits(fields)) out.push_back(std::move(problem));
  const Value* outputs = fields.find("outputs");
  if (outputs != nullptr && outputs->is_string() && outputs->as_string() != "text" && outputs->as_string() != "json")
    out.push_back({"outputs", "is " + outputs->dump().substr(0, 40), "text or json"});
  return out;
}

}  // namespace

std::vector<FieldProblem> check_fields(std::string_view executor, const Value& fields) {
  if (executor == "http") return check_http_fields(fields);
  if (executor == "llm") return check_llm_fields(fields);
  if (executor == "container") return check_shell_fields(fields);
  if (executor == "python" || executor == "javascript") {
    std::vector<FieldProblem> out = executor == "python" ? check_python_fields(fields) : check_code_fields(fields);
    for (FieldProblem& problem : check_task_limits(fields)) out.push_back(std::move(problem));
    return out;
  }
  if (executor == "shell") {
    std::vector<FieldProblem> out = check_shell_fields(fields);
    for (FieldProblem& problem : check_task_limits(fields)) out.push_back(std::move(problem));
    return out;
  }
  if (executor == "template") return check_template_fields(fields);
  return {};
}

}  // namespace millrace
