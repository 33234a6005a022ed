// Partition: workflows and queues that are paused (pauses.h): what is decided here, as the home of their names, what
// other homes have told, and what becomes of the tasks.
#include "coordinator/core/partition.h"

namespace millrace {
namespace {

Error refused(Code code, std::string what, std::string name) { return {code, std::move(what), {}, std::move(name)}; }

// Where its tasks wait for a worker; nothing: none has a part in it.
std::optional<std::string_view> queue_of(const Run& run, TaskIndex node) {
  const Requirements* needs = run.plan->needs(node).get();
  if (needs == nullptr || needs->executor.empty()) return std::nullopt;
  return queue_or_default(needs->queue);
}

bool concerns(const PauseName& what, const Run& run, TaskIndex node) {
  if (what.kind == PauseKind::kWorkflow) return run.info->workflow == what.name && run.info->tenant == what.tenant;
  return queue_of(run, node) == what.name;
}

}  // namespace

// A run that is being stopped cleans up, whatever is paused but its queue.
const Pause* Partition::pause_of(const Run& run, TaskIndex node) const {
  if (pauses_.none() || options_.plant == TestPlant::kStartPaused) return nullptr;
  if (!run.stopping()) {
    if (const Pause* pause = pauses_.of_workflow(run.info->tenant, run.info->workflow)) return pause;
  }
  const std::optional<std::string_view> queue = queue_of(run, node);
  return queue ? pauses_.of_queue(*queue) : nullptr;
}

bool Partition::held_back(const Run& run, TaskIndex node) const {
  return run.paused() || pause_of(run, node) != nullptr;
}

bool Partition::is_kept_waiting(const Run& run, TaskIndex node) const {
  if (halted(run, node) || !held_back(run, node)) return false;
  if (is_held(run, node) || waits_for_place(run, node)) return true;
  const Mapped* mapped = mapped_at(run, node);  // while chunks of it are out, more would be
  return mapped != nullptr && run.states[node.value] == TaskState::kRunning && !mapped->todo.empty();
}

// ---------------------------------------------------------------- as the home of a name

void Partition::on(Time now, PauseWanted& in) {
  const auto refuse = [&](Error error) { effects_.replies.push_back({in.request, ErrorReply{std::move(error)}}); };
  const PauseName& what = in.pause.what;
  const Pause* known = pauses_.find(what);
  if (known == nullptr && in.paused && what.kind == PauseKind::kWorkflow) {
    const Result<const RegisteredWorkflow*> registered = registry_.find({what.tenant, what.name}, 0);
    if (!registered.ok()) return refuse(registered.error());
  }
  if ((known != nullptr) == in.paused) {
    Pause as_it_is = known != nullptr ? *known : Pause{what, {}, "", ""};
    return effects_.replies.push_back({in.request, PauseReply{std::move(as_it_is), in.paused, true}});
  }
  if (in.paused && pauses_decided().size() >= kPausesMax)
    return refuse(refused(Code::kRefused,
                          "pauses_full: " + std::to_string(kPausesMax) + " names are paused whose home is " +
                              "partition " + std::to_string(options_.partition.value),
                          "pauses_full"));
  Pause pause = in.paused ? std::move(in.pause) : *known;
  if (in.paused) pause.since = now;
  const PauseTold told{pause, in.paused};
  for (std::uint16_t to = 0; to < options_.partitions; ++to) {
    if (PartitionId{to} != options_.partition) post(PartitionId{to}, told);
  }
  heed(now, told);
  effects_.replies.push_back({in.request, PauseReply{std::move(pause), in.paused, false}});
}

std::vector<Pause> Partition::pauses_decided() const {
  std::vector<Pause> all = pauses_.list();
  std::erase_if(all, [&](const Pause& one) { return home_of(one.what, options_.partitions) != options_.partition; });
  return all;
}

// ---------------------------------------------------------------- everywhere

void Partition::take(Time now, LetterCame&, PauseTold& told) { heed(now, told); }

void Partition::heed(Time now, const PauseTold& told) {
  const PauseName& what = told.pause.what;
  if (told.paused) {
    effects_.pauses[what] = told.pause;
    pauses_.set(told.pause);
  } else {
    effects_.pauses[what] = std::nullopt;
    pauses_.lift(what);
  }
  count_mail();
  each_live([&](Run& run) {
    if (what.kind == PauseKind::kWorkflow && !concerns(what, run, {})) return;
    if (told.paused) hold_all(now, run);
    else let_all_go(now, run, what);
  });
}

// What is ready waits, and what a worker has not begun is asked back.
void Partition::hold_all(Time now, Run& run) {
  for (std::uint32_t task = 0; task < run.states.size() && run.count(TaskState::kReady) > 0; ++task) {
    if (run.states[task] == TaskState::kReady && !halted(run, TaskIndex{task}) && held_back(run, TaskIndex{task}))
      hold(run, TaskIndex{task});
  }
  std::vector<ReclaimWanted> unstarted;
  for (const auto& [task, attempt] : run.attempts) {
    const TaskIndex node = *run.plan->node_of(task);
    if (!attempt.cancelling && is_unstarted(run, task, attempt) && held_back(run, node))
      unstarted.push_back({attempt.worker.id, run.id(), task});
  }
  for (ReclaimWanted& wanted : unstarted) on(now, wanted);
}

// By the worklist: a run may have very many, and some start runs of their own.
void Partition::let_all_go(Time now, Run& run, const PauseName& what) {
  for (std::uint32_t i = 0; i < run.states.size() && run.count(TaskState::kWaiting) > 0; ++i) {
    const TaskIndex task{i};
    if (halted(run, task) || !concerns(what, run, task)) continue;
    if (is_held(run, task) || waits_for_place(run, task)) opened_.emplace_back(run.id(), task);
  }
  for (const auto& [node, mapped] : run.mapped) {
    const TaskState state = run.states[node.value];  // ready: it was restored in the pause, and is still adopted
    if (!concerns(what, run, node) || (state != TaskState::kRunning && state != TaskState::kReady)) continue;
    mapped->offers = 0;
    advance_items(now, run, *mapped);
  }
}

// It was held, or no worker could run it when it was offered last.
void Partition::offer_anew(Time now, Run& run, TaskIndex task) {
  if (held_back(run, task)) return;
  if (!let_go(run, task)) return offer(now, run, task);
  Mapped* mapped = mapped_at(run, task);
  if (mapped == nullptr) return begin_try(now, run, task);
  mapped->offers = 0;
  advance_items(now, run, *mapped);
}

}  // namespace millrace
