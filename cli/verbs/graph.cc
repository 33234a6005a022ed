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

// What a fan-out goes over, in one line: "foreach {{ inputs.rows }}"; empty: the node is none.
std::string foreach_of(const NodeSpec& node) {
  if (!node.flow.foreach) return "";
  const Value& over = node.flow.foreach->over;
  std::string text = over.is_string() ? over.as_string() : over.dump();
  static constexpr std::size_t kShown = 60;
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return "foreach " + text;
}

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
    while (layers.size() <= layer_of[node]) layers.push_back(Value::Array{});
    layers[layer_of[node]].push_back(spec.id(node));
  }
  return Value::Object{{"workflow", spec.name},
                       {"edges", std::uint64_t{dag.edge_count()}},
                       {"layers", std::move(layers)},
                       {"nodes", std::move(nodes)}};
}

// Layer by layer, ASCII only: what can run at the same time stands together.
std::string layers_text(const WorkflowSpec& spec, const Value& graph, bool wide) {
  const Value::Array& nodes = graph.find("nodes")->as_array();
  const Value::Array& layers = graph.find("layers")->as_array();
  std::size_t widest = 0;
  for (const Value& node : nodes) widest = std::max(widest, node.find("node")->as_string().size());
  std::string out = printable(spec.name) + ": " + std::to_string(nodes.size()) + " nodes, " +
                    cell_text(graph, "edges") + " edges, " + std::to_string(layers.size()) + " layers\n";
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    out += "\nlayer " + std::to_string(layer) + "\n";
    for (const Value& node : nodes) {
      if (static_cast<std::size_t>(node.find("layer")->as_int()) != layer) continue;
      std::string upstream = cell_pairs(node, "depends_on");
      std::string line = "  " + node.find("node")->as_string();
      if (wide) line = padded(line, widest + 4) + "[" + cell_text(node, "executor") + "]";
      if (const Value* foreach = node.find("foreach")) line += "  x " + printable(foreach->as_string());
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
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    out += around.enter(node, [](std::string_view scope) {
      return "subgraph " + quoted("cluster_" + std::string(scope)) + " { label=" + quoted(scope) + ";\n";
    });
    const std::string foreach = foreach_of(spec.spec(node));
    out += "  " + quoted(spec.id(node)) + " [tooltip=" + quoted(kind_of(spec.spec(node)));
    if (!foreach.empty()) out += ", shape=box3d, xlabel=" + quoted(foreach);
    out += "];\n";
  }
  out += around.leave_all();
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    for (std::uint32_t up : dag.upstream().of(node))
      out += "  " + quoted(spec.id(up)) + " -> " + quoted(spec.id(node)) +
             (is_fallback(spec, up, node) ? " [style=dashed, label=fallback];\n" : ";\n");
  }
  return out + "}\n";
}

// Ids of ours may hold what Mermaid's may not: nodes are numbered and named by their label.
std::string mermaid_text(const WorkflowSpec& spec, const Dag& dag) {
  std::string out = "flowchart LR\n";
  SubGraphs around(spec, "  end\n");
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    out += around.enter(node, [&](std::string_view scope) {
      return "subgraph s" + std::to_string(node) + "_" + std::to_string(std::ranges::count(scope, '/')) + " [\"" +
             std::string(scope) + "\"]\n";
    });
    const bool mapped = spec.spec(node).flow.foreach.has_value();  // a fan-out is drawn with a double frame
    out += "  n" + std::to_string(node) + (mapped ? "[[\"" : "[\"") + spec.id(node) + (mapped ? "\"]]\n" : "\"]\n");
  }
  out += around.leave_all();
  for (std::uint32_t node = 0; node < spec.node_count(); ++node) {
    for (std::uint32_t up : dag.upstream().of(node)) {
      out += "  n" + std::to_string(up) + (is_fallback(spec, up, node) ? " -. fallback .-> n" : " --> n") +
             std::to_string(node) + "\n";
    }
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
