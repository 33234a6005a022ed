#include "tests/sim/checker.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "common/base/json_scan.h"
#include "common/model/composed.h"
#include "coordinator/shell/letter_codec.h"

namespace millrace::sim {
namespace {

std::string text(const AttemptId& id) {
  return "attempt " + std::to_string(id.number) + " (epoch " + std::to_string(id.epoch) + ") of task " +
         std::to_string(id.task.value) + " of run " + to_string(id.run);
}

}  // namespace

void Checker::committed(const PartitionCommit& commit, const Epoch& by) {
  const std::string name = "partition " + std::to_string(commit.partition.value);
  std::vector<PartitionCommit>& log = log_[commit.partition];
  if (commit.number != 0 && commit.number <= log.size()) {  // lost by the store, and applied again
    const PartitionCommit& before = log[commit.number - 1];
    if (before.epoch != commit.epoch || before.runs != commit.runs || before.events != commit.events ||
        before.shelves != commit.shelves)
      fail("I4: commit " + std::to_string(commit.number) + " of " + name + " comes again as another one");
    // Until it came again the store had the run, and who does not know yet of the loss may find it there.
    for (RunId id : commit.deletes) runs_[id].deletion_lost = true;
    return;
  }
  if (commit.number != 0 && commit.number != log.size() + 1)
    return fail("I4: commit " + std::to_string(commit.number) + " of " + name + " follows " +
                std::to_string(log.size()));
  if (commit.number != 0) log.push_back(commit);
  auto [it, fresh] = epochs_.try_emplace(commit.partition, by);
  if (it->second != by) {
    if (by.counter <= it->second.counter || !epochs_past_[commit.partition].insert(it->second).second) {
      return fail("I5: epoch " + std::to_string(by.counter) + " wrote " + name + " after epoch " +
                  std::to_string(it->second.counter));
    }
    it->second = by;
  }
  if (cluster_.owner(commit.partition).epoch != by)
    return fail("I5: epoch " + std::to_string(by.counter) + " wrote " + name + " and does not own it");
  for (const RunWrite& write : commit.runs) written(commit, write);
  for (const Event& event : commit.events) event_written(event);
  cleared(commit);
  note_pauses(commit);
  for (const RunWrite& write : commit.runs) {
    const Seen& run = runs_[write.run];
    if (is_terminal(write.record.state) != run.end_event)
      fail("I1: run " + to_string(write.run) + " has ended without its event, or the other way round");
    if (run.seq != write.record.seq) fail("I7: run " + to_string(write.run) + ": its header and its events disagree");
  }
}

// Only runs that have ended are deleted, and definitions only with the last run that has them.
void Checker::cleared(const PartitionCommit& commit) {
  for (RunId id : commit.deletes) {
    auto found = runs_.find(id);
    if (found == runs_.end() || !is_terminal(found->second.state))
      return fail("I4: run " + to_string(id) + " is deleted and has not ended");
    const bool before = std::exchange(found->second.deleted, true);
    if (before && !found->second.deletion_lost) return fail("I10: run " + to_string(id) + " is deleted twice");
    deleted_ += before ? 0 : 1;
  }
  for (const Hash128& definition : commit.definitions_gone) {
    for (const auto& [id, run] : runs_) {
      if (partition_of(id) == commit.partition && !run.deleted && run.plan->definition() == definition)
        fail("I4: the definition of run " + to_string(id) + " is deleted before it");
    }
  }
}

bool Checker::deleted(const std::string& key) const {
  auto run = keys_.find(key);
  return run != keys_.end() && runs_.at(run->second).deleted;
}

void Checker::written(const PartitionCommit& commit, const RunWrite& write) {
  const std::string name = "run " + to_string(write.run);
  if (write.info != nullptr) {
    if (runs_.contains(write.run)) return fail("I1: " + name + " was accepted twice");
    if (partition_of(write.run) != commit.partition) return fail("I5: " + name + " is in the wrong partition");
    auto [key, fresh] = keys_.emplace(write.info->key, write.run);
    if (!fresh) return fail("I4: " + name + " and run " + to_string(key->second) + " have the same key");
    Seen& run = runs_[write.run];
    run.plan = plans_.at(write.info->definition);
    run.key = write.info->key;
    run.tasks.resize(run.plan->node_count());
    ++live_;
  }
  auto found = runs_.find(write.run);
  if (found == runs_.end()) return fail("I4: " + name + " is written and was never accepted");
  Seen& run = found->second;
  if (is_terminal(run.state)) return fail("I1: " + name + " is written after its end");
  if (write.record.version <= run.version) return fail("I2: the version of " + name + " does not grow");
  run.version = write.record.version;
  for (const auto& [task, record] : write.tasks) task_written(commit, run, write.run, name, task, record);
  if (const auto again = agains_.find(run.key); write.info != nullptr && again != agains_.end()) {
    if (write.info->retry_of != again->second.of) fail("shared: " + name + " says that it runs another run again");
    check_shared(name, run, again->second);
  }
  run.state = write.record.state;
  if (write.record.reason == Reason::kMissingValue)
    fail("I4: the outputs of " + name + " miss a value, and nobody took one away");
  if (is_terminal(run.state)) {
    --live_;
    ++ends_[run.state];
  }
}

void Checker::task_written(const PartitionCommit& commit, Seen& run, RunId id, const std::string& name, TaskIndex task,
                           const TaskRecord& record) {
  const bool item = run.plan->is_item(task);
  TaskRecord& kept = item ? run.items[task] : run.tasks.at(task.value);
  const std::string where = name + ": task " + run.plan->id(task);
  if (is_terminal(kept.state)) return fail("I2: " + where + " has a result and is written again");
  if (record.version != kept.version + 1) return fail("I2: " + where + ": its version does not grow by one");
  if (!is_durable(record.state)) return fail("I2: " + where + ": this state is not for the store");
  if (record.reason == Reason::kMissingValue) fail("I4: " + where + " misses a value, and nobody took one away");
  if (nothing_is_lost_ && record.losses > 0) fail("loss: " + where + " counts a loss, and nothing was lost");
  kept = record;
  check_paused(commit, run, where, task, record);
  claim_written(where, id, task, record);
  if (!item && run.plan->is_mapped(task) && (is_terminal(record.state) || record.reason == Reason::kFallback))
    item_claims_left(*run.plan, id, task);
  if (record.state != TaskState::kSucceeded) return;
  if (!item && run.plan->spec(task).flow.sets) {
    if (record.reason != Reason::kShared && record.ended <= run.set_ended)
      fail("variables: " + where + " ended no later than what set some before it");
    run.set_ended = std::max(run.set_ended, record.ended);
  }
  if (!item) run.succeeded.push_back(task);
  if (item && is_terminal(run.tasks[run.plan->node_of(task)->value].state))
    return fail("I2: " + where + " is written after the end of its node");
  if (std::string early = too_early(run, *run.plan->node_of(task)); !early.empty())
    fail("I3: " + where + " succeeded before " + early);
  const std::optional<TaskIndex> next = run.plan->stand_in(task);
  if (next && record.reason == Reason::kFallback && run.tasks[next->value].state != TaskState::kSucceeded)
    fail("I3: " + where + " succeeded before " + run.plan->id(*next) + ", which stands in for it");
}

void Checker::claim_written(const std::string& where, RunId run, TaskIndex task, const TaskRecord& record) {
  const std::pair place(run, task);
  const bool waits = record.state == TaskState::kWaiting && record.reason == Reason::kCache;
  const auto claimed = claims_.find(place);
  if (record.claim == nullptr || waits) {
    if (claimed == claims_.end()) return;
    computing_.erase(claimed->second);
    claims_.erase(claimed);
    return;
  }
  claims_.emplace(place, record.claim->key);
  const auto [other, fresh] = computing_.emplace(record.claim->key, place);
  if (!fresh && other->second != place)
    fail("cache: " + where + " computes a value that task " + std::to_string(other->second.second.value) + " of run " +
         to_string(other->second.first) + " computes");
}

void Checker::item_claims_left(const Plan& plan, RunId run, TaskIndex node) {
  const std::uint32_t base = plan.base(node);
  for (auto claim = claims_.lower_bound({run, TaskIndex{base}});
       claim != claims_.end() && claim->first.first == run && claim->first.second.value < base + plan.item_room();
       claim = claims_.erase(claim))
    computing_.erase(claim->second);
}

void Checker::again(const std::string& key, Resume how) { agains_[key] = std::move(how); }

void Checker::check_shared(const std::string& name, const Seen& run, const Resume& how) {
  const auto found = runs_.find(how.of);
  if (found == runs_.end()) return fail("shared: " + name + " runs again what was never accepted");
  const Seen& old = found->second;
  const bool all = how.scope == ResumeScope::kAll;
  if (!all && !is_terminal(old.state)) return fail("shared: " + name + " runs again what has not ended");
  const auto undone = [&](std::uint32_t node) {
    const std::string& by = old.plan->spec(TaskIndex{node}).flow.compensate;
    if (by.empty()) return false;
    const TaskState state = old.tasks[old.plan->find(by)->value].state;
    return state != TaskState::kSkipped && state != TaskState::kPending;
  };
  std::vector<bool> holds(run.tasks.size());
  for (std::uint32_t i : run.plan->dag().order()) {
    const TaskIndex task{i};
    const TaskRecord& before = old.tasks.at(i);  // nodes keep their places here
    const std::span<const std::uint32_t> ups = run.plan->dag().upstream().of(i);
    const bool result = (before.state == TaskState::kSucceeded && before.reason != Reason::kFallback) ||
                        (before.state == TaskState::kSkipped && before.reason != Reason::kUpstreamFailed);
    const bool named = std::ranges::find(how.from, run.plan->id(task)) != how.from.end();
    holds[i] = !all && result && !named && !undone(i) && run.plan->cleanup_of(task) == Cleanup::kNone &&
               run.plan->spec(task) == old.plan->spec(task) &&
               std::ranges::all_of(ups, [&](std::uint32_t up) { return holds[up]; });
    const TaskRecord& now = run.tasks[i];
    const bool shared = now.reason == Reason::kShared;
    if (shared != (holds[i] && before.state == TaskState::kSucceeded))
      return fail("shared: " + name + ": task " + run.plan->id(task) + (shared ? " is" : " is not") + " taken over");
    if (shared && (now.state != before.state || now.output.size() != before.output.size() ||
                   (now.output.is_inline() && before.output.is_inline() && !(now.output == before.output)) ||
                   now.items != before.items || now.items_failed != before.items_failed))
      return fail("shared: " + name + ": task " + run.plan->id(task) + " is taken over as another one");
  }
}

// What cleans up comes when everything before its phase has ended; what undoes, when what succeeded later is undone.
std::string Checker::too_early_to_clean_up(const Seen& run, TaskIndex task) {
  const Plan& plan = *run.plan;
  const std::optional<TaskIndex> undone = plan.undone_by(task);
  const auto when = [&](TaskIndex one) { return std::ranges::find(run.succeeded, one); };
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskIndex other{i};
    if (is_terminal(run.tasks[i].state)) continue;
    if (plan.cleanup_of(other) < plan.cleanup_of(task)) return plan.id(other);
    const std::optional<TaskIndex> also = plan.undone_by(other);
    if (undone && also && other != task && run.tasks[also->value].state == TaskState::kSucceeded &&
        run.tasks[also->value].reason != Reason::kShared && when(*also) > when(*undone))
      return plan.id(other);
  }
  return "";
}

