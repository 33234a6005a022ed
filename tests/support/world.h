// World: a Partition and a Placement under a told clock, a store of what they wrote, and what they asked for as lines.
//
// Runs are named by their idempotency keys; the run in focus is the latest one, and attempts are written "a#2" in it or
// "k1:a#2" in another. Every input is one turn: the machines step until nothing can be placed, the invariants are
// checked, the effects are taken; writes are applied to the store, and printed. crash() drops the memory and restores
// the live runs from the store under the next epoch.
//
// Lines: "write a succeeded v1", "write run succeeded 2/2", "value 9f86.. 70000 bytes", "cancel w1 a#1 fail_fast",
// "reclaim w1 a#1", "answer w1 a#1 recorded", "assign w1 a#1 (b@1={...})", "reply 1 submitted k1", "event 3
// task_succeeded a#1", "fetch 9f86..". Ephemeral events have "-" for their number.
#pragma once

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/partition.h"
#include "coordinator/core/placement.h"
#include "coordinator/core/stealing.h"
#include "tests/support/dag_text.h"

namespace millrace::test {

using Lines = std::vector<std::string>;
inline constexpr Reason kOk = Reason::kNone;

class World {
 public:
  explicit World(PartitionOptions options = {PartitionId{0}, Epoch{1, 7}, kInlineMaxDefault, false})
      : options_(options), partition_(std::make_unique<Partition>(options)) {}
  World(World&&) = default;

  // ------------------------------------------------------------ inputs

