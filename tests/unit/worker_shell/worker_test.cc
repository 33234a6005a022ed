// A whole Worker against a coordinator that is a socket of the test.
#include "worker/shell/worker.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "common/io/log.h"
#include "tests/support/assignments.h"
#include "tests/support/fake_coordinator.h"
#include "worker/core/agent.h"
#include "worker/executors/sandbox.h"
#include "worker/executors/spawn.h"

namespace millrace {
namespace {

using test::FakeCoordinator;
using test::json;
using test::make_assignment;
using test::TaskText;

class WorkerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { set_log({.level = LogLevel::kError}); }
  void start(WorkerOptions options = {}) {
    options.name = "w";
    options.slots = 2;
    if (options.coordinators.empty()) options.coordinators = {coordinator_.endpoint()};
    Result<std::unique_ptr<Worker>> worker = Worker::create(context_, std::move(options));
    ASSERT_TRUE(worker.ok()) << worker.error().what;
    worker_ = std::move(worker).value();
    thread_ = std::thread([this] {
      ended_ = worker_->run();
      finished_ = true;
    });
  }
  void start_and_meet(WorkerOptions options = {}) {
    start(std::move(options));
    ASSERT_TRUE(coordinator_.next<WorkerHello>());
  }
  // Waits until run() has returned.
  Status ended() {
    thread_.join();
    return *ended_;
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    worker_->drain();
    worker_->drain();
    while (!finished_) {
      while (std::optional<AttemptReport> report = coordinator_.next_report(20ms)) coordinator_.answer(report->attempt);
    }
    thread_.join();
  }
  // Has a task run, and answers its report.
  Outcome outcome_of(const TaskText& text) {
    coordinator_.assign(make_assignment(text));
    const std::optional<AttemptReport> report = coordinator_.next_report();
    if (!report) return Outcome{};
    coordinator_.answer(report->attempt);
    return report->outcome;
  }

  ZmqContext context_;
  FakeCoordinator coordinator_{context_};
  std::unique_ptr<Worker> worker_;
  std::thread thread_;
  std::optional<Status> ended_;  // written by the thread, read when it has been joined
  std::atomic<bool> finished_ = false;
};

TEST_F(WorkerTest, SaysWhoItIsAndWhatItCan) {
  WorkerOptions options;
  options.labels = {{"zone", "a"}};
  start(options);
  const std::optional<WorkerHello> hello = coordinator_.next<WorkerHello>();
  ASSERT_TRUE(hello);
  EXPECT_NE(hello->incarnation, 0U);
  EXPECT_EQ(hello->name, "w");
  EXPECT_EQ(hello->version, kWorkerVersion);
  EXPECT_EQ(hello->slots, 2U);
  EXPECT_EQ(hello->io_slots, kIoSlots);
  const std::string isolation = Sandbox::namespaces_missing({}).empty() ? "namespaces"
                                : Sandbox().missing().empty()           ? "process"
                                                                        : "none";
  EXPECT_EQ(hello->labels,
            (Labels{{"isolation", isolation}, {"task_user", geteuid() == 0 ? "root" : "worker"}, {"zone", "a"}}));
  std::vector<std::string> names = {"container", "http", "javascript", "llm", "noop", "python", "shell", "template"};
  if (find_program("node", std::getenv("PATH")).empty()) std::erase(names, "javascript");
  EXPECT_EQ(hello->executors, names);
  EXPECT_EQ(hello->pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_TRUE(hello->held.empty());
  const std::optional<CreditUpdate> credit = coordinator_.next<CreditUpdate>();
  EXPECT_EQ(credit, (CreditUpdate{2, kIoSlots}));
}

TEST_F(WorkerTest, RunsNoopShellAndPythonTasks) {
  start_and_meet();
  EXPECT_TRUE(outcome_of({.executor = "noop", .task = 1}).success);
  const Outcome delayed = outcome_of(
      {.executor = "noop", .fields = R"({"delay": "{{ inputs.d }}"})", .inputs = R"({"d": "30ms"})", .task = 2});
  EXPECT_TRUE(delayed.success) << delayed.error.message;
  EXPECT_GE(delayed.ran, 30ms);
  const Outcome shell = outcome_of({.executor = "shell",
                                    .fields = R"({"script": "echo \"$1, $WHO\"", "args": ["{{ nodes.up }}"],
                                                  "env": {"WHO": "{{ inputs.who | upper }}"}})",
                                    .inputs = R"({"who": "you"})",
                                    .nodes = {{"up", json(R"("hello")")}},
                                    .task = 3});
  ASSERT_TRUE(shell.success) << shell.error.message;
  EXPECT_EQ(Value::parse(shell.output.json())->find("stdout")->as_string(), "hello, YOU");
  const Outcome python = outcome_of({.executor = "python",
                                     .fields = R"({"script": "output = inputs['n'] + up['n']"})",
                                     .inputs = R"({"n": 40})",
                                     .nodes = {{"up", json(R"({"n": 2})")}},
                                     .task = 4});
  ASSERT_TRUE(python.success) << python.error.message << python.error.traceback;
  EXPECT_EQ(python.output.json(), "42");
}

