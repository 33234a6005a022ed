// Child runs: partitions and the letters between them, carried by hand.
#include <gtest/gtest.h>

#include "coordinator/core/audit.h"
#include "coordinator/core/home.h"
#include "coordinator/core/partition.h"
#include "tests/support/dag_text.h"

namespace millrace::test {
namespace {

// A few partitions, their store, and workflows that are registered.
class Town {
 public:
  static constexpr std::uint16_t kPartitions = 3;

  Town() {
    for (std::uint16_t i = 0; i < kPartitions; ++i) open(i, 1);
  }

  // As version 1, 2, 3 ... of its name. A node of the workflow that waits for the signal "go" ends when it is given.
  void apply(const std::string& name, const std::string& text) {
    WorkflowSpec spec = DagText::parse(text);
    spec.name = name;
    const Hash128 definition = hash128(name + text);
    Result<std::shared_ptr<const Plan>> plan = Plan::build(std::move(spec), definition);
    ASSERT_TRUE(plan.ok()) << plan.error().what;
    plans_[definition] = *plan;
    const PartitionId home = home_of("default", name, kPartitions);
    at(home).step(now_, WorkflowChanged{RequestId{1}, WorkflowAct::kApply, "default", name, 0, definition,
                                        std::make_shared<const std::string>(text)});
    settle();
  }
  RunId submit(const std::string& text, const std::string& key = "root", RunParent parent = {}) {
    WorkflowSpec spec = DagText::parse(text);
    const Hash128 definition = hash128(text);
    Result<std::shared_ptr<const Plan>> plan = Plan::build(std::move(spec), definition);
    EXPECT_TRUE(plan.ok()) << plan.error().what;
    plans_[definition] = *plan;
    SubmitRun submit;
    submit.key = key;
    submit.inputs = Payload::inline_json(R"({"n":4})");
    submit.labels = {{"team", "x"}};
    const PartitionId home = home_of("default", key, kPartitions);
    RunSubmitted submitted;
    submitted.request = RequestId{7};
    submitted.submit = submit;
    submitted.plan = *plan;
    submitted.request_hash = definition;
    submitted.parent = std::move(parent);
    at(home).step(now_, std::move(submitted));
    settle();
    return *at(home).find_key("default", key);
  }
  void signal(RunId run, const char* payload = "5") {
    at(partition_of(run)).step(now_, SignalGiven{RequestId{9}, run, "go", Payload::inline_json(payload), 0, ""});
    settle();
  }
  void cancel(RunId run) {
    at(partition_of(run)).step(now_, CancelRequested{RequestId{9}, run, ""});
    settle();
  }
  void pass(Duration length) {
    now_ += length;
    for (const auto& partition : partitions_) partition->step(now_, TimePassed{});
    settle();
  }
  // Carries letters until there are none on their way.
  void settle() {
    for (int rounds = 0; rounds < 100; ++rounds) {
      bool any = false;
      for (std::uint16_t i = 0; i < kPartitions; ++i) any |= round(i);
      if (!any) return;
    }
    ADD_FAILURE() << "letters never end";
  }
  // What the store has of a partition.
  struct Stored {
    std::vector<RestoredRun> runs;
    std::vector<RegisteredWorkflow> workflows;
    std::map<PartitionId, Mark> marks;
    std::map<std::uint64_t, SharedLetter> outbox;
  };
  Stored stored(PartitionId id) {
    const std::uint16_t i = id.value;
    Stored all;
    for (const auto& [run, held] : partitions_[i]->runs()) {
      RestoredRun& one = all.runs.emplace_back(RestoredRun{held->info, held->plan, held->record, {}});
      for (std::uint32_t task = 0; task < held->tasks.size(); ++task) {
        if (held->tasks[task].version > 0) one.tasks.emplace_back(TaskIndex{task}, held->tasks[task]);
      }
      for (const auto& [task, record] : items_[run]) one.tasks.emplace_back(task, record);
    }
    for (const auto& [key, workflow] : partitions_[i]->registry().all()) all.workflows.push_back(workflow);
    for (std::uint16_t from = 0; from < kPartitions; ++from) all.marks[PartitionId{from}] = marks_[{from, i}];
    all.outbox = outbox_[i];
    return all;
  }
  // Another owner takes the partition: what was not in its store is gone.
  void restart(PartitionId id) { restart(id, stored(id)); }
  // Likewise, and its store is back where it was.
  void restart(PartitionId id, const Stored& from) {
    const std::uint16_t i = id.value;
    const std::uint32_t epoch = partitions_[i]->epoch().counter + 1;
    std::vector<SharedLetter> letters;
    for (const auto& [number, letter] : from.outbox) letters.push_back(letter);
    outbox_[i] = from.outbox;
    for (const auto& [sender, mark] : from.marks) marks_[{sender.value, i}] = mark;
    partitions_[i] = std::make_unique<Partition>(PartitionOptions{PartitionId{i}, Epoch{epoch, 9}, kInlineMaxDefault,
                                                                  false, TestPlant::kNone, kTasksMax, kPartitions});
    for (const auto& [what, pause] : pauses_[i]) partitions_[i]->restore_pause(pause);
    for (const RestoredRun& run : from.runs) {
      if (!is_terminal(run.record.state)) partitions_[i]->restore(now_, run);
    }
    for (const RegisteredWorkflow& workflow : from.workflows) partitions_[i]->restore_workflow(workflow);
    partitions_[i]->restore_mail(std::move(letters), from.marks);
    partitions_[i]->step(now_, TimePassed{});
  }
  Time now() const { return now_; }
  void carry(bool carries) { carries_ = carries; }
  // Told to the home of the name.
  void pause(PauseKind kind, const std::string& name, bool paused = true) {
    const PauseName what{kind, kind == PauseKind::kWorkflow ? "default" : "", name};
    at(home_of(what, kPartitions)).step(now_, PauseWanted{RequestId{9}, {what, {}, "ada", ""}, paused});
    settle();
  }

