#include <algorithm>

#include "cli/text.h"
#include "cli/verb.h"

namespace millrace {
namespace {

constexpr std::size_t kLeft = 30;  // where the explanations begin
constexpr std::size_t kColumns = 100;

// Breaks a text at spaces; every line but the first is indented.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    std::size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (column > indent && column + 1 + display_width(word) > kColumns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) out += ' ', ++column;
    out += word;
    column += display_width(word);
  }
  return out;
}

std::string row(std::string left, std::string_view right) {
  left = "  " + left;
  std::string gap = left.size() + 2 > kLeft ? "\n" + std::string(kLeft, ' ') : std::string(kLeft - left.size(), ' ');
  return left + gap + wrapped(right, kLeft) + "\n";
}

std::string left_of(const Option& option) {
  std::string text = option.letter != 0 ? std::string("-") + option.letter + ", " : "    ";
  text += "--" + std::string(option.name);
  if (option.takes != Takes::kNothing) text += " " + std::string(option.metavar);
  return text;
}

std::string usage_of(const Operand& operand) {
  std::string text(operand.name);
  if (operand.many) text += "...";
  return operand.required ? text : "[" + text + "]";
}

constexpr std::string_view kExitCodes =
    "Exit codes:\n"
    "  0 success (degraded too)   1 the run failed          2 usage or invalid workflow   3 not found\n"
    "  4 timed out waiting        5 coordinator unreachable 6 refused                     7 conflict\n"
    "  8 cancelled                130 interrupted\n";

}  // namespace

std::string help_of(const Verb& verb) {
  std::string text = "Usage: millrace " + std::string(verb.name);
  for (const Operand& operand : verb.syntax.operands) text += " " + usage_of(operand);
  text += " [options]\n\n" + std::string(verb.description) + "\n";
  if (!verb.syntax.operands.empty()) text += "\nArguments:\n";
  for (const Operand& operand : verb.syntax.operands) text += row(std::string(operand.name), operand.help);
  text += "\nOptions:\n";
  for (const Option& option : verb.syntax.options) text += row(left_of(option), option.help);
  text += row("-h, --help", "print this");
  if (!verb.examples.empty()) text += "\nExamples:\n";
  for (std::string_view example : verb.examples) text += "  " + std::string(example) + "\n";
  return text + "\n" + std::string(kExitCodes);
}

std::string help_of_all(std::span<const Verb> verbs) {
  std::string text =
      "Usage: millrace VERB [arguments]\n\n"
      "Runs workflows: on this machine with one command, or on a cluster.\n\nVerbs:\n";
  for (const Verb& verb : verbs) text += row(std::string(verb.name), verb.summary);
  text +=
      "\nmillrace VERB --help tells all about one. A cluster is found by --coordinator tcp://HOST:PORT[,...] or by "
      "the\n"
      "environment variable MILLRACE_COORDINATOR (default tcp://127.0.0.1:5711). NO_COLOR is respected.\n\n";
  return text + std::string(kExitCodes);
}

}  // namespace millrace