TEST_F(WorkerTest, AFieldThatCannotBeRenderedFailsTheAttempt) {
  start_and_meet();
  const Outcome outcome = outcome_of({.executor = "shell", .fields = R"({"command": ["echo", "{{ 1 / 0 }}"]})"});
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.reason, Reason::kInvalidInput);
  EXPECT_NE(outcome.error.message.find("field command[1]"), std::string::npos) << outcome.error.message;
}

TEST_F(WorkerTest, AnUnknownExecutorIsRefusedByName) {
  start_and_meet();
  const Outcome outcome = outcome_of({.executor = "cobol"});
  EXPECT_EQ(outcome.reason, Reason::kRefused);
  EXPECT_NE(outcome.error.message.find("`cobol`"), std::string::npos);
}

TEST_F(WorkerTest, RepeatsAReportUntilItIsAnswered) {
  start_and_meet();
  const Assignment a = make_assignment({});
  coordinator_.assign(a);
  const std::optional<AttemptReport> first = coordinator_.next_report();
  const std::optional<AttemptReport> second = coordinator_.next_report(kReportAgain * 3);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->attempt, a.attempt());
  EXPECT_EQ(second->attempt, a.attempt());
  EXPECT_EQ(second->outcome, first->outcome);
  coordinator_.answer(a.attempt());
  EXPECT_EQ(coordinator_.next_report(kReportAgain * 2), std::nullopt);
}

TEST_F(WorkerTest, FetchesAValueOnceAndStartsWhenItHasCome) {
  start_and_meet();
  const std::string text = "\"" + std::string(100'000, 'x') + "\"";
  const Hash128 hash = hash128(text);
  const TaskText task{.executor = "python",
                      .fields = R"({"script": "output = len(up) + 0"})",
                      .nodes = {{"up", Payload::reference(hash, text.size())}},
                      .task = 1};
  coordinator_.assign(make_assignment(task));
  EXPECT_EQ(coordinator_.next<ValueRequest>(), (ValueRequest{hash, 0, kPartFirst}));
  coordinator_.say(ValueReply{hash, true, text});
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.output.json(), "100000");
  TaskText again = task;
  again.task = 2;
  EXPECT_EQ(outcome_of(again).output.json(), "100000");  // nobody was asked: nobody answered
}

TEST_F(WorkerTest, FetchesALargeValueInPartsAndALostOneAgain) {
  start_and_meet();
  const std::string text = "\"" + std::string(1'000'000, 'x') + "\"";
  const Hash128 hash = hash128(text);
  coordinator_.assign(make_assignment({.executor = "python",
                                       .fields = R"x({"script": "output = len(up)"})x",
                                       .nodes = {{"up", Payload::reference(hash, text.size())}}}));
  std::uint64_t from = 0;
  for (bool lost = false; from < text.size();) {
    const std::optional<ValueRequest> wanted = coordinator_.next<ValueRequest>();
    ASSERT_TRUE(wanted);
    ASSERT_EQ(wanted->from, from);
    ASSERT_GT(wanted->max, 0U);
    if (from > 0 && !std::exchange(lost, true)) continue;  // asked for again, and nothing before it
    const std::string bytes = text.substr(from, wanted->max);
    ValueReply part{hash, true, bytes, {text.size(), from, part_check(hash, from, bytes)}};
    ValueReply harmed = part;
    harmed.json[0] = '?';
    coordinator_.say(harmed);
    coordinator_.say(part);
    coordinator_.say(part);  // twice is harmless
    from += bytes.size();
  }
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.output.json(), "1000000");
}