  Partition& at(PartitionId id) { return *partitions_[id.value]; }
  const Run& run(RunId id) { return *at(partition_of(id)).find(id); }
  TaskState state(RunId id, std::uint32_t task = 0) { return run(id).states[task]; }
  RunState ended(RunId id) { return run(id).record.state; }
  RunId child_of(RunId parent, std::uint32_t task = 0) {
    const SharedName& name = run(parent).tasks[task].worker;
    return name == nullptr ? RunId{} : parse_run_id(*name).value_or(RunId{});
  }
  std::string why(RunId id, std::uint32_t task = 0) {
    const auto& error = run(id).tasks[task].error;
    return error == nullptr ? "" : error->message;
  }
  std::string output(RunId id, std::uint32_t task = 0) { return std::string(run(id).tasks[task].output.json()); }
  NodeView view(RunId id, std::uint32_t task = 0) { return view_of(run(id), now_, 100).nodes[task]; }
  std::vector<AuditFinding> audit(RunId id) {
    std::vector<AuditFinding> findings;
    Audit audit(at(partition_of(id)));
    (void)audit.look(now_, {}, 1'000, {[](WorkerId) { return true; }}, findings);
    return findings;
  }
  // The children of a mapped node that run, by item.
  std::map<std::uint32_t, RunId> children_of(RunId parent, std::uint32_t node = 0) {
    std::map<std::uint32_t, RunId> out;
    for (const auto& [item, past] : run(parent).mapped.at(TaskIndex{node})->history) {
      if (past.record.worker != nullptr) out[item] = parse_run_id(*past.record.worker).value_or(RunId{});
    }
    return out;
  }
  std::size_t runs_live() {
    std::size_t live = 0;
    for (const auto& partition : partitions_) live += partition->runs_live();
    return live;
  }

 private:
  void open(std::uint16_t i, std::uint32_t epoch) {
    partitions_.push_back(std::make_unique<Partition>(PartitionOptions{
        PartitionId{i}, Epoch{epoch, 9}, kInlineMaxDefault, false, TestPlant::kNone, kTasksMax, kPartitions}));
    partitions_.back()->restore_mail({}, {});
  }
  bool round(std::uint16_t i) {
    Effects effects = partitions_[i]->take();
    EXPECT_EQ(check_invariants(*partitions_[i]), "");
    for (const RunWrite& write : effects.writes) {
      for (const auto& [task, record] : write.tasks) {
        if (partitions_[i]->find(write.run)->plan->is_item(task)) items_[write.run][task] = record;
      }
    }
    for (const SharedLetter& letter : effects.letters) outbox_[i][letter->number] = letter;
    for (std::uint64_t number : effects.letters_gone) outbox_[i].erase(number);
    for (const auto& [from, mark] : effects.marks) marks_[{from.value, i}] = mark;
    for (const auto& [what, pause] : effects.pauses) {
      if (pause) pauses_[i].insert_or_assign(what, *pause);
      else pauses_[i].erase(what);
    }
    bool any = false;
    for (const LetterAck& ack : effects.acks) {
      any = true;
      at(ack.from).step(now_, LettersTaken{ack.to, ack.until});
    }
    if (!carries_) return any;
    for (const SendLetters& mail : effects.mail) {
      any = true;
      const bool hole = mail.after > at(mail.to).taken_until(PartitionId{i});
      for (const SharedLetter& letter : mail.letters) {
        if (hole) break;
        LetterCame came{letter->from, letter->number, letter->body};
        if (const auto* wanted = std::get_if<RunWanted>(&came.body)) came.plan = plans_.at(wanted->definition);
        at(mail.to).step(now_, std::move(came));
      }
      at(mail.to).step(now_, LettersRead{RequestId{}, PartitionId{i}});
    }
    return any;
  }

  Time now_{std::chrono::hours(1)};
  std::vector<std::unique_ptr<Partition>> partitions_;
  std::map<Hash128, std::shared_ptr<const Plan>> plans_;
  std::map<std::uint16_t, std::map<std::uint64_t, SharedLetter>> outbox_;
  std::map<std::pair<std::uint16_t, std::uint16_t>, Mark> marks_;
  std::map<std::uint16_t, std::map<PauseName, Pause>> pauses_;
  std::map<RunId, std::map<TaskIndex, TaskRecord>> items_;  // of mapped nodes, as they are stored
  bool carries_ = true;
};

constexpr const char* kParent = "a[child=flow; with={\"n\": \"{{ inputs.n }}\"}] -> b[value={{ nodes.a.answer }}]";
constexpr const char* kFlow = "(output.answer={{ nodes.x }}) x[signal=go]";
constexpr const char* kEcho = "(output.n={{ inputs.n }}) x[signal=go]";

TEST(Child, ItsOutputsAreTheOutputOfTheNodeThatStartedIt) {
  Town town;
  town.apply("flow", kFlow);
  const RunId parent = town.submit(kParent);
  EXPECT_EQ(town.state(parent), TaskState::kWaiting);
  const RunId child = town.child_of(parent);
  ASSERT_NE(child, RunId{}) << "the parent knows its child";
  const RunInfo& info = *town.run(child).info;
  EXPECT_EQ(info.workflow, "flow");
  EXPECT_EQ(info.workflow_version, 1U);
  EXPECT_EQ(info.parent.run, parent);
  EXPECT_EQ(info.parent.node, "a");
  EXPECT_EQ(info.labels, town.run(parent).info->labels);
  EXPECT_EQ(info.trace_id, town.run(parent).info->trace_id);
  EXPECT_EQ(info.inputs.json(), R"({"n":4})");
  EXPECT_EQ(town.view(parent).wait_reason, WaitReason::kChild);
  EXPECT_EQ(town.view(parent).wait_text, "run " + to_string(child) + " of workflow flow");
  EXPECT_TRUE(town.audit(parent).empty()) << "such a wait is in somebody's hands";
  town.signal(child);
  EXPECT_EQ(town.ended(child), RunState::kSucceeded);
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded);
  EXPECT_EQ(town.output(parent, 0), R"({"answer":5})");
  EXPECT_EQ(town.output(parent, 1), "5");
  EXPECT_EQ(town.view(parent).child, to_string(child)) << "also when it has ended";
}

TEST(Child, IsNotStartedWhileTheWorkflowOfItsParentIsPausedWhoeverOwnsThat) {
  Town town;
  town.apply("flow", kFlow);
  town.apply("test", kParent);
  town.pause(PauseKind::kWorkflow, "test");
  const RunId parent = town.submit(kParent);
  const RunId many = town.submit("f[foreach=[1,2,3]; child=flow; parallel=2]", "many");
  for (int owners = 0; owners < 2; ++owners) {
    EXPECT_EQ(town.child_of(parent), RunId{});
    EXPECT_TRUE(town.children_of(many).empty());
    EXPECT_EQ(town.view(parent).wait_reason, WaitReason::kPaused);
    EXPECT_TRUE(town.at(partition_of(parent)).is_kept_waiting(town.run(parent), TaskIndex{0}));
    EXPECT_TRUE(town.audit(parent).empty()) << "such a wait is in somebody's hands";
    town.restart(partition_of(parent));
    town.restart(partition_of(many));
    town.settle();
  }
  town.pause(PauseKind::kWorkflow, "test", false);
  ASSERT_NE(town.child_of(parent), RunId{});
  EXPECT_EQ(town.children_of(many).size(), 2U);
  town.pause(PauseKind::kWorkflow, "test");
  town.signal(town.child_of(parent));
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded) << "what ran goes on, and what needs no worker";
  town.signal(town.children_of(many).at(0));
  EXPECT_EQ(town.children_of(many).size(), 1U) << "no other is started";
  town.pause(PauseKind::kWorkflow, "test", false);
  EXPECT_EQ(town.children_of(many).size(), 2U);
}

TEST(Child, ThatIsOfAPausedWorkflowIsAcceptedAndWaits) {
  Town town;
  town.apply("flow", "x[queue=gpu]");
  town.pause(PauseKind::kWorkflow, "flow");
  town.pause(PauseKind::kQueue, "gpu");
  const RunId parent = town.submit("a[child=flow]");
  const RunId child = town.child_of(parent);
  ASSERT_NE(child, RunId{});
  EXPECT_EQ(town.view(child).wait_reason, WaitReason::kPaused);
  town.pause(PauseKind::kWorkflow, "flow", false);
  EXPECT_EQ(town.view(child).wait_reason, WaitReason::kPaused) << "its queue is, too";
  EXPECT_EQ(town.at(partition_of(child)).pause_of(town.run(child), TaskIndex{0})->what.name, "gpu");
  town.restart(partition_of(child));
  town.pause(PauseKind::kQueue, "gpu", false);
  EXPECT_EQ(town.state(child), TaskState::kReady);
}

TEST(Child, RunsTheVersionThatTheNodeNames) {
  Town town;
  town.apply("flow", "(output.answer=1) x[value=1]");
  town.apply("flow", "(output.answer=2) x[value=2]");
  EXPECT_EQ(town.output(town.submit("a[child=flow]", "k1")), R"({"answer":2})");
  EXPECT_EQ(town.output(town.submit("a[child=flow@1]", "k2")), R"({"answer":1})");
  const RunId none = town.submit("a[child=flow@7]", "k3");
  EXPECT_EQ(town.ended(none), RunState::kFailed);
  EXPECT_EQ(town.why(none), "workflow 'flow' has no version 7: there are 1 to 2");
  const RunId nowhere = town.submit("a[child=nowhere]", "k4");
  EXPECT_EQ(town.why(nowhere), "no workflow 'nowhere' is registered");
}

TEST(Child, ItsFailureIsThatOfItsNodeAndNamesIt) {
  Town town;
  town.apply("flow", "x[signal=go] -> y[value={{ 1 / 0 }}]");
  const RunId parent = town.submit(kParent);
  const RunId child = town.child_of(parent);
  town.signal(child);
  EXPECT_EQ(town.ended(child), RunState::kFailed);
  EXPECT_EQ(town.ended(parent), RunState::kFailed);
  EXPECT_EQ(town.run(parent).tasks[0].reason, Reason::kChild);
  EXPECT_EQ(town.why(parent).find("child run " + to_string(child) + " failed: "), 0U) << town.why(parent);
}

TEST(Child, ThatFailsOrTakesTooLongIsFollowedByAnother) {
  Town town;
  town.apply("flow", "(output.n={{ inputs.n }}) x[signal=go] -> y[value={{ 10 / nodes.x }}]");
  const RunId parent = town.submit("a[child=flow; with={\"n\": 4}; limit=10s; retry=3; backoff=100ms]");
  const RunId first = town.child_of(parent);
  town.pass(11s);
  EXPECT_EQ(town.ended(first), RunState::kCancelled);
  EXPECT_EQ(town.state(parent), TaskState::kRetrying);
  town.pass(1s);
  const RunId second = town.child_of(parent);
  ASSERT_NE(second, RunId{});
  ASSERT_NE(second, first);
  EXPECT_EQ(town.state(parent), TaskState::kWaiting) << "the end of the first is nobody's any more";
  town.signal(second, "0");
  EXPECT_EQ(town.ended(second), RunState::kFailed);
  EXPECT_EQ(town.state(parent), TaskState::kRetrying);
  town.restart(partition_of(parent));
  town.pass(1s);
  const RunId third = town.child_of(parent);
  ASSERT_NE(third, second);
  town.signal(third);
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded);
  EXPECT_EQ(town.output(parent), R"({"n":4})");
  EXPECT_EQ(town.view(parent).attempts, 3U);
  EXPECT_EQ(town.why(parent), "");
}

