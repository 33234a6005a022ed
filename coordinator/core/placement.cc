#include "coordinator/core/placement.h"

#include <algorithm>

namespace millrace {
namespace {

std::uint32_t& of_class(CreditUpdate& credit, SlotClass slot_class) {
  return slot_class == SlotClass::kCpu ? credit.cpu : credit.io;
}
}  // namespace

bool WaitingTask::operator<(const WaitingTask& other) const {
  if (priority != other.priority) return priority < other.priority;
  if (age != other.age) return age > other.age;
  if (rank != other.rank) return rank < other.rank;
  if (run != other.run) return run > other.run;
  return task > other.task;
}

Result<WorkerRef> Placement::join(Time now, const WorkerHello& hello, std::optional<WorkerId>& replaced) {
  if (auto known = incarnations_.find(hello.incarnation); known != incarnations_.end()) {
    FleetWorker& worker = fleet_.at(known->second);
    worker.heard = now;
    worker.draining = worker.draining || hello.draining;
    moved(worker);
    return worker.ref;
  }
  if (auto holder = names_.find(hello.name); holder != names_.end()) {
    const FleetWorker& other = fleet_.at(holder->second);
    if (now - other.heard < 3 * kBeatEvery) {
      return Error{Code::kRefused,
                   "worker id '" + hello.name + "' is in use by a worker on " + other.hello.host + " (pid " +
                       std::to_string(other.hello.pid) + "); give this one another --id",
                   {},
                   "id_in_use"};
    }
    replaced = other.ref.id;  // its attempts are the caller's to give up, with leave()
    incarnations_.erase(other.hello.incarnation);
  }
  FleetWorker worker;
  worker.ref = {WorkerId{++workers_made_}, std::make_shared<const std::string>(hello.name)};
  worker.hello = hello;
  worker.hello.held.clear();
  worker.joined = worker.heard = now;
  worker.draining = hello.draining;
  names_[hello.name] = worker.ref.id;
  incarnations_[hello.incarnation] = worker.ref.id;
  WorkerRef ref = worker.ref;
  fleet_.emplace(ref.id, std::move(worker));
  refresh_able();
  return ref;
}

void Placement::heard(Time now, WorkerId id) {
  if (auto it = fleet_.find(id); it != fleet_.end()) it->second.heard = now;
}

void Placement::credit(WorkerId id, const CreditUpdate& credit) {
  if (auto it = fleet_.find(id); it != fleet_.end()) {
    it->second.credit = credit;
    moved(it->second);
  }
}

void Placement::drain(WorkerId id) {
  if (auto it = fleet_.find(id); it != fleet_.end()) {
    it->second.draining = true;
    moved(it->second);
  }
}

void Placement::leave(WorkerId id) {
  auto it = fleet_.find(id);
  if (it == fleet_.end()) return;
  if (auto name = names_.find(it->second.hello.name); name != names_.end() && name->second == id) names_.erase(name);
  incarnations_.erase(it->second.hello.incarnation);
  fleet_.erase(it);
  refresh_able();
}

std::vector<WorkerId> Placement::silent(Time now) const {
  std::vector<WorkerId> lost;
  for (const auto& [id, worker] : fleet_) {
    if (now - worker.heard >= kWorkerLostAfter) lost.push_back(id);
  }
  return lost;
}

Time Placement::next_deadline() const {
  Time first = kNever;
  for (const auto& [id, worker] : fleet_) first = std::min(first, worker.heard + kWorkerLostAfter);
  return first;
}

void Placement::offer(const Offer& offer) {
  need_of(offer).waiting.push({offer.run, offer.age, offer.task, offer.priority, offer.rank});
}

Need& Placement::need_of(const Offer& offer) {
  if (need_latest_ != nullptr && spec_latest_ == offer.spec && need_latest_->slot_class == offer.slot_class)
    return *need_latest_;
  auto [it, fresh] = needs_.try_emplace({offer.spec->executor, offer.slot_class});
  if (fresh) {
    it->second.slot_class = offer.slot_class;
    refresh_able();
  }
  spec_latest_ = offer.spec;
  need_latest_ = &it->second;
  return it->second;
}

void Placement::taken(WorkerId id, SlotClass slot_class) {
  auto it = fleet_.find(id);
  if (it == fleet_.end()) return;
  ++of_class(it->second.used, slot_class);
  moved(it->second);
}

void Placement::freed(WorkerId id, SlotClass slot_class) {
  auto it = fleet_.find(id);
  if (it == fleet_.end()) return;
  std::uint32_t& used = of_class(it->second.used, slot_class);
  if (used > 0) --used;
  moved(it->second);
}

bool Placement::can(const FleetWorker& worker, const NeedKey& need) const {
  return std::ranges::find(worker.hello.executors, need.first) != worker.hello.executors.end();
}

// ---------------------------------------------------------------- who stands where

void Placement::refresh_able() {
  for (auto& [id, worker] : fleet_) {
    worker.needs.clear();
    moved(worker);
  }
  for (auto& [key, need] : needs_) {
    need.standings.clear();
    need.able = 0;
    for (auto& [id, worker] : fleet_) {
      if (!can(worker, key)) continue;
      ++need.able;
      worker.needs.push_back(&need);
    }
  }
}

void Placement::moved(FleetWorker& worker) {
  if (worker.moved) return;
  worker.moved = true;
  moved_.push_back(worker.ref.id);
}

void Placement::settle() {
  for (WorkerId id : moved_) {
    auto it = fleet_.find(id);
    if (it != fleet_.end()) stand(it->second);
  }
  moved_.clear();
}

void Placement::stand(FleetWorker& worker) {
  worker.moved = false;
  ++worker.stamp;
  for (Need* need : worker.needs) rank(worker, *need);
}

void Placement::rank(FleetWorker& worker, Need& need) {
  const std::uint32_t credit = of_class(worker.credit, need.slot_class);
  const std::uint32_t used = of_class(worker.used, need.slot_class);
  if (worker.draining || used >= credit) return;
  if (need.standings.size() > 64 + 4 * need.able) {  // mostly entries that no longer count
    std::erase_if(need.standings, [&](const Standing& s) {
      auto it = fleet_.find(s.worker);
      return it == fleet_.end() || it->second.stamp != s.stamp;
    });
    std::make_heap(need.standings.begin(), need.standings.end());
  }
  need.standings.push_back({static_cast<double>(credit - used) / credit, worker.ref.id, worker.stamp});
  std::push_heap(need.standings.begin(), need.standings.end());
}

// The worker with the largest free share of its credit.
FleetWorker* Placement::choose(Need& need) {
  while (!need.standings.empty()) {
    const Standing& best = need.standings.front();
    auto it = fleet_.find(best.worker);
    if (it != fleet_.end() && it->second.stamp == best.stamp) return &it->second;
    std::pop_heap(need.standings.begin(), need.standings.end());
    need.standings.pop_back();
  }
  return nullptr;
}

void Placement::place(std::vector<Grant>& grants) {
  settle();
  while (true) {
    Need* first = nullptr;
    FleetWorker* worker = nullptr;
    for (auto& [key, need] : needs_) {
      if (need.waiting.empty()) continue;
      if (first != nullptr && !(first->waiting.top() < need.waiting.top())) continue;
      if (FleetWorker* able = choose(need)) {
        first = &need;
        worker = able;
      }
    }
    if (first == nullptr) return;
    const WaitingTask task = first->waiting.top();
    first->waiting.pop();
    ++of_class(worker->used, first->slot_class);
    stand(*worker);
    grants.push_back({worker->ref, task.run, task.task, first->slot_class});
  }
}

const FleetWorker* Placement::find(WorkerId id) const {
  auto it = fleet_.find(id);
  return it == fleet_.end() ? nullptr : &it->second;
}

std::optional<WorkerId> Placement::find_name(const std::string& name) const {
  auto it = names_.find(name);
  if (it == names_.end()) return std::nullopt;
  return it->second;
}

std::optional<WorkerId> Placement::find_incarnation(std::uint64_t incarnation) const {
  auto it = incarnations_.find(incarnation);
  if (it == incarnations_.end()) return std::nullopt;
  return it->second;
}

std::vector<WorkerView> Placement::view(Time now) const {
  std::vector<WorkerView> rows;
  for (const auto& [id, worker] : fleet_) {
    const WorkerHello& hello = worker.hello;
    const char* state = now - worker.heard >= 3 * kBeatEvery ? "silent" : worker.draining ? "draining" : "ready";
    rows.push_back({hello.name, hello.host, hello.pid, hello.version, state, hello.slots,
                    worker.used.cpu + worker.used.io, hello.labels, hello.executors, worker.joined, worker.heard});
  }
  return rows;
}

std::size_t Placement::offers() const {
  std::size_t sum = 0;
  for (const auto& [key, need] : needs_) sum += need.waiting.size();
  return sum;
}

std::size_t Placement::demand() const {
  std::size_t sum = offers();
  for (const auto& [id, worker] : fleet_) sum += worker.used.cpu + worker.used.io;
  return sum;
}

std::vector<std::string> Placement::without_worker() const {
  std::vector<std::string> executors;
  for (const auto& [key, need] : needs_) {
    if (!need.waiting.empty() && need.able == 0) executors.push_back(key.first);
  }
  return executors;
}

}  // namespace millrace