TEST_F(WorkerTest, SendsALargeOutputInPartsBeforeTheReportThatNamesIt) {
  coordinator_.takes_parts = true;
  start_and_meet();
  const std::string text = "\"" + std::string(3'000'000, 'x') + "\"";
  const Assignment a = make_assignment({.executor = "python", .fields = R"({"script": "output = 'x' * 3000000"})"});
  coordinator_.assign(a);
  std::string come;
  for (bool lost = false; come.size() < text.size();) {
    const std::optional<PutPart> part = coordinator_.next<PutPart>();
    ASSERT_TRUE(part);
    ASSERT_EQ(part->hash, hash128(text));
    ASSERT_EQ(part->size, text.size());
    ASSERT_EQ(part->from, come.size());
    ASSERT_EQ(part->run, a.context->run);
    ASSERT_EQ(part->check, part_check(part->hash, part->from, part->bytes));
    if (!come.empty() && !std::exchange(lost, true)) continue;  // sent again
    come += part->bytes;
    coordinator_.say(PartTaken{part->hash, come.size(), come.size() == text.size(), false});
  }
  EXPECT_EQ(come, text);
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->outcome.success);
  EXPECT_EQ(report->outcome.output, Payload::reference(hash128(text), text.size()));
}

TEST_F(WorkerTest, SendsTheFilesOfATaskBeforeTheReportThatNamesThem) {
  coordinator_.takes_parts = true;
  start_and_meet();
  coordinator_.assign(make_assignment(
      {.executor = "python",
       .fields =
           R"({"script": "import millrace\nmillrace.artifact('big', data='x' * 3000000)\nmillrace.artifact('a', data=b'')\noutput = 1"})"}));
  std::map<Hash128, std::string> come;
  std::optional<AttemptReport> report;
  for (int parts = 0; parts < 100 && come.size() < 3; ++parts) {
    const std::optional<PutPart> part = coordinator_.next<PutPart>();
    ASSERT_TRUE(part);
    std::string& text = come[part->hash];
    ASSERT_EQ(part->from, text.size());
    text += part->bytes;
    coordinator_.say(PartTaken{part->hash, text.size(), text.size() == part->size, false});
    if (text.size() == 3'000'000) break;
  }
  report = coordinator_.next_report();
  ASSERT_TRUE(report);
  ASSERT_NE(report->outcome.artifacts, nullptr);
  const std::string big(3'000'000, 'x');
  EXPECT_EQ(*report->outcome.artifacts,
            (std::vector<Artifact>{{"a", "", hash128(""), 0}, {"big", "text/plain", hash128(big), big.size()}}));
  EXPECT_TRUE(come.at(hash128(big)) == big);
  EXPECT_EQ(come.count(hash128("")), 1U) << "of nothing there is a part as well";
  EXPECT_EQ(report->outcome.output.json(), "1");
}

TEST_F(WorkerTest, WithACoordinatorThatKeepsNoArtifactsATaskCannotHandThemOver) {
  start_and_meet();
  const Outcome outcome = outcome_of(
      {.executor = "python", .fields = R"({"script": "import millrace\nmillrace.artifact('a', data='x') or 1"})"});
  EXPECT_EQ(outcome.error.message, "ValueError: its coordinator is of an earlier version and keeps no artifacts");
}

TEST_F(WorkerTest, AnOlderCoordinatorIsSentALargeOutputWithinTheReport) {
  start_and_meet();
  const Outcome outcome = outcome_of({.executor = "python", .fields = R"({"script": "output = 'x' * 3000000"})"});
  EXPECT_EQ(outcome.output.json().size(), 3'000'002U);
}

