// What `shell` and `container` make of a program's end: `exit_codes` and `outputs`, read. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/value.h"
#include "common/model/field_checks.h"

namespace millrace {

enum class ExitMeaning : std::uint8_t { kSuccess, kRetry, kFail };  // kFail: another try would not help

// {0: success, 75: retry, 2: fail, default: retry}. Unless told otherwise 0 is success and all others retry.
class ExitCodes {
 public:
  static Result<ExitCodes> read(const Value& value);
  ExitMeaning of(int code) const;

 private:
  std::map<int, ExitMeaning> codes_ = {{0, ExitMeaning::kSuccess}};
  ExitMeaning default_ = ExitMeaning::kRetry;
};

// What the output of a task is: all three streams of its end, or what it printed, or what it left in a file.
enum class ShellOutputs : std::uint8_t { kAll, kText, kLines, kJson, kFile };
Result<ShellOutputs> read_shell_outputs(const Value& value);

std::vector<FieldProblem> check_shell_fields(const Value& fields);

}  // namespace millrace
