// Internal to the parser: what its parts share while they read one text.
//
// Every part reads what it can, reports what is wrong and goes on with a default, so that one mistake hides no other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"
#include "common/model/workflow.h"
#include "common/spec/parse.h"
#include "common/spec/report.h"
#include "common/spec/suggest.h"
#include "common/spec/yaml_source.h"
#include "common/spec/yaml_value.h"

namespace millrace {

struct Entry {
  const std::string& name;
  std::uint32_t key;  // node indices in the document
  std::uint32_t value;
};

struct Edge {
  std::uint32_t node;
  std::uint32_t upstream;
  std::uint32_t offset;  // where the text says so
};

class Reader {
 public:
  Reader(const YamlDocument& document, WorkflowSpec& spec, const Outside& outside)
      : document(document), outside(outside), report(document.report()), spec(spec) {}

  const YamlDocument& document;
  const Outside& outside;
  Report report;
  WorkflowSpec& spec;
  std::map<std::string, std::uint32_t, std::less<>> node_index;  // id -> node
  std::vector<Edge> edges;
  std::vector<Edge> stand_ins;                   // `node` runs in the place of `upstream` if that fails
  std::vector<std::string> executors;            // that the workflow declares: somebody's own
  std::string scope;                             // the sub-graph whose nodes are read: "g", "g/h"; empty: none
  std::uint32_t round = 0;                       // of the loop that they are in, if they are in one
  std::set<std::string, std::less<>> variables;  // that `set` nodes name
  struct VariableRead {
    std::string name;
    std::uint32_t scalar = 0;  // where it stands
    std::size_t offset = 0;
    std::string where;
  };
  std::vector<VariableRead> variables_read;
  std::size_t source_bytes = 0;  // of what nodes have packed

  // --- the document
  const YamlNode& at(std::uint32_t index) const { return document.node(index); }
  bool is_null(std::uint32_t index) const { return at(index).kind == YamlKind::kNull; }
  std::vector<Entry> entries(std::uint32_t mapping) const;
  // As written, but for `round` and `previous` in expressions within a loop: see qualified().
  Value value(std::uint32_t index);
  // Within a loop what its expressions call `round` and `previous` is given like the outputs of nodes: `nodes.round`.
  std::string qualified(const std::string& text) const;
  // The node that a name means here: one of this sub-graph, or one further out.
  std::optional<std::uint32_t> find_node(std::string_view name) const;
  std::set<std::uint32_t> parts;  // what begins and repeats sub-graphs: no name means it
  std::map<std::uint32_t, std::uint32_t>
      beginnings;  // of sub-graphs: the node that they end in -> that they begin with

  // --- problems
  void problem(std::uint32_t index, std::string message, std::string expected = "", std::string hint = "");
  void problem_in(std::uint32_t scalar, std::size_t text_offset, std::string message, std::string expected = "",
                  std::string hint = "");
  std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) const;
  std::string suggest_node(std::string_view id) const;

  // --- values of a wanted kind; `what` names it in problems ("'timeout' of node 'a'")
  bool expect_mapping(std::uint32_t index, const std::string& what);
  std::optional<std::string> read_string(std::uint32_t index, const std::string& what);
  std::optional<bool> read_boolean(std::uint32_t index, const std::string& what);
  std::optional<std::int64_t> read_integer(std::uint32_t index, const std::string& what, std::int64_t min,
                                           std::int64_t max);
  std::optional<double> read_number(std::uint32_t index, const std::string& what, double min, double max);
  std::optional<Duration> read_duration(std::uint32_t index, const std::string& what, Duration min);
  std::optional<std::string> read_word(std::uint32_t index, const std::string& what,
                                       std::span<const std::string_view> words);
  void unknown_key(const Entry& entry, const std::string& where, std::span<const std::string_view> known);

 private:
  void wrong_kind(std::uint32_t index, const std::string& what, std::string expected, std::string hint = "");
};

std::string kind_of(const YamlNode& node);  // "a list", "text", "the number 5" ...

// --- the parts
void read_executors(Reader& reader, std::uint32_t index);
void read_inputs(Reader& reader, std::uint32_t index);
// `on_failure` and `finally` of the workflow: ids, or nodes of their own; null: absent.
void read_nodes(Reader& reader, std::uint32_t index, const Entry* on_failure, const Entry* finally);
void read_outputs(Reader& reader, std::uint32_t index);
void read_triggers(Reader& reader, std::uint32_t index);
// Keys of a trigger (read_hooks.cc); `where` names it.
void read_webhook(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger);
void read_stream(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger);
void read_keyspace(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger);
void read_debounce(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger);
void read_batch(Reader& reader, std::uint32_t index, const std::string& where, TriggerSpec& trigger);
void read_depends_on(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node);

// `requires`, `resources`, `affinity` and `anti_affinity`. False: not one of them.
bool read_placing_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node);

struct TaskBody {
  std::uint32_t node = 0;
  std::uint32_t executor_at = 0;  // where the executor is named
  std::vector<Entry> own;         // the keys that are not every node's
  bool depends_on = false;        // the node has the key
  bool mapped = false;            // it has a `foreach`
};
Value read_fields(Reader& reader, const TaskBody& body);
// The sources that its fields name, as the field `sources` (pack_sources.cc).
void pack_sources(Reader& reader, std::string_view executor, const std::vector<Entry>& own, const std::string& where,
                  Value& fields);

