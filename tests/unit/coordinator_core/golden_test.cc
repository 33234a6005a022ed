// Golden scripts: tests/golden/*.txt hold inputs, and below each, indented, the effects it has.
// MILLRACE_GOLDEN_UPDATE=1 rewrites what differs. The commands are those of play() below; '#' begins a comment.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/world.h"

namespace millrace::test {
namespace {

namespace fs = std::filesystem;

fs::path scripts() { return fs::path(MILLRACE_SOURCE_DIR) / "tests" / "golden"; }

std::optional<Reason> reason_of(const std::string& word) {
  for (int i = 0; i <= static_cast<int>(kReasonLast); ++i) {
    if (to_string(static_cast<Reason>(i)) == word) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

std::string rest_of(std::istringstream& in) {
  std::string rest;
  std::getline(in >> std::ws, rest);
  return rest;
}

int number_of(const std::string& worker) { return std::stoi(worker.substr(1)); }

void play_ended(World& w, std::istringstream& in) {
  std::string attempt;
  std::string how;
  in >> attempt >> how;
  const std::string json = rest_of(in);
  const std::string output = json.empty() ? "null" : json;
  if (how == "ok") w.ended(attempt, kOk, output);
  else if (how == "big") w.ended(attempt, kOk, '"' + std::string(std::stoul(output), 'x') + '"');
  else w.ended(attempt, reason_of(how).value(), output);
}

// items a[0]#1 3 [1,2,3] | items a[0]#1 3 [1,null,3] failed 1 | items a[0]#1 2 [1,2] rest lost | ... count 5 of 1
void play_items(World& w, std::istringstream& in) {
  std::string attempt;
  std::string outputs;
  std::uint32_t done = 0;
  in >> attempt >> done >> outputs;
  std::vector<std::uint32_t> failed;
  Reason rest = kOk;
  std::uint32_t count = 0;
  std::uint32_t epoch = 0;
  for (std::string word, value; in >> word >> value;) {
    if (word == "failed") failed.push_back(static_cast<std::uint32_t>(std::stoul(value)));
    else if (word == "rest") rest = reason_of(value).value();
    else if (word == "count") count = static_cast<std::uint32_t>(std::stoul(value));
    else if (word == "epoch") epoch = static_cast<std::uint32_t>(std::stoul(value));
    else ADD_FAILURE() << "unknown word: " << word;
  }
  w.items(attempt, done, outputs, failed, rest, count, "", epoch);
}

// retry k2 of k1 | retry k2 of k1 from b c | retry k2 of k1 as a -> d | rerun k2 of k1
void play_resume(World& w, std::istringstream& in, ResumeScope scope) {
  std::string key;
  std::string word;
  std::string of;
  in >> key >> word >> of;
  Resume how;
  how.scope = scope;
  std::optional<WorkflowSpec> changed;
  while (in >> word) {
    if (word == "as") changed = DagText::parse(rest_of(in));
    else if (word == "from") how.scope = ResumeScope::kFrom;
    else how.from.push_back(word);
  }
  w.resume(key, of, std::move(how), std::move(changed));
}

// One command, one turn. Returns false for a command that it does not know.
bool play(World& w, const std::string& line) {
  std::istringstream in(line);
  std::string command;
  std::string word;
  in >> command;
  if (command == "worker") {  // worker w1 2 | worker w1 2 gpu=a100 cpu:4 memory:8GiB credit:10
    std::uint32_t slots = 1;
    in >> word >> slots;
    Lines has;
    for (std::string one; in >> one;) has.push_back(one);
    w.worker(number_of(word), slots, has);
  } else if (command == "steal") {
    w.steal();
  } else if (command == "judge") {  // judge | judge 5s
    std::string after = rest_of(in);
    w.judge(after.empty() ? std::nullopt : std::optional(parse_duration(after).value()));
  } else if (command == "report") {
    w.report();
  } else if (command == "beats") {  // beats w1 2 5: it runs 2, 5 wait
    std::uint32_t running = 0;
    std::uint32_t queued = 0;
    in >> word >> running >> queued;
    w.beats(number_of(word), running, queued);
  } else if (command == "submit") {  // submit k1 a -> b
    in >> word;
    w.submit(DagText::parse(rest_of(in)), word);
  } else if (command == "retry") {
    play_resume(w, in, ResumeScope::kFailed);
  } else if (command == "rerun") {
    play_resume(w, in, ResumeScope::kAll);
  } else if (command == "started") {  // started a#1
    in >> word;
    w.started(word);
  } else if (command == "ended") {  // ended a#1 ok {"x":1} | ended a#1 big 70000 | ended a#1 error
    play_ended(w, in);
  } else if (command == "items") {
    play_items(w, in);
  } else if (command == "reclaimed") {
    in >> word;
    w.reclaimed(word);
  } else if (command == "hello") {  // hello w1 a#1 b#1?
    in >> word;
    const int worker = number_of(word);
    Lines held;
    while (in >> word) held.push_back(word);
    w.remember().hello(worker, held);
  } else if (command == "lost") {
    in >> word;
    w.lose(number_of(word));
  } else if (command == "drain") {
    in >> word;
    w.drain(number_of(word));
  } else if (command == "cancel") {
    in >> word;
    w.cancel(word);
  } else if (command == "signal") {  // signal go {"x":1} | signal go {"x":1} once 7
    in >> word;
    std::string json = rest_of(in);
    const std::size_t once = json.find(" once ");
    const std::uint64_t key = once == std::string::npos ? 0 : std::stoull(json.substr(once + 6));
    json = json.substr(0, once);
    w.signal(word, json.empty() ? "null" : json, key);
  } else if (command == "approve" || command == "reject") {  // approve ask manager it is fine
    std::string role;
    in >> word >> role;
    w.decide(word, command == "approve", role == "-" ? "" : role, rest_of(in));
  } else if (command == "pause" || command == "resume") {  // pause | pause queue gpu | pause workflow w by letter
    std::string name;
    const bool all = static_cast<bool>(in >> word >> name);
    const PauseKind kind = word == "queue" ? PauseKind::kQueue : PauseKind::kWorkflow;
    if (!all) w.pause(command == "pause");
    else if (rest_of(in) == "by letter") w.told_pause(kind, name, command == "pause");
    else w.pause_all(kind, name, command == "pause");
  } else if (command == "register") {  // register test | register test changed
    in >> word;
    w.register_workflow(word, rest_of(in));
  } else if (command == "wait") {
    in >> word;
    w.wait(word);
  } else if (command == "pass") {  // pass 5s
    in >> word;
    w.pass(parse_duration(word).value());
  } else if (command == "fetched") {  // fetched | fetched gone
    w.fetched(rest_of(in) == "gone");
  } else if (command == "crash") {  // crash | crash adopting
    w.crash(rest_of(in) == "adopting");
  } else if (command == "lists") {  // lists 20: before anything else
    std::size_t bytes = 0;
    in >> bytes;
    w.lists_from(bytes);
  } else if (command == "letters") {  // from now on they are carried
    w.letters();
  } else if (command == "adopted") {
    w.adoption_closed();
  } else if (command == "focus") {  // attempts without a run's name are of this run
    in >> word;
    w.focus(word);
  } else {
    return false;
  }
  return true;
}

std::string played(const std::string& script) {
  World w;
  std::istringstream in(script);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(' ')) continue;  // what was expected
    out += line + "\n";
    if (line.empty() || line.starts_with('#')) continue;
    if (!play(w, line)) ADD_FAILURE() << "unknown command: " << line;
    for (const std::string& effect : w.took()) out += "    " + effect + "\n";
  }
  return out;
}

// The lines around the first difference, those of the script with '-', those that were played with '+'.
std::string difference(const std::string& want, const std::string& got) {
  std::istringstream a(want);
  std::istringstream b(got);
  std::string out;
  int shown = 0;
  for (int number = 1; shown < 20; ++number) {
    std::string x;
    std::string y;
    const bool more_a = static_cast<bool>(std::getline(a, x));
    const bool more_b = static_cast<bool>(std::getline(b, y));
    if (!more_a && !more_b) break;
    if (more_a == more_b && x == y) continue;
    out += std::to_string(number) + (more_a ? "- " + x : "- (end)") + "\n";
    out += std::to_string(number) + (more_b ? "+ " + y : "+ (end)") + "\n";
    ++shown;
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

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, PlaysAsWritten) {
  const fs::path path = scripts() / (GetParam() + ".txt");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string script = text.str();
  const std::string got = played(script);
  if (got == script) return;
  if (std::getenv("MILLRACE_GOLDEN_UPDATE") != nullptr) {
    std::ofstream(path) << got;
    return;
  }
  FAIL() << path << " differs (MILLRACE_GOLDEN_UPDATE=1 rewrites it):\n" << difference(script, got);
}

INSTANTIATE_TEST_SUITE_P(Scripts, Golden, testing::ValuesIn(names()), [](const auto& info) { return info.param; });

TEST(GoldenScripts, AreThere) { EXPECT_GE(names().size(), 12U); }

}  // namespace
}  // namespace millrace::test
