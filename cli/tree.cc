#include "cli/tree.h"

#include <algorithm>
#include <utility>

#include "cli/render.h"
#include "cli/text.h"
#include "common/graph/dag.h"

namespace millrace {
namespace {

constexpr std::size_t kNodesListedMax = 2'000;  // beyond it a shape is not worth its time
constexpr std::size_t kNameColumnsMax = 48;
constexpr std::size_t kBarColumns = 30;
constexpr std::size_t kDepthMax = 12;  // deeper nodes are not indented further

const char* symbol(TaskState state) {
  switch (state) {
    case TaskState::kPending:
    case TaskState::kReady:
    case TaskState::kWaiting: return "·";
    case TaskState::kRetrying: return "↻";
    case TaskState::kDispatched:
    case TaskState::kRunning: return "▶";
    case TaskState::kSucceeded: return "✔";
    case TaskState::kFailed: return "✖";
    case TaskState::kSkipped:
    case TaskState::kCancelled: return "⊘";
  }
  return "?";
}

std::optional<TaskState> state_after(EventType type) { return parse_task_state(status_word(type)); }

// For every node the upstream in the deepest layer: its place in the tree. n for none.
std::vector<std::uint32_t> parents(const Dag& dag, const std::vector<std::uint32_t>& layers) {
  std::vector<std::uint32_t> parent(dag.node_count(), dag.node_count());
  for (std::uint32_t node = 0; node < dag.node_count(); ++node) {
    for (std::uint32_t up : dag.upstream().of(node)) {
      if (parent[node] == dag.node_count() || layers[up] > layers[parent[node]]) parent[node] = up;
    }
  }
  return parent;
}

// Cuts a line at the edge of the terminal; colour sequences of our own take no room and are kept whole.
std::string clipped(const std::string& line, std::size_t columns) {
  std::string out;
  std::size_t used = 0;
  for (std::size_t at = 0; at < line.size();) {
    std::size_t end = at + 1;
    if (line[at] == '\x1b') {
      end = std::min(line.find('m', at), line.size() - 1) + 1;
    } else {
      while (end < line.size() && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) ++end;
      used += display_width(std::string_view(line).substr(at, end - at));
    }
    if (line[at] == '\x1b' || used <= columns) out.append(line, at, end - at);
    at = end;
  }
  return out;
}

}  // namespace

Tree::Tree(RunId run, std::string workflow, Time now) : run_(run), workflow_(printable(workflow)), began_(now) {}

std::uint32_t Tree::node_index(const std::string& id) {
  auto [at, added] = by_id_.try_emplace(id, static_cast<std::uint32_t>(nodes_.size()));
  if (added) {
    nodes_.push_back({});
    nodes_.back().id = printable(id);
    order_.push_back(at->second);
    total_ = std::max(total_, static_cast<std::uint32_t>(nodes_.size()));
  }
  return at->second;
}

void Tree::shape(const WorkflowSpec& spec) {
  std::uint32_t count = spec.node_count();
  total_ = std::max(total_, count);
  if (count > kNodesListedMax) return;
  Result<Dag> dag = Dag::build(spec.upstream);
  if (!dag.ok()) return;
  std::vector<std::uint32_t> at(count);
  for (std::uint32_t node = 0; node < count; ++node) at[node] = node_index(spec.id(node));
  std::vector<std::uint32_t> parent = parents(*dag, dag->layers());
  std::vector<std::vector<std::uint32_t>> children(count + 1);
  for (std::uint32_t node = 0; node < count; ++node) children[parent[node]].push_back(node);

  struct Step {
    std::uint32_t node;
    std::string margin;  // of what hangs below it
    std::size_t depth;
  };
  std::vector<std::uint32_t> order;
  std::vector<Step> stack;
  auto push_children = [&](std::uint32_t node, const std::string& margin, std::size_t depth) {
    const auto& below = children[node];
    for (std::size_t i = below.size(); i-- > 0;) {
      bool last = i + 1 == below.size();
      bool flat = depth == 0 || depth > kDepthMax;
      nodes_[at[below[i]]].lead = flat ? margin : margin + (last ? "└─ " : "├─ ");
      stack.push_back({below[i], flat ? margin : margin + (last ? "   " : "│  "), depth + 1});
    }
  };
  push_children(count, "", 0);
  while (!stack.empty()) {
    Step step = std::move(stack.back());
    stack.pop_back();
    order.push_back(at[step.node]);
    push_children(step.node, step.margin, step.depth);
  }
  for (std::uint32_t index : order_) {
    if (std::ranges::find(at, index) == at.end()) order.push_back(index);  // a node the shape does not know
  }
  order_ = std::move(order);
}

void Tree::snapshot(const RunView& view, Time now) {
  state_ = view.record.state;
  Duration age = (view.record.ended != Time{} ? view.record.ended : view.now) - view.info.accepted;
  if (is_terminal(state_)) began_ = now - age, ended_ = now;
  total_ = std::max(total_, view.nodes_total);
  listed_counts_ = view.by_state;
  for (const NodeView& seen : view.nodes) {
    Node& node = nodes_[node_index(seen.id)];
    bool ended = is_terminal(seen.state);
    if (is_terminal(node.state) && !ended) continue;
    bool goes_on = node.state == TaskState::kRunning && node.attempts == seen.attempts;
    if (seen.state == TaskState::kRunning && !goes_on) node.started = now - seen.ran;
    node.state = seen.state;
    node.reason = seen.reason;
    node.attempts = std::max(node.attempts, seen.attempts);
    if (ended) node.took = seen.ran;
  }
}

void Tree::apply(const Event& event, Time now) {
  if (!is_task_event(event.type)) {
    if (std::optional<RunState> state = parse_run_state(status_word(event.type))) state_ = *state;
    if (is_run_end(event.type)) ended_ = now;
    return;
  }
  if (event.node.empty()) return;
  std::optional<TaskState> state = state_after(event.type);
  Node& node = nodes_[node_index(event.node)];
  if (!state || is_terminal(node.state)) return;
  if (*state == TaskState::kRunning || *state == TaskState::kDispatched) {
    if (event.attempt < node.attempts) return;  // of a try that is over
    if (state_ == RunState::kAccepted) state_ = RunState::kRunning;
    if (node.state != TaskState::kRunning || event.attempt > node.attempts) node.started = now;
  } else if (node.state == TaskState::kRunning) {
    node.took = now - node.started;
  }
  node.state = *state;
  node.reason = event.reason;
  node.attempts = std::max(node.attempts, event.attempt);
}

std::uint32_t Tree::count(TaskState state) const {
  if (nodes_.size() < total_) {
    auto at = listed_counts_.find(state);
    return at == listed_counts_.end() ? 0 : at->second;
  }
  return static_cast<std::uint32_t>(std::ranges::count(nodes_, state, &Node::state));
}

std::string Tree::node_line(const Node& node, std::size_t name_columns, Time now, bool colour) const {
  Tint tint = tint_of(to_string(node.state));
  std::string line = "  " + node.lead + tinted(symbol(node.state), tint, colour) + " ";
  std::size_t used = display_width(node.lead);
  std::size_t room = name_columns > used ? name_columns - used : 8;
  line +=
      padded(fitted(node.id, room), room) + "  " + tinted(padded(std::string(to_string(node.state)), 10), tint, colour);
  Duration took = node.state == TaskState::kRunning ? now - node.started : node.took;
  if (!colour && took <= Duration::zero()) line.erase(line.find_last_not_of(' ') + 1);
  if (took > Duration::zero()) line += "  " + padded(human_duration(took), 7, true);
  if (node.attempts > 1) line += "  attempt " + std::to_string(node.attempts);
  if (node.reason != Reason::kNone && node.state != TaskState::kSucceeded)
    line += "  " + std::string(to_string(node.reason));
  return line;
}

std::string Tree::total_line(std::size_t columns, bool colour) const {
  std::uint32_t done = count(TaskState::kSucceeded) + count(TaskState::kFailed) + count(TaskState::kSkipped) +
                       count(TaskState::kCancelled);
  std::size_t bar = std::min(kBarColumns, columns > 30 ? columns - 30 : 5);
  std::size_t full = total_ == 0 ? 0 : bar * done / total_;
  std::string filled;
  std::string rest;
  for (std::size_t i = 0; i < bar; ++i) (i < full ? filled : rest) += i < full ? "█" : "░";
  std::uint64_t percent = total_ == 0 ? 0 : std::uint64_t{100} * done / total_;
  return "  " + tinted(filled, Tint::kGood, colour) + tinted(rest, Tint::kQuiet, colour) + " " + std::to_string(done) +
         "/" + std::to_string(total_) + "  " + std::to_string(percent) + "%";
}

std::string Tree::counts_line(bool colour) const {
  std::string line = " ";
  using enum TaskState;
  for (TaskState state :
       {kSucceeded, kFailed, kRunning, kDispatched, kRetrying, kReady, kWaiting, kPending, kSkipped, kCancelled}) {
    if (std::uint32_t n = count(state); n > 0) {
      line += " " + tinted(std::to_string(n) + " " + std::string(to_string(state)), tint_of(to_string(state)), colour);
    }
  }
  return line;
}

void Tree::add_nodes(std::vector<std::string>& out, Time now, std::size_t, bool colour) const {
  std::size_t columns = 8;
  for (const Node& node : nodes_) columns = std::max(columns, display_width(node.lead) + display_width(node.id));
  for (std::uint32_t index : order_)
    out.push_back(node_line(nodes_[index], std::min(columns, kNameColumnsMax), now, colour));
}

// What one wants to see of many: how many are in which state, what failed, what runs.
void Tree::add_summary(std::vector<std::string>& out, Time now, std::size_t rows, bool colour) const {
  out.push_back(counts_line(colour));
  for (TaskState wanted : {TaskState::kFailed, TaskState::kRetrying, TaskState::kRunning}) {
    for (const Node& node : nodes_) {
      if (out.size() >= rows) return;
      if (node.state != wanted) continue;
      Node flat = node;
      flat.lead.clear();
      out.push_back(node_line(flat, 32, now, colour));
    }
  }
}

std::vector<std::string> Tree::lines(Time now, Console::Size size, bool colour) const {
  auto rows = static_cast<std::size_t>(std::max(size.rows, 6));
  auto columns = static_cast<std::size_t>(std::max(size.columns, 20));
  Time end = ended_ != Time{} ? ended_ : now;
  std::vector<std::string> out;
  out.push_back(tinted(workflow_, Tint::kStrong, colour) + "  " + to_string(run_) + "  " +
                tinted(to_string(state_), tint_of(to_string(state_)), colour) + "  " + human_duration(end - began_));
  bool fits = nodes_.size() >= total_ && nodes_.size() + 3 <= rows;
  if (fits) add_nodes(out, now, rows, colour);
  else add_summary(out, now, rows - 3, colour);
  out.push_back(total_line(columns, colour));
  for (std::string& line : out) line = clipped(line, columns);
  return out;
}

}  // namespace millrace