// Where an expression stands: what it may name and whose edge it makes.
struct ExpressionPlace {
  std::string where;                            // "'env' of node 'a'"
  std::optional<std::uint32_t> node;            // gets the edges; none: `outputs`
  bool core = false;                            // evaluated in the core: neither env nor secrets
  bool all_nodes = false;                       // may name nodes by a computed key
  std::span<const std::string_view> more = {};  // further names that it may start with
  bool only_more = false;                       // and no others
};
void check_expressions(Reader& reader, std::uint32_t index, const ExpressionPlace& place);
void check_variables(Reader& reader);  // that somebody sets what was read, when all is read

// The keys of a node about whether it runs (read_flow.cc). False: not one of them.
bool read_flow_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node, bool depends_on);
bool read_foreach_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node,
                      bool depends_on);
// `cache`, and that a node has what it needs of it (read_cache.cc).
void read_cache(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on);
void check_cache(Reader& reader, const std::vector<Entry>& entries, const std::string& where, std::uint32_t node);
void read_branch(Reader& reader, std::uint32_t index, const std::string& where, std::uint32_t node, bool depends_on);

// `executor: workflow` (read_child.cc), which `kind` says.
void read_child(Reader& reader, const std::vector<Entry>& entries, const Entry& kind, const std::string& where,
                std::uint32_t node, bool depends_on);
// `wait`, `signal` and `approval` (read_wait.cc): `kind` is the entry that says which.
void read_wait(Reader& reader, const std::vector<Entry>& entries, const Entry& kind, const std::string& where,
               std::uint32_t node, bool depends_on);
// A time as text, number or expression: a duration, or a moment in RFC 3339.
enum class TimeForm : std::uint8_t { kDuration, kMoment, kEither };
std::optional<Value> read_moment(Reader& reader, std::uint32_t index, const std::string& what, TimeForm form,
                                 const ExpressionPlace& place);

// Nodes that handle failures and clean up (read_handlers.cc). The first: `on_failure`, `compensate` of a node; false:
// not one of them. The last: that none of the work waits for what cleans up.
bool read_handler_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node);
std::vector<std::string> read_handlers(Reader& reader, std::uint32_t index, const std::string& what);
void check_cleanup(Reader& reader);
// Of a fallback: the node that stands in. The second: that each has this one task, and none waits for its own end.
void read_stand_in(Reader& reader, std::uint32_t index, const std::string& what, std::uint32_t node);
void check_stand_ins(Reader& reader);

// What a node of the text is written out to (read_groups.cc, docs/adr/0016): itself, or, of a sub-graph or a loop, its
// nodes and those that begin, repeat and end it.
enum class Part : std::uint8_t { kNode, kGate, kRoundEnd, kAgain, kGroupEnd };

struct Planned {
  std::string id;  // with those of the sub-graphs around it
  Entry entry;     // of the node, or of the sub-graph that it is a part of
  std::string scope;
  std::uint32_t round = 0;  // of the innermost loop around it
  Part part = Part::kNode;
  std::uint32_t group = 0;  // which one, of a part
};

class Groups {
 public:
  // All nodes that the entries are written out to, in their order; too many are reported.
  std::vector<Planned> plan(Reader& reader, const std::vector<Entry>& entries);
  void read(Reader& reader, const Planned& part, std::uint32_t node);  // of a part that is no plain node
  void link(Reader& reader);  // what waits for what, when all nodes have been read

 private:
  struct Body {  // the nodes that run once, or in one round: indices first to last - 1
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::uint32_t end = 0;  // the node that they end in
    std::optional<std::uint32_t> again;
  };
  struct Group {
    std::uint32_t end = 0;
    std::optional<std::uint32_t> gate;
    std::uint32_t entry_offset = 0;
    std::optional<std::uint32_t> until;  // in the document
    LoopSpec loop;                       // rounds: zero: none
    std::vector<Body> bodies;
  };
  void plan_entries(Reader& reader, const std::vector<Entry>& entries, const std::string& scope, std::uint32_t round,
                    std::vector<Planned>& out);
  void plan_group(Reader& reader, const Entry& entry, const std::string& scope, std::uint32_t round,
                  std::vector<Planned>& out);
  void read_loop(Reader& reader, std::uint32_t index, const std::string& where, Group& group);
  void read_group(Reader& reader, const Planned& part, std::uint32_t node, Group& group);
  void read_end(Reader& reader, const Planned& part, std::uint32_t node, const std::string& inside);
  void read_again(Reader& reader, const Planned& part, std::uint32_t node, const Group& group);
  void link_body(Reader& reader, const Group& group, const Body& body, std::uint32_t gate);
  void set_gate(Reader& reader, const Group& group, std::uint32_t node, std::uint32_t gate);
  void link_handlers(Reader& reader, const Group& group);
  void add_edge(Reader& reader, std::uint32_t node, std::uint32_t upstream, std::uint32_t offset);

  std::vector<Group> groups_;
  std::vector<std::vector<std::uint32_t>> upstream_;  // while linking
  std::vector<bool> aside_;                           // handlers, stand-ins, what cleans up
  std::vector<bool> cleans_;
  std::size_t written_out_ = 0;  // bytes of text of rounds
  bool too_many_ = false;
};

// The graph from the edges found; reports cycles.
void link_nodes(Reader& reader);

}  // namespace millrace
