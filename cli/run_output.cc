#include "cli/run_output.h"

#include <algorithm>
#include <utility>

#include "cli/text.h"

namespace millrace {
namespace {

std::string node_reason(const Value& row) {
  const Value* error = row.find("error");
  if (error == nullptr || error->is_null()) return "";
  return cell_text(*error, "code") + ": " + cell_text(*error, "message");
}

// "[######....] 60/100, 2 failed": of a fan-out.
std::string items_cell(const Value& row) {
  const Value* items = row.find("items");
  if (items == nullptr) return "";
  static constexpr std::int64_t kWidth = 10;
  const std::int64_t total = items->find("total")->as_int();
  const std::int64_t done = items->find("done")->as_int();
  const std::int64_t failed = items->find("failed")->as_int();
  const auto full =
      static_cast<std::size_t>(total <= 0 ? (done > 0 ? 0 : kWidth) : std::min(done, total) * kWidth / total);
  std::string cell = "[" + std::string(full, '#') + std::string(kWidth - full, '.') + "] " + std::to_string(done) +
                     "/" + (total > 0 || done == 0 ? std::to_string(total) : "?");
  if (failed > 0) cell += ", " + std::to_string(failed) + " failed";
  return cell;
}

// The failed items of all fan-outs, before anything else is shown of them.
std::string failed_items(const std::vector<Value>& rows) {
  std::string out;
  for (const Value& row : rows) {
    const Value* items = row.find("items");
    if (items == nullptr || items->find("failed")->as_int() == 0) continue;
    const Value::Array& shown = items->find("failed_items")->as_array();
    out += "\nfailed items of " + cell_text(row, "node") + ":\n";
    for (const Value& item : shown) out += "  " + cell_text(item, "index") + "  " + node_reason(item) + "\n";
    const auto more = items->find("failed")->as_int() - static_cast<std::int64_t>(shown.size());
    if (more > 0) out += "  and " + std::to_string(more) + " more\n";
  }
  return out;
}

// What approvals ask, of whom and until when.
std::string questions(const std::vector<Value>& rows) {
  std::string out;
  for (const Value& row : rows) {
    const Value* reason = row.find("wait_reason");
    if (reason == nullptr || *reason != Value("approval") || cell_text(row, "wait_text").empty()) continue;
    out += "  " + cell_text(row, "node") + ": " + cell_text(row, "wait_text") + "\n";
  }
  return out.empty() ? out : "\nwaits for approval (millrace approve RUN NODE):\n" + out;
}

// What is known of the attempts of a node, or an item, whose workers went away; of what was not tried again.
std::string losses_of(const Value& row, const std::string& name) {
  const Value* error = row.find("error");
  const Value* losses = error == nullptr ? nullptr : error->find("losses");
  if (losses == nullptr || cell_text(*error, "code") != "poisoned") return "";
  std::string out =
      "\n" + name + " is poisoned: it was not tried again after these attempts (their output: millrace logs)\n";
  for (const Value& loss : losses->as_array())
    out += "  #" + cell_text(loss, "attempt") + "  on " + cell_text(loss, "worker") + "  from " +
           cell_text(loss, "dispatched") + "  to " + cell_text(loss, "lost") + "  " + cell_text(loss, "how") + "\n";
  return out;
}

std::string poisoned(const std::vector<Value>& rows) {
  std::string out;
  for (const Value& row : rows) {
    const std::string node = cell_text(row, "node");
    out += losses_of(row, node);
    const Value* items = row.find("items");
    if (items == nullptr) continue;
    for (const Value& item : items->find("failed_items")->as_array())
      out += losses_of(item, node + "[" + cell_text(item, "index") + "]");
  }
  return out;
}

// What a node waits for; of a child run also which one.
std::string waits_for(const Value& row) {
  const std::string reason = cell_text(row, "wait_reason");
  return reason == "child" && row.find("child") != nullptr ? reason + " " + cell_text(row, "child") : reason;
}

const std::vector<Column>& node_columns() {
  static const std::vector<Column> columns = {
      {"NODE", [](const Value& row) { return cell_text(row, "node"); }},
      {"STATUS", [](const Value& row) { return cell_text(row, "status"); }, false, false, true},
      {"ATTEMPTS", [](const Value& row) { return cell_text(row, "attempts"); }, false, true},
      {"QUEUED", [](const Value& row) { return cell_duration_ms(row, "queued_ms"); }, false, true},
      {"RAN", [](const Value& row) { return cell_duration_ms(row, "run_ms"); }, false, true},
      {"WORKER", [](const Value& row) { return cell_text(row, "worker"); }},
      {"WAITS FOR", waits_for},
      {"ERROR", node_reason},
      {"WAITS BECAUSE", [](const Value& row) { return cell_text(row, "wait_text"); }, true},
      {"OUTPUTS", [](const Value& row) { return cell_text(row, "outputs"); }, true},
  };
  return columns;
}

// With one more where there are fan-outs, and where results come from another run, were kept, or are a fallback.
std::vector<Column> columns_for(const std::vector<Value>& rows) {
  std::vector<Column> columns = node_columns();
  const auto shared = [](const Value& row) { return std::string(row.find("shared") != nullptr ? "yes" : ""); };
  const auto cached = [](const Value& row) { return std::string(row.find("cached") != nullptr ? "yes" : ""); };
  const auto any = [&](const char* key) {
    return std::ranges::any_of(rows, [&](const Value& row) { return row.find(key) != nullptr; });
  };
  if (any("shared")) columns.insert(columns.begin() + 2, {"SHARED", shared});
  const auto replaced = [](const Value& row) { return std::string(row.find("fallback") != nullptr ? "yes" : ""); };
  if (any("fallback")) columns.insert(columns.begin() + 2, {"FALLBACK", replaced});
  if (any("cached")) columns.insert(columns.begin() + 2, {"CACHED", cached});
  const auto mapped = [](const Value& row) { return row.find("items") != nullptr; };
  if (std::ranges::any_of(rows, mapped)) columns.insert(columns.begin() + 2, {"ITEMS", items_cell});
  return columns;
}

std::vector<Value> node_rows(const Value& run) {
  std::vector<Value> rows;
  const Value* nodes = run.find("nodes");
  if (!nodes->is_object()) return rows;
  for (const auto& [id, node] : nodes->as_object()) {
    Value row = Value::Object{{"node", id}};
    for (const auto& [key, member] : node.as_object()) row.set(key, member);
    rows.push_back(std::move(row));
  }
  return rows;
}

// Whether a row is of a round of a loop that did not come: "g/7/x", skipped behind the last one.
bool is_unused_round(const Value& row) {
  if (cell_text(row, "status") != "skipped") return false;
  const Value* error = row.find("error");
  if (error == nullptr || error->is_null() || cell_text(*error, "code") != "upstream_skipped") return false;
  const std::string id = cell_text(row, "node");
  for (std::size_t slash = id.find('/'); slash != std::string::npos; slash = id.find('/', slash + 1)) {
    const std::size_t end = std::min(id.find('/', slash + 1), id.size());
    const std::string part = id.substr(slash + 1, end - slash - 1);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string::npos) return true;
  }
  return false;
}

std::string heading(const Value& run, bool colour) {
  std::string status = cell_text(run, "status");
  std::string out;
  auto line = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) out += padded(std::string(name), 10) + text + "\n";
  };
  line("run", cell_text(run, "run"));
  const Value* version = run.find("version");
  line("workflow", cell_text(run, "workflow") + (version == nullptr ? "" : "@" + version->dump()));
  if (const Value* parent = run.find("parent"))
    line("child of", "run " + cell_text(*parent, "run") + ", node " + cell_text(*parent, "node"));
  line("status", tinted(status, tint_of(status), colour));
  line("elapsed", cell_duration_ms(run, "elapsed_ms"));
  if (run.find("retry_of") != nullptr) line("retry of", cell_text(run, "retry_of"));
  if (run.find("reason") != nullptr) line("reason", cell_text(run, "reason"));
  if (const Value* pauses = run.find("pauses")) {
    for (const Value& pause : pauses->as_array()) {
      const std::string by = cell_text(pause, "caller").empty() ? "" : " by " + cell_text(pause, "caller");
      const std::string why = cell_text(pause, "reason").empty() ? "" : ": " + cell_text(pause, "reason");
      line("paused", cell_text(pause, "kind") + " " + cell_text(pause, "name") + by + why);
    }
  }
  line("labels", cell_pairs(run, "labels"));
  line("trace", cell_text(run, "trace_id"));
  const Value* error = run.find("error");
  if (!error->is_null()) line("error", cell_text(*error, "code") + ": " + cell_text(*error, "message"));
  if (const Value* summary = run.find("nodes_summary")) {
    line("nodes", cell_text(*summary, "total") + " (" + cell_pairs(*summary, "by_status") + ")");
  }
  return out;
}

