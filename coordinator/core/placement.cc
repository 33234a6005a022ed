#include "coordinator/core/placement.h"

#include <algorithm>
#include <tuple>

namespace millrace {
namespace {

std::uint32_t& of_class(CreditUpdate& credit, SlotClass slot_class) {
  return slot_class == SlotClass::kCpu ? credit.cpu : credit.io;
}
}  // namespace

bool Placement::Later::operator()(const Offer& a, const Offer& b) const {
  auto key = [](const Offer& o) { return std::tuple(o.priority, -to_us(o.age), o.rank, ~o.run.value, ~o.task.value); };
  return key(a) < key(b);
}

Result<WorkerRef> Placement::join(Time now, const WorkerHello& hello, std::optional<WorkerId>& replaced) {
  if (auto known = incarnations_.find(hello.incarnation); known != incarnations_.end()) {
    FleetWorker& worker = fleet_.at(known->second);
    worker.heard = now;
    worker.draining = worker.draining || hello.draining;
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
  if (auto it = fleet_.find(id); it != fleet_.end()) it->second.credit = credit;
}

void Placement::drain(WorkerId id) {
  if (auto it = fleet_.find(id); it != fleet_.end()) it->second.draining = true;
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
  auto [it, fresh] = needs_.try_emplace({offer.spec->executor, offer.slot_class});
  it->second.waiting.push(offer);
  if (fresh) refresh_able();
}

void Placement::taken(WorkerId id, SlotClass slot_class) {
  if (auto it = fleet_.find(id); it != fleet_.end()) ++of_class(it->second.used, slot_class);
}

void Placement::freed(WorkerId id, SlotClass slot_class) {
  auto it = fleet_.find(id);
  if (it == fleet_.end()) return;
  std::uint32_t& used = of_class(it->second.used, slot_class);
  if (used > 0) --used;
}

bool Placement::can(const FleetWorker& worker, const NeedKey& need) const {
  return std::ranges::find(worker.hello.executors, need.first) != worker.hello.executors.end();
}

void Placement::refresh_able() {
  for (auto& [key, need] : needs_) {
    need.able.clear();
    for (const auto& [id, worker] : fleet_) {
      if (can(worker, key)) need.able.push_back(id);
    }
  }
}

// The worker with the largest free share of its credit.
FleetWorker* Placement::choose(const Need& need, SlotClass slot_class) {
  FleetWorker* best = nullptr;
  double best_share = 0;
  for (WorkerId id : need.able) {
    FleetWorker& worker = fleet_.at(id);
    std::uint32_t credit = of_class(worker.credit, slot_class);
    std::uint32_t used = of_class(worker.used, slot_class);
    if (worker.draining || used >= credit) continue;
    double share = static_cast<double>(credit - used) / credit;
    if (share > best_share) {
      best = &worker;
      best_share = share;
    }
  }
  return best;
}

void Placement::place(std::vector<Grant>& grants) {
  while (true) {
    Need* first = nullptr;
    FleetWorker* worker = nullptr;
    for (auto& [key, need] : needs_) {
      if (need.waiting.empty()) continue;
      if (first != nullptr && !Later{}(first->waiting.top(), need.waiting.top())) continue;
      if (FleetWorker* able = choose(need, key.second)) {
        first = &need;
        worker = able;
      }
    }
    if (first == nullptr) return;
    Offer offer = first->waiting.top();
    first->waiting.pop();
    ++of_class(worker->used, offer.slot_class);
    grants.push_back({worker->ref, std::move(offer)});
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

std::vector<std::string> Placement::without_worker() const {
  std::vector<std::string> executors;
  for (const auto& [key, need] : needs_) {
    if (!need.waiting.empty() && need.able.empty()) executors.push_back(key.first);
  }
  return executors;
}

}  // namespace millrace