std::string Checker::too_early(const Seen& run, TaskIndex task) {
  if (run.plan->cleanup_of(task) != Cleanup::kNone) return too_early_to_clean_up(run, task);
  if (!run.plan->handled_by(task).empty()) return "";
  if (const auto gate = run.plan->gate_of(task); gate && run.tasks[gate->value].state != TaskState::kSucceeded)
    return run.plan->id(*gate) + ", with which its sub-graph begins,";
  const FlowSpec& flow = run.plan->spec(task).flow;
  const bool takes_failures = flow.on_upstream_failure == OnUpstreamFailure::kRun;
  std::uint32_t well = 0;
  std::string open;
  for (std::uint32_t up : run.plan->dag().upstream().of(task.value)) {
    const TaskRecord& record = run.tasks[up];
    if (run.plan->stands_in_for(task) == TaskIndex{up}) {  // which is to wait for it, unless its run was stopped since
      if (record.state == TaskState::kWaiting && record.reason == Reason::kFallback) continue;
      if (record.state == TaskState::kCancelled && record.cause != Reason::kNone) continue;
      return run.plan->id(TaskIndex{up}) + " failed";
    }
    const bool passed = record.state == TaskState::kSkipped && record.reason != Reason::kUpstreamFailed;
    if (record.state == TaskState::kSucceeded || (is_terminal(record.state) && takes_failures && !passed)) ++well;
    else if (!passed && open.empty()) open = run.plan->id(TaskIndex{up});
  }
  if (flow.join > 0) return well >= flow.join ? "" : "enough of what it joins";
  const std::size_t before = run.plan->dag().upstream().of(task.value).size();
  if (open.empty() && well == 0 && before > (run.plan->stands_in_for(task) ? 1 : 0)) return "anything it waits for ran";
  return open;
}

