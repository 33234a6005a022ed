#include <utility>
#include <vector>

#include "cli/event_feed.h"
#include "cli/exit_code.h"
#include "cli/render.h"
#include "cli/session.h"
#include "cli/text.h"
#include "cli/verbs/all.h"
#include "cli/views.h"

namespace millrace {
namespace {

// A stream has no last row to measure columns by: they are fixed.
std::string event_row(const Value& event, bool wide) {
  std::string line = padded(cell_text(event, "seq"), 6, true) + "  " + cell_text(event, "time") + "  ";
  line += padded(cell_text(event, "type"), 16) + "  " + padded(cell_text(event, "node"), 24) + "  ";
  line += padded(cell_text(event, "attempt"), 3, true) + "  " + cell_text(event, "reason");
  if (wide) line += "  " + cell_text(event, "cursor");
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

class Printer {
 public:
  Printer(const Console& console, Format format, bool all) : console_(console), format_(format), all_(all) {}

  // False: nobody reads any more.
  bool print(const std::vector<Event>& events) {
    std::string out;
    for (const Event& event : events) {
      const bool set_back = event.type == EventType::kOwnerChanged && event.reason == Reason::kLost;
      if (!is_durable(event.type) && !all_ && !set_back) continue;
      Value json = event_json(event);
      if (format_ == Format::kJson || format_ == Format::kYaml) kept_.push_back(std::move(json));
      else if (format_ == Format::kJsonl) out += json.dump() + "\n";
      else if (format_ == Format::kName) out += cell_text(json, "type") + "\n";
      else out += event_row(json, format_ == Format::kWide);
    }
    return out.empty() || console_.out(out);
  }

  void finish(RunId run) {
    if (format_ != Format::kJson && format_ != Format::kYaml) return;
    console_.out(render_object(Value::Object{{"run", to_string(run)}, {"events", std::move(kept_)}}, "run", format_));
  }

 private:
  const Console& console_;
  Format format_;
  bool all_;
  Value::Array kept_;
};

Result<EventsReply> read_page(Session& session, const RunName& name, std::uint64_t since) {
  return session.call<EventsReply>(ReadEvents{name, since, RunEvents::kPage});
}

Result<int> run(const CommandContext& context, const Arguments& arguments) {
  std::int64_t since = arguments.number("since").value_or(0);
  if (since < 0) return Error{Code::kInvalid, "--since: a sequence number is not negative", {}, "usage"};
  bool follows = arguments.given("follow") || arguments.given("watch");
  Format format = output_format(arguments);
  Result<Session> session = connect(context, arguments, follows);
  if (!session.ok()) return std::move(session).error();
  Printer printer(context.console, format, arguments.given("all") || format == Format::kWide);
  EventFeed feed(static_cast<std::uint64_t>(since));
  RunName name = run_name(arguments.operand(0, "@latest"));
  RunId id;
  for (;;) {
    Result<EventsReply> page = read_page(*session, name, feed.last());
    if (!page.ok()) return std::move(page).error();
    id = page->run;
    name.text = to_string(id);
    std::vector<Event> events;
    feed.from_stream(*page, events);
    if (!printer.print(events)) return kExitOk;
    if (feed.ended() || page->ended || page->events.size() < RunEvents::kPage) {
      follows = follows && !feed.ended() && !page->ended;
      break;
    }
  }
  Client::Clock::time_point begin = Client::Clock::now();
  std::optional<Duration> timeout = arguments.duration("timeout");
  RunEvents live(*session->client, id, feed.last());
  while (follows && !live.ended()) {
    Result<std::vector<Event>> events = live.step();
    if (!events.ok()) return std::move(events).error();
    if (!printer.print(*events)) return kExitOk;
    if (live.ended()) break;
    if (timeout && Client::Clock::now() - begin >= *timeout) {
      return Error{Code::kTimeout, "run " + name.text + " has not ended after " + human_duration(*timeout), {}, ""};
    }
    session->client->pump(std::min<Duration>(live.until_next_read(), 200ms));
  }
  printer.finish(id);
  return kExitOk;
}

}  // namespace

Verb events_verb() {
  return {
      "events",
      "print or follow the events of a run",
      "Prints the changes of a run's state in order. With --follow it goes on, without a gap, until the run has "
      "ended;\n"
      "a restart of the coordinator is survived. Durable events have a seq (1, 2, 3 ...); --all and -o wide add the\n"
      "ephemeral ones (dispatched, running), which have none and may be missing.",
      {"millrace events @latest -f", "millrace events k3f7 --since 40 -o jsonl"},
      {{{"RUN", "an id, a prefix of it, or @latest (default)", false, false, Completes::kNothing, {}}},
       {{"follow", 'f', Takes::kNothing, "", "go on until the run has ended"},
        {"watch", 'w', Takes::kNothing, "", "the same as --follow"},
        {"since", 0, Takes::kNumber, "SEQ", "only events after this one"},
        {"all", 'a', Takes::kNothing, "", "ephemeral events as well"},
        output_option(),
        coordinator_option(),
        timeout_option("stop after this long; with --follow exit code 4")}},
      run};
}

}  // namespace millrace
