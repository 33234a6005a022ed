#include "coordinator/shell/mail.h"

#include <algorithm>

#include "coordinator/shell/cache_codec.h"
#include "coordinator/shell/letter_codec.h"
#include "coordinator/shell/loop_state.h"
#include "coordinator/shell/pause_codec.h"
#include "coordinator/shell/redis_keys.h"
#include "coordinator/shell/registry_codec.h"
#include "coordinator/shell/run_codec.h"
#include "coordinator/shell/trigger_codec.h"

namespace millrace {

// ---------------------------------------------------------------- what is kept

std::vector<ShelfWrite> Loop::State::shelf_writes(PartitionId partition, const Effects& effects) {
  std::vector<ShelfWrite> writes;
  for (const RegisteredWorkflow& workflow : effects.workflows)
    writes.push_back({Shelf::kWorkflows, workflow_field(workflow.tenant, workflow.name), encode_workflow(workflow)});
  for (const SharedLetter& letter : effects.letters)
    writes.push_back({Shelf::kOutbox, std::to_string(letter->number), encode_letter(*letter)});
  for (std::uint64_t number : effects.letters_gone) writes.push_back({Shelf::kOutbox, std::to_string(number), ""});
  for (const auto& [from, mark] : effects.marks)
    writes.push_back({Shelf::kInbox, std::to_string(from.value), encode_mark(from, partition, mark)});
  for (const auto& [name, record] : effects.triggers)
    writes.push_back({Shelf::kTriggers, trigger_field(name), record ? encode_trigger(partition, *record) : ""});
  for (const auto& [name, runs] : effects.watchers)
    writes.push_back({Shelf::kWatchers, trigger_field(name), runs ? encode_watcher(partition, name, *runs) : ""});
  for (const auto& [field, entry] : effects.cache_entries)
    writes.push_back({Shelf::kCache, field, entry ? encode_cache_entry(partition, *entry) : ""});
  for (const auto& [field, asker] : effects.cache_askers)
    writes.push_back({Shelf::kCacheAsks, field, asker ? encode_cache_asker(partition, *asker) : ""});
  for (const auto& [what, pause] : effects.pauses)
    writes.push_back({Shelf::kPauses, pause_field(what), pause ? encode_pause(partition, *pause) : ""});
  return writes;
}

// Shelf by shelf, page by page; then its letters may go and come.
void Loop::State::load_mail(Share& share, std::size_t shelf, const std::string& cursor) {
  if (shelf == std::size(kShelves)) {
    share.core->restore_mail(std::move(share.mail.letters), share.mail.marks);
    share.mail = {};
    share.mail_loaded = true;
    routes_dirty = true;
    return restore_known(clock.now(), share);
  }
  ask(ReadShelf{share.id, kShelves[shelf], cursor},
      [this, id = share.id, epoch = share.epoch, shelf, cursor](Time now, StoreAnswer&& answer) {
        Share& owner = this->share(id);
        if (owner.phase != Share::Phase::kLoading || owner.epoch != epoch) return;
        auto* page = std::get_if<ShelfAnswer>(&answer);
        if (page == nullptr) {
          return ask_again(now, [this, id, epoch, shelf, cursor] {
            Share& later = this->share(id);
            if (later.phase == Share::Phase::kLoading && later.epoch == epoch) load_mail(later, shelf, cursor);
          });
        }
        for (const auto& [field, bytes] : page->records) take_record(owner, kShelves[shelf], field, bytes);
        load_mail(owner, page->next.empty() ? shelf + 1 : shelf, page->next);
      });
}

void Loop::State::take_record(Share& share, Shelf shelf, const std::string& field, const std::string& bytes) {
  const auto damaged = [&](const Error& why) {
    options.note(LoopNote::kError, shelf_key(share.id, to_string(shelf)) + ", field " + field + ": " + why.what);
  };
  switch (shelf) {
    case Shelf::kWorkflows: {
      Result<RegisteredWorkflow> workflow = decode_workflow(field, bytes);
      if (!workflow.ok()) return damaged(workflow.error());
      if (!share.core->registry().all().contains({workflow->tenant, workflow->name}))  // a page may tell it twice
        share.core->restore_workflow(std::move(workflow).value());
      return;
    }
    case Shelf::kOutbox: {
      Result<Letter> letter = decode_letter(share.id, bytes);
      if (!letter.ok()) return damaged(letter.error());
      if (letter->to.value < shares.size())
        share.mail.letters.push_back(std::make_shared<const Letter>(std::move(letter).value()));
      return;
    }
    case Shelf::kInbox: {
      const std::optional<PartitionId> from = parse_partition(field);
      if (!from) return;
      const Result<Mark> mark = decode_mark(*from, share.id, bytes);
      if (!mark.ok()) return damaged(mark.error());
      share.mail.marks[*from] = *mark;
      return;
    }
    case Shelf::kTriggers: {
      Result<TriggerRecord> record = decode_trigger(share.id, field, bytes);
      if (!record.ok()) return damaged(record.error());
      share.core->restore_trigger(std::move(*record), clock.now());
      return;
    }
    case Shelf::kWatchers: {
      Result<Watcher> watcher = decode_watcher(share.id, field, bytes);
      if (!watcher.ok()) return damaged(watcher.error());
      share.core->restore_watcher(watcher->trigger, std::move(watcher->runs));
      return;
    }
    case Shelf::kCache: {
      Result<CacheEntry> entry = decode_cache_entry(share.id, field, bytes);
      if (!entry.ok()) return damaged(entry.error());
      share.core->restore_cached(clock.now(), std::move(*entry));
      return;
    }
    case Shelf::kCacheAsks: {
      Result<CacheAsker> asker = decode_cache_asker(share.id, field, bytes);
      if (!asker.ok()) return damaged(asker.error());
      share.core->restore_cache_asker(std::move(*asker));
      return;
    }
    case Shelf::kPauses: {
      Result<Pause> pause = decode_pause(share.id, field, bytes);
      if (!pause.ok()) return damaged(pause.error());
      share.core->restore_pause(std::move(*pause));
      return;
    }
  }
}

// ---------------------------------------------------------------- what goes

void Loop::State::carry(Time now, const Outgoing& out) {
  for (const LetterAck& ack : out.effects.acks) {
    if (ack.request != RequestId{}) {
      gateway.reply(ack.request, LettersReply{ack.from.value, ack.to.value, ack.until});
      continue;
    }
    if (Share& sender = share(ack.from); sender.open()) letters_taken(now, sender, ack.to, ack.until);
  }
  for (const LettersMissed& missed : out.effects.letters_missed) tell_missed(now, out.partition, missed);
  for (const SendLetters& mail : out.effects.mail) send_mail(now, share(out.partition), mail);
}

// What cannot go now goes again in a while: the outbox sees to that.
void Loop::State::send_mail(Time now, Share& sender, const SendLetters& mail) {
  if (!sender.ours()) return;
  Share& receiver = share(mail.to);
  if (receiver.serving()) {
    auto batch = std::make_shared<MailBatch>();
    batch->from = sender.id;
    batch->to = mail.to;
    batch->epoch = receiver.epoch;
    batch->letters = mail.letters;
    batch->after = mail.after;
    return begin_mail(now, batch);
  }
  if (!receiver.served_elsewhere()) return;
  const MemberRecord* owner = membership.alive(receiver.seen->owner);
  if (owner == nullptr || owner->name == options.name || owner->endpoint.empty()) return;
  DeliverLetters request{sender.id.value, mail.to.value, {}, mail.after};
  std::size_t bytes = 0;
  for (const SharedLetter& letter : mail.letters) {
    std::string text = encode_letter(*letter);
    bytes += text.size();
    if (!request.letters.empty() && bytes > kMailBatchBytes) break;
    request.letters.push_back(std::move(text));
  }
  const std::uint64_t number = ++forwards_made;
  if (!gateway.forward(owner->endpoint, number, 1, request)) return;
  mail_out.emplace(number, MailOut{sender.id, mail.to, sender.epoch, receiver.seen->epoch});
  if (mail_out.size() > kMailOutMax) mail_out.erase(mail_out.begin());
}

// Whether an answer of another coordinator was to letters.
bool Loop::State::mail_answered(Time now, const FromPeer& answer) {
  auto it = mail_out.find(answer.number);
  if (it == mail_out.end()) return false;
  const MailOut out = it->second;
  mail_out.erase(it);
  const auto* taken = std::get_if<LettersReply>(&answer.reply);
  Share& sender = share(out.from);
  if (taken == nullptr || !sender.open() || sender.epoch != out.epoch) return true;
  // What an earlier owner of the receiver has said, or what was said earlier, is no more so: it says that it has less.
  const Share& receiver = share(out.to);
  std::uint64_t& latest = sender.mail_heard[out.to];
  if (receiver.ours() || !receiver.seen || receiver.seen->epoch != out.receiver || answer.number < latest) return true;
  latest = answer.number;
  letters_taken(now, sender, out.to, taken->until);
  return true;
}

// One that has taken letters which this owner has not written yet has heard of a later owner: the store has lost that
// one's take-over, and what this one writes would look as if it had been taken.
void Loop::State::letters_taken(Time now, Share& sender, PartitionId to, std::uint64_t until) {
  if (until <= sender.core->latest_letter()) return sender.core->step(now, LettersTaken{to, until});
  const auto epoch = static_cast<std::uint32_t>(until >> 32U);
  sender.epoch_highest = std::max(sender.epoch_highest, epoch);
  take_above(now, sender,
             "partition " + std::to_string(to.value) + " has taken a letter of epoch " + std::to_string(epoch));
}

// ---------------------------------------------------------------- what comes

// Of another coordinator.
void Loop::State::on_letters(Time now, RequestId request, const DeliverLetters& mail, std::uint8_t hops) {
  if (hops == 0 || mail.to >= shares.size() || mail.from >= shares.size())
    return refuse(request, {Code::kInvalid, "letters are what coordinators send each other", {}, ""});
  Share& receiver = shares[mail.to];
  if (!receiver.serving()) return refuse(request, not_serving(receiver.id));
  auto batch = std::make_shared<MailBatch>();
  batch->request = request;
  batch->from = PartitionId{static_cast<std::uint16_t>(mail.from)};
  batch->to = receiver.id;
  batch->epoch = receiver.epoch;
  for (const std::string& bytes : mail.letters) {
    Result<Letter> letter = decode_letter(batch->from, bytes);
    if (letter.ok() && letter->to != receiver.id)
      letter = Error{
          Code::kInvalid,
          "a letter of partition " + std::to_string(mail.from) + " is not for partition " + std::to_string(mail.to),
          {},
          ""};
    if (!letter.ok()) {  // those before it are taken; it comes again until somebody can read it
      options.note(LoopNote::kError, letter.error().what);
      break;
    }
    batch->letters.push_back(std::make_shared<const Letter>(std::move(letter).value()));
  }
  batch->after = mail.after;
  begin_mail(now, batch);
}

// A store that was behind has lost what its sender thinks is taken: that comes first, so these are not taken now. The
// answer says how far it has come.
void Loop::State::begin_mail(Time now, const std::shared_ptr<MailBatch>& batch) {
  if (batch->after > share(batch->to).core->taken_until(batch->from)) batch->letters.clear();
  take_mail(now, batch);
}

void Loop::State::take_mail(Time now, const std::shared_ptr<MailBatch>& batch) {
  Share& receiver = share(batch->to);
  if (!receiver.serving() || receiver.epoch != batch->epoch) return;  // they come again, to whoever serves it
  for (; batch->next < batch->letters.size(); ++batch->next) {
    const Letter& letter = *batch->letters[batch->next];
    if (receiver.core->has_taken(letter.from, letter.number) && options.plant != TestPlant::kTakeTwice) continue;
    LetterCame came{letter.from, letter.number, letter.body};
    if (auto* wanted = std::get_if<RunWanted>(&came.body);
        wanted != nullptr && !bring_run(receiver, batch, *wanted, came))
      return;  // it goes on when the store has answered
    receiver.core->step(now, std::move(came));
    batch->why.clear();
    batch->key_read = false;
    batch->existing.reset();
  }
  receiver.core->step(now, LettersRead{batch->request, batch->from});
}

// What a wanted run needs beside its letter: its plan, its inputs as the workflow declares them, whether its key is
// known. False: the store is asked, and take_mail() comes again.
bool Loop::State::bring_run(Share& share, const std::shared_ptr<MailBatch>& batch, RunWanted& wanted,
                            LetterCame& came) {
  const CachedPlan* cached = plans.find(wanted.definition);
  if (cached == nullptr && batch->why.empty()) {
    ask(LoadDefinition{wanted.home, wanted.definition}, [this, batch](Time at, StoreAnswer&& answer) {
      if (std::holds_alternative<ReadFailed>(answer)) return;  // the letter comes again
      auto* found = std::get_if<DefinitionAnswer>(&answer);
      if (found == nullptr || found->bytes == nullptr) batch->why = "its definition is not there any more";
      else if (auto put = plans.put(found->definition, found->bytes); !put.ok()) batch->why = put.error().what;
      take_mail(at, batch);
    });
    return false;
  }
  came.why = batch->why;
  if (cached != nullptr) {
    Result<Value> given = Value::parse(wanted.inputs.is_null() ? "{}" : wanted.inputs.json());
    Result<Value> bound = given.ok() ? bind_inputs(cached->plan->workflow().inputs, *given) : std::move(given);
    if (bound.ok()) came.plan = cached->plan, wanted.inputs = Payload::inline_json(bound->dump());
    else came.why = bound.error().what;
  }
  const std::uint64_t fingerprint = key_fingerprint(wanted.tenant, wanted.key);
  if (!batch->key_read && !share.keys.surely_new(fingerprint) && !share.core->find_key(wanted.tenant, wanted.key)) {
    ask(FindKey{share.id, wanted.tenant, wanted.key}, [this, batch](Time at, StoreAnswer&& answer) {
      auto* key = std::get_if<KeyAnswer>(&answer);
      if (key == nullptr) return;
      batch->key_read = true;
      batch->existing = key->run;
      take_mail(at, batch);
    });
    return false;
  }
  came.existing = batch->existing;
  if (came.existing && share.core->find(*came.existing) != nullptr) came.existing.reset();  // the core knows
  share.keys.add(fingerprint);
  if (share.keys_anew != nullptr) share.keys_anew->add(fingerprint);
  SubmitRun as_if;
  as_if.definition = wanted.definition;
  as_if.inputs = wanted.inputs;
  as_if.labels = wanted.labels;
  as_if.priority = wanted.priority;
  came.request_hash = request_hash(as_if);
  return true;
}

void Loop::State::post(Time now, PartitionId from, PartitionId to, LetterBody body) {
  if (Share& sender = share(from); sender.open()) sender.core->step(now, LetterPosted{to, std::move(body)});
}

}  // namespace millrace