// The outputs of a run as text: block YAML reads well; a lone text stands as it is.
std::string outputs_text(const Value& outputs) {
  if (outputs.is_null()) return "";
  return printable_lines(to_yaml(outputs));
}

// "NAME = VALUE (version 2, by node x)", a line each.
std::string variables_text(const Value& run) {
  const Value* variables = run.find("vars");
  if (variables == nullptr) return "";
  std::string out = "\nvariables:\n";
  for (const auto& [name, variable] : variables->as_object()) {
    static constexpr std::size_t kShown = 200;
    std::string value = variable.find("value")->dump();
    if (value.size() > kShown) value = value.substr(0, kShown) + "...";
    out += "  " + name + " = " + printable(value) + "  (version " + cell_text(variable, "version") + ", by node " +
           cell_text(variable, "node") + ")\n";
  }
  return out;
}

}  // namespace

Result<std::string> render_run(const RunView& view, RunStyle style, Format format, const Console& console,
                               const ReadPayload& read) {
  RunViewParts parts;
  parts.node_outputs = !is_for_people(format) || format == Format::kWide;
  if (format == Format::kName) parts = {false, false};
  Result<Value> run = run_json(view, read, parts);
  if (!run.ok()) return std::move(run).error();
  if (!is_for_people(format)) return render_object(*run, "run", format);
  std::string out;
  if (style == RunStyle::kNodes || format == Format::kWide) {
    bool colour = console.out_terminal && console.colour;
    std::size_t columns = console.out_terminal ? static_cast<std::size_t>(console.size().columns) : 0;
    out += heading(*run, colour);
    std::vector<Value> rows = node_rows(*run);
    out += failed_items(rows);
    out += poisoned(rows);
    out += questions(rows);
    const std::size_t all = rows.size();
    std::erase_if(rows, is_unused_round);
    if (rows.size() < all)
      out += "\n" + std::to_string(all - rows.size()) + " nodes of rounds that did not come are left out\n";
    if (!rows.empty()) out += "\n" + render_table(columns_for(rows), rows, format == Format::kWide, columns, colour);
    out += variables_text(*run);
    std::string outputs = outputs_text(*run->find("outputs"));
    if (!outputs.empty()) out += "\noutputs:\n" + outputs;
  } else {
    out += outputs_text(*run->find("outputs"));
  }
  return out;
}

