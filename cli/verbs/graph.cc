#include <algorithm>
#include <utility>

#include "cli/exit_code.h"
#include "cli/registered.h"
#include "cli/render.h"
#include "cli/submission.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "common/graph/dag.h"

namespace millrace {
namespace {

// As it was written: in a loop `round` and `previous` are kept as members of `nodes`.
std::string as_written(std::string text) {
  for (const std::string_view name : {"nodes.round ", "nodes.round.", "nodes.previous ", "nodes.previous."}) {
    for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at)) text.erase(at, 6);
  }
  return text;
}

std::string shown(const Value& value) {
  std::string text = as_written(value.is_string() ? value.as_string() : value.dump());
  static constexpr std::size_t kShown = 60;
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return text;
}

// What a fan-out goes over, in one line: "foreach {{ inputs.rows }}"; empty: the node is none.
std::string foreach_of(const NodeSpec& node) {
  return node.flow.foreach ? "foreach " + shown(node.flow.foreach->over) : "";
}

bool names(const std::vector<std::string>& ids, const std::string& id) {
  return std::ranges::find(ids, id) != ids.end();
}

// What a branch says of the node: the conditions under which it is chosen, and `else`; empty: nothing.
std::string choice_of(const NodeSpec& branch, const std::string& id) {
  std::string text;
  if (!branch.flow.branch) return text;
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : ", ") + more; };
  for (const BranchCase& one : branch.flow.branch->cases) {
    if (names(one.to, id)) add(shown(one.when));
  }
  if (names(branch.flow.branch->otherwise, id)) add("else");
  return text;
}

Value branch_json(const BranchSpec& branch) {
  Value::Array cases;
  for (const BranchCase& one : branch.cases)
    cases.push_back(Value::Object{{"when", one.when}, {"to", Value::Array(one.to.begin(), one.to.end())}});
  return Value::Object{{"cases", std::move(cases)},
                       {"default", Value::Array(branch.otherwise.begin(), branch.otherwise.end())},
                       {"first", branch.first}};
}

// Loops are written out round by round; drawn is the first of them, with the way back.
class Loops {
 public:
  explicit Loops(const WorkflowSpec& spec) {
    for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
      if (const auto& loop = spec.spec(node).flow.loop) loops_.emplace_back(spec.id(node), loop->rounds);
    }
  }
  bool is_later_round(const std::string& id) const {
    return std::ranges::any_of(loops_, [&](const auto& loop) {
      if (!id.starts_with(loop.first + '/')) return false;
      const std::string_view rest = std::string_view(id).substr(loop.first.size() + 1);
      const std::string_view part = rest.substr(0, rest.find('/'));  // "begin", or the number of the round
      return part != "1" && part.find_first_not_of("0123456789") == std::string_view::npos;
    });
  }
  // Of the node that ends the first round: how often it may come; zero: it is none.
  std::uint32_t rounds_from(const std::string& id) const {
    const auto loop = std::ranges::find_if(loops_, [&](const auto& one) { return id == one.first + "/1"; });
    return loop == loops_.end() ? 0 : loop->second;
  }

 private:
  std::vector<std::pair<std::string, std::uint32_t>> loops_;
};

std::string again(std::uint32_t rounds) { return "again, at most " + std::to_string(rounds) + " rounds"; }

Value graph_json(const WorkflowSpec& spec, const Dag& dag) {
  std::vector<std::uint32_t> layer_of = dag.layers();
  Value::Array nodes;
  Value::Array layers;
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    Value::Array upstream;
    for (std::uint32_t up : dag.upstream().of(node)) upstream.push_back(spec.id(up));
    nodes.push_back(Value::Object{{"node", spec.id(node)},
                                  {"executor", kind_of(spec.spec(node))},
                                  {"layer", std::uint64_t{layer_of[node]}},
                                  {"depends_on", std::move(upstream)}});
    if (const std::string& stand_in = spec.spec(node).flow.stand_in; !stand_in.empty())
      nodes.back().set("fallback", stand_in);
    if (const std::string foreach = foreach_of(spec.spec(node)); !foreach.empty())
      nodes.back().set("foreach", foreach.substr(foreach.find(' ') + 1));
    const FlowSpec& flow = spec.spec(node).flow;
    if (flow.when) nodes.back().set("when", *flow.when);
    if (flow.branch) nodes.back().set("branch", branch_json(*flow.branch));
    if (flow.loop) nodes.back().set("loop", Value::Object{{"max_rounds", std::uint64_t{flow.loop->rounds}}});
    while (layers.size() <= layer_of[node]) layers.push_back(Value::Array{});
    layers[layer_of[node]].push_back(spec.id(node));
  }
  return Value::Object{{"workflow", spec.name},
                       {"edges", std::uint64_t{dag.edge_count()}},
                       {"layers", std::move(layers)},
                       {"nodes", std::move(nodes)}};
}