void Checker::event_written(const Event& event) {
  auto found = runs_.find(event.run);
  if (found == runs_.end()) return fail("I7: an event of run " + to_string(event.run) + ", which was never accepted");
  Seen& run = found->second;
  if (event.seq != run.seq + 1)
    return fail("I7: run " + to_string(event.run) + ": event " + std::to_string(event.seq) + " follows " +
                std::to_string(run.seq));
  if (run.end_event) return fail("I1: run " + to_string(event.run) + " has an event after its end");
  run.seq = event.seq;
  run.end_event = is_run_end(event.type);
}

void Checker::published(std::span<const Event> events) {
  for (const Event& event : events) {
    if (!is_durable(event.type)) continue;
    auto found = runs_.find(event.run);
    if (found == runs_.end() || found->second.seq < event.seq)
      fail("I7: event " + std::to_string(event.seq) + " of run " + to_string(event.run) +
           " was published before it was durable");
  }
}

void Checker::upstream_committed(const char* what, const Assignment& assignment) {
  const AttemptId id = assignment.attempt();
  auto found = runs_.find(id.run);
  if (found == runs_.end()) return fail(std::string("I3: ") + text(id) + " is " + what + ", its run is not durable");
  const Seen& run = found->second;
  const TaskIndex node = *run.plan->node_of(id.task);
  if (run.tasks[node.value].reason == Reason::kShared)
    return fail(std::string("shared: ") + text(id) + " is " + what + ", and its result was taken over");
  if (std::string early = too_early(run, node); !early.empty())
    fail(std::string("I3: ") + text(id) + " is " + what + " before " + early + " is committed");
  if (run.plan->spec(node).flow.join > 0) return;  // what it did not wait for may have ended meanwhile
  for (const Binding& binding : assignment.bindings) {
    const TaskRecord& record = run.tasks[binding.task.value];
    if (run.plan->stands_in_for(node) == binding.task && record.version >= binding.version) continue;
    if (record.version != binding.version || record.output.size() != binding.value.size())
      fail(std::string("I3: ") + text(id) + " is " + what + " with another upstream than the store has");
  }
}

