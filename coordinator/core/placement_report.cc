// Placement: what is told of it: tasks that no worker could run and why, the load of workers, rows for operators.
#include <algorithm>
#include <utility>

#include "coordinator/core/placement.h"

namespace millrace {
namespace {

constexpr std::size_t kNearestShown = 3;

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? std::string() : std::string(between)) + word;
  return out;
}

}  // namespace

// ---------------------------------------------------------------- tasks that no worker could run

void Placement::remember(const std::string& name, Remembered remembered) {
  if (remembered_.size() >= kRememberedMax && !remembered_.contains(name)) {
    remembered_.erase(std::ranges::min_element(remembered_, {}, [](const auto& entry) { return entry.second.until; }));
  }
  forget_at_ = std::min(forget_at_, remembered.until);
  remembered_[name] = std::move(remembered);
}

bool Placement::could(const Requirements& needs, const Remembered& remembered) {
  return remembered.hello.name.empty() || able(needs, remembered.hello);
}

// After the fleet has changed: which needs nobody is able to serve. Those that wait are told then, each once.
void Placement::judge_needs(Time now) {
  if (now >= forget_at_) {
    forget_at_ = kNever;
    judge_again_ |= std::erase_if(remembered_, [&](const auto& one) { return one.second.until <= now; }) > 0;
    for (const auto& [name, one] : remembered_) forget_at_ = std::min(forget_at_, one.until);
  }
  if (!judge_again_ || now < judging_.from || (judging_.fixed_fleet && fleet_.empty())) return;
  judge_again_ = false;
  for (auto& [what, need] : needs_) {
    const Requirements& asked = *need.what;  // clang 14 captures no structured binding
    const auto may = [&](const auto& entry) { return could(asked, entry.second); };
    const bool nobody = need.able == 0 && std::ranges::none_of(remembered_, may);
    if (nobody) need.reason = waits_for(*need.what) == WaitReason::kLabel ? Reason::kLabel : Reason::kNoWorker;
    if (nobody == std::exchange(need.unplaceable, nobody)) continue;
    need.untold.clear();
    need.told.clear();
    if (!nobody) continue;
    for (const WaitingTask& task : need.waiting) need.untold.push_back({task.run, task.task});
  }
}

bool Placement::has_reports(Time now) const {
  if (now < judging_.from || (judging_.fixed_fleet && fleet_.empty())) return false;
  return judge_again_ || now >= forget_at_ || std::ranges::any_of(listed_, [&](const Need* need) {
           return !need->untold.empty() || (!need->told.empty() && need->told.front().first <= now);
         });
}

void Placement::report(Time now, std::size_t most, std::vector<TaskUnplaceable>& out) {
  judge_needs(now);
  for (Need* need : listed_) {
    if (!need->unplaceable) continue;
    std::string why;
    for (; !need->untold.empty() && out.size() < most; need->untold.pop_front()) {
      const auto [run, task] = need->untold.front();
      const bool at_once = judging_.fails_after && *judging_.fails_after == Duration::zero();
      if (at_once && why.empty()) why = explain(*need->what);
      out.push_back({run, task, need->reason, at_once, why});
      if (judging_.fails_after && !at_once) need->told.push_back({now + *judging_.fails_after, {run, task}});
    }
    for (; !need->told.empty() && need->told.front().first <= now && out.size() < most; need->told.pop_front()) {
      const auto [run, task] = need->told.front().second;
      if (why.empty()) why = explain(*need->what);
      out.push_back({run, task, need->reason, true, why});
    }
  }
}