TEST(Child, ThatWasAcceptedAfterItWasGivenUpIsNotTakenForItsSuccessor) {
  Town town;
  town.apply("flow", kEcho);
  town.carry(false);
  const RunId parent = town.submit("a[child=flow; limit=10s; retry=2; backoff=100ms]");
  town.pass(11s);
  town.pass(1s);  // the second is asked for, and the first has not been heard of
  EXPECT_EQ(town.state(parent), TaskState::kWaiting);
  town.carry(true);
  town.pass(kLettersAgain);
  const RunId child = town.child_of(parent);
  ASSERT_NE(child, RunId{});
  EXPECT_EQ(town.ended(child), RunState::kRunning) << "not the one that was cancelled";
  EXPECT_EQ(town.runs_live(), 2U);
  town.signal(child);
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded);
}

TEST(Child, AFallbackTakesThePlaceOfAFailedOne) {
  Town town;
  const RunId parent = town.submit("a[child=nowhere; fallback=7]");
  EXPECT_EQ(town.ended(parent), RunState::kDegraded);
  EXPECT_EQ(town.output(parent), "7");
}

TEST(Child, IsCancelledWithItsParentAlsoWhereItIsNotAcceptedYet) {
  Town town;
  town.apply("flow", kFlow);
  const RunId parent = town.submit(kParent);
  const RunId child = town.child_of(parent);
  town.cancel(parent);
  EXPECT_EQ(town.ended(parent), RunState::kCancelled);
  EXPECT_EQ(town.ended(child), RunState::kCancelled);

  town.carry(false);
  const RunId second = town.submit(kParent, "second");
  town.cancel(second);
  EXPECT_EQ(town.ended(second), RunState::kCancelled);
  EXPECT_EQ(town.runs_live(), 0U);
  town.carry(true);
  town.pass(kLettersAgain);
  EXPECT_EQ(town.runs_live(), 0U) << "it was accepted, and cancelled by the letter behind";
}

