#include <string>

#include "cli/app.h"
#include "cli/exit_code.h"
#include "cli/verbs/all.h"

// Completion scripts come from the same table as parsing and help: they cannot fall behind it.
namespace millrace {
namespace {

std::string joined(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::string_view word : words) out += (out.empty() ? "" : " ") + std::string(word);
  return out;
}

std::string verb_names() {
  std::vector<std::string_view> names;
  for (const Verb& verb : all_verbs()) names.push_back(verb.name);
  return joined(names) + " help";
}

bool takes_file(const Verb& verb) {
  for (const Operand& operand : verb.syntax.operands) {
    if (operand.completes == Completes::kFile) return true;
  }
  return false;
}

std::string operand_choices(const Verb& verb) {
  return verb.syntax.operands.empty() ? "" : joined(verb.syntax.operands[0].choices);
}

std::string flags_of(const Option& option, const char* between) {
  std::string flags = option.letter == 0 ? "" : std::string("-") + option.letter + between;
  return flags + "--" + std::string(option.name);
}

// ---------------------------------------------------------------- bash

std::string bash_values(const Option& option) {
  if (option.takes == Takes::kNothing) return "";
  std::string what = option.completes == Completes::kFile ? "compgen -f -- \"$cur\"" : "";
  if (!option.choices.empty()) what = "compgen -W \"" + joined(option.choices) + "\" -- \"$cur\"";
  std::string answer = what.empty() ? "COMPREPLY=()" : "mapfile -t COMPREPLY < <(" + what + ")";
  return "        " + flags_of(option, "|") + ") " + answer + "; return ;;\n";
}

std::string bash_verb(const Verb& verb) {
  std::string names = "--help";
  std::string values;
  for (const Option& option : verb.syntax.options) {
    names += " --" + std::string(option.name);
    values += bash_values(option);
  }
  std::string out = "    " + std::string(verb.name) + ")\n      options=\"" + names + "\"\n";
  std::string choices = operand_choices(verb);
  if (!choices.empty()) out += "      words=\"" + choices + "\"\n";
  if (takes_file(verb)) out += "      files=1\n";
  if (!values.empty()) out += "      case \"$prev\" in\n" + values + "      esac\n";
  return out + "      ;;\n";
}

std::string bash_script() {
  std::string out =
      "# bash completion for millrace: source <(millrace completion bash)\n"
      "_millrace() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" options=\"\" words=\"\" files=0\n"
      "  COMPREPLY=()\n"
      "  if (( COMP_CWORD == 1 )); then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"" +
      verb_names() +
      "\" -- \"$cur\")\n"
      "    return\n"
      "  fi\n"
      "  case \"${COMP_WORDS[1]}\" in\n"
      "    help) words=\"" +
      verb_names() + "\" ;;\n";
  for (const Verb& verb : all_verbs()) out += bash_verb(verb);
  return out +
         "  esac\n"
         "  if [[ \"$cur\" == -* ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
         "  elif [[ -n \"$words\" ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
         "  elif (( files )); then\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _millrace millrace\n";
}

// ---------------------------------------------------------------- zsh, fish

// Within '...' of a shell; zsh gives [, ] and : a meaning of their own.
std::string quoted(std::string_view text, bool zsh) {
  std::string out;
  for (char c : text) {
    if (c == '\'') out += "'\\''";
    else if (zsh && (c == '[' || c == ']' || c == ':')) out += std::string("\\") + c;
    else out += c;
  }
  return out;
}

std::string zsh_option(const Option& option) {
  std::string value;
  if (option.takes != Takes::kNothing) {
    value = ":" + quoted(option.metavar, true) + ":";
    if (!option.choices.empty()) value += "(" + joined(option.choices) + ")";
    else if (option.completes == Completes::kFile) value += "_files";
  }
  std::string help = "[" + quoted(option.help, true) + "]" + value + "'";
  std::string star = option.repeated ? "*" : "";
  std::string out = "        '" + star + "--" + std::string(option.name) + help;
  if (option.letter != 0) out += " '" + star + "-" + option.letter + help;
  return out + " \\\n";
}

std::string zsh_verb(const Verb& verb) {
  std::string out = "    " + std::string(verb.name) + ")\n      _arguments \\\n";
  for (const Option& option : verb.syntax.options) out += zsh_option(option);
  for (const Operand& operand : verb.syntax.operands) {
    std::string action = operand.completes == Completes::kFile ? "_files" : " ";
    if (!operand.choices.empty()) action = "(" + joined(operand.choices) + ")";
    out +=
        "        '" + std::string(operand.many ? "*" : "") + ":" + std::string(operand.name) + ":" + action + "' \\\n";
  }
  return out + "        '--help[print the help]'\n      ;;\n";
}

std::string zsh_script() {
  std::string out =
      "#compdef millrace\n"
      "# zsh completion for millrace: source <(millrace completion zsh), after compinit\n"
      "_millrace() {\n"
      "  local -a verbs\n"
      "  verbs=(\n";
  for (const Verb& verb : all_verbs()) {
    out += "    '" + std::string(verb.name) + ":" + quoted(verb.summary, true) + "'\n";
  }
  out +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe -t commands 'millrace command' verbs\n"
      "    return\n"
      "  fi\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case \"${words[1]}\" in\n";
  for (const Verb& verb : all_verbs()) out += zsh_verb(verb);
  return out + "  esac\n}\ncompdef _millrace millrace\n";
}

std::string fish_script() {
  std::string out =
      "# fish completion for millrace: millrace completion fish | source\n"
      "complete -c millrace -f\n";
  for (const Verb& verb : all_verbs()) {
    std::string name(verb.name);
    out += "complete -c millrace -n __fish_use_subcommand -a " + name + " -d '" + quoted(verb.summary, false) + "'\n";
    std::string mine = "complete -c millrace -n '__fish_seen_subcommand_from " + name + "'";
    if (takes_file(verb)) out += mine + " -F\n";
    if (!operand_choices(verb).empty()) out += mine + " -a '" + operand_choices(verb) + "'\n";
    for (const Option& option : verb.syntax.options) {
      std::string line = mine + " -l " + std::string(option.name);
      if (option.letter != 0) line += std::string(" -s ") + option.letter;
      if (option.takes != Takes::kNothing) line += option.completes == Completes::kFile ? " -r -F" : " -x";
      if (!option.choices.empty()) line += " -a '" + joined(option.choices) + "'";
      out += line + " -d '" + quoted(option.help, false) + "'\n";
    }
  }
  return out;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  std::string shell = arguments.operand(0);
  context.console.out(shell == "bash" ? bash_script() : shell == "zsh" ? zsh_script() : fish_script());
  return kExitOk;
}

}  // namespace

Verb completion_verb() {
  return {"completion",
          "print a completion script for a shell",
          "Prints a script that completes verbs, options and their values in bash, zsh or fish.",
          {"source <(millrace completion bash)", "millrace completion fish | source"},
          {{{"SHELL", "bash, zsh or fish", true, false, Completes::kNothing, {"bash", "zsh", "fish"}}}, {}},
          run};
}

}  // namespace millrace
