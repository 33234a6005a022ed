// `nodes:`: ids first, so that every name resolves in whatever order nodes are written, then each node's body.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "common/model/executor_fields.h"
#include "common/model/task_limits.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

constexpr std::int64_t kTriesMax = 100'000;
constexpr double kFactorMax = 1000;

std::string with_article(const std::string& key) {
  return (key == "executor" || key == "approval" ? "an '" : "a '") + key + "'";
}

std::vector<std::string_view> executor_names(const Reader& reader) {
  std::vector<std::string_view> names;
  for (const ExecutorFields& row : executor_table()) names.push_back(row.executor);
  names.push_back(keys::kChildExecutor);
  names.insert(names.end(), reader.executors.begin(), reader.executors.end());
  return names;
}

std::string read_executor(Reader& reader, std::uint32_t index, const std::string& where) {
  const std::vector<std::string_view> names = executor_names(reader);
  const YamlNode& node = reader.at(index);
  const Result<Value> plain = node.kind == YamlKind::kPlain ? plain_scalar(node.text) : Result<Value>(Value());
  const bool text = node.kind == YamlKind::kText || (plain.ok() && plain->is_string());
  if (text && is_node_id(node.text) && std::ranges::find(names, node.text) == names.end() &&
      reader.suggestion(node.text, names).empty()) {
    reader.problem(index, "'executor' of " + where + " is " + kind_of(node), "one of " + list_words(names),
                   "one of your own is declared: 'executors: [" + node.text + "]'");
    return "";
  }
  return reader.read_word(index, "'executor' of " + where, names).value_or("");
}

void check_id(Reader& reader, const Entry& entry) {
  const std::string& id = entry.name;
  const bool variables = id == "vars";  // a workflow that is stored may have such a node
  if (is_node_id(id) && !variables) return;
  std::string message;
  if (is_reserved(id) || variables) message = "node id '" + id + "' is reserved";
  else if (id.empty()) message = "a node id is empty";
  else if (id.size() > kNodeIdMax) message = "node id '" + id.substr(0, 20) + "...' is too long";
  else message = "'" + id + "' cannot be a node id";
  std::string usable;
  for (char c : id) usable += is_node_id(std::string("a") + c) ? c : '_';
  const bool hint = is_node_id(usable) && !reader.node_index.contains(usable);
  reader.problem(entry.key, std::move(message),
                 "1 to 64 letters, digits, '_', '.', '-', the first a letter, a digit or '_'; none of the names that "
                 "expressions use",
                 hint ? "did you mean '" + usable + "'?" : "");
}

void read_backoff(Reader& reader, std::uint32_t index, const std::string& where, BackoffPolicy& backoff) {
  if (!reader.expect_mapping(index, "'backoff' of " + where)) return;
  bool max_given = false;
  std::uint32_t max_at = index;
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' in 'backoff' of " + where;
    if (entry.name == "initial") {
      backoff.initial = reader.read_duration(entry.value, what, Duration::zero()).value_or(backoff.initial);
    } else if (entry.name == "factor") {
      backoff.factor = reader.read_number(entry.value, what, 1, kFactorMax).value_or(backoff.factor);
    } else if (entry.name == "max") {
      const auto max = reader.read_duration(entry.value, what, Duration::zero());
      max_given = max.has_value();
      max_at = entry.value;
      backoff.max = max.value_or(backoff.max);
    } else if (entry.name == "jitter") {
      backoff.jitter = reader.read_number(entry.value, what, 0, 1).value_or(backoff.jitter);
    } else {
      reader.unknown_key(entry, "'backoff' of " + where, keys::kBackoff);
    }
  }
  if (backoff.max >= backoff.initial) return;
  if (max_given) {
    reader.problem(max_at, "'max' in 'backoff' of " + where + " is shorter than 'initial'", "at least 'initial'");
  }
  backoff.max = backoff.initial;
}

void read_on_loss(Reader& reader, std::uint32_t index, const std::string& where, NodeSpec& node) {
  const auto word = reader.read_word(index, "'on_loss' of " + where, keys::kOnLoss);
  if (word) node.on_loss = *word == "fail" ? OnLoss::kFail : OnLoss::kRetry;
}

void read_retry_on(Reader& reader, std::uint32_t index, const std::string& what, RetryPolicy& retry) {
  std::vector<std::uint32_t> items;
  if (reader.at(index).kind == YamlKind::kSequence) items = reader.at(index).children;
  else items.push_back(index);
  if (items.empty() || items.size() > kRetryOnMax) {
    reader.problem(index, what + " has " + std::to_string(items.size()) + " entries",
                   "1 to " + std::to_string(kRetryOnMax) + " reasons or texts of messages");
    return;
  }
  for (std::uint32_t item : items) {
    const std::optional<std::string> text = reader.read_string(item, "an entry of " + what);
    if (!text) continue;
    if (text->empty()) reader.problem(item, "an entry of " + what + " is empty", "a reason, or a text of messages");
    retry.on.push_back(*text);
  }
}