TEST(Child, ThatTakesTooLongFailsItsNodeAndIsCancelled) {
  Town town;
  town.apply("flow", kFlow);
  const RunId parent = town.submit("a[child=flow; limit=10s]");
  const RunId child = town.child_of(parent);
  town.pass(11s);
  EXPECT_EQ(town.ended(parent), RunState::kFailed);
  EXPECT_EQ(town.run(parent).tasks[0].reason, Reason::kTimeout);
  EXPECT_EQ(town.ended(child), RunState::kCancelled);
}

TEST(Child, OutlivesTheOwnersOfEverythingConcerned) {
  for (std::uint16_t lost = 0; lost < Town::kPartitions; ++lost) {
    Town town;
    town.apply("flow", kFlow);
    town.carry(false);
    const RunId parent = town.submit(kParent);  // its letter is kept, and has not left
    town.restart(partition_of(parent));
    town.restart(PartitionId{lost});
    town.carry(true);
    town.pass(kLettersAgain);
    const RunId child = town.child_of(parent);
    ASSERT_NE(child, RunId{}) << lost;
    town.restart(PartitionId{lost});
    EXPECT_EQ(town.state(parent), TaskState::kWaiting);
    EXPECT_EQ(town.child_of(parent), child);
    town.carry(false);
    town.signal(child);  // that it has ended is kept, and not told yet
    town.restart(PartitionId{lost});
    town.carry(true);
    town.pass(kLettersAgain);
    EXPECT_EQ(town.ended(parent), RunState::kSucceeded) << lost;
    EXPECT_EQ(town.runs_live(), 0U);
  }
}