TEST_F(WorkerTest, AnAttemptThatSendsItsOutputCanBeCancelled) {
  coordinator_.takes_parts = true;
  start_and_meet();
  const Assignment a = make_assignment({.executor = "python", .fields = R"({"script": "output = 'x' * 3000000"})"});
  coordinator_.assign(a);
  ASSERT_TRUE(coordinator_.next<PutPart>());
  coordinator_.say(CancelBatch{{{a.attempt(), Reason::kCancelRequested}}});
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.reason, Reason::kCancelRequested);
}

TEST_F(WorkerTest, AValueThatIsGoneFailsTheAttempt) {
  start_and_meet();
  const Hash128 hash{7, 7};
  coordinator_.assign(make_assignment({.executor = "python",
                                       .fields = R"({"script": "output = up"})",
                                       .nodes = {{"up", Payload::reference(hash, 99)}}}));
  ASSERT_TRUE(coordinator_.next<ValueRequest>());
  coordinator_.say(ValueReply{hash, false, ""});
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.reason, Reason::kMissingValue);
}

TEST_F(WorkerTest, AnAttemptThatWaitsForAValueCanBeCancelled) {
  start_and_meet();
  const Assignment a = make_assignment({.executor = "python",
                                        .fields = R"({"script": "output = up"})",
                                        .nodes = {{"up", Payload::reference(Hash128{7, 7}, 99)}}});
  coordinator_.assign(a);
  ASSERT_TRUE(coordinator_.next<ValueRequest>());
  coordinator_.say(CancelBatch{{{a.attempt(), Reason::kCancelRequested}}});
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.reason, Reason::kCancelRequested);
}

TEST_F(WorkerTest, PassesOnWhatATaskPrintsBeforeItsReport) {
  start_and_meet();
  const Outcome outcome = outcome_of({.executor = "shell", .fields = R"({"script": "echo to-out; echo to-err >&2"})"});
  ASSERT_TRUE(outcome.success);
  ASSERT_EQ(coordinator_.logs.size(), 2U);
  for (const TaskLog& log : coordinator_.logs) EXPECT_EQ(log.text, log.stderr_stream ? "to-err\n" : "to-out\n");
}

TEST_F(WorkerTest, KillsATaskWhoseTimeIsOver) {
  start_and_meet();
  const Outcome outcome =
      outcome_of({.executor = "shell", .fields = R"({"command": ["sleep", "60"]})", .timeout = 50ms});
  EXPECT_EQ(outcome.reason, Reason::kTimeout);
  EXPECT_EQ(outcome.error.message, "timed out: an attempt may take 50ms (timeout)");
}

TEST_F(WorkerTest, DrainsWhatRunsAndLeaves) {
  start_and_meet();
  coordinator_.assign(make_assignment({.executor = "shell", .fields = R"({"script": "sleep 0.3; echo done"})"}));
  ASSERT_TRUE(coordinator_.next<AttemptsStarted>());
  worker_->drain();
  ASSERT_TRUE(coordinator_.next<WorkerDraining>());
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->outcome.success);
  coordinator_.answer(report->attempt);
  EXPECT_TRUE(coordinator_.next<WorkerBye>());
  EXPECT_TRUE(ended().ok());
}

TEST_F(WorkerTest, DrainsWhenTheCoordinatorAsksForIt) {
  start_and_meet();
  coordinator_.say(DrainWorker{});
  EXPECT_TRUE(coordinator_.next<WorkerBye>());
  EXPECT_TRUE(ended().ok());
}

TEST_F(WorkerTest, ASecondDrainKillsWhatRuns) {
  start_and_meet();
  coordinator_.assign(make_assignment({.executor = "shell", .fields = R"({"command": ["sleep", "60"]})"}));
  ASSERT_TRUE(coordinator_.next<AttemptsStarted>());
  worker_->drain();
  ASSERT_TRUE(coordinator_.next<WorkerDraining>());
  worker_->drain();
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.reason, Reason::kLost);
  coordinator_.answer(report->attempt);
  EXPECT_TRUE(ended().ok());
}

