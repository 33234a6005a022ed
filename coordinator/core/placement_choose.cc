// Placement: who stands where, and which ready task goes to whom.
#include <algorithm>
#include <cassert>

#include "coordinator/core/placement.h"

namespace millrace {
namespace {

constexpr std::size_t kAwakeIdleMax = 16;    // needs with resources that are kept up to date though nothing waits
constexpr std::uint32_t kStarvedAfter = 64;  // rounds in which a task was passed over
constexpr std::size_t kPassedOverMax = 16;   // workers that a wish would rather not have: then it is given up

std::uint32_t of_class(const CreditUpdate& credit, SlotClass slot_class) {
  return slot_class == SlotClass::kCpu ? credit.cpu : credit.io;
}

std::size_t index(SlotClass slot_class) { return static_cast<std::size_t>(slot_class); }

void push(std::vector<Standing>& heap, Standing standing) {
  heap.push_back(standing);
  std::push_heap(heap.begin(), heap.end());
}

Standing pop(std::vector<Standing>& heap) {
  std::pop_heap(heap.begin(), heap.end());
  const Standing top = heap.back();
  heap.pop_back();
  return top;
}

bool goes_after(const Need* a, const Need* b) { return a->waiting.front() < b->waiting.front(); }

}  // namespace

// ---------------------------------------------------------------- who stands where

// An idle slot is worth more than any place in a queue.
double Placement::share(const FleetWorker& worker, SlotClass slot_class) const {
  const std::uint32_t credit = of_class(worker.credit, slot_class);
  const std::uint32_t used = of_class(worker.used, slot_class);
  const bool cpu = slot_class == SlotClass::kCpu;
  const std::uint32_t slots = cpu ? worker.hello.slots : worker.hello.io_slots;
  const std::uint32_t busy = used + (cpu ? said_of(worker).others : 0);
  if (busy < slots) return 1.0 + static_cast<double>(std::min(slots - busy, credit - used)) / std::min(slots, credit);
  return static_cast<double>(credit - used) / credit;
}

void Placement::settle() {
  for (WorkerId id : moved_) {
    FleetWorker* worker = at(id);
    if (worker == nullptr) continue;
    for (const SlotClass slot_class : {SlotClass::kCpu, SlotClass::kIo}) {
      if (worker->moved[index(slot_class)]) stand(*worker, slot_class);
    }
  }
  moved_.clear();
}

void Placement::stand(FleetWorker& worker, SlotClass slot_class) {
  const std::size_t i = index(slot_class);
  worker.moved[i] = false;
  const std::uint64_t stamp = ++worker.stamps[i];
  WorkerGroup& group = *worker.group;
  const bool room = has_room(worker, slot_class);
  const double share_now = room ? share(worker, slot_class) : 0;
  const std::uint8_t level = room ? (share_now > 1 ? 2 : 1) : 0;
  const bool more = level > std::exchange(worker.level[i], level);
  if (!group.metered.empty() && (worker.fits_moved || more)) stand_fitting(worker);
  if (!room) return;
  std::vector<Standing>& heap = group.standings[i];
  if (heap.size() > 64 + 4 * group.workers) {  // mostly entries that no longer count
    std::erase_if(heap, [&](const Standing& s) {
      const FleetWorker* stood = at(s.worker);
      return stood == nullptr || stood->stamps[i] != s.stamp;
    });
    std::make_heap(heap.begin(), heap.end());
  }
  push(heap, {share_now, worker.ref.id, stamp, worker.turn});
}

bool Placement::fits(const FleetWorker& worker, const Need& need) const {
  return std::ranges::all_of(need.amounts, [&](const auto& wanted) {
    const auto& [number, amount] = wanted;
    return number < worker.has.size() && worker.taken[number] <= worker.has[number] &&
           amount <= worker.has[number] - worker.taken[number];
  });
}

void Placement::stand_fitting(FleetWorker& worker) {
  worker.fits_moved = false;
  ++worker.fits_stamp;
  for (Need* need : worker.group->metered) {
    if (need->awake) stand_fitting(worker, *need);
  }
}

// Where it stands among those that have a need's resources free: with an idle slot first, then by the resource of which
// it has the smallest share left.
void Placement::stand_fitting(FleetWorker& worker, Need& need) {
  if (!fits(worker, need)) return;
  if (need.fitting.size() > 64 + 4 * need.able) {
    std::erase_if(need.fitting, [&](const Standing& s) {
      const FleetWorker* stood = at(s.worker);
      return stood == nullptr || stood->fits_stamp != s.stamp;
    });
    std::make_heap(need.fitting.begin(), need.fitting.end());
  }
  double least = 1;
  for (const auto& [number, amount] : need.amounts) {
    const auto has = static_cast<double>(worker.has[number]);
    least = std::min(least, (has - static_cast<double>(worker.taken[number])) / has);
  }
  const bool idle_slot = worker.level[index(need.what->slot_class)] > 1;
  push(need.fitting, {(idle_slot ? 1.0 : 0.0) + least, worker.ref.id, worker.fits_stamp, worker.turn});
}

// A need with resources is kept up to date while tasks wait, and a while longer: waking costs a look at every worker.
void Placement::wake(Need& need) {
  need.awake = true;
  need.fitting.clear();
  for (auto& [id, worker] : fleet_) {
    if (std::ranges::find(need.groups, worker.group) != need.groups.end()) stand_fitting(worker, need);
  }
}

void Placement::rest(Need& need) {
  keep_no_more(need);
  if (!need.awake || ++awake_idle_ <= kAwakeIdleMax) return;
  --awake_idle_;
  need.awake = false;
  need.fitting.clear();
}

// ---------------------------------------------------------------- which worker

bool Placement::kept_from(const FleetWorker& worker, const Need& need) const {
  const Need* other = worker.kept_for;
  if (other == nullptr || other == &need || other->waiting.empty()) return false;
  if (other->waiting.front() < need.waiting.front()) return false;  // this one comes first all the same
  return std::ranges::any_of(need.amounts, [&](const auto& wanted) {
    return std::ranges::find(other->amounts, wanted.first, &std::pair<std::uint32_t, std::uint64_t>::first) !=
           other->amounts.end();
  });
}

// The first of a heap that still counts; the others before it are dropped.
FleetWorker* Placement::best_of(std::vector<Standing>& heap, const Need& need) {
  const bool metered = !need.amounts.empty();
  const SlotClass slot_class = need.what->slot_class;
  while (!heap.empty()) {
    const Standing& best = heap.front();
    if (FleetWorker* found = at(best.worker)) {
      FleetWorker& worker = *found;
      if (!metered && worker.stamps[index(slot_class)] == best.stamp) return &worker;
      // Without a slot it comes back when it has one.
      if (metered && worker.fits_stamp == best.stamp && has_room(worker, slot_class)) {
        if (best.share < 1 || worker.level[index(slot_class)] > 1) return &worker;
        Standing behind = pop(heap);  // its idle slot is taken: it stands further back
        behind.share = std::min(behind.share - 1, 0.999'999);
        push(heap, behind);
        continue;
      }
    }
    pop(heap);
  }
  return nullptr;
}

FleetWorker* Placement::choose(Need& need) {
  if (!need.amounts.empty()) {
    std::vector<Standing> passed;
    FleetWorker* found = nullptr;
    while (found == nullptr && passed.size() < kPassedOverMax) {
      FleetWorker* best = best_of(need.fitting, need);
      if (best == nullptr) break;
      if (kept_from(*best, need)) passed.push_back(pop(need.fitting));
      else found = best;
    }
    for (const Standing& standing : passed) push(need.fitting, standing);
    return found;
  }
  const std::size_t i = index(need.what->slot_class);
  FleetWorker* found = nullptr;
  const Standing* first = nullptr;
  for (WorkerGroup* group : need.groups) {
    FleetWorker* best = best_of(group->standings[i], need);
    if (best == nullptr || (first != nullptr && !(*first < group->standings[i].front()))) continue;
    found = best;
    first = &group->standings[i].front();
  }
  return found;
}

// By the wishes of the first task that waits, as far as that costs no waiting.
FleetWorker* Placement::choose_by(Need& need, const PlacingHints& hints) {
  if (hints.sticky != 0) {
    auto place = places_.find(hints.sticky);
    if (place != places_.end() && place->second.count > 0) {
      const WorkerId id = place->second.workers[(place->second.count - 1) % place->second.workers.size()];
      FleetWorker* there = at(id);
      const SlotClass slot_class = need.what->slot_class;
      if (there != nullptr && has_room(*there, slot_class) && able(*need.what, there->hello) && fits(*there, need) &&
          !kept_from(*there, need)) {
        if (share(*there, slot_class) > 1) return there;
        FleetWorker* other = choose(need);  // an idle slot elsewhere is better than a queue there
        return other != nullptr && share(*other, slot_class) > 1 ? other : there;
      }
    }
  }
  return hints.apart.empty() ? choose(need) : choose_apart(need, hints);
}

FleetWorker* Placement::choose_apart(Need& need, const PlacingHints& hints) {
  std::vector<WorkerId> avoided;
  for (std::uint64_t key : hints.apart) {
    auto place = places_.find(key);
    if (place == places_.end()) continue;
    const std::size_t known = std::min<std::size_t>(place->second.count, place->second.workers.size());
    avoided.insert(avoided.end(), place->second.workers.begin(),
                   place->second.workers.begin() + static_cast<std::ptrdiff_t>(known));
  }
  std::vector<std::pair<std::vector<Standing>*, Standing>> passed;
  FleetWorker* found = nullptr;
  while (found == nullptr && passed.size() < kPassedOverMax) {
    FleetWorker* best = choose(need);
    if (best == nullptr) break;
    if (std::ranges::find(avoided, best->ref.id) == avoided.end()) {
      found = best;
      break;
    }
    std::vector<Standing>& heap =
        need.amounts.empty() ? best->group->standings[index(need.what->slot_class)] : need.fitting;
    if (heap.front().worker != best->ref.id) break;  // not the first of its heap: kept for others
    passed.emplace_back(&heap, pop(heap));
  }
  for (const auto& [heap, standing] : passed) push(*heap, standing);
  return found != nullptr ? found : choose(need);
}

void Placement::note_place(std::uint64_t key, WorkerId worker) {
  Place& place = places_[key];
  if (place.count == 0) {
    place.serial = ++places_made_;
    places_by_age_.emplace_back(key, place.serial);
  }
  place.workers[place.count++ % place.workers.size()] = worker;
  while (places_.size() > kPlacesMax) {
    const auto [oldest, serial] = places_by_age_.front();
    places_by_age_.pop_front();
    auto it = places_.find(oldest);
    if (it != places_.end() && it->second.serial == serial) places_.erase(it);
  }
}

// ---------------------------------------------------------------- room for large tasks

// A task that was passed over again and again: of the workers that could take it, the one that lacks least is left
// alone by what comes later.
void Placement::keep_free(Need& need) {
  if (need.kept || ++need.passed_over < kStarvedAfter) return;
  FleetWorker* found = nullptr;
  double best = -1;
  for (auto& [id, worker] : fleet_) {
    if (worker.kept_for != nullptr || worker.draining || said_of(worker).doubted) continue;
    if (std::ranges::find(need.groups, worker.group) == need.groups.end()) continue;
    double least = 1;
    for (const auto& [number, amount] : need.amounts) {
      const std::uint64_t taken = std::min(worker.taken[number], worker.has[number]);
      least = std::min(least, static_cast<double>(worker.has[number] - taken) / static_cast<double>(amount));
    }
    if (least < best || (least == best && found != nullptr && worker.turn >= found->turn)) continue;
    best = least;
    found = &worker;
  }
  if (found == nullptr) return;
  found->kept_for = &need;
  need.kept = found->ref.id;
}

void Placement::keep_no_more(Need& need) {
  if (!need.kept) return;
  if (FleetWorker* worker = at(*need.kept)) worker->kept_for = nullptr;
  need.kept.reset();
}

// ---------------------------------------------------------------- placing

void Placement::granted(Need& need, FleetWorker& worker, const PlacingHints* hints, std::vector<Grant>& grants) {
  const WaitingTask& task = need.waiting.front();
  const SlotClass slot_class = need.what->slot_class;
  if (hints != nullptr) {
    for (std::uint64_t key : hints->noted) note_place(key, worker.ref.id);
    need.hints.erase({task.run, task.task});
  }
  grants.push_back({worker.ref, task.run, task.task, slot_class, need.amounts.empty() ? nullptr : need.what.get()});
  std::pop_heap(need.waiting.begin(), need.waiting.end());
  need.waiting.pop_back();
  use(worker, slot_class);
  if (!need.amounts.empty()) {
    for (const auto& [number, amount] : need.amounts) worker.taken[number] += amount;
    worker.fits_moved = true;
    need.passed_over = 0;
    keep_no_more(need);
  }
  stand(worker, slot_class);
}

void Placement::place(std::vector<Grant>& grants) {
  settle();
  open_.clear();
  std::erase_if(listed_, [&](Need* need) {
    if (!need->waiting.empty()) {
      if (!need->amounts.empty() && !need->awake) wake(*need);
      if (need->able > 0) open_.push_back(need);
      return false;
    }
    need->listed = false;
    rest(*need);
    return true;
  });
  std::make_heap(open_.begin(), open_.end(), goes_after);
  while (!open_.empty()) {
    Need& need = *open_.front();
    const PlacingHints* hints = nullptr;
    if (!need.hints.empty()) {
      auto it = need.hints.find({need.waiting.front().run, need.waiting.front().task});
      if (it != need.hints.end()) hints = it->second.get();
    }
    FleetWorker* worker = hints != nullptr ? choose_by(need, *hints) : choose(need);
    if (worker != nullptr) granted(need, *worker, hints, grants);
    else if (!need.amounts.empty()) keep_free(need);
    std::pop_heap(open_.begin(), open_.end(), goes_after);
    if (worker != nullptr && !need.waiting.empty()) std::push_heap(open_.begin(), open_.end(), goes_after);
    else open_.pop_back();
  }
}

}  // namespace millrace
