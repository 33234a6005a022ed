#include "worker/shell/code_reads.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "common/expr/expression.h"

namespace millrace {
namespace {

// With one of these anything may be read by a name that is made while the code runs.
constexpr std::array<std::string_view, 10> kReadAnything = {"**",    "...",  "globals",   "globalThis", "locals",
                                                            "vars(", "eval", "arguments", "exec",       "inspect"};

bool is_of_a_name(char c) {
  return c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void add_texts(const Value& value, std::string& out) {
  if (value.is_string()) {
    out += value.as_string();
    out += '\n';
  } else if (value.is_array()) {
    for (const Value& element : value.as_array()) add_texts(element, out);
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) add_texts(member, out);
  }
}

// `fits` sees what follows each place of the name.
template <class Fits>
bool each_place(std::string_view code, std::string_view name, const Fits& fits) {
  for (std::size_t at = code.find(name); at != code.npos; at = code.find(name, at + name.size())) {
    const std::string_view behind = code.substr(at + name.size());
    const bool part_of_another =
        (at > 0 && is_of_a_name(code[at - 1])) || (!behind.empty() && is_of_a_name(behind.front()));
    if (!part_of_another && !fits(behind)) return false;
  }
  return true;
}

// "a"] or 'a'] or "a", default): a text and nothing else.
bool begins_with_a_text(std::string_view code) {
  if (code.empty() || (code[0] != '"' && code[0] != '\'')) return false;
  const std::size_t end = code.find(code[0], 1);
  return end != code.npos && end + 1 < code.size() && std::string_view("]),").find(code[end + 1]) != code.npos;
}

// The object is only read by members that stand in the text: `nodes["a"]`, `nodes.get("a")`, in javascript `nodes.a`.
bool reads_by_name(std::string_view code, std::string_view object, bool javascript) {
  return each_place(code, object, [&](std::string_view behind) {
    for (const std::string_view open : {"[", ".get("}) {
      if (behind.starts_with(open) && begins_with_a_text(behind.substr(open.size()))) return true;
    }
    return javascript && behind.size() > 1 && behind[0] == '.' && is_of_a_name(behind[1]);
  });
}

// Of javascript: `main` takes its one argument apart where it begins.
bool takes_apart(std::string_view code) {
  return each_place(code, "main",
                    [](std::string_view behind) { return behind.starts_with("({") || behind.starts_with("()"); });
}

bool can_be_told(const NodeSpec& spec, std::string_view code) {
  const bool javascript = spec.executor == "javascript";
  if (!javascript && spec.executor != "python") return false;
  if (spec.fields.find("function") != nullptr && (javascript || spec.fields.find("sources") == nullptr)) return false;
  if (javascript && !takes_apart(code)) return false;
  return std::ranges::none_of(kReadAnything, [&](std::string_view word) { return code.find(word) != code.npos; });
}

}  // namespace

UnreadByCode unread_by_code(const NodeSpec& spec) {
  UnreadByCode out;
  if (!spec.flow.foreach || !spec.fields.is_object()) return out;
  Result<expr::Template> over = expr::Template::compile(spec.flow.foreach->over);
  std::string code;
  add_texts(spec.fields, code);
  if (!over.ok() || !can_be_told(spec, code)) return out;
  const bool javascript = spec.executor == "javascript";
  for (const expr::Reference& reference : over->references()) {
    if (reference.head.empty() || reference.dynamic || code.find(reference.head) != code.npos) continue;
    std::vector<std::string>* unread = nullptr;
    if (reference.root == "nodes") unread = &out.nodes;
    else if (reference.root == "inputs") unread = &out.inputs;
    if (unread == nullptr || !reads_by_name(code, reference.root, javascript)) continue;
    if (std::ranges::find(*unread, reference.head) == unread->end()) unread->push_back(reference.head);
  }
  return out;
}

}  // namespace millrace