TEST_F(WorkerTest, WhenTheGraceIsOverWhatRunsIsKilled) {
  WorkerOptions options;
  options.drain_grace = 100ms;
  start_and_meet(options);
  coordinator_.assign(make_assignment({.executor = "noop", .fields = R"({"delay": "1h"})"}));
  ASSERT_TRUE(coordinator_.next<AttemptsStarted>());
  worker_->drain();
  const std::optional<AttemptReport> report = coordinator_.next_report();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome.reason, Reason::kLost);
}

TEST_F(WorkerTest, EndsWithTheErrorOfARefusal) {
  coordinator_.welcomes = false;
  start_and_meet();
  coordinator_.say(WorkerRefused{"id_in_use", "another worker is called w"});
  const Status status = ended();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kRefused);
  EXPECT_EQ(status.error().name, "id_in_use");
  EXPECT_NE(status.error().what.find("another worker is called w"), std::string::npos);
}

TEST_F(WorkerTest, BeatsOnALineOfItsOwnAndSaysHelloWhenThatIsAnswered) {
  start(WorkerOptions{});
  const std::optional<WorkerHello> hello = coordinator_.next<WorkerHello>();
  ASSERT_TRUE(hello);
  const std::optional<WorkerBeat> beat = coordinator_.next<WorkerBeat>(kBeatEvery * 3);
  ASSERT_TRUE(beat);
  EXPECT_EQ(beat->incarnation, hello->incarnation);
  coordinator_.say_on_the_beats_line(SayHello{});
  const std::optional<WorkerHello> again = coordinator_.next<WorkerHello>(kBeatEvery);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->incarnation, hello->incarnation);
}

TEST_F(WorkerTest, TellsACoordinatorThatCameBackWhatItHolds) {
  std::optional<FakeCoordinator> first(context_);
  const std::string endpoint = first->endpoint();
  WorkerOptions options;
  options.coordinators = {endpoint};
  start(options);
  ASSERT_TRUE(first->next<WorkerHello>());
  const Assignment a = make_assignment({.executor = "noop", .fields = R"({"delay": "1h"})"});
  first->assign(a);
  ASSERT_TRUE(first->next<AttemptsStarted>());
  first.reset();
  FakeCoordinator second(context_, endpoint);
  ASSERT_TRUE(second.next<WorkerBeat>());
  second.say_on_the_beats_line(SayHello{});
  const std::optional<WorkerHello> hello = second.next<WorkerHello>();
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->held, (std::vector<HeldAttempt>{{a.attempt(), true, {}}}));
  worker_->drain();
  worker_->drain();
  const std::optional<AttemptReport> report = second.next_report();
  ASSERT_TRUE(report);
  second.answer(report->attempt);
  EXPECT_TRUE(ended().ok());
}

TEST_F(WorkerTest, SaysHelloWhenABatchNamesWhatWasNeverSent) {
  start_and_meet();
  ASSERT_TRUE(outcome_of({.task = 1}).success);  // the two are in step
  const TaskText task{.executor = "noop", .fields = R"({"delay": 0})", .task = 2};
  coordinator_.lose(AssignBatch{{make_assignment(task)}});
  TaskText next = task;
  next.task = 3;
  coordinator_.assign(make_assignment(next));
  ASSERT_TRUE(coordinator_.next<WorkerHello>());
  EXPECT_TRUE(outcome_of(next).success);
}

TEST(WorkerCreate, RefusesEndpointsThatAreNotWellFormed) {
  ZmqContext context;
  for (const std::vector<std::string>& endpoints :
       {std::vector<std::string>{}, std::vector<std::string>{"nonsense"}, std::vector<std::string>{"tcp://host"}}) {
    WorkerOptions options;
    options.coordinators = endpoints;
    const auto worker = Worker::create(context, options);
    ASSERT_FALSE(worker.ok());
    EXPECT_EQ(worker.error().code, Code::kInvalid);
  }
}

}  // namespace
}  // namespace millrace