void Checker::assigned(const Assignment& assignment) { upstream_committed("sent", assignment); }
// An assignment that comes when its run has ended was looked at when it was sent: what it rested on may have moved on.
void Checker::started(const Assignment& assignment) {
  const auto found = runs_.find(assignment.attempt().run);
  if (found == runs_.end() || !is_terminal(found->second.state)) upstream_committed("started", assignment);
  if (!nothing_is_lost_) return;
  const AttemptId id = assignment.attempt();
  const auto [other, fresh] = running_.emplace(std::pair(id.run, id.task), id);
  if (fresh) return;
  if (lines_are_slow_ && other->second.epoch != id.epoch) other->second = id;
  else fail("once: " + text(id) + " starts while " + text(other->second) + " runs, and nothing was lost");
}

void Checker::ended(const AttemptId& attempt) { running_.erase({attempt.run, attempt.task}); }

void Checker::answered(const ReportAnswer& answer) {
  if (answer.answer != Answer::kRecorded) return;
  auto found = runs_.find(answer.attempt.run);
  // Of items that were lost together, or were not begun, nothing is written.
  if (found != runs_.end() && found->second.plan->is_item(answer.attempt.task)) return;
  if (found == runs_.end() || found->second.tasks.at(answer.attempt.task.value).tries < answer.attempt.number)
    fail("I4: " + text(answer.attempt) + " is answered as recorded and is not in the store");
}

void Checker::told(const std::string& key, const OperatorReply& reply) {
  RunId run;
  if (auto* submitted = std::get_if<SubmitReply>(&reply)) run = submitted->run;
  else if (auto* view = std::get_if<RunReply>(&reply)) run = view->view.info.run;
  else return;
  auto [known, fresh] = told_runs_.emplace(key, run);
  if (known->second != run) return fail("I4: key " + key + " was answered with two runs");
  auto found = runs_.find(run);
  if (found == runs_.end()) return fail("I4: run " + to_string(run) + " was acknowledged and is not in the store");
  if (found->second.key != key) return fail("I4: run " + to_string(run) + " was acknowledged for another key");
  auto* view = std::get_if<RunReply>(&reply);
  if (view == nullptr) return;
  const RunRecord& record = view->view.record;
  if (record.seq > found->second.seq) fail("I4: a client saw more of run " + to_string(run) + " than is durable");
  if (is_terminal(record.state) && record.state != found->second.state)
    fail("I4: a client saw another end of run " + to_string(run) + " than the store has");
  std::uint32_t counted = 0;
  for (const auto& [state, count] : view->view.by_state) counted += count;
  if (counted != view->view.nodes_total) fail("I10: the counts by state of run " + to_string(run) + " do not add up");
}

