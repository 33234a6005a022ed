// Nodes that wait: `wait: {for | until}`, `signal: NAME`, `approval: {roles, deadline, default, message}`.
#include <algorithm>

#include "common/base/units.h"
#include "common/expr/expression.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

bool is_scalar(const YamlNode& node) { return node.kind == YamlKind::kPlain || node.kind == YamlKind::kText; }

const char* expected_of(TimeForm form) {
  switch (form) {
    case TimeForm::kDuration: return "a duration with its unit (10s, 5m, 1h), or an expression";
    case TimeForm::kMoment: return "a moment like 2026-01-31T08:00:00Z, or an expression";
    case TimeForm::kEither: return "a duration (10s, 1h), a moment like 2026-01-31T08:00:00Z, or an expression";
  }
  return "";
}

bool is_time(const std::string& text, TimeForm form) {
  if (form != TimeForm::kMoment && parse_duration(text).ok()) return true;
  return form != TimeForm::kDuration && parse_time(text).ok();
}

// Signals and roles are named like nodes.
std::optional<std::string> read_name(Reader& reader, std::uint32_t index, const std::string& what) {
  std::optional<std::string> name = reader.read_string(index, what);
  if (!name || is_node_id(*name) || is_reserved(*name)) return name;
  reader.problem(index, what + " is " + kind_of(reader.at(index)),
                 "1 to 64 letters, digits, '_', '.', '-', the first a letter, a digit or '_'");
  return std::nullopt;
}

void read_timer(Reader& reader, std::uint32_t index, const std::string& where, const ExpressionPlace& place,
                WaitSpec& wait) {
  if (is_scalar(reader.at(index))) {  // `wait: 10s`
    wait.limit = read_moment(reader, index, "'wait' of " + where, TimeForm::kDuration, place);
    return;
  }
  if (!reader.expect_mapping(index, "'wait' of " + where)) return;
  bool given = false;
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' in 'wait' of " + where;
    if (entry.name != "for" && entry.name != "until") {
      reader.unknown_key(entry, "'wait' of " + where, keys::kWait);
      continue;
    }
    if (given) reader.problem(entry.key, "'wait' of " + where + " has both 'for' and 'until'", "one of them");
    given = true;
    wait.until = entry.name == "until";
    wait.limit = read_moment(reader, entry.value, what, wait.until ? TimeForm::kMoment : TimeForm::kDuration, place);
  }
  if (!given) reader.problem(index, "'wait' of " + where + " has neither 'for' nor 'until'", "{for: 10s}");
}

void read_signal_key(Reader& reader, const Entry& entry, const std::string& what, const ExpressionPlace& place,
                     WaitSpec& wait) {
  if (entry.name == "timeout") {
    wait.limit = read_moment(reader, entry.value, what, TimeForm::kDuration, place);
  } else if (entry.name == "default") {
    check_expressions(reader, entry.value, place);
    wait.otherwise = reader.value(entry.value);
  }
}

void read_signal(Reader& reader, const std::vector<Entry>& entries, std::uint32_t index, const std::string& where,
                 const ExpressionPlace& place, WaitSpec& wait) {
  for (const Entry& entry : entries) read_signal_key(reader, entry, "'" + entry.name + "' of " + where, place, wait);
  if (is_scalar(reader.at(index))) {
    wait.signal = read_name(reader, index, "'signal' of " + where).value_or("");
    return;
  }
  if (!reader.expect_mapping(index, "'signal' of " + where)) return;
  bool named = false;
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' in 'signal' of " + where;
    if (std::ranges::find(keys::kSignal, entry.name) == keys::kSignal.end()) {
      reader.unknown_key(entry, "'signal' of " + where, keys::kSignal);
    } else if (entry.name == "name") {
      named = true;
      wait.signal = read_name(reader, entry.value, what).value_or("");
    } else {
      read_signal_key(reader, entry, what, place, wait);
    }
  }
  if (!named) reader.problem(index, "'signal' of " + where + " has no 'name'", "{name: NAME}");
}

void read_roles(Reader& reader, std::uint32_t index, const std::string& where, WaitSpec& wait) {
  std::vector<std::uint32_t> items;
  if (reader.at(index).kind == YamlKind::kSequence) items = reader.at(index).children;
  else items.push_back(index);
  if (items.size() > kRolesMax) {
    reader.problem(index, "'roles' of " + where + " has " + std::to_string(items.size()) + " entries",
                   "at most " + std::to_string(kRolesMax));
    return;
  }
  for (std::uint32_t item : items) {
    if (const auto role = read_name(reader, item, "a role of " + where)) wait.roles.push_back(*role);
  }
}

void read_approval(Reader& reader, std::uint32_t index, const std::string& where, const ExpressionPlace& place,
                   WaitSpec& wait) {
  if (reader.is_null(index)) return;  // anybody, for ever
  if (!reader.expect_mapping(index, "'approval' of " + where)) return;
  std::uint32_t default_at = 0;
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' in 'approval' of " + where;
    if (entry.name == "roles") {
      read_roles(reader, entry.value, where, wait);
    } else if (entry.name == "deadline") {
      wait.limit = read_moment(reader, entry.value, what, TimeForm::kEither, place);
    } else if (entry.name == "default") {
      default_at = entry.key;
      const auto word = reader.read_word(entry.value, what, keys::kApprovalDefault);
      wait.decides = word == "approve" ? ApprovalDefault::kApprove : ApprovalDefault::kReject;
    } else if (entry.name == "message") {
      check_expressions(reader, entry.value, {what, place.node, /*core=*/true, place.all_nodes});
      wait.message = reader.value(entry.value);
    } else {
      reader.unknown_key(entry, "'approval' of " + where, keys::kApproval);
    }
  }
  if (default_at != 0 && !wait.limit)
    reader.problem(default_at, "'default' in 'approval' of " + where + " decides nothing without a 'deadline'",
                   "a 'deadline' beside it");
}

}  // namespace

std::optional<Value> read_moment(Reader& reader, std::uint32_t index, const std::string& what, TimeForm form,
                                 const ExpressionPlace& place) {
  const YamlNode& written = reader.at(index);
  if (is_scalar(written) && written.text.find("{{") != std::string::npos) {
    ExpressionPlace here = place;
    here.where = what;
    check_expressions(reader, index, here);
    return Value(reader.qualified(written.text));
  }
  if (is_scalar(written) && is_time(written.text, form)) return Value(written.text);
  const bool bare = written.kind == YamlKind::kPlain && reader.value(index).is_number();
  reader.problem(index, what + " is " + kind_of(written), expected_of(form),
                 bare && form != TimeForm::kMoment ? "write the unit: " + written.text.substr(0, 20) + "s" : "");
  return std::nullopt;
}

void read_wait(Reader& reader, const std::vector<Entry>& entries, const Entry& kind, const std::string& where,
               std::uint32_t node, bool depends_on) {
  WaitSpec& wait = reader.spec.specs[node].flow.wait.emplace();
  const ExpressionPlace place{"'" + kind.name + "' of " + where, node, /*core=*/true, depends_on};
  if (kind.name == "wait") {
    wait.kind = WaitKind::kTimer;
    read_timer(reader, kind.value, where, place, wait);
  } else if (kind.name == "signal") {
    wait.kind = WaitKind::kSignal;
    read_signal(reader, entries, kind.value, where, place, wait);
  } else {
    wait.kind = WaitKind::kApproval;
    read_approval(reader, kind.value, where, place, wait);
  }
}

}  // namespace millrace
