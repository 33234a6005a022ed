// Placement: the fleet: who is there, what they may take, which needs they are able to serve.
#include "coordinator/core/placement.h"
#include "common/base/hash.h"

#include <algorithm>
#include <cassert>

namespace millrace {
namespace {

constexpr std::size_t kNeedsMax = 1'024;  // then those without a task are dropped
constexpr std::size_t kSeenMax = 4'096;
constexpr std::uint32_t kNoResource = 0xFFFFFFFF;  // no worker has had it

std::uint32_t& of_class(CreditUpdate& credit, SlotClass slot_class) {
  return slot_class == SlotClass::kCpu ? credit.cpu : credit.io;
}

std::vector<std::uint32_t> serials_of(const std::vector<Need*>& needs) {
  std::vector<std::uint32_t> serials;
  serials.reserve(needs.size());
  for (const Need* need : needs) serials.push_back(need->serial);
  return serials;
}

}  // namespace

Result<WorkerRef> Placement::join(Time now, const WorkerHello& hello, std::optional<WorkerId>& replaced) {
  if (const auto known = roll_.find(hello.incarnation)) {
    FleetWorker& worker = *by_place_[*known];
    worker.draining = worker.draining || hello.draining;
    heard(now, worker.ref.id);
    moved(worker);
    return worker.ref;
  }
  if (auto holder = names_.find(hello.name); holder != names_.end()) {
    const FleetWorker& other = fleet_.at(holder->second);
    if (now - said_of(other).heard < 3 * kBeatEvery) {
      return Error{Code::kRefused,
                   "worker id '" + hello.name + "' is in use by a worker on " + other.hello.host + " (pid " +
                       std::to_string(other.hello.pid) + "); give this one another --id",
                   {},
                   "id_in_use"};
    }
    replaced = other.ref.id;  // its attempts are the caller's to give up, with leave()
    roll_.hide(other.place, other.hello.incarnation);
  }
  FleetWorker worker;
  worker.ref = {WorkerId{++workers_made_}, std::make_shared<const std::string>(hello.name)};
  worker.hello = hello;
  worker.hello.held.clear();
  worker.joined = now;
  worker.place = roll_.add(worker.ref.id, hello.incarnation, now);
  worker.draining = hello.draining;
  worker.turn = salt_ == 0 ? 0 : hash64(hello.name, salt_);
  names_[hello.name] = worker.ref.id;
  remembered_.erase(hello.name);
  number_resources(worker);
  slots_.cpu += hello.slots;
  slots_.io += hello.io_slots;
  WorkerRef ref = worker.ref;
  FleetWorker& kept = fleet_.emplace(ref.id, std::move(worker)).first->second;
  if (by_place_.size() <= kept.place) by_place_.resize(kept.place + 1);
  by_place_[kept.place] = &kept;
  places_by_worker_.put(ref.id.value, kept.place);
  watch_at_ = std::min(watch_at_, now + kDoubtAfter);
  judge_again_ = true;
  regroup(kept);
  return ref;
}

FleetWorker* Placement::at(WorkerId id) const {
  const auto place = places_by_worker_.find(id.value);
  return place ? by_place_[*place] : nullptr;
}

void Placement::speaks(Time now, Roll::Line& line) {
  line.heard = now;
  if (!std::exchange(line.doubted, false)) return;
  watch_at_ = std::min(watch_at_, now + kDoubtAfter);
  moved(*at(line.worker));
}

void Placement::heard(Time now, WorkerId id) {
  if (const auto place = places_by_worker_.find(id.value)) speaks(now, roll_.at(*place));
}

// With a large fleet this is most of what is called, nearly always by workers with nothing to do: then the line tells
// all there is to know.
bool Placement::beat(Time now, const WorkerBeat& beat, bool alone) {
  const auto place = roll_.find(beat.incarnation);
  if (!place) return false;
  Roll::Line& line = roll_.at(*place);
  speaks(now, line);
  line.running = beat.running;
  line.queued = beat.queued;
  const std::uint32_t all = beat.running + beat.queued;
  if (all == 0 && line.others == 0) return true;
  FleetWorker& worker = *by_place_[*place];
  const std::uint32_t ours = worker.used.cpu + worker.used.io;
  const std::uint32_t others = !alone && all > ours ? all - ours : 0;
  if (std::exchange(line.others, others) != others) moved(worker, SlotClass::kCpu);
  return true;
}

void Placement::credit(WorkerId id, const CreditUpdate& credit) {
  if (FleetWorker* worker = at(id)) {
    worker->credit = credit;
    moved(*worker);
  }
}

void Placement::drain(WorkerId id) {
  if (FleetWorker* worker = at(id)) {
    worker->draining = true;
    moved(*worker);
  }
}

void Placement::leave(WorkerId id, Time now) {
  auto it = fleet_.find(id);
  if (it == fleet_.end()) return;
  FleetWorker& worker = it->second;
  remember(worker.hello.name, {worker.hello, std::max(now, said_of(worker).heard) + kRememberFor});
  for (auto& [what, need] : needs_) {
    if (need.kept == id) keep_no_more(need);
  }
  ungroup(worker);
  if (auto name = names_.find(worker.hello.name); name != names_.end() && name->second == id) names_.erase(name);
  roll_.take_off(worker.place, worker.hello.incarnation);
  by_place_[worker.place] = nullptr;
  places_by_worker_.erase(id.value);
  busy_.erase(id);
  out_ -= std::size_t{worker.used.cpu} + worker.used.io;
  slots_.cpu -= worker.hello.slots;
  slots_.io -= worker.hello.io_slots;
  fleet_.erase(it);
  judge_again_ = true;
}

void Placement::expect(const std::string& name, Time now) {
  if (!names_.contains(name) && !remembered_.contains(name)) remember(name, {{}, now + kExpectFor});
}

std::vector<WorkerId> Placement::watch(Time now) {
  std::vector<WorkerId> lost;
  if (now < watch_at_) return lost;
  watch_at_ = kNever;
  for (Roll::Line& line : roll_.lines()) {
    if (line.worker == WorkerId{}) continue;
    if (now - line.heard >= kWorkerLostAfter) lost.push_back(line.worker);
    if (!line.doubted && now - line.heard >= kDoubtAfter) {
      line.doubted = true;
      moved(*at(line.worker));
    }
    watch_at_ = std::min(watch_at_, line.heard + (line.doubted ? kWorkerLostAfter : kDoubtAfter));
  }
  std::ranges::sort(lost);
  return lost;
}

void Placement::offer(Offer offer) {
  Need& need = need_of(offer.needs);
  if (offer.hints != nullptr) need.hints[{offer.run, offer.task}] = std::move(offer.hints);
  if (need.unplaceable) need.untold.push_back({offer.run, offer.task});
  if (!need.listed) {
    need.listed = true;
    if (need.awake) --awake_idle_;
    listed_.push_back(&need);
  }
  need.waiting.push_back({offer.run, offer.age, offer.task, offer.priority, offer.rank});
  std::push_heap(need.waiting.begin(), need.waiting.end());
}

void Placement::use(FleetWorker& worker, SlotClass slot_class) {
  ++of_class(worker.used, slot_class);
  ++out_;
  if (slot_class == SlotClass::kCpu && worker.used.cpu == 1) busy_.insert(worker.ref.id);
}

void Placement::unuse(FleetWorker& worker, SlotClass slot_class) {
  std::uint32_t& used = of_class(worker.used, slot_class);
  if (used == 0) return;
  --used;
  --out_;
  if (slot_class == SlotClass::kCpu && used == 0) busy_.erase(worker.ref.id);
}

void Placement::taken(WorkerId id, SlotClass slot_class, const Requirements* needs) {
  FleetWorker* worker = at(id);
  if (worker == nullptr) return;
  use(*worker, slot_class);
  moved(*worker, slot_class);
  if (needs != nullptr) take(*worker, need_of(*needs));
}

void Placement::freed(WorkerId id, SlotClass slot_class, const Requirements* needs) {
  FleetWorker* worker = at(id);
  if (worker == nullptr) return;
  unuse(*worker, slot_class);
  moved(*worker, slot_class);
  if (needs != nullptr) give(*worker, need_of(*needs));
}

void Placement::change(const SlotChange& slot) {
  if (slot.taken) taken(slot.worker, slot.slot_class, slot.needs);
  else freed(slot.worker, slot.slot_class, slot.needs);
}

bool Placement::has_room(const FleetWorker& worker, SlotClass slot_class) const {
  if (worker.draining || said_of(worker).doubted) return false;
  return slot_class == SlotClass::kCpu ? worker.used.cpu < worker.credit.cpu : worker.used.io < worker.credit.io;
}

// ---------------------------------------------------------------- who is able

// Resources have numbers once a worker has them.
void Placement::number_resources(FleetWorker& worker) {
  bool news = false;
  for (const Resource& one : worker.hello.resources) {
    const auto [it, fresh] = resources_.try_emplace(one.name, static_cast<std::uint32_t>(resources_.size()));
    news |= fresh;
    if (worker.has.size() <= it->second) worker.has.resize(it->second + 1);
    worker.has[it->second] = one.amount;
  }
  worker.taken.resize(worker.has.size());
  if (!news) return;
  for (auto& [what, need] : needs_) number_amounts(need);
}

void Placement::number_amounts(Need& need) {
  need.amounts.clear();
  for (const Resource& one : need.what->resources) {
    auto it = resources_.find(one.name);
    need.amounts.emplace_back(it != resources_.end() ? it->second : kNoResource, one.amount);
  }
}

void Placement::take(FleetWorker& worker, const Need& need) {
  for (const auto& [number, amount] : need.amounts) {
    if (number < worker.taken.size()) worker.taken[number] += amount;
  }
  worker.fits_moved = true;
  moved(worker, need.what->slot_class);
}

void Placement::give(FleetWorker& worker, const Need& need) {
  for (const auto& [number, amount] : need.amounts) {
    if (number < worker.taken.size()) worker.taken[number] -= std::min(worker.taken[number], amount);
  }
  worker.fits_moved = true;
  moved(worker, need.what->slot_class);
}

Need& Placement::need_of(const std::shared_ptr<const Requirements>& needs) {
  if (latest_ == needs) return *need_latest_;
  latest_ = needs;
  if (auto it = seen_.find(needs.get()); it != seen_.end()) {
    need_latest_ = it->second.second;
    return *need_latest_;
  }
  auto it = needs_.find(*needs);
  need_latest_ = it != needs_.end() ? &it->second : &make_need(needs);
  if (seen_.size() >= kSeenMax) seen_.clear();
  seen_.emplace(needs.get(), std::pair(needs, need_latest_));
  return *need_latest_;
}

Need& Placement::need_of(const Requirements& needs) {
  if (auto it = seen_.find(&needs); it != seen_.end()) return *it->second.second;
  auto it = needs_.find(needs);
  return it != needs_.end() ? it->second : make_need(std::make_shared<const Requirements>(needs));
}

Need& Placement::make_need(const std::shared_ptr<const Requirements>& needs) {
  if (needs_.size() >= kNeedsMax) drop_idle_needs();
  Need& need = needs_[*needs];
  need.serial = ++needs_made_;
  need.what = needs;
  number_amounts(need);
  std::map<WorkerGroup*, std::vector<FleetWorker*>> more;  // its order reaches nothing
  for (auto& [id, worker] : fleet_) {
    if (able(*needs, worker.hello)) more[worker.group].push_back(&worker);
  }
  for (const auto& [group, workers] : more) {
    if (workers.size() == group->workers) {
      extend(*group, need);
      continue;
    }
    std::vector<Need*> serves = group->needs;
    serves.push_back(&need);
    for (FleetWorker* worker : workers) regroup(*worker, serves);
  }
  judge_again_ = true;
  return need;
}

void Placement::drop_idle_needs() {
  seen_.clear();
  std::erase_if(listed_, [](Need* need) {
    if (!need->waiting.empty()) return false;
    need->listed = false;
    return true;
  });
  for (auto& [what, need] : needs_) keep_no_more(need);
  for (auto& [id, worker] : fleet_) ungroup(worker);
  std::erase_if(needs_, [](const auto& entry) { return !entry.second.listed; });
  awake_idle_ = 0;
  for (auto& [what, need] : needs_) {
    need.awake = false;
    need.fitting.clear();
  }
  for (auto& [id, worker] : fleet_) regroup(worker);
}

void Placement::ungroup(FleetWorker& worker) {
  WorkerGroup* group = std::exchange(worker.group, nullptr);
  if (group == nullptr) return;
  for (Need* need : group->needs) --need->able;
  if (--group->workers > 0) return;
  for (Need* need : group->needs) std::erase(need->groups, group);
  groups_.erase(serials_of(group->needs));
}

// All its workers are able to serve one more.
void Placement::extend(WorkerGroup& group, Need& need) {
  auto entry = groups_.extract(serials_of(group.needs));
  entry.key().push_back(need.serial);
  groups_.insert(std::move(entry));
  group.needs.push_back(&need);
  if (!need.amounts.empty()) group.metered.push_back(&need);
  need.groups.push_back(&group);
  need.able += group.workers;
}

void Placement::regroup(FleetWorker& worker) {
  std::vector<Need*> needs;
  for (auto& [what, need] : needs_) {
    if (able(what, worker.hello)) needs.push_back(&need);
  }
  std::ranges::sort(needs, {}, &Need::serial);
  regroup(worker, needs);
}

void Placement::regroup(FleetWorker& worker, const std::vector<Need*>& needs) {
  const std::vector<std::uint32_t> serials = serials_of(needs);
  ungroup(worker);
  WorkerGroup& group = groups_[serials];
  if (group.workers++ == 0) {
    group.needs = needs;
    for (Need* need : needs) {
      need->groups.push_back(&group);
      if (!need->amounts.empty()) group.metered.push_back(need);
    }
  }
  for (Need* need : needs) ++need->able;
  worker.group = &group;
  worker.fits_moved = true;
  moved(worker);
}

void Placement::moved(FleetWorker& worker, SlotClass slot_class) {
  if (!worker.moved[0] && !worker.moved[1]) moved_.push_back(worker.ref.id);
  worker.moved[static_cast<std::size_t>(slot_class)] = true;
}

void Placement::moved(FleetWorker& worker) {
  moved(worker, SlotClass::kCpu);
  moved(worker, SlotClass::kIo);
}

// ---------------------------------------------------------------- looking

const FleetWorker* Placement::find(WorkerId id) const { return at(id); }

std::optional<WorkerId> Placement::find_name(const std::string& name) const {
  auto it = names_.find(name);
  if (it == names_.end()) return std::nullopt;
  return it->second;
}

std::optional<WorkerId> Placement::find_incarnation(std::uint64_t incarnation) const {
  const auto place = roll_.find(incarnation);
  if (!place) return std::nullopt;
  return roll_.at(*place).worker;
}

std::size_t Placement::offers() const {
  std::size_t sum = 0;
  for (const auto& [what, need] : needs_) sum += need.waiting.size();
  return sum;
}

}  // namespace millrace