void read_retry(Reader& reader, std::uint32_t index, const std::string& where, NodeSpec& node) {
  if (reader.at(index).kind == YamlKind::kPlain) {
    reader.problem(index, "'retry' of " + where + " is " + kind_of(reader.at(index)),
                   "a mapping of " + list_words(keys::kRetry), "did you mean 'retry: {max_attempts: 3}'?");
    return;
  }
  if (!reader.expect_mapping(index, "'retry' of " + where)) return;
  for (const Entry& entry : reader.entries(index)) {
    const std::string what = "'" + entry.name + "' in 'retry' of " + where;
    if (entry.name == "max_attempts") {
      node.retry.attempts_max =
          static_cast<std::uint32_t>(reader.read_integer(entry.value, what, 1, kTriesMax).value_or(1));
    } else if (entry.name == "max_losses") {
      node.retry.losses_max =
          static_cast<std::uint32_t>(reader.read_integer(entry.value, what, 0, kTriesMax).value_or(3));
    } else if (entry.name == "on") {
      read_retry_on(reader, entry.value, what, node.retry);
    } else if (entry.name == "backoff") {
      read_backoff(reader, entry.value, where, node.retry.backoff);
    } else if (entry.name == "on_loss") {
      read_on_loss(reader, entry.value, where, node);
    } else {
      reader.unknown_key(entry, "'retry' of " + where, keys::kRetry);
    }
  }
}

// Of one attempt; or a mapping that also says how long all of them may take.
void read_timeout(Reader& reader, std::uint32_t index, const std::string& where, NodeSpec& node) {
  const std::string what = "'timeout' of " + where;
  if (reader.at(index).kind != YamlKind::kMapping) {
    node.timeout = reader.read_duration(index, what, 1us).value_or(Duration{});
    return;
  }
  const std::vector<Entry> entries = reader.entries(index);
  if (entries.empty()) reader.problem(index, what + " is empty", "'attempt', 'node' or both");
  for (const Entry& entry : entries) {
    const std::string part = "'" + entry.name + "' in " + what;
    if (entry.name == "attempt") node.timeout = reader.read_duration(entry.value, part, 1us).value_or(Duration{});
    else if (entry.name == "node") node.limit = reader.read_duration(entry.value, part, 1us).value_or(Duration{});
    else reader.unknown_key(entry, what, keys::kTimeout);
  }
  if (node.limit != Duration{} && node.limit < node.timeout)
    reader.problem(index, what + " gives one attempt longer than the node", "'node' of at least 'attempt'");
}

void read_dependency(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node) {
  const YamlNode& written = reader.at(index);
  if (written.kind != YamlKind::kPlain && written.kind != YamlKind::kText) {
    reader.problem(index, "'depends_on' of " + where + " has an entry that is " + kind_of(written), "the id of a node");
    return;
  }
  const std::optional<std::uint32_t> found = reader.find_node(written.text);
  if (!found) {
    reader.problem(index, where + " depends on '" + written.text + "', which is not a node", "the id of a node",
                   reader.suggest_node(written.text));
  } else if (*found == node) {
    reader.problem(index, where + " depends on itself", "the id of another node");
  } else {
    reader.edges.push_back({node, *found, written.offset});
  }
}

// The keys that every node with an executor may have. False: not one of them.
bool read_common_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node, NodeSpec& spec) {
  const std::string what = "'" + entry.name + "' of " + where;
  if (std::ranges::find(keys::kKinds, entry.name) != keys::kKinds.end()) return true;
  if (read_handler_key(reader, entry, where, node)) return true;
  if (entry.name == "depends_on") read_depends_on(reader, entry.value, where, node);
  else if (entry.name == "description") static_cast<void>(reader.read_string(entry.value, what));
  else if (entry.name == "retry") read_retry(reader, entry.value, where, spec);
  else if (entry.name == "on_loss") read_on_loss(reader, entry.value, where, spec);
  else if (entry.name == "timeout") read_timeout(reader, entry.value, where, spec);
  else if (entry.name == "priority") {
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    spec.priority = static_cast<std::int32_t>(reader.read_integer(entry.value, what, -kMax, kMax).value_or(0));
  } else if (entry.name == "queue") {
    const std::optional<std::string> queue = reader.read_string(entry.value, what);
    if (queue && !is_node_id(*queue))
      reader.problem(entry.value, what + " is " + kind_of(reader.at(entry.value)), "a name like a node id");
    spec.queue = queue.value_or("");
  } else {
    return read_placing_key(reader, entry, where, node);
  }
  return true;
}

