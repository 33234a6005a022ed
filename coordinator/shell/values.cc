// Loop: large values on their way between the store and whoever wants or sends them. They pass in parts, so that what
// is held here is bounded whatever their size; older peers are given a value as a whole.
#include <algorithm>

#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr std::uint64_t kPartsHeldMax = 64ULL * 1024 * 1024;  // of all peers; who finds no room asks again

PartPlace place_of(const LoadValue& read, const ValueAnswer& value) {
  if (read.max == 0 || !value.json) return {};
  return {value.size, read.from, part_check(read.hash, read.from, *value.json)};
}

}  // namespace

bool Loop::State::hold_part(std::uint64_t bytes) {
  if (parts_held + bytes > kPartsHeldMax) return false;
  parts_held += bytes;
  return true;
}

void Loop::State::give_value(PeerId peer, const ValueRequest& wanted) {
  const LoadValue read{wanted.hash, wanted.from, std::min(wanted.max, kPartMax)};
  if (!hold_part(read.max)) return;  // the worker asks again, as it does where the store cannot be read
  load_value(read, [this, peer, read](Time, ValueAnswer* value) {
    parts_held -= read.max;
    if (value == nullptr) return;
    const PartPlace place = place_of(read, *value);
    const bool found = value->json.has_value();
    (void)gateway.send(peer, ValueReply{read.hash, found, found ? std::move(*value->json) : std::string(), place});
  });
}

void Loop::State::give_value(RequestId request, const GetValue& wanted) {
  const LoadValue read{wanted.hash, wanted.from, std::min(wanted.max, kPartMax)};
  if (!hold_part(read.max)) return refuse(request, {Code::kUnavailable, "too many values are read", {}, "not_serving"});
  load_value(read, [this, request, read](Time, ValueAnswer* value) {
    parts_held -= read.max;
    if (value == nullptr) return refuse(request, {Code::kUnavailable, "the store cannot be read right now", {}, ""});
    const PartPlace place = place_of(read, *value);
    const bool found = value->json.has_value();
    reply(request, ValueFound{found, found ? std::move(*value->json) : std::string(), place});
  });
}

// One that was harmed on its way is not answered, nor one that the store cannot take now: it comes again.
void Loop::State::take_part(Time now, PeerId peer, PutPart& part) {
  if (part.check != part_check(part.hash, part.from, part.bytes)) return;
  const std::uint64_t bytes = part.bytes.size();
  if (!hold_part(bytes)) return;
  ask(StorePart{part.hash, part.size, part.run, part.from, std::move(part.bytes), now},
      [this, peer, bytes](Time, StoreAnswer&& answer) {
        parts_held -= bytes;
        if (const auto* taken = std::get_if<PartTaken>(&answer)) (void)gateway.send(peer, *taken);
      });
}

}  // namespace millrace
