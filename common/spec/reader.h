// Internal to the parser: what its parts share while they read one text.
//
// Every part reads what it can, reports what is wrong and goes on with a default, so that one mistake hides no other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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
  std::vector<std::string> executors;  // that the workflow declares: somebody's own

  // --- the document
  const YamlNode& at(std::uint32_t index) const { return document.node(index); }
  bool is_null(std::uint32_t index) const { return at(index).kind == YamlKind::kNull; }
  std::vector<Entry> entries(std::uint32_t mapping) const;
  Value value(std::uint32_t index) { return to_value(document, index, report); }

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

// The keys of a node about whether it runs (read_flow.cc). False: not one of them.
bool read_flow_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node, bool depends_on);
bool read_foreach_key(Reader& reader, const Entry& entry, const std::string& where, std::uint32_t node,
                      bool depends_on);
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

// The graph from the edges found; reports cycles.
void link_nodes(Reader& reader);

}  // namespace millrace
