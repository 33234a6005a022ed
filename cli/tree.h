// Tree: the nodes of a run with state and duration, and how far it has come, as lines for a terminal.
//
// Promises: a node hangs below the upstream that lies deepest; more nodes than fit a screen are summarised. Lines fit
// the columns and hold no control characters of user data. A node that ended stays ended, whatever arrives late.
// Threads: pure; times are handed in, of any one clock.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/console.h"
#include "common/base/adjacency.h"
#include "common/model/event.h"
#include "common/model/run_view.h"
#include "common/model/workflow.h"

namespace millrace {

class Tree {
 public:
  Tree(RunId run, std::string workflow, Time now);

  void shape(const WorkflowSpec& spec);          // ids and edges; without it the nodes are a plain list
  void snapshot(const RunView& view, Time now);  // a read of the run
  void apply(const Event& event, Time now);      // a change
  std::vector<std::string> lines(Time now, Console::Size size, bool colour) const;

 private:
  struct Node {
    std::string id;    // printable
    std::string lead;  // "│  └─ "
    TaskState state = TaskState::kPending;
    Reason reason = Reason::kNone;
    std::uint32_t attempts = 0;
    Time started{};   // of a running one
    Duration took{};  // of an ended one
  };
  std::uint32_t node_index(const std::string& id);
  std::uint32_t count(TaskState state) const;
  std::string node_line(const Node& node, std::size_t name_columns, Time now, bool colour) const;
  std::string total_line(std::size_t columns, bool colour) const;
  std::string counts_line(bool colour) const;
  void add_nodes(std::vector<std::string>& out, Time now, std::size_t rows, bool colour) const;
  void add_summary(std::vector<std::string>& out, Time now, std::size_t rows, bool colour) const;

  RunId run_;
  std::string workflow_;
  RunState state_ = RunState::kAccepted;
  Time began_;
  Time ended_{};
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> order_;  // of the lines
  std::map<std::string, std::uint32_t> by_id_;
  std::uint32_t total_ = 0;                           // of nodes, also where they are not listed
  std::map<TaskState, std::uint32_t> listed_counts_;  // where the nodes are not listed
};

}  // namespace millrace
