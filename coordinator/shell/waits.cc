// Loop: tasks that wait: those that no worker could run, those that wait at one worker while another is idle; and what
// operators are told of it.
#include <algorithm>
#include <map>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::size_t kUnplaceableAtOnce = 256;

}  // namespace

bool Loop::State::look_at_placement(Time now) {
  bool stepped = false;
  if (placement.has_reports(now) && room_in_turn()) {
    std::vector<TaskUnplaceable> reports;
    placement.report(now, kUnplaceableAtOnce, reports);
    for (TaskUnplaceable& report : reports) {
      Share* share = share_of(report.run);
      if (share == nullptr || !share->ours()) continue;
      if (!share->open()) {
        share->postponed.emplace_back(report.run, report.task);  // if it is kept, it is offered and told again
        continue;
      }
      share->core->step(now, std::move(report));
      stepped = true;
    }
    placement.purge([this](RunId run, TaskIndex task) {
      const Share* share = share_of(run);
      return share != nullptr && share->ours() && share->core->wants_place(run, task);
    });
  }
  if (now < stealing.at || stopping) return stepped;
  std::vector<const Partition*> serving;
  for (const Share* share : cores) {
    if (share->serving()) serving.push_back(share->core.get());
  }
  for (const ReclaimWanted& wanted : stealing.choose(now, placement, serving)) {
    meter.asked_back();
    share_of(wanted.run)->core->step(now, wanted);
    stepped = true;
  }
  return stepped;
}

// A ready task is ready for everybody who looks at its run; what it waits for only the placement knows.
void Loop::State::explain_waits(RunView& view, const Run& run, const Share& share) const {
  std::map<const Requirements*, std::pair<WaitReason, std::string>> known;
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i) {
    const TaskIndex task{i};
    NodeView& node = view.nodes[i];
    if (share.core->is_kept_waiting(run, task)) {
      const Pause* pause = share.core->pause_of(run, task);
      node.wait_reason = WaitReason::kPaused;
      node.wait_text = pause != nullptr ? describe(*pause) : "the run is paused";
      if (pause != nullptr && std::ranges::find(view.pauses, pause->what, &Pause::what) == view.pauses.end())
        view.pauses.push_back(*pause);
      continue;
    }
    if (node.state == TaskState::kRunning || !share.core->wants_place(run.id(), task)) continue;
    if (share.adopting && run.restored) {
      node.wait_reason = WaitReason::kAdoption;
      continue;
    }
    const Requirements& needs = *run.plan->needs(task);
    auto [it, fresh] = known.try_emplace(&needs);
    if (fresh) {
      const WaitReason reason = placement.waits_for(needs);
      it->second.first = reason;
      if (reason == WaitReason::kLabel || reason == WaitReason::kNoWorker) it->second.second = placement.explain(needs);
      if (reason == WaitReason::kResource)
        it->second.second = "the workers that could run it have too little left: it requires " + describe(needs);
    }
    node.wait_reason = it->second.first;
    node.wait_text = it->second.second;
  }
}

}  // namespace millrace
