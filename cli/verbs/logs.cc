#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(300);

class Printer {
 public:
  // `node`: the one that was asked for; empty: all.
  Printer(const Console& console, Format format, std::string node)
      : console_(console), format_(format), node_(std::move(node)) {}

  bool print(const std::vector<LogLine>& lines) {
    std::string out;
    for (const LogLine& line : lines) {
      if (format_ == Format::kJson || format_ == Format::kYaml) kept_.push_back(log_line_json(line));
      else if (format_ == Format::kJsonl) out += log_line_json(line).dump() + "\n";
      else if (format_ == Format::kName)
        out += names_.try_emplace(line.node, true).second ? printable(line.node) + "\n" : "";
      else out += row(line);
    }
    return out.empty() || console_.out(out);
  }

  void finish(RunId run) {
    if (format_ != Format::kJson && format_ != Format::kYaml) return;
    console_.out(render_object(Value::Object{{"run", to_string(run)}, {"lines", std::move(kept_)}}, "run", format_));
  }

 private:
  // What was written at once may be several lines: each says whose it is. Items of the node that was asked for, too.
  std::string row(const LogLine& line) const {
    std::string text = printable_lines(line.text);
    if (!text.empty() && text.back() == '\n') text.pop_back();
    bool colour = console_.out_terminal && console_.colour;
    std::string head;
    if (format_ == Format::kWide) head = iso_time(line.time) + "  ";
    if (line.node != node_ || format_ == Format::kWide)
      head += printable(line.node) + "#" + std::to_string(line.attempt) + " | ";
    head = tinted(head, line.stderr_stream ? Tint::kBad : Tint::kQuiet, colour && !head.empty());
    std::string out;
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      out.append(head).append(text, at, end - at).append("\n");
      at = end + 1;
    }
    return out;
  }

  const Console& console_;
  Format format_;
  std::string node_;
  Value::Array kept_;
  std::map<std::string, bool> names_;
};

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  std::int64_t attempt = arguments.number("attempt").value_or(0);
  if (attempt < 0) return Error{Code::kInvalid, "--attempt: attempts are numbered from 1", {}, "usage"};
  bool follows = arguments.given("follow") || arguments.given("watch");
  Result<Session> session = connect(context, arguments, follows);
  if (!session.ok()) return std::move(session).error();
  Format format = output_format(arguments);
  ReadLogs request{run_name(arguments.operand(0)), arguments.operand(1), static_cast<std::uint32_t>(attempt), "", 1000};
  Printer printer(context.console, format, request.node);
  Client::Clock::time_point begin = Client::Clock::now();
  std::optional<Duration> timeout = arguments.duration("timeout");
  for (;;) {
    Result<LogsReply> page = session->call<LogsReply>(request);
    if (!page.ok() && !(follows && may_pass(page.error()))) return std::move(page).error();
    if (page.ok()) {
      request.run.text = to_string(page->run);
      if (!page->cursor.empty()) request.since = page->cursor;
      if (!printer.print(page->lines)) return kExitOk;
      if (page->lines.size() >= request.limit) continue;
      if (!follows || page->ended) {
        printer.finish(page->run);
        return kExitOk;
      }
    }
    if (timeout && Client::Clock::now() - begin >= *timeout) {
      return Error{
          Code::kTimeout, "run " + request.run.text + " has not ended after " + human_duration(*timeout), {}, ""};
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

Verb logs_verb() {
  return {"logs",
          "print what the tasks of a run wrote",
          "Prints what tasks wrote to their standard output and error, of one node or of all. Control characters are\n"
          "escaped, so that no task can play with your terminal.",
          {"millrace logs @latest", "millrace logs k3f7 clean_data -f"},
          {{{"RUN", "an id, a prefix of it, or @latest", true, false, Completes::kNothing, {}},
            {"NODE", "only of this node", false, false, Completes::kNothing, {}}},
           {{"follow", 'f', Takes::kNothing, "", "go on until the run has ended"},
            {"watch", 'w', Takes::kNothing, "", "the same as --follow"},
            {"attempt", 0, Takes::kNumber, "N", "only of this attempt"},
            output_option(),
            coordinator_option(),
            timeout_option("stop after this long; with --follow exit code 4")}},
          run};
}

}  // namespace millrace
