// Partition: tasks that wait for a time, a signal or somebody's decision, and runs that are paused. Workflows and
// queues that are: pausing.cc.
//
// A wait is durable: the record says since when (`ready`), until when (`due`) and, by its reason, for what. A signal
// that comes before its node waits is kept in the node's own record: pending, with the reason `signal` and the payload
// as its output. So a run keeps at most one signal a node.
#include <algorithm>
#include <cmath>

#include "common/base/units.h"
#include "coordinator/core/partition.h"
#include "coordinator/core/tries.h"

namespace millrace {
namespace {

constexpr double kSecondsMax = 253'402'300'799;  // the year 9999

Reason reason_of(WaitKind kind) {
  switch (kind) {
    case WaitKind::kTimer: return Reason::kTimer;
    case WaitKind::kSignal: return Reason::kSignal;
    case WaitKind::kApproval: return Reason::kApproval;
    case WaitKind::kChild: return Reason::kChild;
  }
  return Reason::kTimer;
}

bool keeps_signal(const Run& run, TaskIndex task) {
  return run.states[task.value] == TaskState::kPending && run.tasks[task.value].reason == Reason::kSignal;
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

Value decision_json(bool approved, const ApprovalGiven& in) {
  const auto text = [](const std::string& one) { return one.empty() ? Value() : Value(one); };
  return Value::Object{
      {"approved", approved}, {"by", text(in.caller)}, {"role", text(in.role)}, {"comment", text(in.comment)}};
}

}  // namespace

Result<Time> moment_of(const Value& value, Time from, bool until) {
  if (value.is_string()) {
    const std::string& text = value.as_string();
    if (!until) {
      if (Result<Duration> length = parse_duration(text); length.ok()) return from + *length;
    }
    Result<Time> at = parse_time(text);
    if (at.ok()) return at;
    return Error{Code::kInvalid,
                 quoted(text.substr(0, 64)) + (until ? " is no moment: like 2026-01-31T08:00:00Z"
                                                     : " is neither a duration (10s) nor a moment"
                                                       " (2026-01-31T08:00:00Z)"),
                 {},
                 ""};
  }
  if (!value.is_number()) return Error{Code::kInvalid, std::string("a time is of kind ") + value.kind_name(), {}, ""};
  const double seconds = value.to_double();
  if (!(seconds >= 0) || seconds > kSecondsMax)
    return Error{Code::kInvalid, "a time is " + value.dump() + " seconds", {}, ""};
  const Duration length{static_cast<Duration::rep>(std::llround(seconds * 1e6))};
  return (until ? Time{} : from) + length;
}

bool Partition::awaits_event(const TaskRecord& record) {
  return record.state == TaskState::kWaiting && (record.reason == Reason::kTimer || record.reason == Reason::kSignal ||
                                                 record.reason == Reason::kApproval || record.reason == Reason::kChild);
}

bool Partition::awaits_event(const Run& run, TaskIndex task) {
  return run.states[task.value] == TaskState::kWaiting && awaits_event(run.tasks[task.value]);
}

// ---------------------------------------------------------------- a wait

void Partition::begin_wait(Time now, Run& run, TaskIndex task, const Flow& flow) {
  const Flow::Wait& wait = *flow.wait;
  TaskRecord& record = run.tasks[task.value];
  if (keeps_signal(run, task)) return end_wait(now, run, task, std::move(record.output));
  if (wait.spec.kind == WaitKind::kChild && held_back(run, task)) return hold(run, task);  // nothing else starts there
  Time due{};
  if (wait.limit) {
    const std::optional<Value> limit = evaluate_for(now, run, task, *wait.limit);
    if (!limit) return;
    Result<Time> at = moment_of(*limit, now, wait.spec.until);
    if (!at.ok()) return fail_wait(now, run, task, Reason::kExpression, at.error().what);
    due = *at;
  }
  if (wait.spec.kind == WaitKind::kTimer && due <= now) return end_wait(now, run, task, Payload());
  if (wait.spec.kind == WaitKind::kApproval) {  // the record says what is asked while it is
    Value question = Value::Object{};
    if (wait.message) {
      std::optional<Value> message = evaluate_for(now, run, task, *wait.message);
      if (!message) return;
      const std::string text = message->is_string() ? message->as_string() : message->dump();
      question.set("message", clip(text, kErrorMessageMax));
    }
    record.output = Payload::inline_json(question.dump());
  }
  if (wait.spec.kind == WaitKind::kChild && !ask_for_child(now, run, task, wait)) return;
  if (wait.spec.kind == WaitKind::kChild) note_child_try(record, now);
  run.value_waits.erase(task);
  note_start(now, run);
  if (run.states[task.value] != TaskState::kWaiting) move(run, task, TaskState::kWaiting);
  record.reason = reason_of(wait.spec.kind);
  record.ready = now;
  record.due = due;
  write(run, task);
  emit(now, run, EventType::kTaskWaiting, task, 0, record.reason);
  if (due != Time{} && options_.plant != TestPlant::kForgetTimer) set_timer(due, run.id(), task);
}

void Partition::end_wait(Time now, Run& run, TaskIndex task, Payload output) {
  run.value_waits.erase(task);
  TaskRecord& record = run.tasks[task.value];
  note_start(now, run);
  note_try(record, now);
  record.tries = next_try(record);  // of a child that was started again
  record.error = nullptr;
  record.due = Time{};
  record.output = std::move(output);
  end_task(now, run, task, TaskState::kSucceeded, Reason::kNone, EventType::kTaskSucceeded);
}

void Partition::fail_wait(Time now, Run& run, TaskIndex task, Reason reason, std::string why) {
  run.value_waits.erase(task);
  TaskRecord& record = run.tasks[task.value];
  note_try(record, now);
  record.tries = next_try(record);
  record.due = Time{};
  if (reason != Reason::kRejected) record.output = Payload();
  ++record.failures;
  record.error = std::make_shared<const ErrorInfo>(ErrorInfo{clip(std::move(why), kErrorMessageMax), ""});
  if (run.states[task.value] == TaskState::kWaiting) failed(now, run, task, reason);
  else end_task(now, run, task, TaskState::kFailed, reason, EventType::kTaskFailed);
}

void Partition::wait_over(Time now, Run& run, TaskIndex task) {
  const Flow::Wait& wait = *run.plan->flow(task)->wait;
  switch (wait.spec.kind) {
    case WaitKind::kTimer: return end_wait(now, run, task, Payload());
    case WaitKind::kSignal: {
      if (!wait.otherwise)
        return fail_wait(now, run, task, Reason::kTimeout,
                         "signal " + quoted(wait.spec.signal) + " did not come in time");
      const std::optional<Value> value = evaluate_for(now, run, task, *wait.otherwise);
      if (value) end_wait(now, run, task, make_payload(run.id(), value->dump()));
      return;
    }
    case WaitKind::kChild:
      cancel_child(run, task, next_try(run.tasks[task.value]));
      return fail_wait(now, run, task, Reason::kTimeout, "its child run did not end in time");
    case WaitKind::kApproval: {
      static const ApprovalGiven kNobody{{}, {}, "", true, "", "the deadline had passed", ""};
      if (wait.spec.decides == ApprovalDefault::kApprove)
        return end_wait(now, run, task, Payload::inline_json(decision_json(true, kNobody).dump()));
      const bool rejects = wait.spec.decides == ApprovalDefault::kReject;
      if (rejects) run.tasks[task.value].output = Payload::inline_json(decision_json(false, kNobody).dump());
      return fail_wait(now, run, task, rejects ? Reason::kRejected : Reason::kTimeout,
                       rejects ? "rejected: nobody decided before its deadline" : "nobody decided before its deadline");
    }
  }
}

// It is skipped or cancelled: a signal that was kept for it is the next one's.
void Partition::leave_wait(Time now, Run& run, TaskIndex task) {
  const Flow* flow = run.plan->flow(task);
  if (flow == nullptr || !flow->wait) return;
  if (awaits_child(run, task)) cancel_child(run, task, next_try(run.tasks[task.value]));
  TaskRecord& record = run.tasks[task.value];
  const bool kept = keeps_signal(run, task);
  Payload payload = std::exchange(record.output, Payload());
  record.due = Time{};
  record.reason = Reason::kNone;
  if (kept && !run.stopping()) (void)take_signal(now, run, flow->wait->spec.signal, std::move(payload), task);
}

// By our clock, unless it waits for a moment.
void Partition::restore_wait(Time now, Run& run, TaskIndex task) {
  TaskRecord& record = run.tasks[task.value];
  if (record.due == Time{}) return;
  const Flow* flow = run.plan->flow(task);
  const bool until = flow != nullptr && flow->wait && flow->wait->spec.until;
  if (!until) record.due = due_by_our_clock(now, record.due, record.ready);
  set_timer(std::max(now, record.due), run.id(), task);
}

// ---------------------------------------------------------------- signals and decisions

namespace {

SendReply refusal(RequestId request, Code code, std::string what, std::string name = "") {
  return {request, ErrorReply{Error{code, std::move(what), {}, std::move(name)}}};
}

}  // namespace

Run* Partition::act_on(RequestId request, RunId id, bool waits) {
  auto it = runs_.find(id);
  if (it == runs_.end()) {
    effects_.replies.push_back(refusal(request, Code::kNotFound, "no run " + to_string(id)));
    return nullptr;
  }
  Run& run = *it->second;
  // What cleans up may wait for somebody, too.
  const bool cleans = waits && run.phase != Cleanup::kNone;
  if (!run.ended() && (!run.stopping() || cleans)) return &run;
  const std::string how = run.ended() ? "has ended: " : "is ending: ";
  effects_.replies.push_back(refusal(request, Code::kConflict,
                                     "run " + to_string(id) + " " + how + std::string(to_string(run.record.state)),
                                     "run_ended"));
  return nullptr;
}

void Partition::acted(RequestId request, const Run& run, std::optional<TaskIndex> task, bool repeated) {
  ActReply reply{run.id(), run.record.state, "", TaskState::kPending, repeated};
  if (task) reply.node = run.plan->id(*task), reply.node_state = run.states[task->value];
  effects_.replies.push_back({request, std::move(reply)});
}

// The first node that waits for it gets it; else the first that will, and has none yet. Nothing: nobody wants it.
std::optional<TaskIndex> Partition::take_signal(Time now, Run& run, std::string_view name, Payload payload,
                                                std::optional<TaskIndex> but) {
  const std::span<const std::uint32_t> nodes = run.plan->signal_nodes(name);
  for (std::uint32_t node : nodes) {
    const TaskIndex task{node};
    if (!awaits_event(run, task)) continue;
    end_wait(now, run, task, std::move(payload));
    return task;
  }
  for (std::uint32_t node : nodes) {
    const TaskIndex task{node};
    if (task == but || run.states[node] != TaskState::kPending || keeps_signal(run, task)) continue;
    TaskRecord& record = run.tasks[node];
    record.reason = Reason::kSignal;
    record.output = std::move(payload);
    write(run, task);
    return task;
  }
  return std::nullopt;
}

void Partition::on(Time now, SignalGiven& in) {
  auto it = runs_.find(in.run);
  if (it != runs_.end() && in.key != 0 &&
      std::ranges::find(it->second->record.signals, in.key) != it->second->record.signals.end())
    return acted(in.request, *it->second, std::nullopt, true);
  Run* run = act_on(in.request, in.run, /*waits=*/true);
  if (run == nullptr) return;
  if (run->plan->signal_nodes(in.name).empty()) {
    std::string known;
    for (std::string_view name : run->plan->signals()) known += (known.empty() ? "" : ", ") + std::string(name);
    effects_.replies.push_back(refusal(in.request, Code::kNotFound,
                                       "no node of run " + to_string(in.run) + " waits for a signal " +
                                           quoted(in.name) +
                                           (known.empty() ? "; none waits for any" : "; they wait for: " + known),
                                       "no_such_signal"));
    return;
  }
  Payload payload = in.payload;
  if (payload.is_inline() && payload.size() > options_.inline_max)
    payload = make_payload(run->id(), std::string(payload.json()));
  const std::optional<TaskIndex> task = take_signal(now, *run, in.name, std::move(payload));
  if (!task) {
    effects_.replies.push_back(
        refusal(in.request, Code::kConflict,
                "every node of run " + to_string(in.run) + " that waits for signal " + quoted(in.name) + " has got it",
                "signal_not_awaited"));
    return;
  }
  if (in.key != 0) {
    std::vector<std::uint64_t>& seen = run->record.signals;
    if (seen.size() >= kSignalsSeenMax) seen.erase(seen.begin());
    seen.push_back(in.key);
    touch(*run);
  }
  acted(in.request, *run, *task, false);
}

void Partition::on(Time now, ApprovalGiven& in) {
  auto it = runs_.find(in.run);
  const std::optional<TaskIndex> task = it == runs_.end() ? std::nullopt : it->second->plan->find(in.node);
  const auto is_approval = [&](const Run& run) {
    const Flow* flow = run.plan->flow(*task);
    return flow != nullptr && flow->wait && flow->wait->spec.kind == WaitKind::kApproval;
  };
  if (it != runs_.end() && (!task || !is_approval(*it->second))) {
    effects_.replies.push_back(
        refusal(in.request, Code::kNotFound,
                (task ? "node " + quoted(in.node) + " of run " + to_string(in.run) + " asks for no approval"
                      : "run " + to_string(in.run) + " has no node " + quoted(in.node)),
                "no_such_approval"));
    return;
  }
  if (it != runs_.end()) {  // decided like this before: nothing to do, whatever became of the run
    const TaskRecord& record = it->second->tasks[task->value];
    const bool decided = record.state == TaskState::kSucceeded || record.reason == Reason::kRejected;
    if (decided && is_terminal(record.state) && in.approve == (record.state == TaskState::kSucceeded))
      return acted(in.request, *it->second, task, true);
  }
  Run* run = act_on(in.request, in.run, /*waits=*/true);
  if (run == nullptr) return;
  const std::string where = "approval " + quoted(in.node) + " of run " + to_string(in.run);
  if (!awaits_event(*run, *task)) {
    effects_.replies.push_back(refusal(
        in.request, Code::kConflict,
        where + " is not asked for" + (is_terminal(run->states[task->value]) ? " any more: it is " : " yet: it is ") +
            std::string(to_string(run->states[task->value])),
        "not_asked"));
    return;
  }
  const std::vector<std::string>& roles = run->plan->flow(*task)->wait->spec.roles;
  if (!roles.empty() && std::ranges::find(roles, in.role) == roles.end()) {
    effects_.replies.push_back(
        refusal(in.request, Code::kRefused,
                where + " is for " + listed(roles) +
                    (in.role.empty() ? ": say which with --role" : ", not for " + quoted(in.role)),
                "role_required"));
    return;
  }
  const Payload decision = Payload::inline_json(decision_json(in.approve, in).dump());
  if (in.approve) {
    end_wait(now, *run, *task, decision);
  } else {
    run->tasks[task->value].output = decision;
    fail_wait(
        now, *run, *task, Reason::kRejected,
        "rejected" + (in.caller.empty() ? "" : " by " + in.caller) + (in.comment.empty() ? "" : ": " + in.comment));
  }
  acted(in.request, *run, *task, false);
}

// ---------------------------------------------------------------- pausing

bool Partition::is_held(const Run& run, TaskIndex task) {
  return run.states[task.value] == TaskState::kWaiting && run.tasks[task.value].reason == Reason::kPaused;
}

void Partition::hold(Run& run, TaskIndex task) {
  run.value_waits.erase(task);
  if (Mapped* mapped = mapped_at(run, task)) mapped->feeding.clear();  // asked for anew when it goes on
  if (run.states[task.value] != TaskState::kWaiting) move(run, task, TaskState::kWaiting);
  run.tasks[task.value].reason = Reason::kPaused;
}

bool Partition::let_go(Run& run, TaskIndex task) {
  if (!is_held(run, task)) return false;
  run.tasks[task.value].reason = Reason::kNone;
  move(run, task, TaskState::kReady);
  return true;
}

// A run that was paused: what was held, or offered before the pause and forgotten since, is offered; of one that is
// being stopped what cleans up.
void Partition::go_on(Time now, Run& run) {
  for (std::uint32_t task = 0; task < run.states.size() && run.count(TaskState::kWaiting) > 0; ++task) {
    if (halted(run, TaskIndex{task})) continue;
    const bool freed = let_go(run, TaskIndex{task}) || waits_for_place(run, TaskIndex{task});
    const bool mapped = run.plan->is_mapped(TaskIndex{task}) && run.states[task] == TaskState::kReady;
    if (!freed || mapped) continue;
    if (run.states[task] == TaskState::kReady) begin_try(now, run, TaskIndex{task});
    else offer(now, run, TaskIndex{task});
  }
  for (const auto& [node, mapped] : run.mapped) {
    mapped->offers = 0;
    if (mapped->opened) advance_items(now, run, *mapped);
  }
}

// Running attempts end and are recorded, waits go on, nothing more is dispatched.
void Partition::on(Time now, PauseRequested& in) {
  Run* run = act_on(in.request, in.run, /*waits=*/false);
  if (run == nullptr) return;
  if (run->paused() == in.pause) return acted(in.request, *run, std::nullopt, true);
  say_why(*run, std::move(in.why));
  if (in.pause) {
    run->record.state = RunState::kPaused;
    emit(now, *run, EventType::kRunPaused);
    for (std::uint32_t task = 0; task < run->states.size() && run->count(TaskState::kReady) > 0; ++task) {
      if (run->states[task] == TaskState::kReady) hold(*run, TaskIndex{task});
    }
    return acted(in.request, *run, std::nullopt, false);
  }
  run->record.state = RunState::kRunning;
  emit(now, *run, EventType::kRunResumed);
  go_on(now, *run);
  finish_if_done(now, *run);
  acted(in.request, *run, std::nullopt, false);
}

}  // namespace millrace