namespace {

// " (a, b and 3 more)": the nodes whose output a fallback is.
std::string replaced_nodes(const RunView& view) {
  static constexpr std::size_t kNamed = 5;
  std::vector<std::string> names;
  for (const NodeView& node : view.nodes) {
    if (node.state == TaskState::kSucceeded && node.reason == Reason::kFallback) names.push_back(node.id);
  }
  if (names.empty()) return "";
  std::string out = " (" + printable(names[0]);
  for (std::size_t i = 1; i < std::min(names.size(), kNamed); ++i) out += ", " + printable(names[i]);
  if (names.size() > kNamed) out += " and " + std::to_string(names.size() - kNamed) + " more";
  return out + ")";
}

}  // namespace

std::string run_remarks(const RunView& view, bool colour) {
  std::string name = "run " + to_string(view.info.run);
  if (view.record.state == RunState::kDegraded)
    return "note: " + name + " succeeded, but degraded: a fallback was used" + replaced_nodes(view) + "\n";
  if (view.record.state == RunState::kCancelled) return name + " was cancelled\n";
  if (view.record.state != RunState::kFailed) return "";
  std::string out = tinted(name + " failed", Tint::kBad, colour);
  if (view.record.error == nullptr) return out + "\n";
  const RunError& error = *view.record.error;
  if (!error.node.empty()) out += " at " + printable(error.node);
  if (error.attempt > 1) out += " (attempt " + std::to_string(error.attempt) + ")";
  out += ": " + printable(error.code) + ": " + printable(error.message) + "\n";
  if (!error.traceback.empty()) {
    out += printable_lines(error.traceback);
    if (out.back() != '\n') out += '\n';
  }
  return out;
}

}  // namespace millrace