  // `has`: labels "gpu=a100", resources "cpu:4", and "credit:10" where it is not the slots.
  World& worker(int number, std::uint32_t slots = 1, const Lines& has = {}) {
    WorkerHello hello;
    CreditUpdate credit{slots, 0};
    for (const std::string& word : has) {
      const std::size_t at = word.find_first_of("=:");
      if (word.starts_with("credit:")) credit.cpu = static_cast<std::uint32_t>(std::stoul(word.substr(at + 1)));
      else if (word[at] == '=') hello.labels[word.substr(0, at)] = word.substr(at + 1);
      else
        for (Resource& one : DagText::resources_of(word)) hello.resources.push_back(std::move(one));
    }
    std::ranges::sort(hello.resources);
    hello.incarnation = static_cast<std::uint64_t>(number);
    hello.name = "w" + std::to_string(number);
    hello.slots = slots;
    hello.executors = {"noop", "python", "shell"};
    std::optional<WorkerId> replaced;
    Result<WorkerRef> ref = placement_.join(now_, hello, replaced);
    EXPECT_TRUE(ref.ok());
    workers_[hello.name] = *ref;
    placement_.credit(ref->id, credit);
    has_[hello.name] = has;
    return turn();
  }
  // What waits at one worker while another is idle is asked back.
  World& steal() {
    const Partition* only = partition_.get();
    stealing_.at = now_;
    for (const ReclaimWanted& wanted : stealing_.choose(now_, placement_, {&only, 1})) step(wanted);
    return turn();
  }
  World& beats(int number, std::uint32_t running, std::uint32_t queued) {
    const WorkerId worker = ref("w" + std::to_string(number)).id;
    placement_.beat(now_, {placement_.find(worker)->hello.incarnation, running, queued}, false);
    return turn();
  }
  // Tasks that no worker could run are told of it; they fail `after`, if that is given.
  World& judge(std::optional<Duration> after = {}) {
    placement_.judge({Time{}, after, false});
    return report();
  }
  World& report() {
    std::vector<TaskUnplaceable> reports;
    placement_.report(now_, 1'000, reports);
    for (TaskUnplaceable& one : reports) step(std::move(one));
    return turn();
  }
  World& credit(int number, std::uint32_t cpu) {
    placement_.credit(ref("w" + std::to_string(number)).id, {cpu, 0});
    return turn();
  }
  World& run(const std::string& text, const std::string& key = "") {
    submit(DagText::parse(text), key.empty() ? "k" + std::to_string(keys_.size() + 1) : key);
    return *this;
  }
  RequestId submit(WorkflowSpec workflow, const std::string& key, std::int32_t priority = 0, bool wait = false,
                   Payload inputs = Payload::inline_json("{}")) {
    const RequestId request{++requests_};
    const std::string content = print(workflow);
    Result<std::shared_ptr<const Plan>> plan = Plan::build(std::move(workflow), hash128(content));
    EXPECT_TRUE(plan.ok()) << plan.error().what;
    plans_[hash128(content)] = *plan;
    RunSubmitted in{request, {}, *plan, hash128(content)};
    in.submit.key = key;
    in.submit.inputs = std::move(inputs);
    in.submit.priority = priority;
    in.submit.wait = wait;
    step(std::move(in));
    if (auto run = partition_->find_key("default", key)) {
      if (names_.emplace(*run, key).second) keys_.push_back(key);
      focus_ = *run;
    }
    turn();
    return request;
  }
  // Runs the run with key `of` again, as the store has it: `how` of it, under its own definition or another one.
  RequestId resume(const std::string& key, const std::string& of, Resume how = {},
                   std::optional<WorkflowSpec> changed = {}) {
    const RequestId request{++requests_};
    const Stored& stored = store_.at(run_id(of));
    auto old =
        std::make_shared<RestoredRun>(RestoredRun{stored.info, plans_.at(stored.info->definition), stored.record, {}});
    old->tasks.assign(stored.tasks.begin(), stored.tasks.end());
    RunSubmitted in{request, {}, old->plan, hash128(key), old};
    if (changed) {
      const std::string content = print(*changed);
      Result<std::shared_ptr<const Plan>> plan = Plan::build(std::move(*changed), hash128(content));
      EXPECT_TRUE(plan.ok()) << plan.error().what;
      in.plan = plans_[hash128(content)] = *plan;
    }
    how.of = stored.info->run;
    in.submit.key = key;
    in.submit.inputs = stored.info->inputs;
    in.submit.resume = std::move(how);
    step(std::move(in));
    if (auto run = partition_->find_key("default", key)) {
      if (names_.emplace(*run, key).second) keys_.push_back(key);
      focus_ = *run;
    }
    turn();
    return request;
  }
  RequestId cancel(const std::string& key = "", bool answered = true) {
    const RequestId request{answered ? ++requests_ : 0};
    return say(CancelRequested{request, key.empty() ? focus_ : run_id(key), "asked"}), request;
  }
  RequestId signal(const std::string& name, const std::string& json = "null", std::uint64_t once = 0) {
    const RequestId request{++requests_};
    return say(SignalGiven{request, focus_, name, Payload::inline_json(json), once, "ada@home"}), request;
  }
  RequestId decide(const std::string& node, bool approve, const std::string& role = "",
                   const std::string& comment = "") {
    const RequestId request{++requests_};
    return say(ApprovalGiven{request, focus_, node, approve, role, comment, "ada@home"}), request;
  }
  RequestId pause(bool pause = true) {
    const RequestId request{++requests_};
    return say(PauseRequested{request, focus_, pause}), request;
  }
  // Of a workflow or a queue, as its home is asked.
  RequestId pause_all(PauseKind kind, const std::string& name, bool pause = true) {
    const RequestId request{++requests_};
    return say(PauseWanted{request, {name_of(kind, name), {}, "ada@home", "so it is"}, pause}), request;
  }
  // The same, as another home tells it by letter.
  World& told_pause(PauseKind kind, const std::string& name, bool pause = true) {
    const PauseTold told{{name_of(kind, name), now_, "ada@home", "so it is"}, pause};
    return say(LetterCame{PartitionId{1}, ++letters_of_other_, told});
  }
  World& register_workflow(const std::string& name, const std::string& as = "") {
    return say(WorkflowChanged{RequestId{++requests_}, WorkflowAct::kApply, "default", name, 0, hash128(name + as),
                               std::make_shared<const std::string>(name + as), "ada@home"});
  }
  RequestId wait(const std::string& key = "") {
    const RequestId request{++requests_};
    return say(WaitRequested{request, key.empty() ? focus_ : run_id(key), 100}), request;
  }
  World& started(const std::string& attempt) { return say(AttemptStarted{holder(attempt), id(attempt)}); }
  // A success that hands over one file of so many bytes.
  World& ended_with_file(const std::string& attempt, const std::string& name, std::uint64_t bytes) {
    AttemptReport report{id(attempt), {}, {}};
    report.outcome.success = true;
    report.outcome.artifacts =
        std::make_shared<const std::vector<Artifact>>(std::vector<Artifact>{{name, "", hash128(name), bytes}});
    return say(AttemptEnded{holder(attempt), std::move(report)});
  }
  World& ended(const std::string& attempt, Reason reason = kOk, const std::string& output = "null",
               const std::string& worker = "", Duration ran = 1ms) {
    AttemptReport report{id(attempt), {}, {}};
    report.outcome.success = reason == kOk;
    report.outcome.reason = reason;
    report.outcome.output = Payload::inline_json(output);
    report.outcome.ran = ran;
    if (reason != kOk) report.outcome.error = {"it went wrong", ""};
    return say(AttemptEnded{worker.empty() ? holder(attempt) : ref(worker), std::move(report)});
  }
  // A report of items: the first `done` ended with these outputs, but those at `failed` offsets failed; `rest`: why it
  // did not go on, kOk if it merely stopped. `count`: of the attempt, where nobody knows it.
  World& items(const std::string& attempt, std::uint32_t done, const std::string& outputs,
               const std::vector<std::uint32_t>& failed = {}, Reason rest = kOk, std::uint32_t count = 0,
               const std::string& worker = "", std::uint32_t epoch = 0) {
    AttemptReport report{id(attempt), {}, {}};
    if (epoch != 0) report.attempt.epoch = epoch;
    auto items = std::make_shared<ItemsOutcome>();
    for (std::uint32_t offset : failed) items->failures.push_back({offset, Reason::kError, {"it went wrong", ""}});
    items->done = done;
    const auto dealt = dealt_.find(report.attempt);
    items->count = count != 0 ? count : dealt == dealt_.end() ? done : dealt->second;
    report.outcome.success = rest == kOk;
    report.outcome.reason = rest;
    if (done > 0) report.outcome.output = Payload::inline_json(outputs);
    report.outcome.ran = done * 1ms;
    report.outcome.items = std::move(items);
    return say(AttemptEnded{worker.empty() ? holder(attempt) : ref(worker), std::move(report)});
  }
  World& ended_late(const std::string& attempt, std::uint32_t epoch, std::vector<UpstreamVersion> rests_on,
                    const std::string& worker = "w1", const std::string& output = "null") {
    AttemptReport report{id(attempt), {}, std::move(rests_on)};
    report.attempt.epoch = epoch;
    report.outcome.success = true;
    report.outcome.output = Payload::inline_json(output);
    return say(AttemptEnded{ref(worker), std::move(report)});
  }
  World& reclaimed(const std::string& attempt) { return say(AttemptReclaimed{holder(attempt), id(attempt)}); }
  // From now on a Hello tells what each attempt rests on, as its assignment said.
  World& remember() { return remembers_ = true, *this; }
  // A Hello that names "a#1" (started) and "b#1?" (queued).
  World& hello(int worker, const Lines& held = {}, std::uint32_t epoch = 0, Time exempt_after = kNever,
               const std::vector<UpstreamVersion>& rests_on = {}) {
    WorkerReported in{ref("w" + std::to_string(worker)), {}, exempt_after};
    for (std::string name : held) {
      const bool queued = name.ends_with('?');
      if (queued) name.pop_back();
      const std::size_t at = name.find('@');  // "a#1@2": of epoch 2
      const std::uint32_t of =
          at == std::string::npos ? epoch : static_cast<std::uint32_t>(std::stoul(name.substr(at + 1)));
      name = name.substr(0, at);
      const std::size_t times = name.find('x', name.find('#'));  // "a[0]#1x5": it has 5 items
      HeldAttempt one{id(name.substr(0, times)), !queued, rests_on};
      if (times != std::string::npos) one.items = static_cast<std::uint32_t>(std::stoul(name.substr(times + 1)));
      if (of != 0) one.attempt.epoch = of;
      if (const auto given = given_.find(one.attempt); remembers_ && given != given_.end())
        one.rests_on = given->second;  // as its worker remembers it
      in.held.push_back(std::move(one));
    }
    return say(std::move(in));
  }
  World& lose(int worker) {
    const WorkerRef gone = ref("w" + std::to_string(worker));
    step(WorkerLost{gone.id});
    placement_.leave(gone.id, now_);
    return turn();
  }
  World& drain(int worker) {
    placement_.drain(ref("w" + std::to_string(worker)).id);
    return turn();
  }
  // Lets time pass, with a TimePassed where the partition asks for one.
  World& pass(Duration duration) {
    const Time until = now_ + duration;
    for (int wakes = 0; partition_->next_deadline() <= until; ++wakes) {
      if (wakes > 10'000) {
        ADD_FAILURE() << "the partition asks to be woken for nothing";
        break;
      }
      now_ = std::max(now_, partition_->next_deadline());
      say(TimePassed{});
    }
    now_ = until;
    return *this;
  }
  // From now on letters are carried, all to the partition itself, and printed; the crash of a later owner restores what
  // they left in the store.
  World& letters() {
    carries_ = true;
    partition_->restore_mail({}, {});
    return *this;
  }
  // Before anything else: from so many bytes on the output of a fan-out is a list reference.
  World& lists_from(std::size_t bytes) {
    options_.list_min = bytes;
    partition_ = std::make_unique<Partition>(options_);
    return *this;
  }
  World& adoption_closed() { return say(AdoptionClosed{}); }
  // Answers what was asked for from the store; `gone`: with nothing.
  World& fetched(bool gone = false) {
    for (const Hash128& hash : std::exchange(wanted_, {})) {
      auto it = values_.find(hash);
      say(ValueFetched{hash, gone || it == values_.end() ? std::nullopt : std::optional(*it->second)});
    }
    return *this;
  }
  World& lose_values() { return values_.clear(), *this; }
  // The clock of the next owner is that far behind.
  World& clock_behind(Duration by) { return now_ -= by, *this; }
  World& crash(bool adopting = false) {
    wanted_.clear();
    ++options_.epoch.counter;
    options_.adopting = adopting;
    partition_ = std::make_unique<Partition>(options_);
    placement_ = Placement();
    auto workers = std::exchange(workers_, {});
    for (const auto& [name, ref] : workers) worker(std::stoi(name.substr(1)), slots_of_[name], Lines(has_[name]));
    for (const auto& [what, pause] : pauses_) partition_->restore_pause(pause);
    for (const auto& [run, stored] : store_) {
      if (is_terminal(stored.record.state)) continue;
      RestoredRun restored{stored.info, plans_.at(stored.info->definition), stored.record, {}};
      restored.tasks.assign(stored.tasks.begin(), stored.tasks.end());
      partition_->restore(now_, restored);
    }
    if (!carries_) return turn();
    for (const auto& [field, entry] : cached_) partition_->restore_cached(now_, entry);
    for (const auto& [field, asker] : askers_) partition_->restore_cache_asker(asker);
    std::vector<SharedLetter> letters;
    for (const auto& [number, letter] : outbox_) letters.push_back(letter);
    partition_->restore_mail(std::move(letters), marks_);
    step(TimePassed{});
    return turn();
  }

  // ------------------------------------------------------------ what is

  TaskState state(const std::string& task) const {
    const auto [run, index] = place(task);
    return partition_->find(run)->states[index.value];
  }
  const TaskRecord& record(const std::string& task) const {
    const auto [run, index] = place(task);
    return partition_->find(run)->tasks[index.value];
  }
  RunState run_state(const std::string& key = "") const { return the_run(key).record.state; }
  const Run& the_run(const std::string& key = "") const {
    return *partition_->find(key.empty() ? focus_ : run_id(key));
  }
  std::string outputs(const std::string& key = "") const { return std::string(the_run(key).record.outputs.json()); }
  const Partition& partition() const { return *partition_; }
  Partition& mutable_partition() { return *partition_; }
  void check_no_more() { checked_ = false; }  // a mistake is planted that the invariants would find first
  Placement& placement() { return placement_; }
  Time now() const { return now_; }
  RunId run_id(const std::string& key) const {
    for (const auto& [run, name] : names_) {
      if (name == key) return run;
    }
    ADD_FAILURE() << "no run " << key;
    return {};
  }
  RunId focus() const { return focus_; }
  void focus(const std::string& key) { focus_ = run_id(key); }
  AttemptId id(const std::string& attempt) const {
    const std::size_t mark = attempt.find('#');
    const auto [run, task] = place(attempt.substr(0, mark));
    const std::size_t at = attempt.find('@', mark);  // "a#1@2": of epoch 2
    const std::uint32_t epoch = at == std::string::npos
                                    ? options_.epoch.counter
                                    : static_cast<std::uint32_t>(std::stoul(attempt.substr(at + 1)));
    return {run, task, epoch, static_cast<std::uint32_t>(std::stoul(attempt.substr(mark + 1)))};
  }
  struct Stored {
    std::shared_ptr<const RunInfo> info;
    RunRecord record;
    std::map<TaskIndex, TaskRecord> tasks;
    std::vector<Event> events;
    std::uint32_t total = 0;
    std::uint32_t done = 0;
  };
  const std::map<RunId, Stored>& store() const { return store_; }
  const Stored& stored(const std::string& key = "") const { return store_.at(key.empty() ? focus_ : run_id(key)); }

  // ------------------------------------------------------------ what was asked for

  Lines took() { return std::exchange(lines_, {}); }
  Lines took(std::string_view word) {  // only the lines that begin with that word; the others are forgotten
    Lines some;
    for (std::string& line : took()) {
      if (line.starts_with(word)) some.push_back(std::move(line));
    }
    return some;
  }
  void expect_no_more_effects() { EXPECT_EQ(took(), Lines{}); }
  const OperatorReply* reply(RequestId request) const {
    auto it = replies_.find(request);
    return it == replies_.end() ? nullptr : &it->second;
  }
  std::size_t records_most() const { return records_most_; }            // of one turn
  const std::vector<AttemptId>& assigned() const { return assigned_; }  // all, in order

  // One input as it is, and its turn.
  World& say(Input input) {
    step(std::move(input));
    return turn();
  }
  // An input that shares its turn with what follows.
  void step(Input input) {
    partition_->step(now_, std::move(input));
    check();
  }
  World& turn() {
    while (true) {
      std::vector<Offer> offers;
      std::vector<SlotChange> slots;
      std::vector<Grant> grants;
      partition_->take_placement(offers, slots);
      for (const SlotChange& slot : slots) placement_.change(slot);
      for (Offer& offer : offers) placement_.offer(std::move(offer));
      placement_.place(grants);
      if (grants.empty()) break;
      for (Grant& grant : grants) {
        step(SlotGranted{grant.run, grant.task, grant.worker, grant.slot_class, grant.needs,
                         placement_.slots(grant.slot_class)});
      }
    }
    for (const auto& [name, ref] : workers_) {
      const FleetWorker* w = placement_.find(ref.id);
      if (w != nullptr) slots_of_[name] = w->credit.cpu;
    }
    records_most_ = std::max(records_most_, partition_->pending_records());
    Effects effects = partition_->take();
    std::vector<SendLetters> mail = std::move(effects.mail);
    std::vector<LetterAck> acks = std::move(effects.acks);
    take_in(std::move(effects));
    check();
    if (!carries_ || (mail.empty() && acks.empty())) return *this;
    for (const LetterAck& ack : acks) step(LettersTaken{ack.to, ack.until});
    for (const SendLetters& batch : mail) {
      for (const SharedLetter& letter : batch.letters) step(LetterCame{letter->from, letter->number, letter->body});
      step(LettersRead{RequestId{}, PartitionId{0}});
    }
    return turn();
  }

  std::string name(RunId run) const {
    auto it = names_.find(run);
    return it == names_.end() ? to_string(run) : it->second;
  }

 private:
  std::pair<RunId, TaskIndex> place(const std::string& task) const {
    const std::size_t colon = task.find(':');
    const RunId run = colon == std::string::npos ? focus_ : run_id(task.substr(0, colon));
    const std::string node = colon == std::string::npos ? task : task.substr(colon + 1);
    const Run* found = partition_->find(run);
    const Plan& plan = found != nullptr ? *found->plan : *plans_.at(store_.at(run).info->definition);
    return {run, plan.find(node).value()};
  }
  static PauseName name_of(PauseKind kind, const std::string& name) {
    return {kind, kind == PauseKind::kWorkflow ? "default" : "", name};
  }
  WorkerRef ref(const std::string& worker) const { return workers_.at(worker); }
  WorkerRef holder(const std::string& attempt) const {  // whoever has it; the first worker if nobody has
    const AttemptId which = id(attempt);
    if (const Run* run = partition_->find(which.run)) {
      auto it = run->attempts.find(which.task);
      if (it != run->attempts.end()) return it->second.worker;
    }
    return workers_.empty() ? WorkerRef{WorkerId{99}, nullptr} : workers_.begin()->second;
  }
  void check() {
    if (!checked_) return;
    ASSERT_EQ(check_invariants(*partition_), "");
  }

  static std::string print(const WorkflowSpec& w) {  // equal workflows, equal texts
    std::string text = w.name + (w.fail_fast ? "f" : "") + std::to_string(w.timeout.count());
    text += "d" + std::to_string(w.deadline.after.count() + to_us(w.deadline.at));
    for (const std::string& id : w.ids) text += "," + id;
    for (std::uint32_t target : w.upstream.targets) text += " " + std::to_string(target);
    for (const NodeSpec& spec : w.specs) {
      if (spec.flow.foreach) {
        const ForeachSpec& f = *spec.flow.foreach;
        text += f.over.dump() + std::to_string(f.chunk) + "/" + std::to_string(f.parallel_max) +
                std::to_string(static_cast<int>(f.on_error)) + (f.collect ? f.collect->dump() : "");
      }
      text += ";" + spec.executor + std::to_string(spec.retry.attempts_max) + (spec.value ? spec.value->dump() : "");
      text += "l" + std::to_string(spec.limit.count());
      text += (spec.flow.when ? "?" + spec.flow.when->dump() : "") + spec.flow.stand_in + spec.flow.gate;
      if (spec.flow.loop) text += "r" + std::to_string(spec.flow.loop->rounds) + (spec.flow.loop->fails ? "f" : "");
      for (const std::string& id : spec.flow.on_failure) text += "^" + id;
      if (spec.flow.cache)
        text += "c" + (spec.flow.cache->key ? spec.flow.cache->key->dump() : "") +
                std::to_string(spec.flow.cache->ttl.count()) + (spec.flow.fallback_cached ? "o" : "");
      text += spec.fields.dump();
      if (spec.flow.wait)
        text += "w" + (spec.flow.wait->limit ? spec.flow.wait->limit->dump() : "") + spec.flow.wait->signal;
      text += describe(Requirements{spec.executor, spec.queue, {}, spec.labels, spec.resources, false});
      for (const PlaceHint& hint : spec.sticky) text += "+" + hint.text;
      for (const PlaceHint& hint : spec.apart) text += "-" + hint.text;
    }
    for (const std::string& id : w.on_failure) text += "!" + id;
    for (const std::string& id : w.finally_run) text += "~" + id;
    for (const auto& [name, value] : w.outputs) text += "|" + name + value.dump();
    return text;
  }
  std::string prefix(RunId run) const { return run == focus_ ? "" : name(run) + ":"; }
  std::string node_name(RunId run, TaskIndex task) const { return prefix(run) + partition_->find(run)->plan->id(task); }
  std::string attempt_name(const AttemptId& id) const {
    const Run* run = partition_->find(id.run);
    std::string task = run != nullptr ? run->plan->id(id.task) : "?" + std::to_string(id.task.value);
    std::string text = prefix(id.run) + task + "#" + std::to_string(id.number);
    return id.epoch == options_.epoch.counter ? text : text + " of epoch " + std::to_string(id.epoch);
  }
  std::string worker_name(WorkerId worker) const {
    for (const auto& [name, ref] : workers_) {
      if (ref.id == worker) return name;
    }
    return "?" + std::to_string(worker.value);
  }
  static std::string brief(const Payload& payload) {
    if (payload.is_reference()) return "&" + to_string(payload.hash()).substr(0, 8);
    const std::string json(payload.json());
    return json.size() > 60 ? json.substr(0, 20) + ".. " + std::to_string(json.size()) + " bytes" : json;
  }

  void take_in(Effects effects) {
    for (const RunWrite& write : effects.writes) apply(write);
    for (const ValueWrite& value : effects.values) {
      values_[value.hash] = value.json;
      lines_.push_back("value " + to_string(value.hash).substr(0, 8) + " " + std::to_string(value.json->size()) +
                       " bytes");
    }
    for (const SendCancel& send : effects.cancels) {
      lines_.push_back("cancel " + worker_name(send.worker) + " " + attempt_name(send.cancel.attempt) + " " +
                       std::string(to_string(send.cancel.reason)));
    }
    for (const SendReclaim& send : effects.reclaims)
      lines_.push_back("reclaim " + worker_name(send.worker) + " " + attempt_name(send.attempt));
    for (const SendAnswer& send : effects.answers) {
      static constexpr const char* kWords[] = {"recorded", "duplicate", "refused"};
      lines_.push_back("answer " + worker_name(send.worker) + " " + attempt_name(send.answer.attempt) + " " +
                       kWords[static_cast<std::size_t>(send.answer.answer)] +
                       (send.answer.why.empty() ? "" : ": " + send.answer.why));
    }
    for (const SendAssign& send : effects.assigns) {
      print_assign(send);
      std::vector<UpstreamVersion>& given = given_[send.assignment.attempt()];
      for (const Binding& binding : send.assignment.bindings) given.push_back({binding.task, binding.version});
    }
    for (SendReply& send : effects.replies) {
      lines_.push_back("reply " + std::to_string(send.request.value) + " " + print(send.reply));
      replies_[send.request] = std::move(send.reply);
    }
    for (const Event& event : effects.events) print_event(event);
    take_letters(effects);
    keep(pauses_, effects.pauses);
    for (const auto& [what, pause] : effects.pauses)
      lines_.push_back(pause ? "keep " + describe(*pause) : "forget that " + describe(what) + " is paused");
    for (const Hash128& hash : effects.fetches) {
      lines_.push_back("fetch " + to_string(hash).substr(0, 8));
      wanted_.insert(hash);
    }
  }

  template <class Kept, class Changed>
  void keep(Kept& kept, const Changed& changed) {
    for (const auto& [field, record] : changed) {
      if (record) kept.insert_or_assign(field, *record);
      else kept.erase(field);
    }
  }
  void take_letters(const Effects& effects) {
    keep(cached_, effects.cache_entries);
    keep(askers_, effects.cache_askers);
    for (const auto& [from, mark] : effects.marks) marks_[from] = mark;
    for (std::uint64_t number : effects.letters_gone) outbox_.erase(number);
    for (const SharedLetter& letter : effects.letters) {
      outbox_[letter->number] = letter;
      std::string line;
      if (auto* asked = std::get_if<CacheAsked>(&letter->body)) {
        line = "ask " + node_name(asked->run, asked->task);
      } else if (auto* left = std::get_if<CacheLeft>(&letter->body)) {
        line = (left->value ? "give " + brief(*left->value) + " of " : "leave ") + node_name(left->run, left->task);
      } else if (auto* told = std::get_if<CacheTold>(&letter->body)) {
        const CacheAnswer& answer = told->answer;
        static constexpr const char* kWords[] = {"take", "compute", "still there"};
        line = "tell " + node_name(answer.run, answer.task) + " " + kWords[static_cast<std::size_t>(answer.kind)];
        if (answer.has_value) line += " " + brief(answer.value);
      }
      if (!line.empty()) lines_.push_back("letter " + line);
    }
  }

  void apply(const RunWrite& write) {
    Stored& stored = store_[write.run];
    if (write.info != nullptr) stored.info = write.info;
    EXPECT_GT(write.record.version, stored.record.version) << "a header's version must grow";
    stored.record = write.record;
    stored.total = write.tasks_total;
    stored.done = write.tasks_done;
    for (const auto& [task, record] : write.tasks) {
      TaskRecord& kept = stored.tasks[task];
      EXPECT_EQ(record.version, kept.version + 1) << "a record's version grows by one";
      EXPECT_FALSE(is_terminal(kept.state)) << "a result never changes";
      kept = record;
      std::string line = "write " + node_name(write.run, task) + " " + std::string(to_string(record.state)) + " v" +
                         std::to_string(record.version);
      if (record.items > 0) line += " items " + std::to_string(record.items);
      if (record.items_failed > 0) line += " failed " + std::to_string(record.items_failed);
      if (record.reason != Reason::kNone) line += " " + std::string(to_string(record.reason));
      if (record.state == TaskState::kWaiting && record.due != Time{})
        line += " due +" + format_duration(record.due - now_);
      if (record.state == TaskState::kRetrying) { line += " due +" + format_duration(record.due - now_); }
      if (!record.output.is_null()) line += " " + brief(record.output);
      if (record.error != nullptr) line += " \"" + record.error->message + "\"";
      lines_.push_back(std::move(line));
    }
    std::uint64_t sum = 0;
    for (const auto& [task, record] : stored.tasks) sum += checksum(task, record);
    EXPECT_EQ(sum, stored.record.records_sum) << "the header's checksum must be that of the records stored";
    EXPECT_EQ(stored.tasks.size(), stored.record.records_live);
    std::string line = "write " + prefix(write.run) + "run " + std::string(to_string(write.record.state)) + " " +
                       std::to_string(write.tasks_done) + "/" + std::to_string(write.tasks_total);
    if (write.record.reason != Reason::kNone) line += " " + std::string(to_string(write.record.reason));
    if (write.record.error != nullptr) {
      const RunError& error = *write.record.error;
      line += " \"" + error.code + (error.node.empty() ? "" : " in " + error.node) + ": " + error.message + "\"";
    }
    if (is_terminal(write.record.state) && !write.record.outputs.is_null()) line += " " + brief(write.record.outputs);
    lines_.push_back(std::move(line));
  }

  void print_assign(const SendAssign& send) {
    const Assignment& a = send.assignment;
    assigned_.push_back(a.attempt());
    std::string line = "assign " + worker_name(send.worker) + " " + attempt_name(a.attempt());
    for (std::size_t i = 0; i < a.bindings.size(); ++i) {
      line += (i == 0 ? " (" : ", ") + a.names[i] + "@" + std::to_string(a.bindings[i].version) + "=" +
              brief(a.bindings[i].value) + (i + 1 == a.bindings.size() ? ")" : "");
    }
    if (a.bundle.is_inline() && !a.bundle.is_null()) line += " " + std::string(a.bundle.json());
    if (a.items != nullptr) {
      dealt_[a.attempt()] = a.items->count;
      line += " items " + std::to_string(a.items->first) + "+" + std::to_string(a.items->count) + " " +
              brief(a.items->values);
    }
    lines_.push_back(std::move(line));
  }

  void print_event(const Event& event) {
    if (is_durable(event.type)) {
      std::vector<Event>& events = store_[event.run].events;
      EXPECT_EQ(event.seq, events.size() + 1) << "a run's events have no gap";
      events.push_back(event);
    }
    std::string line = "event " + (event.seq == 0 ? "-" : std::to_string(event.seq)) + " " +
                       (is_task_event(event.type) ? "" : prefix(event.run)) + std::string(to_string(event.type));
    if (is_task_event(event.type)) {
      line += " " + prefix(event.run) + event.node;
      if (event.attempt != 0) line += "#" + std::to_string(event.attempt);
    }
    if (event.reason != Reason::kNone) line += " " + std::string(to_string(event.reason));
    lines_.push_back(std::move(line));
  }

  std::string print(const OperatorReply& reply) const {
    if (auto* submitted = std::get_if<SubmitReply>(&reply))
      return std::string(submitted->existing ? "existing" : "submitted") + " " + name(submitted->run) +
             (submitted->shared > 0 ? " shares " + std::to_string(submitted->shared) : "");
    if (auto* run = std::get_if<RunReply>(&reply))
      return "run " + name(run->view.info.run) + " " + std::string(to_string(run->view.record.state));
    if (auto* cancelled = std::get_if<CancelReply>(&reply))
      return std::string(cancelled->was_cancelled ? "was cancelled " : "cancel ") + name(cancelled->run) + " " +
             std::string(to_string(cancelled->state));
    if (auto* act = std::get_if<ActReply>(&reply))
      return std::string(act->repeated ? "again " : "done ") + name(act->run) + " " +
             std::string(to_string(act->state)) +
             (act->node.empty() ? "" : " " + act->node + " " + std::string(to_string(act->node_state)));
    if (auto* pause = std::get_if<PauseReply>(&reply))
      return std::string(pause->repeated ? "again " : "done ") + describe(pause->pause.what) +
             (pause->paused ? " is paused" : " goes on");
    if (auto* workflow = std::get_if<WorkflowReply>(&reply))
      return "workflow " + workflow->workflow.name + " version " + std::to_string(workflow->version);
    if (auto* error = std::get_if<ErrorReply>(&reply))
      return "error " + std::string(to_string(error->error.code)) +
             (error->error.name.empty() || error->error.name == "key_conflict" ? "" : " " + error->error.name);
    return "?";
  }

  bool checked_ = true;
  bool carries_ = false;
  std::map<PauseName, Pause> pauses_;
  std::uint64_t letters_of_other_ = 0;
  std::map<std::string, CacheEntry> cached_;
  std::map<std::string, CacheAsker> askers_;
  std::map<std::uint64_t, SharedLetter> outbox_;
  std::map<PartitionId, Mark> marks_;
  PartitionOptions options_;
  std::unique_ptr<Partition> partition_;
  Placement placement_;
  Stealing stealing_;
  Time now_ = from_us(1'000'000'000);
  std::uint64_t requests_ = 0;
  RunId focus_;
  std::map<RunId, std::string> names_;
  std::vector<std::string> keys_;
  std::map<std::string, WorkerRef> workers_;
  std::map<std::string, std::uint32_t> slots_of_;
  std::map<std::string, Lines> has_;
  std::map<Hash128, std::shared_ptr<const Plan>> plans_;
  std::map<RunId, Stored> store_;
  std::map<Hash128, std::shared_ptr<const std::string>> values_;
  std::set<Hash128> wanted_;
  bool remembers_ = false;
  std::map<AttemptId, std::vector<UpstreamVersion>> given_;  // what assignments rested on
  std::map<RequestId, OperatorReply> replies_;
  std::map<AttemptId, std::uint32_t> dealt_;  // items of attempts
  std::vector<AttemptId> assigned_;
  std::size_t records_most_ = 0;
  Lines lines_;
};

}  // namespace millrace::test
