#include "tests/sim/store.h"

#include <algorithm>

namespace millrace::sim {

constexpr Duration kRingFor = 10s;

SimStore::SimStore(Context& context, std::string name, std::function<void()> wake)
    : context_(context), name_(std::move(name)), wake_(std::move(wake)), pipe_(std::make_shared<Pipe>()) {}

SimStore::~SimStore() {
  *alive_ = false;
  abandon();
}

Duration SimStore::latency() {
  Random& random = context_.random;
  if (!context_.store_faults()) return random.between(100us, 500us);
  if (random.chance(1)) slow_until_ = context_.now() + random.between(500ms, 4s);
  if (context_.now() < slow_until_) return random.between(100ms, 1500ms);
  return random.chance(30) ? random.between(5ms, 100ms) : random.between(100us, 2ms);
}

void SimStore::commit(const TurnCommit& commit) {
  keep(commit);
  call({commit, 0, {}, false, false, {}, {}, {}, {}});
}
void SimStore::read(std::uint64_t tag, const StoreRead& read) {
  Call made{{}, tag, read, false, false, {}, {}, {}, {}};
  if (const auto* wanted = std::get_if<RepairPartition>(&read)) repair(made, *wanted);
  call(std::move(made));
}

void SimStore::keep(const TurnCommit& commit) {
  while (!ring_.empty() && ring_.front().first + kRingFor < context_.now()) ring_.pop_front();
  if (context_.settings.loss) ring_.emplace_back(context_.now(), commit);
}

void SimStore::repair(Call& call, const RepairPartition& repair) const {
  std::uint64_t next = repair.after + 1;
  for (const auto& [at, commit] : ring_) {
    call.values.insert(call.values.end(), commit.values.begin(), commit.values.end());
    for (const PartitionCommit& part : commit.partitions) {
      const bool written = std::ranges::find(repair.written, part.epoch) != repair.written.end();
      if (part.partition != repair.partition || !written || part.number != next) continue;
      call.again.push_back(part);
      ++next;
    }
  }
  if (next <= repair.until) call.again.clear();
}

void SimStore::repair(Context& context, Call& call, const RepairPartition& repair) {
  std::uint64_t reached = repair.after;
  if (context.settings.plant == Plant::kForgetSuffix) reached = repair.until;  // the planted store says so, that is all
  else {
    TurnCommit values;
    values.values = call.values;
    (void)context.cluster.apply(values);
    context.checker.turn(std::nullopt);
    for (const PartitionCommit& part : call.again) {
      const CommitResult result = context.cluster.repair(part, repair.epoch);
      if (result != CommitResult::kApplied && result != CommitResult::kAlready) break;
      if (result == CommitResult::kApplied) context.checker.committed(part, repair.epoch);
      ++reached;
    }
  }
  context.note("store: partition " + std::to_string(repair.partition.value) + " is repaired from " +
               std::to_string(repair.after) + " to " + std::to_string(reached));
  call.answer = RepairAnswer{reached};
}

void SimStore::call(Call made) {
  if (pipe_ == nullptr) {
    fail(made);
    return context_.schedule.after(1ms, [alive = alive_, this] {
      if (*alive) wake_();
    });
  }
  auto call = std::make_shared<Call>(std::move(made));
  std::shared_ptr<Pipe> pipe = pipe_;
  pipe->calls.push_back(call);
  pipe->applied = std::max(pipe->applied, context_.now() + latency());
  pipe->answered = std::max({pipe->answered, pipe->applied + latency()});
  context_.schedule.at(pipe->applied, [&context = context_, call] {
    if (!call->lost) apply(context, *call);
  });
  context_.schedule.at(pipe->answered, [this, alive = alive_, pipe] {
    if (!*alive || pipe->broken) return;
    Call& first = *pipe->calls.front();
    if (first.commit) replies_.commits.push_back(std::move(first.outcome));
    else replies_.reads.push_back({first.tag, std::move(first.answer)});
    pipe->calls.pop_front();
    wake_();
  });
  if (!context_.store_faults() || !context_.random.chance(4)) return;
  const Duration until = context_.random.between(50us, 3ms);
  context_.schedule.after(until, [this, alive = alive_, pipe] {
    if (!*alive || pipe->broken) return;
    const bool long_gone = context_.random.chance(150);
    break_connection(long_gone ? context_.random.between(500ms, 4s) : context_.random.between(1ms, 100ms));
  });
}

// The connection is no more; a random suffix of what has not reached the store never will.
void SimStore::abandon() {
  if (pipe_ == nullptr) return;
  pipe_->broken = true;
  std::size_t arriving = 0;
  for (const auto& call : pipe_->calls) arriving += call->applied ? 0 : 1;
  std::size_t keep = arriving == 0 ? 0 : context_.random.below(arriving + 1);
  for (const auto& call : pipe_->calls) {
    if (call->applied) continue;
    if (keep == 0) call->lost = true;
    else --keep;
  }
}

void SimStore::break_connection(Duration gone) {
  if (pipe_ == nullptr) return;
  context_.note(name_ + ": the store's connection breaks with " + std::to_string(pipe_->calls.size()) +
                " on their way");
  abandon();
  for (const auto& call : pipe_->calls) fail(*call);
  pipe_ = nullptr;
  context_.schedule.after(gone, [this, alive = alive_] {
    if (!*alive) return;
    pipe_ = std::make_shared<Pipe>();
    wake_();
  });
  wake_();
}

void SimStore::fail_over(Duration gone) {
  slow_until_ = Time{};
  if (pipe_ == nullptr) return;
  for (const auto& call : pipe_->calls) call->lost |= !call->applied;
  break_connection(gone);
}

void SimStore::fail(const Call& call) {
  if (!call.commit) {
    replies_.reads.push_back({call.tag, ReadFailed{Error{Code::kUnavailable, "the connection broke", {}, ""}}});
    return;
  }
  CommitOutcome outcome{call.commit->turn, {}, "the connection broke"};
  for (const PartitionCommit& part : call.commit->partitions)
    outcome.partitions.emplace_back(part.partition, CommitResult::kUnknown);
  replies_.commits.push_back(std::move(outcome));
}

void SimStore::poll(StoreReplies& out) {
  std::ranges::move(replies_.commits, std::back_inserter(out.commits));
  std::ranges::move(replies_.reads, std::back_inserter(out.reads));
  replies_.commits.clear();
  replies_.reads.clear();
}

void SimStore::apply(Context& context, Call& call) {
  call.applied = true;
  if (call.commit) {
    call.outcome = apply(context, *call.commit);
    return;
  }
  if (const auto* wanted = std::get_if<RepairPartition>(&call.read)) return repair(context, call, *wanted);
  call.answer = context.cluster.read(call.read);
  if (auto* take = std::get_if<TakePartition>(&call.read)) {
    const auto& answer = std::get<OwnerAnswer>(call.answer);
    if (answer.taken) context.checker.taken(take->partition);
    context.note("store: " + take->owner + (answer.taken ? " takes" : " fails to take") + " partition " +
                 std::to_string(take->partition.value) + " with epoch " + std::to_string(take->epoch.counter));
  }
}

CommitOutcome SimStore::apply(Context& context, const TurnCommit& commit) {
  CommitOutcome outcome;
  if (context.settings.plant == Plant::kNoFencing) {  // the planted store takes what any epoch writes
    TurnCommit forged = commit;
    for (PartitionCommit& part : forged.partitions) {
      const OwnerRecord& owner = context.cluster.owner(part.partition);
      if (part.number == 0 || owner.epoch == part.epoch) continue;
      part.epoch = owner.epoch;
      part.number = owner.number + 1;
    }
    outcome = context.cluster.apply(forged);
  } else {
    outcome = context.cluster.apply(commit);
  }
  static constexpr const char* kWords[] = {"applied", "already", "gap", "fenced", "unknown"};
  context.checker.turn(commit.now);
  for (std::size_t i = 0; i < outcome.partitions.size(); ++i) {
    const PartitionCommit& part = commit.partitions[i];
    const CommitResult result = outcome.partitions[i].second;
    if (part.number == 0 && result == CommitResult::kApplied) continue;  // a beat
    context.note("store: partition " + std::to_string(part.partition.value) + " epoch " +
                 std::to_string(part.epoch.counter) + " commit " + std::to_string(part.number) + " " +
                 kWords[static_cast<std::size_t>(result)] + ", " + std::to_string(part.events.size()) + " events" +
                 (part.deletes.empty() ? "" : ", " + std::to_string(part.deletes.size()) + " runs deleted"));
    if (result == CommitResult::kApplied) context.checker.committed(part, part.epoch);
  }
  return outcome;
}

}  // namespace millrace::sim