void Checker::taken(PartitionId partition) {
  if (settled_)
    fail("I6: partition " + std::to_string(partition.value) + " changes its owner, and nothing had happened");
}

std::string Checker::unsettled(const std::set<std::string>& running, std::uint16_t partitions) {
  std::map<std::string, std::size_t> counts;
  bool all_drain = true;
  auto met = std::get<MembersAnswer>(const_cast<MemoryCluster&>(cluster_).read(MeetMembers{}));
  for (const MemberRecord& member : met.members) {
    if (!running.contains(member.name)) continue;
    all_drain &= member.draining;
    if (!member.draining) counts[member.name] = 0;
  }
  for (std::uint16_t i = 0; i < partitions; ++i) {
    const std::string& owner = cluster_.owner(PartitionId{i}).owner;
    if (!running.contains(owner)) return "partition " + std::to_string(i) + " is owned by nobody who runs";
    if (!all_drain && !counts.contains(owner)) return owner + " drains and owns partition " + std::to_string(i);
    ++counts[owner];
  }
  std::size_t least = partitions;
  std::size_t most = 0;
  for (const auto& [name, count] : counts) {
    least = std::min(least, count);
    most = std::max(most, count);
  }
  return all_drain || most <= least + 1
             ? ""
             : "some own " + std::to_string(most) + " partitions, some " + std::to_string(least);
}

void Checker::fell_back() {
  for (const auto& [partition, log] : log_) {
    const std::uint64_t stored = cluster_.owner(partition).number;
    if (stored > log.size()) fail("I4: the store is ahead of what was committed");
  }
}

bool Checker::is_whole() const {
  return std::ranges::all_of(
      log_, [&](const auto& entry) { return cluster_.owner(entry.first).number == entry.second.size(); });
}

void Checker::finished() {
  if (!is_whole()) fail("I4: commits that the store has lost are not there again");
  std::size_t ends = 0;
  for (const auto& [state, count] : ends_) ends += count;
  if (ends + live_ != runs_.size()) fail("I10: accepted, ended and live runs do not add up");
  for (const auto& [key, run] : told_runs_) {
    if (!cluster_.run(run) && !runs_.at(run).deleted)
      fail("I4: run " + to_string(run) + " was acknowledged and is gone");
  }
  for (const auto& [id, run] : runs_) check_end(id, run);
  check_letters();
  check_triggers();
  check_pauses();
}

std::size_t Checker::letters_waiting() const {
  std::map<PartitionId, std::map<std::string, std::string>> inboxes;
  std::size_t waiting = 0;
  for (const auto& [partition, log] : log_) {
    for (const auto& [number, bytes] : cluster_.shelf(partition, Shelf::kOutbox)) {
      const Result<Letter> letter = decode_letter(partition, bytes);
      if (!letter.ok()) return ++waiting;
      auto [inbox, fresh] = inboxes.try_emplace(letter->to);
      if (fresh) inbox->second = cluster_.shelf(letter->to, Shelf::kInbox);
      const auto stored = inbox->second.find(std::to_string(partition.value));
      const Result<Mark> has =
          stored == inbox->second.end() ? Mark{} : decode_mark(partition, letter->to, stored->second);
      waiting += has.ok() && letter->number <= has->number ? 0 : 1;  // what was taken is kept for a while
    }
  }
  return waiting;
}

// Each letter that was ever committed has been taken, and once: by the count that its receiver keeps in the commit that
// takes it. And what it wanted is there.
void Checker::check_letters() {
  std::map<std::pair<PartitionId, PartitionId>, Mark> sent;
  for (const auto& [partition, log] : log_) {
    for (const PartitionCommit& commit : log) {
      for (const ShelfWrite& write : commit.shelves) {
        if (write.shelf != Shelf::kOutbox || write.bytes.empty()) continue;
        const Result<Letter> letter = decode_letter(partition, write.bytes);
        if (!letter.ok()) return fail("letters: " + letter.error().what);
        Mark& mark = sent[{partition, letter->to}];
        if (letter->number <= mark.number) return fail("letters: the numbers of a sender do not grow");
        mark = {letter->number, mark.taken + 1};
        const auto* wanted = std::get_if<RunWanted>(&letter->body);
        if (wanted != nullptr && !definitions_go_ && !keys_.contains(wanted->key))
          return fail("letters: the run of key " + wanted->key + " was wanted and is not there");
      }
    }
  }
  for (const auto& [line, mark] : sent) {
    const auto& [from, to] = line;
    const auto inbox = cluster_.shelf(to, Shelf::kInbox);
    const auto stored = inbox.find(std::to_string(from.value));
    const Result<Mark> has = stored == inbox.end() ? Mark{} : decode_mark(from, to, stored->second);
    if (!has.ok()) return fail("letters: " + has.error().what);
    if (*has == mark) continue;
    return fail("letters: partition " + std::to_string(to.value) + " took " + std::to_string(has->taken) + " of " +
                std::to_string(mark.taken) + " letters of partition " + std::to_string(from.value));
  }
  if (letters_waiting() > 0) fail("I6: letters were not taken");
}