TEST(Child, WorkflowsThatStartThemselvesEndSomewhere) {
  Town town;
  town.apply("deep", "a[child=deep]");
  const RunId root = town.submit("a[child=deep]");
  EXPECT_EQ(town.ended(root), RunState::kFailed);
  EXPECT_NE(town.why(root).find("nested deeper than 16 levels"), std::string::npos) << town.why(root);
  const RunParent poor{RunId{1}, TaskIndex{0}, "x", 1, /*room=*/1};
  const RunId wide = town.submit("a[child=deep], b[child=deep]", "wide", poor);
  EXPECT_EQ(town.ended(wide), RunState::kFailed);
  EXPECT_NE(town.why(wide).find("more than 100000 child runs"), std::string::npos) << town.why(wide);
}

constexpr const char* kFamily =
    "a[child=flow; foreach=[10,20,30]; parallel=2; with={\"n\": \"{{ item + index }}\"}] -> b[value={{ nodes.a }}]";

TEST(ChildPerItem, EachItemIsARunOfItsOwnAndTheOutputsStandInOrder) {
  Town town;
  town.apply("flow", kEcho);
  const RunId parent = town.submit(kFamily);
  EXPECT_EQ(town.state(parent), TaskState::kRunning);
  std::map<std::uint32_t, RunId> children = town.children_of(parent);
  ASSERT_EQ(children.size(), 2U) << "no more than `max_parallel` at once";
  EXPECT_EQ(town.run(children.at(1)).info->inputs.json(), R"({"n":21})");
  EXPECT_EQ(town.run(children.at(1)).info->parent.node, "a[1]");
  EXPECT_EQ(town.view(parent).items->running, 2U);
  EXPECT_TRUE(town.audit(parent).empty());
  town.signal(children.at(1));
  children = town.children_of(parent);
  ASSERT_TRUE(children.contains(2)) << "the next begins when one has ended";
  town.signal(children.at(2));
  town.signal(children.at(0));
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded);
  EXPECT_EQ(town.output(parent, 1), R"([{"n":10},{"n":21},{"n":32}])");
  EXPECT_EQ(town.view(parent).items->done, 3U);
  const RunId nothing = town.submit("a[child=flow; foreach=[]]", "empty");
  EXPECT_EQ(town.output(nothing), "[]");
}

