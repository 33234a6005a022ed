// Loop: large values on their way between the store and whoever wants or sends them. They pass in parts, so that what
// is held here is bounded whatever their size; older peers are given a value as a whole. Those of the last seconds are
// looked for when the store was away, and put back where it has lost them.
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::uint64_t kPartsHeldMax = 64ULL * 1024 * 1024;  // of all peers; who finds no room asks again

PartPlace place_of(const LoadValue& read, const ValueAnswer& value) {
  if (read.max == 0 || !value.json) return {};
  return {value.size, read.from, part_check(read.hash, read.from, *value.json)};
}

bool is_passing(const StoreAnswer& answer) {
  const auto* failed = std::get_if<ReadFailed>(&answer);
  return failed != nullptr && failed->error.code == Code::kUnavailable;
}

// Needs what was sent ahead of a submission: there is never such a run, so the sweep takes it again, and what came of
// it by then has needs of its own.
RunId nobody(const Hash128& hash, std::uint32_t partitions) {
  return make_run_id(PartitionId{static_cast<std::uint16_t>(hash.low % partitions)}, 0, 0);
}

}  // namespace

// A value that is larger than all that may be held passes when nothing else does.
bool Loop::State::hold_part(std::uint64_t bytes) {
  if (parts_held > 0 && parts_held + bytes > kPartsHeldMax) return false;
  parts_held += bytes;
  return true;
}

// `then` is told nothing where the store cannot be read, `full` is called where there is no room.
void Loop::State::read_value(const LoadValue& read, std::function<void(ValueAnswer*)> then,
                             std::function<void()> full) {
  const auto load = [this](const LoadValue& what, std::uint64_t bytes, auto&& told, auto&& no_room) {
    if (!hold_part(bytes)) return no_room();
    load_value(what, [this, bytes, told](Time, ValueAnswer* value) {
      parts_held -= bytes;
      told(value);
    });
  };
  if (read.max != 0) return load(read, read.max, then, full);
  // From who does not know parts: how large it is shows first.
  load(
      LoadValue{read.hash, 0, 1}, 1,
      [load, read, then, full](ValueAnswer* value) {
        if (value == nullptr || !value->json) return then(value);
        load(read, value->size, then, full);
      },
      full);
}

void Loop::State::give_value(PeerId peer, const ValueRequest& wanted) {
  const LoadValue read{wanted.hash, wanted.from, std::min(wanted.max, kPartMax)};
  const auto give = [this, peer, read](ValueAnswer* value) {
    if (value == nullptr) return;
    const PartPlace place = place_of(read, *value);
    const bool found = value->json.has_value();
    (void)gateway.send(peer, ValueReply{read.hash, found, found ? std::move(*value->json) : std::string(), place});
  };
  read_value(read, give, [] {});  // the worker asks again, as it does where the store cannot be read
}