void Checker::check_end(RunId id, const Seen& run) {
  const std::string name = "run " + to_string(id);
  if (!is_terminal(run.state)) {
    std::string open;
    for (std::uint32_t i = 0; i < run.tasks.size() && open.size() < 200; ++i) {
      if (!is_terminal(run.tasks[i].state))
        open += " " + run.plan->id(TaskIndex{i}) + "=" + std::string(to_string(run.tasks[i].state));
    }
    return fail("I6: " + name + " is still " + std::string(to_string(run.state)) + ", open:" + open);
  }
  if (run.deleted) return;
  const std::optional<StoredRun> stored = cluster_.run(id);
  if (!stored || cluster_.events(id).size() != run.seq) return fail("I7: " + name + ": its events are not all there");
  std::uint64_t sum = 0;
  std::uint32_t live = 0;
  for (const auto& [task, record] : stored->tasks) {
    sum += checksum(task, record);
    ++live;
  }
  if (sum != stored->record.records_sum || live != stored->record.records_live)
    return fail("I2: " + name + ": the checksum of its records is wrong");
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    if (!is_terminal(run.tasks[i].state))
      return fail("I1: " + name + " has ended and task " + run.plan->id(TaskIndex{i}) + " has not");
  }
  check_results(name, run);
  check_limits(name, run, *stored);
  if (run.plan->has_flow()) check_skips(name, run);
  if (run.plan->has_cleanup()) check_cleanup(name, run);
}

// What the pretend executors and the value nodes give for a task: {"sum": 1 + the sums of all upstream}.
void Checker::check_results(const std::string& name, const Seen& run) {
  std::vector<std::uint64_t> sums(run.tasks.size());
  for (std::uint32_t i : run.plan->dag().order()) {
    const TaskRecord& record = run.tasks[i];
    const FlowSpec& flow = run.plan->spec(TaskIndex{i}).flow;
    if (record.state != TaskState::kSucceeded || flow.branch) continue;
    if (flow.foreach && flow.wait && record.reason == Reason::kNone) check_items(name, run, TaskIndex{i}, std::nullopt);
    if (flow.wait) {  // what came, if anything did
      sums[i] = static_cast<std::uint64_t>(sum_in(record.output, cluster_).value_or(0));
      continue;
    }
    if (flow.loop) {  // that of the last of its rounds that ran
      const Payload* last = nullptr;
      for (std::uint32_t up : run.plan->dag().upstream().of(i)) {
        if (run.plan->spec(TaskIndex{up}).flow.round > 0 && run.tasks[up].state == TaskState::kSucceeded)
          last = &run.tasks[up].output;
      }
      if (last == nullptr || *last != record.output)
        return fail("I2: " + name + ": task " + run.plan->id(TaskIndex{i}) + " has another output than its last round");
    }
    if (run.plan->spec(TaskIndex{i}).value == Value()) {
      sums[i] = static_cast<std::uint64_t>(sum_in(record.output, cluster_).value_or(0));
      continue;
    }
    if (record.reason == Reason::kFallback && run.plan->stand_in(TaskIndex{i})) {
      if (record.output != run.tasks[run.plan->stand_in(TaskIndex{i})->value].output)
        return fail("I2: " + name + ": task " + run.plan->id(TaskIndex{i}) + " has another output than its stand-in");
      sums[i] = static_cast<std::uint64_t>(sum_in(record.output, cluster_).value_or(0));
      continue;
    }
    std::uint64_t expected = 1;
    for (std::uint32_t up : run.plan->dag().upstream().of(i))
      expected += run.plan->stands_in_for(TaskIndex{i}) == TaskIndex{up} ? 0 : sums[up];
    if (const auto end = run.plan->round_end(TaskIndex{i}))
      expected += run.plan->previous_end(*end) ? sums[run.plan->previous_end(*end)->value] : 0;
    expected %= 1'000'003;
    if (record.reason == Reason::kFallback && !flow.fallback_cached) expected = kFallbackSum;
    if (flow.foreach && (record.reason != Reason::kFallback || flow.fallback_cached)) {
      if (flow.join == 0 && record.reason != Reason::kShared) check_items(name, run, TaskIndex{i}, expected);
      continue;
    }
    const auto got = sum_in(record.output, cluster_);
    if (!got) return fail("I2: " + name + ": task " + run.plan->id(TaskIndex{i}) + " has no result");
    sums[i] = static_cast<std::uint64_t>(*got);
    const bool depends_on_time = flow.join > 0 && record.reason != Reason::kFallback;
    if (sums[i] != expected && !depends_on_time)
      return fail("I2: " + name + ": task " + run.plan->id(TaskIndex{i}) + " has a wrong result");
  }
}

