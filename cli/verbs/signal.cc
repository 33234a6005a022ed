#include <sys/random.h>

#include <cassert>

#include "cli/inputs.h"
#include "cli/session.h"
#include "cli/verbs/act.h"
#include "cli/verbs/all.h"

namespace millrace {
namespace {

// So that a request that is asked twice, because no answer came, gives one signal.
std::uint64_t random_number() {
  std::uint64_t number = 0;
  const ssize_t n = ::getrandom(&number, sizeof number, 0);
  assert(n == static_cast<ssize_t>(sizeof number));
  return number == 0 ? 1 : number;
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  SignalRun request{run_name(arguments.operand(0)), arguments.operand(1), {}, random_number(), caller_name()};
  if (arguments.given("data")) {
    std::string text = arguments.text("data");
    if (text.size() > 1 && text.starts_with('@')) {
      Result<std::string> file = read_file(text.substr(1));
      if (!file.ok()) return std::move(file).error();
      text = std::move(*file);
    }
    Result<Value> value = Value::parse(text);
    if (!value.ok()) return Error{Code::kInvalid, "--data is not JSON: " + value.error().what, {}, "usage"};
    request.payload = Payload::inline_json(value->dump());
  }
  return act(context, arguments, std::move(request));
}

}  // namespace

Verb signal_verb() {
  return {
      "signal",
      "send a signal to a run",
      "Sends a signal to the node of a run that waits for it, whose output the data becomes. A signal that comes "
      "before\n"
      "its node waits is kept, one for each node that will wait for it; when all of them have theirs, another is a\n"
      "conflict (7).",
      {"millrace signal k3f7 paid", "millrace signal @latest shipped -d '{\"parcel\": \"RX-17\"}'"},
      {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}},
        {"NAME", "the name of the signal, as the workflow has it", true, false, Completes::kNothing, {}}},
       act_options({{"data", 'd', Takes::kText, "JSON",
                     "what it brings: JSON, @FILE (its content) or @- (standard input); null without it"}})},
      run};
}

}  // namespace millrace
