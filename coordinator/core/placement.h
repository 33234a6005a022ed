// Placement: the pure machine that knows the fleet of this coordinator and decides which ready task goes where.
//
// Promises: used(w) <= credit(w) and the resources taken of a worker <= those it has, for every grant it makes; among
// tasks that some worker could take now, higher priority goes first, then older runs, then the longer remaining path,
// then the lower id; a task goes to a worker with an idle slot before it queues anywhere, and among equals to the one
// with the largest free share (ties: by an order of this coordinator's own, order_by(); lower id without one). A worker
// that has missed two heartbeats gets nothing new. The first task that waits for resources has a worker kept free for
// it by those that come after it, so large ones do not starve. Wishes about places are followed where that costs no
// waiting. Tasks that ask for the same share a Need: a grant costs the logarithm of the fleet, however many tasks wait.
// Iterates in a fixed order. Threads: none of its own; owned by the loop by value. Fails: never; an unknown worker
// reads as "no room". Times are handed in. Parts: placement.cc (the fleet), placement_choose.cc (who gets what),
// placement_report.cc (what is told).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/model/run_view.h"
#include "common/model/worker_messages.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/input.h"
#include "coordinator/core/roll.h"

namespace millrace {

constexpr Duration kDoubtAfter = 2 * kBeatEvery;  // a worker that is silent for so long gets nothing new
constexpr Duration kRememberFor = 600s;           // a worker that left: it may come back
constexpr Duration kExpectFor = 30s;              // one of which there is only the name
constexpr std::size_t kRememberedMax = 1'024;
constexpr std::size_t kPlacesMax = 65'536;  // keys of wishes that are remembered

struct Need;
struct WorkerGroup;

struct FleetWorker {
  WorkerRef ref;
  WorkerHello hello;    // `held` is not kept
  CreditUpdate credit;  // attempts that may be out
  CreditUpdate used;    // attempts that are out
  Time joined{};
  Roll::Place place = 0;  // Placement::said_of() has what it last said
  bool draining = false;
  std::vector<std::uint64_t> has;    // resources, by Placement's numbers
  std::vector<std::uint64_t> taken;  // of these
  // Placement's own:
  WorkerGroup* group = nullptr;
  std::uint64_t turn = 0;                 // among equals
  std::array<std::uint64_t, 2> stamps{};  // of its place among the others by slot class; an older one no longer counts
  std::array<bool, 2> moved{};            // its place has to be found again
  std::array<std::uint8_t, 2> level{};    // 0: no room, 1: in the queue, 2: an idle slot
  bool fits_moved = false;                // likewise, among those that have resources free
  std::uint64_t fits_stamp = 0;
  const Need* kept_for = nullptr;  // the tasks for which its resources are kept free
};

// Where a worker stands among those that are able: the largest share first, then the lower turn, then the lower id.
struct Standing {
  double share = 0;  // free; above 1 with an idle slot
  WorkerId worker;
  std::uint64_t stamp = 0;
  std::uint64_t turn = 0;                        // among equals: the lowest first
  bool operator<(const Standing& other) const {  // as a heap's "less"
    if (share != other.share) return share < other.share;
    return turn != other.turn ? turn > other.turn : worker > other.worker;
  }
};

// What is kept of an offer while it waits: half a cache line, since there may be a million.
struct WaitingTask {
  RunId run;
  Time age{};
  TaskIndex task;
  std::int32_t priority = 0;
  std::uint32_t rank = 0;
  bool operator<(const WaitingTask& other) const {  // as a heap's "less": what goes first is greatest
    if (priority != other.priority) return priority < other.priority;
    if (age != other.age) return age > other.age;
    if (rank != other.rank) return rank < other.rank;
    if (run != other.run) return run > other.run;
    return task > other.task;
  }
};

// Workers that are able to serve the same needs. One that moves gets a new entry in the heap, and its old one is passed
// over when it comes up.
struct WorkerGroup {
  std::vector<Need*> needs;    // by serial
  std::vector<Need*> metered;  // those of them with resources
  std::size_t workers = 0;
  std::array<std::vector<Standing>, 2> standings;  // heaps, by slot class
};

// Tasks that ask for the same.
struct Need {
  std::uint32_t serial = 0;
  std::shared_ptr<const Requirements> what;
  std::vector<WaitingTask> waiting;  // a heap
  bool listed = false;               // among those that have tasks waiting
  std::vector<WorkerGroup*> groups;  // of workers that are able
  std::size_t able = 0;              // workers
  // With resources:
  std::vector<std::pair<std::uint32_t, std::uint64_t>> amounts;  // by Placement's numbers
  std::vector<Standing> fitting;                                 // a heap of workers that have them free
  bool awake = false;                                            // `fitting` is kept up to date
  std::uint32_t passed_over = 0;                                 // rounds since one was granted
  std::optional<WorkerId> kept;                                  // free for the first that waits
  // With wishes:
  std::map<std::pair<RunId, TaskIndex>, std::unique_ptr<const PlacingHints>> hints;
  // Where no worker, live or remembered, is able:
  bool unplaceable = false;
  Reason reason = Reason::kNone;
  std::deque<std::pair<RunId, TaskIndex>> untold;
  std::deque<std::pair<Time, std::pair<RunId, TaskIndex>>> told;  // and when it has waited for long enough
  std::size_t purge_at = 1'024;                                   // tasks waiting: some may be wanted no more
};

struct Grant {
  WorkerRef worker;
  RunId run;
  TaskIndex task;
  SlotClass slot_class = SlotClass::kCpu;
  const Requirements* needs = nullptr;  // where it has resources; a loan until the next offer
};

class Placement {
 public:
  // When tasks that no worker could run are told, and when they fail.
  struct Judging {
    Time from{};                               // not before: workers have not had the time to join
    std::optional<Duration> fails_after = {};  // nothing: never
    bool fixed_fleet = false;                  // from when the first worker has joined; no other will
  };
  void judge(const Judging& judging) { judging_ = judging, judge_again_ = true; }