// What was ended by a limit has one, and no try of it began after that.
void Checker::check_limits(const std::string& name, const Seen& run, const StoredRun& stored) {
  const Duration timeout = run.plan->workflow().timeout;
  const auto has = [&](Reason reason, const NodeSpec* spec) {
    if (reason == Reason::kNodeTimeout) return spec != nullptr && spec->limit != Duration::zero();
    if (reason == Reason::kRunTimeout) return timeout != Duration::zero();
    return reason != Reason::kDeadline || stored.info.deadline != Time{};
  };
  if (!has(stored.record.reason, nullptr)) return fail("limits: " + name + " was ended by a limit that it has not");
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskRecord& record = run.tasks[i];
    const NodeSpec& spec = run.plan->spec(TaskIndex{i});
    if (!has(record.reason, &spec) || !has(record.cause, &spec))
      return fail("limits: " + name + ": task " + run.plan->id(TaskIndex{i}) + " was ended by a limit that it has not");
  }
}

// What runs in any case has run; what had succeeded is undone exactly when the run did not.
void Checker::check_cleanup(const std::string& name, const Seen& run) {
  bool work_succeeded = true;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskState state = run.tasks[i].state;
    const bool work = run.plan->cleanup_of(TaskIndex{i}) == Cleanup::kNone;
    if (work && (state == TaskState::kFailed || state == TaskState::kCancelled)) work_succeeded = false;
  }
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskIndex task{i};
    const bool ran = run.tasks[i].state == TaskState::kSucceeded || run.tasks[i].state == TaskState::kFailed;
    const std::string where = name + ": task " + run.plan->id(task);
    const Cleanup kind = run.plan->cleanup_of(task);
    if (kind == Cleanup::kFinally && !ran) fail("cleanup: " + where + " did not run");
    if (kind == Cleanup::kOnFailure && ran && work_succeeded && run.state != RunState::kFailed)
      fail("cleanup: " + where + " handled a failure that was none");
    if (kind != Cleanup::kCompensate) continue;
    const TaskRecord& undone = run.tasks[run.plan->undone_by(task)->value];
    const bool wanted = !work_succeeded && undone.state == TaskState::kSucceeded && undone.reason != Reason::kShared;
    if (wanted != ran && !(work_succeeded && run.state != RunState::kSucceeded && run.state != RunState::kDegraded))
      fail("cleanup: " + where + (ran ? " undid what it should not" : " did not undo"));
  }
}

// Every item of a mapped node has exactly one result, and they stand in its output in order: item i gives sum + i, or,
// without a sum, what its record says.
void Checker::check_items(const std::string& name, const Seen& run, TaskIndex node, std::optional<std::uint64_t> sum) {
  const std::string where = name + ": task " + run.plan->id(node);
  const ForeachSpec& foreach = *run.plan->spec(node).flow.foreach;
  std::size_t total = foreach.over.is_array() ? foreach.over.as_array().size() : 0;
  if (foreach.over.is_string()) {  // the list of the node before it
    const std::uint32_t before = run.plan->dag().upstream().of(node.value).front();
    const auto list = whole_in(run.tasks[before].output, cluster_);
    if (!list) return fail("items: " + where + " goes over a list that is not in the store");
    std::string_view element;
    for (ElementCursor cursor(*list); cursor.next(element);) ++total;
  }
  const TaskRecord& record = run.tasks[node.value];
  std::vector<int> results(total);
  std::vector<bool> failed(total);
  std::vector<std::string> outputs(total);
  for (const auto& [task, item] : run.items) {
    if (*run.plan->node_of(task) != node) continue;
    for (std::uint32_t i = task.value - run.plan->base(node); i < task.value - run.plan->base(node) + item.items; ++i) {
      if (i >= total) return fail("items: " + where + " has a result of an item that is not there");
      results[i] += is_terminal(item.state) ? 1 : 0;
      failed[i] = item.state == TaskState::kFailed;
      if (sum) outputs[i] = std::to_string(*sum + i);
      else if (item.output.is_inline()) outputs[i] = item.output.json();
    }
  }
  std::string expected = "[";
  std::uint32_t failures = 0;
  for (std::size_t i = 0; i < total; ++i) {
    if (results[i] != 1) return fail("items: " + where + " has " + std::to_string(results[i]) + " results of one item");
    failures += failed[i] ? 1 : 0;
    if (failed[i] && foreach.on_error == OnItemError::kDrop) continue;
    if (expected.size() > 1) expected += ',';
    expected += failed[i] ? "null" : outputs[i];
  }
  expected += ']';
  if (failures > 0 && foreach.on_error == OnItemError::kFail)
    return fail("items: " + where + " succeeded with failures");
  if (record.items != total || record.items_failed != failures) return fail("items: " + where + " counts them wrong");
  if (whole_in(record.output, cluster_) != expected)
    return fail("items: " + where + " has another output than its items");
}

