// Expressions in fields, values and outputs: that they compile, that every name resolves, and the edges they make.
#include <algorithm>

#include "common/expr/expression.h"
#include "common/spec/keys.h"
#include "common/spec/reader.h"

namespace millrace {
namespace {

class Checker {
 public:
  Checker(Reader& reader, const ExpressionPlace& place) : reader_(reader), place_(place) {}

  // Keys are never templated; every text below a value is.
  void walk(std::uint32_t index) {
    const YamlNode& node = reader_.at(index);
    switch (node.kind) {
      case YamlKind::kNull: break;
      case YamlKind::kPlain:
      case YamlKind::kText:
        if (node.text.find("{{") != std::string::npos) check_text(index);
        break;
      case YamlKind::kSequence:
        for (std::uint32_t item : node.children) walk(item);
        break;
      case YamlKind::kMapping:
        for (std::size_t i = 1; i < node.children.size(); i += 2) walk(node.children[i]);
        break;
    }
  }

 private:
  void check_text(std::uint32_t scalar) {
    const Result<expr::TextTemplate> compiled = expr::TextTemplate::compile(reader_.at(scalar).text);
    if (!compiled.ok()) {
      const Error& error = compiled.error();
      if (error.details.empty()) reader_.problem(scalar, in_place(error.what));
      for (const Problem& problem : error.details) {
        const auto offset = static_cast<std::size_t>(std::max(problem.column, 1) - 1);
        reader_.problem_in(scalar, offset, in_place(problem.message), problem.expected, problem.hint);
      }
      return;
    }
    for (const expr::Reference& reference : compiled->references()) check_reference(scalar, reference);
  }

  void check_reference(std::uint32_t scalar, const expr::Reference& reference) {
    if (std::ranges::find(place_.more, reference.root) != place_.more.end()) return;
    if (reader_.round > 0 && std::ranges::find(keys::kRoundRoots, reference.root) != keys::kRoundRoots.end()) return;
    if (place_.only_more) check_root(scalar, reference);
    else if (reference.root == "nodes") check_node(scalar, reference);
    else if (reference.root == "inputs") check_input(scalar, reference);
    else if (reference.root == "error" && place_.node) return;  // null where nothing failed
    else if (reference.root == "run") check_run(scalar, reference);
    else if (reference.root == "vars") note_variable(scalar, reference);
    else if (reference.root == "secrets") check_secret(scalar, reference);
    else check_root(scalar, reference);
  }

  void check_node(std::uint32_t scalar, const expr::Reference& reference) {
    if (reference.head.empty()) {
      if (place_.all_nodes) return;
      reader_.problem_in(scalar, reference.offset, in_place("'nodes' is read by a computed key"),
                         "'nodes.ID', or a 'depends_on' that says which nodes it reads");
      return;
    }
    const std::optional<std::uint32_t> found = reader_.find_node(reference.head);
    if (!found) {
      reader_.problem_in(scalar, reference.offset, in_place("there is no node '" + reference.head + "'"),
                         "the id of a node", reader_.suggest_node(reference.head));
    } else if (found == place_.node) {
      reader_.problem_in(scalar, reference.offset, in_place("the node reads its own output"), "another node");
    } else if (place_.node) {
      reader_.edges.push_back({*place_.node, *found, reader_.document.offset_in(scalar, reference.offset)});
    }
  }

  void check_input(std::uint32_t scalar, const expr::Reference& reference) {
    if (reference.head.empty()) return;  // all of them, or one by a computed key: absent ones are null
    std::vector<std::string_view> names;
    for (const InputSpec& input : reader_.spec.inputs) names.push_back(input.name);
    if (std::ranges::find(names, reference.head) != names.end()) return;
    reader_.problem_in(scalar, reference.offset, in_place("there is no input '" + reference.head + "'"),
                       names.empty() ? "an input declared in 'inputs'; none is" : "one of " + list_words(names),
                       reader_.suggestion(reference.head, names));
  }