// "CONDITION: a, b; else: c".
std::string choices_text(const Value& branch) {
  std::string text;
  const auto add = [&](const std::string& condition, const Value& to) {
    text += (text.empty() ? "" : "; ") + condition + ":";
    for (const Value& id : to.as_array()) text += (text.back() == ':' ? " " : ", ") + id.as_string();
  };
  for (const Value& one : branch.find("cases")->as_array()) add(shown(*one.find("when")), *one.find("to"));
  if (!branch.find("default")->as_array().empty()) add("else", *branch.find("default"));
  return text;
}

// Layer by layer, ASCII only: what can run at the same time stands together.
std::string layers_text(const WorkflowSpec& spec, const Value& graph, bool wide) {
  const Value::Array& nodes = graph.find("nodes")->as_array();
  const Value::Array& layers = graph.find("layers")->as_array();
  std::size_t widest = 0;
  for (const Value& node : nodes) widest = std::max(widest, node.find("node")->as_string().size());
  std::string out = printable(spec.name) + ": " + std::to_string(nodes.size()) + " nodes, " +
                    cell_text(graph, "edges") + " edges, " + std::to_string(layers.size()) + " layers\n";
  const Loops loops(spec);
  const auto hidden = static_cast<std::size_t>(std::ranges::count_if(
      nodes, [&](const Value& node) { return loops.is_later_round(node.find("node")->as_string()); }));
  if (hidden > 0) out += std::to_string(hidden) + " nodes of the second and later rounds are left out\n";
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const auto is_drawn = [&](const Value& id) { return !loops.is_later_round(id.as_string()); };
    if (std::ranges::none_of(layers[layer].as_array(), is_drawn)) continue;
    out += "\nlayer " + std::to_string(layer) + "\n";
    for (const Value& node : nodes) {
      if (static_cast<std::size_t>(node.find("layer")->as_int()) != layer || !is_drawn(*node.find("node"))) continue;
      std::string upstream = cell_pairs(node, "depends_on");
      std::string line = "  " + node.find("node")->as_string();
      if (wide) line = padded(line, widest + 4) + "[" + cell_text(node, "executor") + "]";
      if (const Value* foreach = node.find("foreach")) line += "  x " + printable(foreach->as_string());
      if (const Value* when = node.find("when")) line += "  if " + printable(shown(*when));
      if (const Value* branch = node.find("branch")) line += "  ? " + printable(choices_text(*branch));
      if (const std::uint32_t rounds = loops.rounds_from(node.find("node")->as_string()); rounds > 0)
        line += "  " + again(rounds);
      if (const Value* stand_in = node.find("fallback")) line += "  else " + stand_in->as_string();
      if (!upstream.empty() && line.size() > widest + (wide ? 16 : 4)) line += "  ";
      if (!upstream.empty()) line = padded(line, widest + (wide ? 16 : 4)) + "<- " + upstream;
      out += line + "\n";
    }
  }
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : printable(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// Whether an edge is there only for the failure of its first node.
bool is_fallback(const WorkflowSpec& spec, std::uint32_t up, std::uint32_t node) {
  return spec.spec(up).flow.stand_in == spec.id(node);
}

// The sub-graphs around the nodes, which stand together: what opens and closes them between one node and the next.
class SubGraphs {
 public:
  explicit SubGraphs(const WorkflowSpec& spec, std::string close = "  }\n") : spec_(spec), close_(std::move(close)) {}

  template <class Open>
  std::string enter(std::uint32_t node, Open open) {
    std::string out;
    const std::string id = spec_.id(node);
    while (!open_.empty() && !id.starts_with(open_.back() + '/')) out += close_, open_.pop_back();
    for (std::size_t slash = id.find('/'); slash != std::string::npos; slash = id.find('/', slash + 1)) {
      const std::string scope = id.substr(0, slash);
      if (std::ranges::find(open_, scope) != open_.end()) continue;
      out += "  " + open(scope);
      open_.push_back(scope);
    }
    return out;
  }
  std::string leave_all() {
    std::string out;
    for (; !open_.empty(); open_.pop_back()) out += close_;
    return out;
  }

 private:
  const WorkflowSpec& spec_;
  std::string close_;
  std::vector<std::string> open_;
};

std::string dot_text(const WorkflowSpec& spec, const Dag& dag) {
  std::string out = "digraph " + quoted(spec.name) + " {\n  rankdir=LR;\n  node [shape=box];\n";
  SubGraphs around(spec);
  const Loops loops(spec);
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    if (loops.is_later_round(spec.id(node))) continue;
    out += around.enter(node, [](std::string_view scope) {
      return "subgraph " + quoted("cluster_" + std::string(scope)) + " { label=" + quoted(scope) + ";\n";
    });
    const std::string foreach = foreach_of(spec.spec(node));
    out += "  " + quoted(spec.id(node)) + " [tooltip=" + quoted(kind_of(spec.spec(node)));
    if (!foreach.empty()) out += ", shape=box3d, xlabel=" + quoted(foreach);
    if (spec.spec(node).flow.branch) out += ", shape=diamond";
    out += "];\n";
  }
  out += around.leave_all();
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    if (loops.is_later_round(spec.id(node))) continue;
    for (std::uint32_t up : dag.upstream().of(node)) {
      if (loops.is_later_round(spec.id(up))) continue;
      out += "  " + quoted(spec.id(up)) + " -> " + quoted(spec.id(node));
      if (const std::string choice = choice_of(spec.spec(up), spec.id(node)); !choice.empty())
        out += " [label=" + quoted(choice) + "]";
      out += is_fallback(spec, up, node) ? " [style=dashed, label=fallback];\n" : ";\n";
    }
    if (const std::uint32_t rounds = loops.rounds_from(spec.id(node)); rounds > 0)
      out += "  " + quoted(spec.id(node)) + " -> " + quoted(spec.id(node)) +
             " [style=dashed, label=" + quoted(again(rounds)) + "];\n";
  }
  return out + "}\n";
}