void Placement::purge(const std::function<bool(RunId, TaskIndex)>& wanted) {
  for (Need* need : listed_) {
    if (!need->unplaceable || need->waiting.size() < need->purge_at) continue;
    std::erase_if(need->waiting, [&](const WaitingTask& task) { return !wanted(task.run, task.task); });
    std::make_heap(need->waiting.begin(), need->waiting.end());
    std::erase_if(need->hints, [&](const auto& entry) { return !wanted(entry.first.first, entry.first.second); });
    need->purge_at = std::max<std::size_t>(1'024, 2 * need->waiting.size());
  }
}

Time Placement::next_deadline() const {
  Time next = std::min(watch_at_, listed_.empty() ? kNever : forget_at_);
  if (judging_.fixed_fleet && fleet_.empty()) return next;
  for (const Need* need : listed_) {
    if (judge_again_ || !need->untold.empty()) next = std::min(next, judging_.from);
    if (!need->told.empty()) next = std::min(next, need->told.front().first);
  }
  return next;
}

const Need* Placement::known(const Requirements& needs) const {
  auto it = needs_.find(needs);
  return it == needs_.end() ? nullptr : &it->second;
}

WaitReason Placement::waits_for(const Requirements& needs) const {
  bool some = false;
  bool labels_only = false;
  for (const auto& [id, worker] : fleet_) {
    if (able(needs, worker.hello)) {
      some = true;
      if (has_free(worker, needs)) return WaitReason::kSlot;
    } else {
      labels_only |= lacks_only_labels(needs, worker.hello);
    }
  }
  if (some) return WaitReason::kResource;
  return labels_only ? WaitReason::kLabel : WaitReason::kNoWorker;
}

std::string Placement::explain(const Requirements& needs) const {
  std::string text = "no worker can run it: it requires " + describe(needs);
  for (const auto& [name, one] : remembered_) {
    if (could(needs, one)) {
      return text + "; worker " + name +
             (one.hello.name.empty() ? ", which was here before, has not come back" : ", which left, could");
    }
  }
  if (fleet_.empty()) return text + "; there is no worker";
  std::vector<std::pair<std::size_t, std::string>> lacks;  // the nearest first
  for (const auto& [id, worker] : fleet_) {
    const std::vector<std::string> missing = lacking(needs, worker.hello);
    lacks.emplace_back(missing.size(), *worker.ref.name + " lacks " + joined(missing, " and "));
  }
  std::ranges::stable_sort(lacks, {}, &std::pair<std::size_t, std::string>::first);
  const std::size_t shown = std::min(lacks.size(), kNearestShown);
  for (std::size_t i = 0; i < shown; ++i) text += "; worker " + lacks[i].second;
  if (lacks.size() > shown) text += "; " + std::to_string(lacks.size() - shown) + " others lack as much or more";
  return text;
}

std::size_t Placement::unplaceable() const {
  std::size_t sum = 0;
  for (const Need* need : listed_) sum += need->able == 0 ? need->waiting.size() : 0;
  return sum;
}

// ---------------------------------------------------------------- load

bool Placement::has_free(const FleetWorker& worker, const Requirements& needs) const {
  if (!able(needs, worker.hello)) return false;
  const Need* need = known(needs);
  return need == nullptr || fits(worker, *need);
}

std::uint32_t Placement::idle(const FleetWorker& worker) const {
  if (worker.draining || said_of(worker).doubted || worker.used.cpu >= worker.credit.cpu) return 0;
  const std::uint64_t busy = std::uint64_t{worker.used.cpu} + said_of(worker).others;
  return busy < worker.hello.slots ? static_cast<std::uint32_t>(worker.hello.slots - busy) : 0;
}

std::uint32_t Placement::surplus(const FleetWorker& worker) const {
  const std::uint64_t busy = std::uint64_t{worker.used.cpu} + said_of(worker).others;
  if (busy <= worker.hello.slots) return 0;
  return std::min(worker.used.cpu, static_cast<std::uint32_t>(busy - worker.hello.slots));
}

std::vector<WorkerView> Placement::view(Time now) const {
  std::vector<WorkerView> rows;
  for (const auto& [id, worker] : fleet_) {
    const WorkerHello& hello = worker.hello;
    const Roll::Line& said = said_of(worker);
    WorkerView& row = rows.emplace_back();
    row.name = hello.name;
    row.host = hello.host;
    row.pid = hello.pid;
    row.version = hello.version;
    row.state = now - said.heard >= 3 * kBeatEvery ? "silent" : worker.draining ? "draining" : "ready";
    row.slots = hello.slots;
    row.used = worker.used.cpu + worker.used.io;
    row.labels = hello.labels;
    row.executors = hello.executors;
    row.joined = worker.joined;
    row.heard = said.heard;
    row.running = said.running;
    row.queued = said.queued;
    row.queues = hello.queues;
    row.resources = hello.resources;
    for (const Resource& one : hello.resources) {
      const std::uint32_t number = resources_.at(one.name);
      row.taken.push_back({one.name, worker.taken[number]});
    }
  }
  return rows;
}

}  // namespace millrace
