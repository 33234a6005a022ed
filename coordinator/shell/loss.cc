// Loop: a store that is behind what was acknowledged: a failover that lost a suffix, a restart (DESIGN rule 2). The
// partition is taken under a new epoch, what the store has kept of our recent commits is applied again, and the
// partition is loaded anew. What cannot be brought back is reported, with the runs that it touches.
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::size_t kRunsNamed = 20;   // of a loss, in the log
constexpr std::size_t kEpochsKept = 16;  // that one repair after the other has joined

std::string count_of(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

// The next look at its record takes it again, if nobody else has.
void Loop::State::fall_behind(Time now, Share& share) {
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
    report_loss(share, past, stored);
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
        on_repaired(owner, past, stored, repaired->number);
      });
}

void Loop::State::on_repaired(Share& share, const Share::Past& past, std::uint64_t stored, std::uint64_t reached) {
  share.number = reached;
  share.past.acked = reached;
  if (reached < past.acked) {
    report_loss(share, past, reached);
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
  begin_loading(share);
}

// The runs that it touches show when the partition is loaded: those that are older than they were here, or not there.
void Loop::State::report_loss(Share& share, const Share::Past& past, std::uint64_t stored) {
  meter.lost_commits(past.acked - stored);
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + ": the store has lost commits " +
                                     std::to_string(stored + 1) + " to " + std::to_string(past.acked) +
                                     ", which were acknowledged; they cannot be brought back");
  share.lost = past.runs;
  share.lost_since = past.acked;
}

// Somebody else took the partition from a store that was behind: it cannot know, we do.
void Loop::State::look_for_loss(Share& share, const OwnerRecord& record) {
  const std::vector<Epoch>& ours = share.past.epochs;
  if (ours.empty() || record.epoch.counter < ours.front().counter) return;
  if (std::ranges::find(ours, record.epoch) != ours.end()) return;
  if (record.number < share.past.acked) {
    report_loss(share, share.past, record.number);
    share.lost.reset();
  }
  share.past = {};
}

void Loop::State::compare_lost(Share& share, const RunInfo& info, const RunRecord& record) {
  if (!share.lost) return;
  auto known = share.lost->find(info.run);
  if (known == share.lost->end() || record.version < known->second) share.touched.push_back(info.run);
  if (known != share.lost->end()) share.lost->erase(known);
}

// Loaded: what has not come is lost as a whole.
void Loop::State::tell_lost(Share& share) {
  if (!share.lost) return;
  for (const auto& [run, version] : *share.lost) share.touched.push_back(run);
  share.lost.reset();
  std::vector<RunId> touched = std::exchange(share.touched, {});
  std::ranges::sort(touched);
  meter.lost_runs(touched.size());
  std::string names;
  for (std::size_t i = 0; i < touched.size() && i < kRunsNamed; ++i)
    names += (i == 0 ? ": " : ", ") + to_string(touched[i]);
  if (touched.size() > kRunsNamed) names += ", ...";
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + ": the loss up to commit " +
                                     std::to_string(share.lost_since) + " touches " +
                                     count_of(touched.size(), "live run") + names);
}

}  // namespace millrace