  void check_run(std::uint32_t scalar, const expr::Reference& reference) {
    if (reference.head.empty()) return;
    std::span<const std::string_view> members = keys::kRunMembers;
    if (place_.core) members = members.first(members.size() - 1);
    if (std::ranges::find(members, reference.head) != members.end()) return;
    reader_.problem_in(scalar, reference.offset, in_place("there is no 'run." + reference.head + "' here"),
                       "one of " + list_words(members), reader_.suggestion(reference.head, members));
  }

  void note_variable(std::uint32_t scalar, const expr::Reference& reference) {
    if (!reference.head.empty())
      reader_.variables_read.push_back({std::string(reference.head), scalar, reference.offset, place_.where});
  }

  // Resolved on the worker at the last moment: what the core computes is stored.
  void check_secret(std::uint32_t scalar, const expr::Reference& reference) {
    if (place_.core) {
      reader_.problem_in(scalar, reference.offset, in_place("'secrets' cannot be read here"),
                         "a field of an executor: only workers know secrets, and what is computed here is stored");
    } else if (reference.head.empty() ? !is_indexed(scalar, reference) : !is_secret_name(reference.head)) {
      reader_.problem_in(scalar, reference.offset,
                         in_place(reference.head.empty() ? "'secrets' is read whole"
                                                         : "'" + reference.head + "' cannot be the name of a secret"),
                         "'secrets.NAME', a name of letters, digits and '_'");
    }
  }

  // `secrets[...]`, and not `secrets` read whole.
  bool is_indexed(std::uint32_t scalar, const expr::Reference& reference) const {
    const std::string& text = reader_.at(scalar).text;
    const std::size_t next = text.find_first_not_of(' ', reference.offset + reference.root.size());
    return next != std::string::npos && text[next] == '[';
  }

  void check_root(std::uint32_t scalar, const expr::Reference& reference) {
    std::vector<std::string_view> roots(place_.more.begin(), place_.more.end());
    if (!place_.only_more) roots.insert(roots.begin(), keys::kRoots.begin(), keys::kRoots.end());
    std::string hint = reader_.suggestion(reference.root, roots);
    std::string message = "unknown name '" + reference.root + "'";
    if (std::ranges::find(keys::kItemRoots, reference.root) != keys::kItemRoots.end()) {
      message = "'" + reference.root + "' is not known here";
      hint = "only the fields of a node with a 'foreach' see it";
    } else if (std::ranges::find(keys::kReservedRoots, reference.root) != keys::kReservedRoots.end()) {
      message = "'" + reference.root + "' cannot be read here";
    } else if (std::ranges::find(keys::kRoundRoots, reference.root) != keys::kRoundRoots.end()) {
      hint = "only the nodes of a 'loop' see it";
    } else if (reader_.find_node(reference.root)) {
      hint = "did you mean 'nodes." + reference.root + "'?";
    } else if (std::ranges::find(reader_.spec.inputs, reference.root, &InputSpec::name) != reader_.spec.inputs.end()) {
      hint = "did you mean 'inputs." + reference.root + "'?";
    }
    reader_.problem_in(scalar, reference.offset, in_place(message), "a path that starts with " + list_words(roots),
                       std::move(hint));
  }

  std::string in_place(const std::string& message) const { return message + " (in " + place_.where + ")"; }

  Reader& reader_;
  const ExpressionPlace& place_;
};

}  // namespace

void check_expressions(Reader& reader, std::uint32_t index, const ExpressionPlace& place) {
  Checker(reader, place).walk(index);
}

void check_variables(Reader& reader) {
  const std::vector<std::string_view> names(reader.variables.begin(), reader.variables.end());
  for (const Reader::VariableRead& read : reader.variables_read) {
    if (reader.variables.contains(read.name)) continue;
    reader.problem_in(read.scalar, read.offset, "no node sets a variable '" + read.name + "' (in " + read.where + ")",
                      names.empty() ? "a node with 'set: {" + read.name + ": ...}'" : "one of " + list_words(names),
                      reader.suggestion(read.name, names));
  }
}

}  // namespace millrace