  // Among equal workers each salt has an order of its own, so that many coordinators do not all choose the same ones.
  // Before anybody joins; zero: by id.
  void order_by(std::uint64_t salt) { salt_ = salt; }

  // A Hello. The same incarnation keeps its WorkerId. Refused (kRefused, "id_in_use") while another live holder of the
  // name was heard within three heartbeats; a silent one is replaced and reported in `replaced`.
  Result<WorkerRef> join(Time now, const WorkerHello& hello, std::optional<WorkerId>& replaced);
  void heard(Time now, WorkerId worker);
  // False: of an incarnation that has not said Hello. `alone`: there is no other coordinator.
  bool beat(Time now, const WorkerBeat& beat, bool alone);
  // The same of many, each with whose it is; `unknown` is told whose was not taken.
  template <class Beats, class Unknown>
  void beats(Time now, const Beats& all, bool alone, Unknown unknown) {
    constexpr std::size_t kAhead = 8;  // the fleet is larger than the cache: what comes is fetched meanwhile
    for (std::size_t i = 0; i < std::min(kAhead, all.size()); ++i) roll_.look_ahead(all[i].second.incarnation);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i + kAhead < all.size()) roll_.look_ahead(all[i + kAhead].second.incarnation);
      if (i + kAhead / 2 < all.size()) roll_.look_closer(all[i + kAhead / 2].second.incarnation);
      if (!beat(now, all[i].second, alone)) unknown(all[i].first);
    }
  }
  void credit(WorkerId worker, const CreditUpdate& credit);
  void drain(WorkerId worker);  // gets nothing new
  void leave(WorkerId worker, Time now = Time{});
  void expect(const std::string& name, Time now);  // it was here before us, and may come back: with what nobody knows
  // Looks at who is silent. Returns those not heard for kWorkerLostAfter: to be declared lost, then leave().
  std::vector<WorkerId> watch(Time now);
  Time next_deadline() const;  // of watch() and report(); kNever without a reason

  void offer(Offer offer);
  // An attempt is out that was not granted here (adopted), or is no longer. `needs`: where it has resources.
  void taken(WorkerId worker, SlotClass slot_class, const Requirements* needs = nullptr);
  void freed(WorkerId worker, SlotClass slot_class, const Requirements* needs = nullptr);
  void change(const SlotChange& slot);  // one of the two
  // Matches offers with free credit; what it grants counts as used until freed().
  void place(std::vector<Grant>& grants);

  // Tasks that no worker, live or remembered, could run, each once; and again, overdue, when it has waited for long
  // enough. At most `most` of them; has_reports() says whether there are more.
  void report(Time now, std::size_t most, std::vector<TaskUnplaceable>& out);
  bool has_reports(Time now) const;
  // Drops offers that are wanted no more, where they may be many.
  void purge(const std::function<bool(RunId, TaskIndex)>& wanted);

  // What a ready task waits for, and for whom no worker could run it: what it requires and the nearest workers lack.
  WaitReason waits_for(const Requirements& needs) const;
  std::string explain(const Requirements& needs) const;

  // Slots that nothing runs in and credit allows to use, of a worker that speaks; and attempts that wait there.
  std::uint32_t idle(const FleetWorker& worker) const;
  std::uint32_t surplus(const FleetWorker& worker) const;
  bool has_free(const FleetWorker& worker, const Requirements& needs) const;  // able, and its resources fit now
  const std::map<WorkerId, FleetWorker>& fleet() const { return fleet_; }
  const std::set<WorkerId>& busy() const { return busy_; }  // those that have cpu attempts of ours
  const Roll::Line& said_of(const FleetWorker& worker) const { return roll_.at(worker.place); }

  const FleetWorker* find(WorkerId worker) const;
  std::optional<WorkerId> find_name(const std::string& name) const;
  std::optional<WorkerId> find_incarnation(std::uint64_t incarnation) const;
  std::vector<WorkerView> view(Time now) const;
  // Each worker, and whether it has missed three heartbeats.
  template <class Take>
  void measure(Time now, Take take) const {
    for (const auto& [id, worker] : fleet_) take(worker, now - said_of(worker).heard >= 3 * kBeatEvery);
  }
  std::size_t workers() const { return fleet_.size(); }
  std::uint32_t slots(SlotClass slot_class) const {  // of all workers together
    return slot_class == SlotClass::kCpu ? slots_.cpu : slots_.io;
  }
  std::size_t offers() const;
  std::size_t demand() const { return offers() + out_; }  // offers, and attempts that are out
  std::size_t unplaceable() const;                        // offers that no worker could take

 private:
  struct Remembered {
    WorkerHello hello;  // without a name: not known
    Time until{};
  };
  struct Place {  // where the latest tasks of a key went
    std::array<WorkerId, 8> workers{};
    std::uint32_t count = 0;  // ever
    std::uint64_t serial = 0;
  };

  // placement.cc
  FleetWorker* at(WorkerId worker) const;
  void speaks(Time now, Roll::Line& line);
  void use(FleetWorker& worker, SlotClass slot_class);
  void unuse(FleetWorker& worker, SlotClass slot_class);
  bool has_room(const FleetWorker& worker, SlotClass slot_class) const;
  Need& need_of(const std::shared_ptr<const Requirements>& needs);
  Need& need_of(const Requirements& needs);
  Need& make_need(const std::shared_ptr<const Requirements>& needs);
  void drop_idle_needs();
  void extend(WorkerGroup& group, Need& need);
  void regroup(FleetWorker& worker);
  void regroup(FleetWorker& worker, const std::vector<Need*>& needs);
  void ungroup(FleetWorker& worker);
  void number_resources(FleetWorker& worker);
  void number_amounts(Need& need);
  void moved(FleetWorker& worker, SlotClass slot_class);
  void moved(FleetWorker& worker);
  void take(FleetWorker& worker, const Need& need);
  void give(FleetWorker& worker, const Need& need);

  // placement_choose.cc
  void settle();  // finds the places of all that moved
  void stand(FleetWorker& worker, SlotClass slot_class);
  void stand_fitting(FleetWorker& worker);
  void stand_fitting(FleetWorker& worker, Need& need);
  double share(const FleetWorker& worker, SlotClass slot_class) const;
  bool fits(const FleetWorker& worker, const Need& need) const;
  bool kept_from(const FleetWorker& worker, const Need& need) const;
  void wake(Need& need);
  void rest(Need& need);
  FleetWorker* best_of(std::vector<Standing>& heap, const Need& need);
  FleetWorker* choose(Need& need);
  FleetWorker* choose_by(Need& need, const PlacingHints& hints);
  FleetWorker* choose_apart(Need& need, const PlacingHints& hints);
  void keep_free(Need& need);
  void keep_no_more(Need& need);
  void granted(Need& need, FleetWorker& worker, const PlacingHints* hints, std::vector<Grant>& grants);
  void note_place(std::uint64_t key, WorkerId worker);

  // placement_report.cc
  void judge_needs(Time now);
  void remember(const std::string& name, Remembered remembered);
  static bool could(const Requirements& needs, const Remembered& remembered);
  const Need* known(const Requirements& needs) const;

  std::map<WorkerId, FleetWorker> fleet_;
  std::map<std::string, WorkerId> names_;
  Roll roll_;
  std::vector<FleetWorker*> by_place_;       // of the roll
  FlatIndex<Roll::Place> places_by_worker_;  // of the roll: the fleet is searched several times for each task
  std::set<WorkerId> busy_;
  std::size_t out_ = 0;  // attempts, of the fleet
  std::map<std::string, Remembered> remembered_;
  std::map<std::string, std::uint32_t> resources_;  // their numbers
  std::map<Requirements, Need> needs_;
  std::map<std::vector<std::uint32_t>, WorkerGroup> groups_;  // by the serials of their needs
  std::vector<Need*> listed_;                                 // with tasks waiting, or that had some
  std::vector<Need*> open_;                                   // of place(): reused
  std::vector<WorkerId> moved_;
  std::shared_ptr<const Requirements> latest_;  // of the latest offer, and its need: neighbours are alike
  Need* need_latest_ = nullptr;
  // Lookups only; the pointers are held so that none is used again for another.
  std::unordered_map<const Requirements*, std::pair<std::shared_ptr<const Requirements>, Need*>> seen_;
  std::unordered_map<std::uint64_t, Place> places_;                    // lookups only
  std::deque<std::pair<std::uint64_t, std::uint64_t>> places_by_age_;  // key and serial
  std::uint64_t places_made_ = 0;
  std::size_t awake_idle_ = 0;  // needs that are awake without a task
  CreditUpdate slots_;          // of the fleet
  std::uint32_t workers_made_ = 0;
  std::uint32_t needs_made_ = 0;
  std::uint64_t salt_ = 0;
  Time watch_at_ = kNever;
  Judging judging_;
  bool judge_again_ = true;  // who is able has changed
  Time forget_at_ = kNever;  // when the oldest that is remembered is forgotten
};

}  // namespace millrace