TEST(ChildPerItem, ThatFailsFailsTheNodeAndCancelsTheOthers) {
  Town town;
  town.apply("flow", "x[signal=go] -> y[value={{ 1 / inputs.n }}]");
  const RunId parent = town.submit("a[child=flow; foreach=[0,1,2]; with={\"n\": \"{{ item }}\"}]");
  const std::map<std::uint32_t, RunId> children = town.children_of(parent);
  ASSERT_EQ(children.size(), 3U);
  town.signal(children.at(0));
  EXPECT_EQ(town.ended(parent), RunState::kFailed);
  EXPECT_EQ(town.run(parent).tasks[0].reason, Reason::kChild);
  EXPECT_EQ(town.why(parent).find("item 0: child run " + to_string(children.at(0)) + " failed: "), 0U)
      << town.why(parent);
  EXPECT_EQ(town.ended(children.at(1)), RunState::kCancelled);
  EXPECT_EQ(town.runs_live(), 0U);
}

TEST(ChildPerItem, ThatFailsMayLeaveNullOrNothing) {
  Town town;
  town.apply("flow", "(output.n={{ inputs.n }}) y[value={{ 1 / inputs.n }}]");
  const std::string node = "a[child=flow; foreach=[1,0,2]; with={\"n\": \"{{ item }}\"}; on_item_error=";
  EXPECT_EQ(town.output(town.submit(node + "continue]", "k1")), R"([{"n":1},null,{"n":2}])");
  EXPECT_EQ(town.output(town.submit(node + "drop]", "k2")), R"([{"n":1},{"n":2}])");
  const RunId nowhere = town.submit("a[child=nowhere; foreach=[1,2]; on_item_error=continue]", "k3");
  EXPECT_EQ(town.output(nowhere), "[null,null]");
  EXPECT_EQ(town.view(nowhere).items->failed, 2U);
  const RunId wrong = town.submit("a[child=flow; foreach=[1,2]; with={\"n\": \"{{ item.x + 1 }}\"}]", "k4");
  EXPECT_EQ(town.ended(wrong), RunState::kFailed);
  EXPECT_EQ(town.why(wrong).find("item 0: "), 0U) << town.why(wrong);
}