// Ids of ours may hold what Mermaid's may not: nodes are numbered and named by their label.
std::string mermaid_text(const WorkflowSpec& spec, const Dag& dag) {
  std::string out = "flowchart LR\n";
  SubGraphs around(spec, "  end\n");
  const Loops loops(spec);
  const auto label = [](const std::string& text) {  // Mermaid has its own way to write quotes
    std::string out;
    for (const char c : printable(text)) out += c == '"' ? std::string("#quot;") : std::string(1, c);
    return '"' + out + '"';
  };
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    if (loops.is_later_round(spec.id(node))) continue;
    out += around.enter(node, [&](std::string_view scope) {
      return "subgraph s" + std::to_string(node) + "_" + std::to_string(std::ranges::count(scope, '/')) + " [\"" +
             std::string(scope) + "\"]\n";
    });
    const FlowSpec& flow = spec.spec(node).flow;  // a fan-out is drawn with a double frame, a branch as a diamond
    const char* open = flow.foreach ? "[[\"" : flow.branch ? "{\"" : "[\"";
    const char* close = flow.foreach ? "\"]]\n" : flow.branch ? "\"}\n" : "\"]\n";
    out += "  n" + std::to_string(node) + open + spec.id(node) + close;
  }
  out += around.leave_all();
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    if (loops.is_later_round(spec.id(node))) continue;
    for (std::uint32_t up : dag.upstream().of(node)) {
      if (loops.is_later_round(spec.id(up))) continue;
      const std::string choice = choice_of(spec.spec(up), spec.id(node));
      out += "  n" + std::to_string(up);
      out += is_fallback(spec, up, node) ? " -. fallback .-> n"
             : choice.empty()            ? " --> n"
                                         : " -- " + label(choice) + " --> n";
      out += std::to_string(node) + "\n";
    }
    if (const std::uint32_t rounds = loops.rounds_from(spec.id(node)); rounds > 0)
      out += "  n" + std::to_string(node) + " -. " + label(again(rounds)) + " .-> n" + std::to_string(node) + "\n";
  }
  return out;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Result<WorkflowSpec> spec = load_workflow(arguments.operand(0));
  if (!spec.ok()) return std::move(spec).error();
  Result<Dag> dag = Dag::build(spec->upstream);
  if (!dag.ok()) return std::move(dag).error();
  std::string form = arguments.text("output", "table");
  if (form == "dot") {
    context.console.out(dot_text(*spec, *dag));
  } else if (form == "mermaid") {
    context.console.out(mermaid_text(*spec, *dag));
  } else {
    Format format = output_format(arguments);
    Document document{graph_json(*spec, *dag), {}, {}, "node"};
    document.rows = document.whole.find("nodes")->as_array();
    context.console.out(is_for_people(format) ? layers_text(*spec, document.whole, format == Format::kWide)
                                              : render(document, format, context.console));
  }
  return kExitOk;
}

}  // namespace

Verb graph_verb() {
  Option output = output_option();
  output.help = "table (default: layers in ASCII), wide, json, jsonl, yaml, name, dot or mermaid";
  output.choices.push_back("dot");
  output.choices.push_back("mermaid");
  return {
      "graph",
      "show the layers of a workflow",
      "Prints the nodes of a workflow layer by layer: those of a layer wait for nothing of the same or a later one.\n"
      "Edges are those of depends_on and of references. Needs no cluster.",
      {"millrace graph flow.yaml", "millrace graph flow.yaml -o dot | dot -Tsvg > flow.svg"},
      {{{"FILE", "a workflow file; - is standard input", true, false, Completes::kFile, {}}}, {output}},
      run};
}

}  // namespace millrace
