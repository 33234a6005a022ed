#include "cli/app.h"

#include <algorithm>

#include "cli/complain.h"
#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"
#include "cli/views.h"
#include "common/spec/suggest.h"

namespace millrace {
namespace {

// Seen before the arguments are understood, because a mistake in them must be told in the wanted form, too.
bool wants_json(std::span<const std::string> words) {
  auto is_json = [](std::string_view text) { return text == "json" || text == "jsonl"; };
  bool json = false;
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    std::string_view word = words[i];
    if ((word == "-o" || word == "--output") && i + 1 < words.size()) json = is_json(words[i + 1]);
    else if (word.starts_with("--output=")) json = is_json(word.substr(9));
    else if (word.starts_with("-o") && word.size() > 2) json = is_json(word.substr(word[2] == '=' ? 3 : 2));
  }
  return json;
}

int fail(const CommandContext& context, const Error& error, bool json, bool json_lines) {
  const Console& console = context.console;
  if (json) {
    Value value = error_json(error);
    console.out((json_lines ? value.dump() : value.dump_pretty()) + "\n");
  } else {
    console.err(complaint(error, console.err_terminal, console.err_terminal && console.colour));
  }
  return exit_code(error.code);
}

Error unknown_verb(const std::string& word) {
  std::vector<std::string_view> names;
  for (const Verb& verb : all_verbs()) names.push_back(verb.name);
  std::string hint(did_you_mean(word, names));
  std::string what = "unknown command '" + word + "'; " + (hint.empty() ? "see millrace --help" : hint);
  return Error{Code::kInvalid, what, {{"", 0, 0, "unknown command '" + word + "'", list_words(names), hint}}, "usage"};
}

// Whatever talks to a cluster may have to show a key.
std::vector<Verb> with_key_options(std::vector<Verb> verbs) {
  for (Verb& verb : verbs) {
    std::vector<Option>& options = verb.syntax.options;
    auto coordinator = std::ranges::find(options, "coordinator", &Option::name);
    if (coordinator == options.end()) continue;
    const std::vector<Option> keys = key_options();
    options.insert(coordinator + 1, keys.begin(), keys.end());
  }
  return verbs;
}

bool is_help(const std::string& word) { return word == "--help" || word == "-h" || word == "help"; }

}  // namespace

std::span<const Verb> all_verbs() {
  static const std::vector<Verb> verbs = with_key_options(
      {run_verb(),     validate_verb(), graph_verb(),        schedule_verb(),   submit_verb(),  status_verb(),
       wait_verb(),    list_verb(),     cancel_verb(),       signal_verb(),     approve_verb(), pause_verb(),
       resume_verb(),  retry_verb(),    rerun_verb(),        events_verb(),     logs_verb(),    artifacts_verb(),
       workers_verb(), drain_verb(),    coordinators_verb(), partitions_verb(), doctor_verb(),  keys_verb(),
       secret_verb(),  store_verb(),    workflow_verb(),     trigger_verb(),    version_verb(), completion_verb()});
  return verbs;
}

int run_app(const CommandContext& context, std::span<const std::string> words) {
  if (words.empty()) {
    context.console.err(help_of_all(all_verbs()));
    return kExitUsage;
  }
  bool json = wants_json(words);
  std::string name = words[0];
  std::vector<std::string> rest(words.begin() + 1, words.end());
  if (is_help(name)) {
    if (rest.empty()) {
      context.console.out(help_of_all(all_verbs()));
      return kExitOk;
    }
    name = rest[0];
    rest = {"--help"};
  }
  if (name == "--version") name = "version";
  auto verb = std::ranges::find(all_verbs(), name, &Verb::name);
  if (verb == all_verbs().end()) return fail(context, unknown_verb(name), json, false);
  Result<Arguments> arguments = read_arguments(verb->syntax, verb->name, rest);
  if (!arguments.ok()) return fail(context, arguments.error(), json, false);
  if (arguments->help()) {
    context.console.out(help_of(*verb));
    return kExitOk;
  }
  Result<int> code = verb->run(context, *arguments);
  if (code.ok()) return *code;
  return fail(context, code.error(), json, json && arguments->text("output") == "jsonl");
}

}  // namespace millrace