struct NodeKeys {
  std::vector<const Entry*> kinds;  // of `executor`, `value` and `branch`, those that are there
  bool depends_on = false;
  bool foreach = false;
};

NodeKeys find_keys(const std::vector<Entry>& entries) {
  NodeKeys found;
  for (const Entry& entry : entries) {
    if (std::ranges::find(keys::kKinds, entry.name) != keys::kKinds.end()) found.kinds.push_back(&entry);
    if (entry.name == "depends_on") found.depends_on = true;
    if (entry.name == "foreach") found.foreach = true;
  }
  return found;
}

std::span<const std::string_view> keys_of(std::string_view kind) {
  if (kind == "value") return keys::kValueNode;
  if (kind == "set") return keys::kSetNode;
  if (kind == "branch") return keys::kBranchNode;
  if (kind == "wait") return keys::kWaitNode;
  if (kind == "executor") return keys::kChildNode;
  return kind == "signal" ? std::span<const std::string_view>(keys::kSignalNode) : keys::kApprovalNode;
}

// A value of which each member is a variable of the run.
void read_set(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on) {
  const std::string what = "'set' of " + where;
  if (!reader.expect_mapping(index, what)) return;
  const std::vector<Entry> entries = reader.entries(index);
  if (entries.empty()) reader.problem(index, what + " names no variable", "NAME: VALUE");
  for (const Entry& entry : entries) {
    if (is_secret_name(entry.name)) reader.variables.insert(entry.name);
    else
      reader.problem(entry.key, "'" + entry.name + "' in " + what + " cannot be the name of a variable",
                     "1 to 64 letters, digits and '_', the first no digit");
  }
  if (reader.variables.size() > kVariablesMax)
    reader.problem(index, "the workflow has more than " + std::to_string(kVariablesMax) + " variables");
  check_expressions(reader, index, {what, node, /*core=*/true, depends_on});
  NodeSpec& spec = reader.spec.specs[node];
  spec.value = reader.value(index);
  spec.flow.sets = true;
}

// A node that the core decides: it has a value, branches, or waits.
void read_control_node(Reader& reader, const std::vector<Entry>& entries, const NodeKeys& found,
                       const std::string& where, std::uint32_t node) {
  const Entry& kind = *found.kinds.front();
  const std::span<const std::string_view> known = keys_of(kind.name);
  NodeSpec& spec = reader.spec.specs[node];
  if (kind.name == "executor" && found.foreach) spec.flow.foreach.emplace();
  for (const Entry& entry : entries) {
    if (std::ranges::find(known, entry.name) == known.end()) {
      reader.problem(entry.key,
                     "unknown key '" + entry.name + "' in " + where + ", which has " + with_article(kind.name),
                     "one of " + list_words(known), reader.suggestion(entry.name, known));
    } else if ((kind.name == "signal" && (entry.name == "timeout" || entry.name == "default")) ||
               (kind.name == "executor" &&
                (entry.name == "timeout" || entry.name == "workflow" || entry.name == "with"))) {
      continue;  // of the wait
    } else if (!read_flow_key(reader, entry, where, node, found.depends_on)) {
      read_common_key(reader, entry, where, node, spec);
    }
  }
  if (kind.name == "executor") {
    read_child(reader, entries, kind, where, node, found.depends_on);
  } else if (kind.name == "wait" || kind.name == "signal" || kind.name == "approval") {
    read_wait(reader, entries, kind, where, node, found.depends_on);
  } else if (kind.name == "set") {
    read_set(reader, kind.value, where, node, found.depends_on);
  } else if (kind.name == "value") {
    spec.value = reader.value(kind.value);
    check_expressions(reader, kind.value, {"'value' of " + where, node, /*core=*/true, found.depends_on});
  } else {
    read_branch(reader, kind.value, where, node, found.depends_on);
  }
}

