// Golden scripts of triggers: tests/golden/triggers/*.txt hold what happens to the triggers of a workflow `w`, and
// below each line, indented, what it has for effects. MILLRACE_GOLDEN_UPDATE=1 rewrites what differs. The commands are
// those of Script::play(); '#' begins a comment.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/units.h"
#include "coordinator/core/triggers.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

fs::path scripts() { return fs::path(MILLRACE_SOURCE_DIR) / "tests" / "golden" / "triggers"; }

std::shared_ptr<const ZoneRules> zone(const std::string& name) {
  if (name == "UTC") return std::make_shared<const ZoneRules>();
  if (name != "Europe/Berlin") return nullptr;
  return std::make_shared<const ZoneRules>(
      ZoneRules{name, 3600, {{1'774'746'000, 7200}, {1'792'890'000, 3600}}});  // 2026-03-29 and 2026-10-25, 01:00 UTC
}

std::string rest_of(std::istringstream& in) {
  std::string rest;
  std::getline(in >> std::ws, rest);
  return rest;
}

class Script {
 public:
  bool play(const std::string& line);
  std::vector<std::string> took();

 private:
  void apply(std::istringstream& in);
  void event(std::istringstream& in);
  void ended(std::istringstream& in);
  void read(std::istringstream& in);
  void go(Time until);
  void due() {
    triggers_.due(wall(), said_);
    triggers_.collected(wall(), told_, said_);
  }
  TriggerName name(std::istringstream& in) const {
    std::string trigger;
    in >> trigger;
    return {"default", "w", trigger};
  }
  Time wall() const { return told_ + ahead_; }

  Triggers triggers_{zone};
  TriggerEffects said_;
  std::vector<std::string> lines_;
  Time told_{};  // never goes back
  Duration ahead_{};
  std::uint64_t version_ = 0;
};

// apply t cron="* * * * *" zone=Europe/Berlin overlap=queue catch_up=all limit=3 jitter=5m
// apply t webhook debounce=5s longest=1m | apply t run_end=load batch=3 window=5s filter="{{ event.run.id }}"
void Script::apply(std::istringstream& in) {
  TriggerSpec spec;
  in >> spec.name;
  spec.schedule.overlap = Overlap::kAllow;
  for (std::string word; in >> word;) {
    const std::size_t equal = word.find('=');
    std::string value = equal == std::string::npos ? "" : word.substr(equal + 1);
    const std::string key = word.substr(0, equal);
    if (value.starts_with('"')) {
      while (value.size() < 2 || !value.ends_with('"')) {
        std::string more;
        if (!(in >> more)) break;
        value += " " + more;
      }
      value = value.substr(1, value.size() - 2);
    }
    const auto duration = [&] { return parse_duration(value).value(); };
    if (key == "cron") spec.schedule.cron = value;
    else if (key == "zone") spec.schedule.timezone = value;
    else if (key == "jitter") spec.schedule.jitter = duration();
    else if (key == "limit") spec.schedule.catch_up_limit = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "catch_up")
      spec.schedule.catch_up = value == "none" ? CatchUp::kNone : value == "all" ? CatchUp::kAll : CatchUp::kOne;
    else if (key == "overlap")
      spec.schedule.overlap = value == "skip"     ? Overlap::kSkip
                              : value == "queue"  ? Overlap::kQueue
                              : value == "cancel" ? Overlap::kCancel
                                                  : Overlap::kAllow;
    else if (key == "webhook") spec.webhook = WebhookSpec{"s"};
    else if (key == "stream")
      spec.stream = StreamSpec{"r", value.substr(0, value.find(':')), value.ends_with(":begin")};
    else if (key == "run_end") spec.run_end = RunEndSpec{value};
    else if (key == "filter") spec.filter = value;
    else if (key == "inputs") spec.inputs = Value::Object{{"in", value}};
    else if (key == "debounce") spec.collect.debounce = duration(), spec.collect.longest = 10 * duration();
    else if (key == "longest") spec.collect.longest = duration();
    else if (key == "batch") spec.collect.batch = static_cast<std::uint32_t>(std::stoul(value));
    else if (key == "window") spec.collect.window = duration();
    else ADD_FAILURE() << "unknown word: " << word;
  }
  ++version_;
  triggers_.apply(wall(), "default", "w", version_, {1, version_}, {spec}, said_);
}

// event t d1 {"x": 1}
void Script::event(std::istringstream& in) {
  const TriggerName to = name(in);
  TriggerEvent event;
  event.kind = "webhook";
  in >> event.id;
  event.fields = Value::Object{{"payload", Value::parse(rest_of(in)).value()}};
  const Result<Triggers::Taken> taken = triggers_.event(wall(), told_, to, event, said_);
  lines_.push_back(taken.ok() ? "it is " + std::string(to_string(taken->fate)) + " " + taken->key : taken.error().what);
}

// ended t 7 load failed | ended t 7 load failed trigger-chain=31
void Script::ended(std::istringstream& in) {
  const TriggerName to = name(in);
  RunEndNews news;
  std::string state;
  in >> news.run.value >> news.workflow >> state;
  news.state = parse_run_state(state).value();
  news.ended = wall();
  for (std::string label; in >> label;)
    news.labels[label.substr(0, label.find('='))] = label.substr(label.find('=') + 1);
  triggers_.run_ended(wall(), told_, to, news, said_);
}