TEST(ChildPerItem, ThatFailsIsFollowedByAnother) {
  Town town;
  town.apply("flow", "(output.n={{ inputs.n }}) x[signal=go] -> y[value={{ 10 / nodes.x }}]");
  const RunId parent =
      town.submit("a[child=flow; foreach=[1,2]; with={\"n\": \"{{ item }}\"}; retry=2; backoff=100ms]");
  const RunId first = town.children_of(parent).at(1);
  town.signal(first, "0");
  EXPECT_EQ(town.view(parent).items->retrying, 1U);
  town.restart(partition_of(parent));
  town.pass(1s);
  const std::map<std::uint32_t, RunId> children = town.children_of(parent);
  ASSERT_NE(children.at(1), first);
  for (const auto& [item, child] : children) town.signal(child);
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded);
  EXPECT_EQ(town.output(parent), R"([{"n":1},{"n":2}])");
}

TEST(ChildPerItem, IsCancelledWithItsParentAndHasItsTime) {
  Town town;
  town.apply("flow", kEcho);
  const RunId parent = town.submit(kFamily);
  town.cancel(parent);
  EXPECT_EQ(town.ended(parent), RunState::kCancelled);
  EXPECT_EQ(town.runs_live(), 0U);
  const RunId slow = town.submit("a[child=flow; foreach=[1,2]; limit=10s; on_item_error=continue]", "slow");
  const std::map<std::uint32_t, RunId> children = town.children_of(slow);
  town.signal(children.at(1));
  town.pass(11s);
  EXPECT_EQ(town.output(slow), R"([null,{"n":null}])");
  EXPECT_EQ(town.ended(children.at(0)), RunState::kCancelled);
  EXPECT_EQ(town.runs_live(), 0U);
}

// Of a parent whose child lives in another partition.
std::string key_apart() {
  for (int i = 0; i < 50; ++i) {
    const std::string key = "apart-" + std::to_string(i);
    Town town;
    town.apply("flow", kFlow);
    const RunId parent = town.submit(kParent, key);
    if (partition_of(town.child_of(parent)) != partition_of(parent)) return key;
  }
  ADD_FAILURE() << "all children live with their parents";
  return "";
}

// The parent, the home of the name and the child live in several partitions, each of whose stores may lose what others
// told it.
TEST(Child, IsAskedForAgainWhereAStoreHasLostTheLetterThatWantedIt) {
  int played = 0;
  for (std::uint16_t lost = 0; lost < Town::kPartitions; ++lost) {
    Town town;
    town.apply("flow", kFlow);
    const Town::Stored before = town.stored(PartitionId{lost});
    const RunId parent = town.submit(kParent, key_apart());
    if (partition_of(parent).value == lost) continue;  // it is gone as well
    const RunId child = town.child_of(parent);
    ASSERT_NE(child, RunId{});
    played += partition_of(child).value == lost ? 1 : 0;
    town.restart(PartitionId{lost}, before);
    town.pass(kLettersKeptFor);
    town.pass(kLettersAgain);
    const RunId again = town.child_of(parent);
    ASSERT_NE(again, RunId{}) << lost;
    ASSERT_NE(town.at(partition_of(again)).find(again), nullptr) << "partition " << lost << " has lost the child";
    town.signal(again);
    EXPECT_EQ(town.ended(parent), RunState::kSucceeded) << lost;
    EXPECT_EQ(town.runs_live(), 0U) << lost;
  }
  EXPECT_EQ(played, 1);
}