// Each skipped task has the reason that the ends before it give; each that ran has none.
void Checker::check_skips(const std::string& name, const Seen& run) {
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskRecord& record = run.tasks[i];
    const std::string where = name + ": task " + run.plan->id(TaskIndex{i});
    const FlowSpec& flow = run.plan->spec(TaskIndex{i}).flow;
    std::uint32_t bad = 0;
    std::uint32_t passed = 0;
    for (std::uint32_t up : run.plan->dag().upstream().of(i)) {
      const bool skipped = run.tasks[up].state == TaskState::kSkipped;
      const bool by_failure = skipped && run.tasks[up].reason == Reason::kUpstreamFailed;
      if (skipped && !by_failure) ++passed;
      else if (run.tasks[up].state != TaskState::kSucceeded) ++bad;
    }
    if (const auto aside = run.plan->stands_in_for(TaskIndex{i})) {
      const TaskRecord& other = run.tasks[aside->value];
      const bool ran = record.state == TaskState::kSucceeded || record.state == TaskState::kFailed;
      if (ran && other.state == TaskState::kSucceeded && other.reason != Reason::kFallback)
        return fail("flow: " + where + " stood in for what had not failed");
      if (record.state == TaskState::kSucceeded && other.state == TaskState::kFailed)
        return fail("flow: " + where + " stood in for what failed all the same");
    }
    if (record.state == TaskState::kSucceeded && flow.when && flow.when->is_bool() && !flow.when->as_bool())
      return fail("flow: " + where + " ran though its condition does not hold");
    if (record.state != TaskState::kSkipped) continue;
    if (record.reason == Reason::kUpstreamFailed && (bad == 0 || flow.on_upstream_failure == OnUpstreamFailure::kRun))
      return fail("flow: " + where + " is skipped for a failure that is none");
    if (record.reason == Reason::kUpstreamSkipped && passed == 0)
      return fail("flow: " + where + " is skipped though nothing before it is");
    if (record.reason == Reason::kCondition && !flow.when)
      return fail("flow: " + where + " has no condition that does not hold");
    if (record.reason == Reason::kNotChosen && run.plan->chosen_by(TaskIndex{i}).empty() &&
        run.plan->handled_by(TaskIndex{i}).empty() && !run.plan->stands_in_for(TaskIndex{i}) &&
        run.plan->cleanup_of(TaskIndex{i}) == Cleanup::kNone)
      return fail("flow: " + where + " needs no choice");
  }
}

std::optional<std::string> whole_in(const Payload& output, const MemoryCluster& cluster) {
  if (output.is_inline()) return std::string(output.json());
  std::map<Hash128, std::string> texts;
  const auto find = [&](const Hash128& hash) -> const std::string* {
    auto found = std::get<ValueAnswer>(const_cast<MemoryCluster&>(cluster).read(LoadValue{hash}));
    return found.json ? &(texts[hash] = std::move(*found.json)) : nullptr;
  };
  const std::string* stored = find(output.hash());
  if (stored == nullptr) return std::nullopt;
  Whole whole = whole_of(*stored, find, kValueMax);
  if (!whole.problem.empty() || !whole.missing.empty()) return std::nullopt;
  return std::move(whole.json);
}

// A list has none: it counts as zero.
std::optional<std::int64_t> sum_in(const Payload& output, const MemoryCluster& cluster) {
  const std::optional<std::string> json = whole_in(output, cluster);
  Result<Value> value = json ? Value::parse(*json) : Result<Value>(Error{});
  if (!value.ok()) return std::nullopt;
  if (value->is_array()) return 0;
  const Value* sum = value->find("sum");
  if (sum == nullptr || !sum->is_int()) return std::nullopt;
  return sum->as_int();
}

}  // namespace millrace::sim