void read_task_node(Reader& reader, const std::vector<Entry>& entries, const NodeKeys& found, const std::string& where,
                    std::uint32_t node) {
  NodeSpec& spec = reader.spec.specs[node];
  TaskBody body;
  body.node = node;
  body.depends_on = found.depends_on;
  body.mapped = found.foreach;
  if (found.foreach) spec.flow.foreach.emplace();
  const auto named = [](const Entry* kind) { return kind->name == "executor"; };
  if (const auto executor = std::ranges::find_if(found.kinds, named); executor != found.kinds.end()) {
    body.executor_at = (*executor)->value;
    spec.executor = read_executor(reader, body.executor_at, where);
  }
  for (const Entry& entry : entries) {
    if (read_flow_key(reader, entry, where, node, found.depends_on)) continue;
    if (!read_common_key(reader, entry, where, node, spec)) body.own.push_back(entry);
  }
  spec.fields = read_fields(reader, body);
  if (std::optional<LabelRule> rule = rule_of_isolation(spec.fields)) {
    spec.labels.push_back(std::move(*rule));
    std::ranges::sort(spec.labels);
  }
}

void read_node(Reader& reader, const Entry& entry, std::uint32_t node) {
  const std::string where = "node '" + reader.spec.ids[node] + "'";
  if (!reader.expect_mapping(entry.value, where)) return;
  const std::vector<Entry> entries = reader.entries(entry.value);
  const NodeKeys found = find_keys(entries);
  if (found.kinds.empty()) {
    reader.problem(entry.key, where + " has neither an 'executor' nor a 'value' nor a 'branch', and waits for nothing",
                   "'executor' with one of " + list_words(executor_names(reader)) +
                       ", 'value', 'set', 'branch', 'wait', 'signal' or 'approval'");
  }
  for (std::size_t i = 1; i < found.kinds.size(); ++i) {
    reader.problem(
        found.kinds[i]->key,
        where + " has both " + with_article(found.kinds[0]->name) + " and " + with_article(found.kinds[i]->name),
        "one of them");
  }
  const bool child = found.kinds.size() == 1 && found.kinds.front()->name == "executor" &&
                     reader.at(found.kinds.front()->value).text == keys::kChildExecutor;
  if (found.kinds.empty() || found.kinds.size() > 1 || (found.kinds.front()->name == "executor" && !child))
    read_task_node(reader, entries, found, where, node);
  else read_control_node(reader, entries, found, where, node);
  check_cache(reader, entries, where, node);
}

}  // namespace

void read_depends_on(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node) {
  const YamlNode& written = reader.at(index);
  switch (written.kind) {
    case YamlKind::kPlain:
    case YamlKind::kText: read_dependency(reader, index, where, node); break;
    case YamlKind::kSequence:
      for (std::uint32_t item : written.children) read_dependency(reader, item, where, node);
      break;
    case YamlKind::kNull:
    case YamlKind::kMapping:
      reader.problem(index, "'depends_on' of " + where + " is " + kind_of(written), "a list of node ids, or one id");
      break;
  }
}

void read_nodes(Reader& reader, std::uint32_t index, const Entry* on_failure, const Entry* finally) {
  if (!reader.expect_mapping(index, "'nodes'")) return;
  std::vector<Entry> entries = reader.entries(index);
  if (entries.empty()) reader.problem(index, "a workflow without nodes", "at least one node");
  const auto take = [&](const Entry* section, std::vector<std::string>& ids) {
    if (section == nullptr || reader.at(section->value).kind != YamlKind::kMapping) return;
    for (const Entry& entry : reader.entries(section->value)) {
      ids.push_back(entry.name);
      entries.push_back(entry);
    }
  };
  take(on_failure, reader.spec.on_failure);
  take(finally, reader.spec.finally_run);
  Groups groups;
  const std::vector<Planned> planned = groups.plan(reader, entries);
  for (const Planned& one : planned) {
    if (!reader.node_index.emplace(one.id, static_cast<std::uint32_t>(reader.spec.ids.size())).second)
      reader.problem(one.entry.key, "node '" + one.id + "' is there twice", "another id");
    reader.spec.ids.push_back(one.id);
  }
  reader.spec.specs.resize(planned.size());
  for (std::uint32_t node = 0; node < planned.size(); ++node) {
    const Planned& one = planned[node];
    if (one.round > 1 && !reader.report.empty()) continue;  // what is wrong with a loop is told once
    reader.scope = one.scope;
    reader.round = one.round;
    if (one.part == Part::kNode || one.part == Part::kGroupEnd) check_id(reader, one.entry);
    if (one.part == Part::kNode) read_node(reader, one.entry, node);
    else groups.read(reader, one, node);
  }
  reader.scope.clear();
  reader.round = 0;
  const auto name = [&](const Entry* section, std::vector<std::string>& ids) {
    if (section != nullptr && reader.at(section->value).kind != YamlKind::kMapping)
      ids = read_handlers(reader, section->value, "'" + section->name + "'");
  };
  name(on_failure, reader.spec.on_failure);
  name(finally, reader.spec.finally_run);
  groups.link(reader);
  check_cleanup(reader);
  check_stand_ins(reader);
}

}  // namespace millrace