void Loop::State::give_value(RequestId request, const GetValue& wanted) {
  const LoadValue read{wanted.hash, wanted.from, std::min(wanted.max, kPartMax)};
  const auto give = [this, request, read](ValueAnswer* value) {
    if (value == nullptr) return refuse(request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
    const PartPlace place = place_of(read, *value);
    const bool found = value->json.has_value();
    reply(request, ValueFound{found, found ? std::move(*value->json) : std::string(), place});
  };
  read_value(read, give, [this, request] {
    refuse(request, {Code::kUnavailable, "too many values are read", {}, "not_serving"});
  });
}

// One that was harmed on its way is not answered, nor one that the store cannot take now: it comes again.
void Loop::State::take_part(Time now, PeerId peer, PutPart& part) {
  if (part.check != part_check(part.hash, part.from, part.bytes)) return;
  if (!hold_part(part.bytes.size())) return;
  const StoreRead store = StorePart{part.hash, part.size, part.run, part.from, part.bytes, now};
  ask(store, [this, peer, part = std::move(part)](Time at, StoreAnswer&& answer) {
    parts_held -= part.bytes.size();
    const auto* taken = std::get_if<PartTaken>(&answer);
    if (taken == nullptr) return;
    values_kept.took(at, part.run, part.size, part.from, part.bytes, *taken);
    (void)gateway.send(peer, *taken);
  });
}

// ---------------------------------------------------------------- what the store may have lost

// Once each time that the store was away or behind: a value may lie at another of its nodes than the commits that name
// it, and whoever repairs these does not know of it.
void Loop::State::look_after_values(Time now) {
  if (store_wavered <= values_looked || !store.ready()) return;
  values_looked = now;
  for (const Hash128& hash : values_kept.recent(now)) look_for_value(hash);
}

void Loop::State::look_for_value(const Hash128& hash) {
  ask(LoadValue{hash, 0, 1}, [this, hash](Time now, StoreAnswer&& answer) {
    if (is_passing(answer)) return ask_again(now, [this, hash] { look_for_value(hash); });
    const auto* value = std::get_if<ValueAnswer>(&answer);
    if (value != nullptr && !value->json) put_back(now, hash, 0);
  });
}

void Loop::State::put_back(Time now, const Hash128& hash, std::uint64_t from) {
  const ValueRing::Value* value = values_kept.find(hash);
  if (value == nullptr || value->at + options.value_grace <= now) return;  // then it may have been cleared away
  if (!value->has_bytes()) return lost_value(now, *value);
  const std::string_view part = value->bytes().substr(std::min(from, value->size), kPartMax);
  ask(StorePart{hash, value->size, value->run, from, std::string(part), now},
      [this, hash, from](Time at, StoreAnswer&& answer) {
        if (is_passing(answer)) return ask_again(at, [this, hash, from] { put_back(clock.now(), hash, from); });
        const auto* taken = std::get_if<PartTaken>(&answer);
        if (taken == nullptr) return;  // the store says in its own words why it cannot
        if (!taken->kept) return put_back(at, hash, taken->have);
        meter.put_back_value();
        options.note(LoopNote::kWarn, "value " + to_string(hash) + ": the store had lost it, it was put back");
      });
}

void Loop::State::lost_value(Time now, const ValueRing::Value& value) {
  const std::string run = to_string(value.run);
  const std::string what = "the store has lost value " + to_string(value.hash) + " (" + std::to_string(value.size) +
                           " bytes), which was acknowledged and is not kept any more";
  values_kept.forget(value.hash);
  options.note(LoopNote::kError, "run " + run + ": " + what);
  meter.lost_value();
  lose({now, "run " + run, what, "`millrace retry " + run + "` computes it anew"});
}

void Loop::State::take_inputs(Time now, RequestId request, PutInputs& part) {
  if (part.check != part_check(part.hash, part.from, part.bytes))
    return reply(request, InputsTaken{part.hash, part.from, false, true});
  const std::uint64_t bytes = part.bytes.size();
  if (!hold_part(bytes))
    return refuse(request, {Code::kUnavailable, "too many values are taken in", {}, "not_serving"});
  const RunId run = nobody(part.hash, options.partitions);
  ask(StorePart{part.hash, part.size, run, part.from, std::move(part.bytes), now},
      [this, request, bytes](Time, StoreAnswer&& answer) {
        parts_held -= bytes;
        if (const auto* taken = std::get_if<PartTaken>(&answer))
          return reply(request, InputsTaken{taken->hash, taken->have, taken->kept, taken->damaged});
        refuse(request, {Code::kUnavailable, "the store cannot be written right now", {}, ""});
      });
}

void Loop::State::fetch_inputs(RequestId request, SubmitRun&& submit, std::uint8_t hops) {
  const std::uint64_t bytes = submit.inputs.size();
  if (bytes > kValueMax) return refuse(request, {Code::kInvalid, "the inputs are too large", {}, ""});
  if (!hold_part(bytes)) return refuse(request, {Code::kUnavailable, "too many values are read", {}, "not_serving"});
  const Hash128 hash = submit.inputs.hash();
  load_value({hash}, [this, request, bytes, hops, submit = std::move(submit)](Time at, ValueAnswer* found) mutable {
    parts_held -= bytes;
    if (found == nullptr) return refuse(request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
    if (!found->json)
      return refuse(request, {Code::kNotFound,
                              "the inputs " + to_string(submit.inputs.hash()) + " are not there: send them again",
                              {},
                              "inputs_gone"});
    submit.inputs = Payload::inline_json(std::move(*found->json));
    on_submit(at, request, submit, hops);
  });
}

}  // namespace millrace
