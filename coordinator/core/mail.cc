// Partition: letters to other partitions and from them (outbox.h).
#include <algorithm>

#include "coordinator/core/partition.h"

namespace millrace {
namespace {

constexpr unsigned kEpochShift = 32;

}  // namespace

std::uint64_t Partition::latest_letter() const {
  return (std::uint64_t{options_.epoch.counter} << kEpochShift) | letters_made_;
}

void Partition::post(PartitionId to, LetterBody body) {
  ++letters_made_;
  const std::uint64_t number = latest_letter();
  auto letter = std::make_shared<const Letter>(Letter{options_.partition, to, number, std::move(body)});
  effects_.letters.push_back(letter);
  outbox_.add(std::move(letter));
  count_mail();
}

void Partition::count_mail() {
  ++records_pending_;
  ++records_step_;
}

void Partition::on(Time now, LetterPosted& in) {
  (void)now;
  post(in.to, std::move(in.body));
}

void Partition::on(Time now, LettersTaken& in) {
  const Outbox::Taken said = outbox_.taken(now, in.to, in.until);
  for (std::uint64_t number : said.gone) {
    effects_.letters_gone.push_back(number);
    count_mail();
  }
  if (said.again == 0 && !said.missing) return;
  effects_.letters_missed.push_back({in.to, said.again, said.missing, {}});
  if (said.missing) effects_.letters_missed.back().waiting = awaiting_others();
}

// Live runs with a task that nothing but a letter lets go on.
std::vector<RunId> Partition::awaiting_others() const {
  const auto has_children = [](const auto& entry) { return entry.second->children > 0; };
  std::vector<RunId> waiting;
  for (const auto& [id, run] : live_) {
    bool waits = std::ranges::any_of(run->mapped, has_children);
    if (run->count(TaskState::kWaiting) > 0) {
      for (std::uint32_t i = 0; i < run->states.size() && !waits; ++i) waits = awaits_child(*run, TaskIndex{i});
    }
    if (waits) waiting.push_back(id);
  }
  return waiting;
}

void Partition::on(Time now, LetterCame& in) {
  if (!inbox_.take(in.from, in.number, options_.plant == TestPlant::kTakeTwice)) return;
  effects_.marks[in.from] = inbox_.mark(in.from);
  count_mail();
  std::visit([&](auto& body) { take(now, in, body); }, in.body);
}

void Partition::on(Time now, LettersRead& in) {
  (void)now;
  effects_.acks.push_back({in.request, in.from, options_.partition, inbox_.mark(in.from).number});
}

// As if somebody had submitted it who does not wait for an answer.
void Partition::take(Time now, LetterCame& in, RunWanted& wanted) {
  const RunParent parent = wanted.parent;
  const bool is_child = parent.run != RunId{};
  if (in.plan == nullptr && is_child) return tell_refused(parent, wanted.key, in.why);
  if (in.existing && is_child)
    return tell_refused(parent, wanted.key, "its key is that of run " + to_string(*in.existing));
  if (in.plan == nullptr) return tell_trigger(wanted.tenant, wanted.key, in.why);
  if (in.existing) return tell_trigger(wanted.tenant, wanted.key);  // it has ended long ago
  if (const std::optional<RunId> known = find_key(wanted.tenant, wanted.key); known && live(*known) == nullptr)
    tell_trigger(wanted.tenant, wanted.key);
  RunSubmitted submitted;
  submitted.plan = std::move(in.plan);
  submitted.request_hash = in.request_hash;
  submitted.parent = parent;
  SubmitRun& submit = submitted.submit;
  submit.tenant = std::move(wanted.tenant);
  submit.key = std::move(wanted.key);
  submit.inputs = std::move(wanted.inputs);
  submit.labels = std::move(wanted.labels);
  submit.trace_id = std::move(wanted.trace_id);
  submit.caller = std::move(wanted.caller);
  submit.priority = wanted.priority;
  submit.version = wanted.version;
  const std::string tenant = submit.tenant;
  const std::string key = submit.key;
  const auto replies = static_cast<std::ptrdiff_t>(effects_.replies.size());
  on(now, submitted);
  const auto ours = std::remove_if(effects_.replies.begin() + replies, effects_.replies.end(),
                                   [](const SendReply& reply) { return reply.request == RequestId{}; });
  effects_.replies.erase(ours, effects_.replies.end());
  if (!is_child) return;
  const Run& run = *runs_.at(*find_key(tenant, key));
  if (run.info->parent == parent) tell_parent(run);
  else tell_refused(parent, key, "its key is that of run " + to_string(run.id()));
}

void Partition::restore_mail(std::vector<SharedLetter> letters, const std::map<PartitionId, Mark>& marks) {
  for (SharedLetter& letter : letters) outbox_.add(std::move(letter));
  for (const auto& [from, mark] : marks) inbox_.restore(from, mark);
  outbox_.open();
  cache_.restored();
}

}  // namespace millrace
