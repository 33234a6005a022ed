// A node that starts a run of a registered workflow: `executor: workflow`.
#include <charconv>

#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

// NAME or NAME@VERSION.
void read_workflow(Reader& reader, const Entry& entry, const std::string& what, WaitSpec& wait) {
  const std::optional<std::string> text = reader.read_string(entry.value, what);
  if (!text) return;
  const std::size_t at = text->rfind('@');
  wait.workflow = text->substr(0, at);
  const std::string version = at == std::string::npos ? "" : text->substr(at + 1);
  const auto [end, failure] = std::from_chars(version.data(), version.data() + version.size(), wait.version);
  const bool number = failure == std::errc() && end == version.data() + version.size() && wait.version > 0;
  if (wait.workflow.empty() || (at != std::string::npos && !number) || text->find("{{") != std::string::npos)
    reader.problem(entry.value, what + " is '" + *text + "'", "NAME or NAME@VERSION of a registered workflow");
}

}  // namespace

void read_child(Reader& reader, const std::vector<Entry>& entries, const Entry& kind, const std::string& where,
                std::uint32_t node, bool depends_on) {
  WaitSpec& wait = reader.spec.specs[node].flow.wait.emplace();
  wait.kind = WaitKind::kChild;
  const bool mapped = reader.spec.specs[node].flow.foreach.has_value();
  bool named = false;
  for (const Entry& entry : entries) {
    const std::string what = "'" + entry.name + "' of " + where;
    ExpressionPlace place{what, node, /*core=*/true, depends_on};
    if (mapped) place.more = keys::kItemRoots;
    if (entry.name == "workflow") {
      named = true;
      read_workflow(reader, entry, what, wait);
    } else if (entry.name == "with") {
      if (!reader.expect_mapping(entry.value, what)) continue;
      check_expressions(reader, entry.value, place);
      wait.with = reader.value(entry.value);
    } else if (entry.name == "timeout") {
      wait.limit = read_moment(reader, entry.value, what, TimeForm::kDuration, place);
    } else if (entry.name == "collect" && mapped && !reader.value(entry.value).is_bool()) {
      reader.problem(entry.value, what + " is " + kind_of(reader.at(entry.value)),
                     "true or false: what is kept of a child run is its outputs", "say `outputs` in its workflow");
    }
  }
  if (!named) reader.problem(kind.key, where + " does not say which workflow it runs", "a 'workflow' beside it");
}

}  // namespace millrace
