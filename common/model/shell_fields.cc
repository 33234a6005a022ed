#include "common/model/shell_fields.h"

#include <array>
#include <charconv>
#include <optional>

namespace millrace {
namespace {

constexpr const char* kCodesExpected = "a mapping of exit codes (0 to 255, or default) to success, retry or fail";
constexpr std::array<std::string_view, 5> kOutputs = {"all", "text", "lines", "json", "file"};

std::optional<ExitMeaning> meaning_of(const Value& word) {
  if (!word.is_string()) return std::nullopt;
  if (word.as_string() == "success") return ExitMeaning::kSuccess;
  if (word.as_string() == "retry") return ExitMeaning::kRetry;
  if (word.as_string() == "fail") return ExitMeaning::kFail;
  return std::nullopt;
}

std::optional<int> code_of(const std::string& text) {
  int code = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (problem != std::errc{} || end != text.data() + text.size() || code < 0 || code > 255) return std::nullopt;
  return code;
}

}  // namespace

Result<ExitCodes> ExitCodes::read(const Value& value) {
  if (!value.is_object())
    return field_error("exit_codes", std::string("is of kind ") + value.kind_name(), kCodesExpected);
  ExitCodes out;
  for (const auto& [name, word] : value.as_object()) {
    const std::optional<ExitMeaning> meaning = meaning_of(word);
    const std::optional<int> code = code_of(name);
    if (!meaning || (!code && name != "default"))
      return field_error("exit_codes", "holds '" + name + ": " + word.dump() + "'", kCodesExpected);
    if (code) out.codes_[*code] = *meaning;
    else out.default_ = *meaning;
  }
  return out;
}

ExitMeaning ExitCodes::of(int code) const {
  const auto found = codes_.find(code);
  return found == codes_.end() ? default_ : found->second;
}

Result<ShellOutputs> read_shell_outputs(const Value& value) {
  for (std::size_t i = 0; i < kOutputs.size(); ++i) {
    if (value.is_string() && value.as_string() == kOutputs[i]) return static_cast<ShellOutputs>(i);
  }
  return field_error("outputs", "is " + value.dump().substr(0, 40), "one of all, text, lines, json, file");
}

std::vector<FieldProblem> check_shell_fields(const Value& fields) {
  std::vector<FieldProblem> out;
  const auto add = [&](const char* field, const Error& error) {
    out.push_back({field, error.details.front().message, error.details.front().expected});
  };
  if (const Value* codes = fields.find("exit_codes"); codes != nullptr && !codes->is_null()) {
    if (const Result<ExitCodes> read = ExitCodes::read(*codes); !read.ok()) add("exit_codes", read.error());
  }
  if (const Value* outputs = fields.find("outputs"); outputs != nullptr && !outputs->is_null()) {
    if (const Result<ShellOutputs> read = read_shell_outputs(*outputs); !read.ok()) add("outputs", read.error());
  }
  return out;
}

}  // namespace millrace