// read t 0-0 1-0=1 2-0={"x":1} | read t 0-0 gone: entries that follow each other, and where they begin
void Script::read(std::istringstream& in) {
  const TriggerName to = name(in);
  StreamEntries entries;
  in >> entries.after;
  entries.until = entries.after == "-" ? "" : entries.after;
  entries.after = entries.until;
  for (std::string word; in >> word;) {
    const std::size_t equal = word.find('=');
    if (equal == std::string::npos) {
      if (word.find('-') != std::string::npos) entries.until = word;  // where it stands, and nothing else
      else entries.trouble = word;
      continue;
    }
    TriggerEvent event;
    event.id = entries.until = word.substr(0, equal);
    event.kind = "stream";
    event.fields = Value::Object{{"payload", Value::parse(word.substr(equal + 1)).value()}};
    entries.events.push_back(std::move(event));
  }
  triggers_.stream_read(wall(), told_, to, entries, said_);
  const TriggerRecord* record = triggers_.find(to);
  if (record != nullptr) lines_.push_back("it stands at " + (record->offset.empty() ? "nothing" : record->offset));
}

// There, stopping where the machine asks to be woken.
void Script::go(Time until) {
  while (true) {
    const Time timed = triggers_.next_deadline();
    const Time next = std::min(timed == kNever ? kNever : timed - ahead_, triggers_.next_collected());
    if (next > until - ahead_) break;
    told_ = std::max(told_, next);
    due();
  }
  told_ = std::max(told_, until - ahead_);
}

bool Script::play(const std::string& line) {
  std::istringstream in(line);
  std::string command;
  in >> command;
  const auto moment = [&] { return *parse_time(rest_of(in)); };
  if (command == "apply") apply(in);
  else if (command == "delete") triggers_.remove("default", "w", said_);
  else if (command == "begin") told_ = moment();
  else if (command == "go") go(moment());
  else if (command == "pass") go(wall() + parse_duration(rest_of(in)).value());
  else if (command == "set") ahead_ = moment() - told_, due();    // the clock on the wall
  else if (command == "sleep") told_ = moment() - ahead_, due();  // nobody was there meanwhile
  else if (command == "event") event(in);
  else if (command == "ended") ended(in);
  else if (command == "read") read(in);
  else if (command == "over" || command == "refused") {  // over t KEY | refused t KEY why
    const TriggerName to = name(in);
    std::string key;
    in >> key;
    triggers_.run_over(to, key, rest_of(in), said_);
  } else if (command == "pause" || command == "resume") {
    (void)triggers_.pause(wall(), name(in), command == "pause", said_);
  } else if (command == "fire") {
    const TriggerName to = name(in);
    (void)triggers_.fire(wall(), to, std::stoull(rest_of(in)), said_);
  } else if (command == "restart") {  // another owner: what is known is what was kept
    Triggers next(zone);
    for (const TriggerState& state : triggers_.list()) next.restore(state.record);
    triggers_ = std::move(next);
  } else {
    return false;
  }
  return true;
}

std::vector<std::string> Script::took() {
  std::vector<std::string> lines = std::exchange(lines_, {});
  for (const auto& [tenant, key] : said_.cancels) lines.push_back("cancel " + key);
  for (const TriggerStart& start : said_.starts)
    lines.push_back("start " + start.key + " " + start.inputs +
                    (start.chain > 0 ? " chain " + std::to_string(start.chain) : ""));
  for (const TriggerName& name : said_.gone) lines.push_back("gone " + name.trigger);
  const FiringCounts& counts = said_.counts;
  if (counts.skipped > 0) lines.push_back("skipped " + std::to_string(counts.skipped));
  if (counts.filtered > 0) lines.push_back("filtered " + std::to_string(counts.filtered));
  if (counts.duplicates > 0) lines.push_back("duplicates " + std::to_string(counts.duplicates));
  for (const auto& [name, record] : said_.records) {
    if (counts.failed > 0) lines.push_back("failed: " + record.error);
    if (record.waiting.count > 0) lines.push_back(std::to_string(record.waiting.count) + " wait");
    if (!record.queued.empty()) lines.push_back(std::to_string(record.queued.size()) + " queued");
  }
  said_ = {};
  return lines;
}

std::string played(const std::string& script) {
  Script s;
  std::istringstream in(script);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(' ')) continue;  // what was expected
    out += line + "\n";
    if (line.empty() || line.starts_with('#')) continue;
    if (!s.play(line)) ADD_FAILURE() << "unknown command: " << line;
    for (const std::string& effect : s.took()) out += "    " + effect + "\n";
  }
  return out;
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(scripts())) {
    if (entry.path().extension() == ".txt") found.push_back(entry.path().stem().string());
  }
  std::ranges::sort(found);
  return found;
}

class TriggerGolden : public testing::TestWithParam<std::string> {};

TEST_P(TriggerGolden, PlaysAsWritten) {
  const fs::path path = scripts() / (GetParam() + ".txt");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string got = played(text.str());
  if (got == text.str()) return;
  if (std::getenv("MILLRACE_GOLDEN_UPDATE") != nullptr) {
    std::ofstream(path) << got;
    return;
  }
  ADD_FAILURE() << path << " differs (MILLRACE_GOLDEN_UPDATE=1 rewrites it); it plays as\n" << got;
}

INSTANTIATE_TEST_SUITE_P(Scripts, TriggerGolden, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

TEST(TriggerGoldenScripts, AreThere) { EXPECT_GE(names().size(), 8U); }

}  // namespace
}  // namespace millrace