TEST(Child, TellsItsEndAgainWhereTheStoreOfItsParentHasLostThat) {
  Town town;
  town.apply("flow", kFlow);
  const RunId parent = town.submit(kParent, key_apart());
  const RunId child = town.child_of(parent);
  ASSERT_NE(partition_of(child), partition_of(parent));
  const Town::Stored before = town.stored(partition_of(parent));
  town.signal(child);
  ASSERT_EQ(town.ended(parent), RunState::kSucceeded);
  town.restart(partition_of(parent), before);
  EXPECT_EQ(town.state(parent), TaskState::kWaiting);
  town.restart(partition_of(child));  // who told it is gone: it stands in the store
  town.pass(kLettersKeptFor);
  town.pass(kLettersAgain);
  EXPECT_EQ(town.ended(parent), RunState::kSucceeded);
}

TEST(Child, WhoWaitsInVainIsNamedWhereALetterIsLostForGood) {
  Town town;
  town.apply("flow", kFlow);
  const RunId parent = town.submit(kParent, key_apart());
  town.pass(kLettersKeptFor);
  town.pass(kLettersAgain);  // nobody has kept a letter
  Partition& partition = town.at(partition_of(parent));
  for (std::uint16_t to = 0; to < Town::kPartitions; ++to) partition.step(town.now(), LettersTaken{PartitionId{to}, 0});
  const Effects effects = partition.take();
  ASSERT_FALSE(effects.letters_missed.empty());
  EXPECT_TRUE(effects.letters_missed[0].missing);
  EXPECT_EQ(effects.letters_missed[0].waiting, std::vector<RunId>{parent});
}

TEST(ChildPerItem, OutlivesTheOwnersOfEverythingConcerned) {
  for (std::uint16_t lost = 0; lost < Town::kPartitions; ++lost) {
    Town town;
    town.apply("flow", kEcho);
    town.carry(false);
    const RunId parent = town.submit(kFamily);
    town.restart(partition_of(parent));
    town.restart(PartitionId{lost});
    town.carry(true);
    town.pass(kLettersAgain);
    const std::map<std::uint32_t, RunId> children = town.children_of(parent);
    ASSERT_EQ(children.size(), 2U) << lost;
    town.carry(false);
    for (const auto& [item, child] : children) town.signal(child);
    town.restart(PartitionId{lost});
    town.carry(true);
    town.pass(kLettersAgain);
    ASSERT_EQ(town.children_of(parent).size(), 1U) << lost;
    town.restart(PartitionId{lost});
    town.signal(town.children_of(parent).at(2));
    EXPECT_EQ(town.ended(parent), RunState::kSucceeded) << lost;
    EXPECT_EQ(town.output(parent), R"([{"n":10},{"n":21},{"n":32}])");
    EXPECT_EQ(town.runs_live(), 0U);
  }
}

TEST(ChildPerItem, AFamilyHasRoomForEachOfThem) {
  Town town;
  town.apply("flow", kEcho);
  const RunId many = town.submit("a[child=flow; foreach={\"from\": 0, \"to\": 100001}]");
  EXPECT_EQ(town.ended(many), RunState::kFailed);
  EXPECT_NE(town.why(many).find("more than 100000 child runs"), std::string::npos) << town.why(many);
  const RunId held = town.submit("a[child=flow; foreach={\"from\": 0, \"to\": 5000}]", "held");
  EXPECT_EQ(town.children_of(held).size(), kChildrenUsual);
  town.cancel(held);
  EXPECT_EQ(town.runs_live(), 0U);
}

}  // namespace
}  // namespace millrace::test
