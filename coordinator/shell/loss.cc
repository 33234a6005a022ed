// Loop: a store that is behind what was acknowledged: a failover that lost a suffix, a restart (DESIGN rule 2). The
// partition is taken under a new epoch, what the store has kept of our recent commits is applied again, and the
// partition is loaded anew. What cannot be brought back is reported, with the runs that it touches.
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::size_t kRunsNamed = 20;   // of a loss
constexpr std::size_t kLossesKept = 16;  // for who asks
constexpr std::size_t kEpochsKept = 16;  // that one repair after the other has joined
constexpr Duration kRepairsTake = 5s;    // after the store was away

std::string count_of(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// "2 live runs: a, b".
std::string name_runs(const std::vector<RunId>& runs, const char* what) {
  std::string text = count_of(runs.size(), what);
  for (std::size_t i = 0; i < std::min(runs.size(), kRunsNamed); ++i)
    text += (i == 0 ? ": " : ", ") + to_string(runs[i]);
  return runs.size() > kRunsNamed ? text + ", ..." : text;
}

}  // namespace

// A value that is not there just after the store was away may be of a suffix that it has lost, and come again with its
// owner's commits: until then nobody is told that it is gone. Null: the store could not be read.
void Loop::State::load_value(const LoadValue& read, std::function<void(Time, ValueAnswer*)> then) {
  ask(read, [this, read, then = std::move(then)](Time now, StoreAnswer&& answer) mutable {
    auto* value = std::get_if<ValueAnswer>(&answer);
    if (value != nullptr && !value->json && now < store_wavered + kRepairsTake)
      return ask_again(now, [this, read, then = std::move(then)] { load_value(read, then); });
    then(now, value);
  });
}

// The next look at its record takes it again, if nobody else has.
void Loop::State::fall_behind(Time now, Share& share) {
  store_wavered = now;
  drop(now, share, "the store does not have what was acknowledged before");
  share.retake = true;
}

// Just taken. What was acknowledged under our earlier epoch has to be there.
void Loop::State::after_take(Time now, Share& share, const OwnerRecord& before, std::uint64_t stored) {
  const Share::Past past = std::exchange(share.past, {});
  share.past.epochs = {share.epoch};
  share.past.base = before.epoch;
  share.past.base_number = stored;
  share.past.acked = stored;
  share.number = stored;
  if (past.epochs.empty() || stored >= past.acked) return begin_loading(share);
  // Written on by nobody but ourselves since: the record is that of one of our epochs, or as it was when we took it.
  const bool ours = std::ranges::find(past.epochs, before.epoch) != past.epochs.end() ||
                    (before.epoch == past.base && stored == past.base_number);
  if (!ours) {
    report_loss(now, share, past, stored);
    return begin_loading(share);
  }
  share.phase = Share::Phase::kRepairing;
  repair(now, share, past, stored);
}

void Loop::State::repair(Time now, Share& share, const Share::Past& past, std::uint64_t stored) {
  (void)now;
  ask(RepairPartition{share.id, share.epoch, past.epochs, stored, past.acked},
      [this, id = share.id, epoch = share.epoch, past, stored](Time at, StoreAnswer&& answer) {
        Share& owner = this->share(id);
        if (owner.phase != Share::Phase::kRepairing || owner.epoch != epoch) return;
        const auto* repaired = std::get_if<RepairAnswer>(&answer);
        if (repaired == nullptr) {
          return ask_again(at, [this, id, epoch, past, stored] {
            Share& later = this->share(id);
            if (later.phase == Share::Phase::kRepairing && later.epoch == epoch)
              repair(clock.now(), later, past, stored);
          });
        }
        on_repaired(at, owner, past, stored, repaired->number);
      });
}

void Loop::State::on_repaired(Time now, Share& share, const Share::Past& past, std::uint64_t stored,
                              std::uint64_t reached) {
  share.number = reached;
  share.past.acked = reached;
  if (reached < past.acked) {
    report_loss(now, share, past, reached);
  } else {
    meter.repaired(reached - stored);
    options.note(LoopNote::kWarn, "partition " + std::to_string(share.id.value) + ": the store had lost commits " +
                                      std::to_string(stored + 1) + " to " + std::to_string(reached) +
                                      ", they were applied again");
    std::vector<Epoch>& epochs = share.past.epochs;  // ours all along
    epochs.insert(epochs.begin(), past.epochs.begin(), past.epochs.end());
    if (epochs.size() > kEpochsKept) epochs.erase(epochs.begin());
  }
  fleet_dirty |= !fleet_stored.empty();  // it may be lost as well
  fleet_whole_at = now;
  begin_loading(share);
}

// The runs that it touches show when the partition is loaded: those that are older than they were here, or not there.
void Loop::State::report_loss(Time now, Share& share, const Share::Past& past, std::uint64_t stored) {
  meter.lost_commits(past.acked - stored);
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + ": the store has lost commits " +
                                     std::to_string(stored + 1) + " to " + std::to_string(past.acked) +
                                     ", which were acknowledged; they cannot be brought back");
  share.lost = past.runs;
  losses.push_back({share.id, now, stored + 1, past.acked});
  if (losses.size() > kLossesKept) losses.pop_front();
}

