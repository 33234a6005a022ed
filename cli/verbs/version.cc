#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/verbs/all.h"
#include "common/wire/frame.h"

namespace millrace {
namespace {

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  Value whole = Value::Object{
      {"version", MILLRACE_VERSION}, {"protocol", std::int64_t{kProtocolVersion}}, {"compiler", __VERSION__}};
  std::string text = "millrace " MILLRACE_VERSION "\n";
  if (arguments.given("coordinator")) {
    Result<Session> session = connect(context, arguments);
    if (!session.ok()) return std::move(session).error();
    const PingReply& ping = session->ping;
    whole.set("coordinator", Value::Object{{"name", ping.coordinator},
                                           {"version", ping.version},
                                           {"partitions", std::uint64_t{ping.partitions}},
                                           {"workers", std::uint64_t{ping.workers}}});
    text += "coordinator " + cell_text(*whole.find("coordinator"), "name") + " " +
            cell_text(*whole.find("coordinator"), "version") + "\n";
  }
  Format format = output_format(arguments);
  context.console.out(is_for_people(format) ? text : render_object(whole, "version", format));
  return kExitOk;
}

}  // namespace

Verb version_verb() {
  return {"version",
          "print the version",
          "Prints the version of this program and, with --coordinator, that of a cluster.",
          {"millrace version -o json"},
          {{}, {output_option(), coordinator_option(), timeout_option()}},
          run};
}

}  // namespace millrace
