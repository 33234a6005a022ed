#include "common/model/task_limits.h"

#include "common/base/units.h"

namespace millrace {
namespace {

Error wrong(const std::string& key, const char* expected) {
  return field_error("limits", "has '" + key + "' that is not as expected", expected);
}

}  // namespace

Result<Isolation> parse_isolation(std::string_view word) {
  if (word == "none") return Isolation::kNone;
  if (word == "process") return Isolation::kProcess;
  if (word == "namespaces") return Isolation::kNamespaces;
  if (word == "container") return Isolation::kContainer;
  return field_error("isolation", "is \"" + std::string(word) + "\"", "process, namespaces, container or none");
}

std::string_view to_string(Isolation isolation) {
  switch (isolation) {
    case Isolation::kNone: return "none";
    case Isolation::kProcess: return "process";
    case Isolation::kNamespaces: return "namespaces";
    case Isolation::kContainer: return "container";
  }
  return "";
}

Result<TaskLimits> TaskLimits::read(const Value& value) {
  if (!value.is_object())
    return field_error("limits", std::string("is of kind ") + value.kind_name(),
                       "a mapping of memory, cpu, processes, files, file_size, output");
  TaskLimits out;
  for (const auto& [key, one] : value.as_object()) {
    if (key == "memory" || key == "file_size" || key == "output") {
      const Result<std::uint64_t> size = one.is_string() ? parse_size(one.as_string()) : Error{};
      if (!size.ok() || *size == 0) return wrong(key, "a size with its unit: 64MiB, 1GiB");
      (key == "memory" ? out.memory : key == "output" ? out.output : out.file_size) = *size;
    } else if (key == "cpu") {
      const Result<Duration> duration = one.is_string() ? parse_duration(one.as_string()) : Error{};
      if (!duration.ok() || *duration <= Duration::zero()) return wrong(key, "a duration with its unit: 30s, 5m");
      out.cpu = *duration;
    } else if (key == "processes" || key == "files") {
      if (!one.is_int() || one.as_int() < 1) return wrong(key, "a number of at least 1");
      (key == "files" ? out.files : out.processes) = static_cast<std::uint64_t>(one.as_int());
    } else {
      return field_error("limits", "has the unknown key '" + key + "'",
                         "memory, cpu, processes, files, file_size or output");
    }
  }
  return out;
}

std::vector<FieldProblem> check_task_limits(const Value& fields) {
  std::vector<FieldProblem> out;
  const auto add = [&](const char* field, const Error& error) {
    out.push_back({field, error.details.front().message, error.details.front().expected});
  };
  const Value* isolation = fields.find("isolation");
  if (isolation != nullptr && isolation->is_string()) {
    if (const Result<Isolation> read = parse_isolation(isolation->as_string()); !read.ok())
      add("isolation", read.error());
    const Value* network = fields.find("network");
    if (network != nullptr && network->is_bool() && !network->as_bool() &&
        (isolation->as_string() == "none" || isolation->as_string() == "process"))
      add("network", field_error("network", "is false", "isolation: namespaces, which alone can keep it away"));
  }
  if (const Value* limits = fields.find("limits"); limits != nullptr && !limits->is_null()) {
    if (const Result<TaskLimits> read = TaskLimits::read(*limits); !read.ok()) add("limits", read.error());
  }
  return out;
}

// `process` is what every worker gives unless its kernel cannot: that one refuses it with the reason.
std::optional<LabelRule> rule_of_isolation(const Value& fields) {
  const Value* written = fields.find("isolation");
  if (written == nullptr || !written->is_string()) return std::nullopt;
  const Result<Isolation> asked = parse_isolation(written->as_string());
  if (!asked.ok()) return std::nullopt;
  if (*asked == Isolation::kNamespaces)
    return LabelRule{std::string(kIsolationLabel), false, {std::string(to_string(*asked))}};
  if (*asked == Isolation::kContainer) return LabelRule{std::string(kRuntimeClassLabel), false, {}};
  return std::nullopt;
}

}  // namespace millrace