Loss* Loop::State::latest_loss(PartitionId partition) {
  auto it = std::find_if(losses.rbegin(), losses.rend(), [&](const Loss& loss) { return loss.partition == partition; });
  return it == losses.rend() ? nullptr : &*it;
}

// Somebody else took the partition from a store that was behind: it cannot know, we do.
void Loop::State::look_for_loss(Time now, Share& share, const OwnerRecord& record) {
  const std::vector<Epoch>& ours = share.past.epochs;
  if (ours.empty() || record.epoch.counter < ours.front().counter) return;
  if (std::ranges::find(ours, record.epoch) != ours.end()) return;
  if (record.number < share.past.acked) {
    report_loss(now, share, share.past, record.number);
    share.lost.reset();
    latest_loss(share.id)->elsewhere = true;
  }
  share.past = {};
}

void Loop::State::compare_lost(Share& share, const RunInfo& info, const RunRecord& record) {
  if (!share.lost) return;
  auto known = share.lost->find(info.run);
  if (known == share.lost->end() || record.version < known->second) share.touched.emplace_back(info.run, record.seq);
  if (known != share.lost->end()) share.lost->erase(known);
}

// Loaded: what has not come is lost as a whole. Who follows a run hears how far it was set back.
void Loop::State::tell_lost(Time now, Share& share) {
  if (!share.lost) return;
  for (const auto& [run, version] : *share.lost) share.touched.emplace_back(run, 0);
  share.lost.reset();
  auto touched = std::exchange(share.touched, {});
  std::ranges::sort(touched);
  meter.lost_runs(touched.size());
  Loss* loss = latest_loss(share.id);
  std::string names;
  for (std::size_t i = 0; i < touched.size(); ++i) {
    const auto& [run, kept] = touched[i];
    Event event;
    event.run = run;
    event.type = EventType::kOwnerChanged;
    event.reason = Reason::kLost;
    event.seq = kept;
    event.time = now;
    event.data = Payload::inline_json("{\"kept\": " + std::to_string(kept) + "}");
    bus.publish({&event, 1});
    if (i >= kRunsNamed) continue;
    if (loss != nullptr) loss->runs.push_back(to_string(run));
    names += (i == 0 ? ": " : ", ") + to_string(run);
  }
  if (touched.size() > kRunsNamed) names += ", ...";
  if (loss != nullptr) loss->touched = touched.size();
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + ": the loss up to commit " +
                                     std::to_string(loss == nullptr ? 0 : loss->last) + " touches " +
                                     count_of(touched.size(), "live run") + names);
}

void Loop::State::lose(LostThing thing) {
  things_lost.push_back(std::move(thing));
  if (things_lost.size() > kLossesKept) things_lost.pop_front();
}

// Letters that a receiver had taken, and has not any more.
void Loop::State::tell_missed(Time now, PartitionId sender, const LettersMissed& missed) {
  const std::string by = "partition " + std::to_string(missed.by.value);
  const std::string of = "letters of partition " + std::to_string(sender.value);
  if (missed.again > 0) {
    meter.letters_again(missed.again);
    options.note(LoopNote::kWarn,
                 by + ": its store had lost " + of + ", " + std::to_string(missed.again) + " are sent again");
  }
  if (!missed.missing) return;
  const std::string what = "its store has lost " + of + " that it had taken, and they are not kept any more; there " +
                           name_runs(missed.waiting, "live run") + " may wait for what does not come";
  meter.lost_letters();
  options.note(LoopNote::kError, by + ": " + what);
  lose({now, by, what, "`millrace status` tells what these runs wait for; cancel those that wait in vain"});
}

// For whoever asks how everything is, as long as this process runs.
std::vector<Finding> Loop::State::losses_found() const {
  const Time now = clock.now();
  std::vector<Finding> found;
  for (const Loss& loss : losses) {
    std::string what = std::to_string((now - loss.when) / 1s) + " s ago the store had lost commits " +
                       std::to_string(loss.first) + " to " + std::to_string(loss.last) +
                       ", which were acknowledged, and they could not be brought back";
    if (loss.elsewhere)
      what += "; another coordinator had taken the partition: which live runs it touches is not known";
    else what += ": it touches " + count_of(loss.touched, "live run");
    for (std::size_t i = 0; i < loss.runs.size(); ++i) what += (i == 0 ? ": " : ", ") + loss.runs[i];
    if (loss.touched > loss.runs.size()) what += ", ...";
    found.push_back({"error", "store", "partition " + std::to_string(loss.partition.value), std::move(what),
                     "their lost tasks run again; submit anew what `millrace status` does not find; `millrace store "
                     "check` says whether the rest is sound, docs/durability.md how to lose less"});
  }
  for (const LostThing& thing : things_lost)
    found.push_back({"error", "store", thing.subject, std::to_string((now - thing.when) / 1s) + " s ago: " + thing.what,
                     thing.action});
  return found;
}

}  // namespace millrace
