// Loop: live runs whose stored records are damaged while this memory has them. An owner never reads what it knows; but
// whoever takes a partition over has nothing but the store. So before a partition is given up in an orderly way its
// live runs are looked at there, and those that do not pass are written anew.
#include "coordinator/shell/loop_state.h"

namespace millrace {
namespace {

constexpr Duration kStaysFor = 60s;  // until it is looked at again

}  // namespace

// To be given up, if nothing is lost by that. It goes on serving meanwhile.
void Loop::State::leave(Time now, Share& share, const std::string& heir) {
  if (store.health().kind == "memory") return give(share, heir);  // what is there cannot be damaged
  if (now < share.stays_until || (share.look && share.look->heir == heir)) return;
  share.look = Share::Look{++looks, heir};
  look_at_stored(share);
}

void Loop::State::look_at_stored(Share& share) {
  ask(LoadActive{share.id, share.look->cursor},
      [this, id = share.id, number = share.look->number](Time now, StoreAnswer&& answer) {
        Share& looked = this->share(id);
        if (!looked.look || looked.look->number != number) return;
        if (!looked.serving()) return looked.look.reset();
        if (const auto* page = std::get_if<ActivePage>(&answer)) return on_stored_page(now, looked, *page);
        ask_again(now, [this, id, number] {
          Share& later = this->share(id);
          if (later.look && later.look->number == number) look_at_stored(later);
        });
      });
}

void Loop::State::on_stored_page(Time now, Share& share, const ActivePage& page) {
  for (std::size_t i = 0; i < page.damaged_runs.size() && i < page.damaged.size(); ++i)
    share.look->stuck += save(share, page.damaged_runs[i], page.damaged[i]) ? 0 : 1;
  share.look->cursor = page.next;
  if (!page.next.empty()) return look_at_stored(share);
  const Share::Look look = *std::exchange(share.look, std::nullopt);
  const MemberRecord* heir = membership.alive(look.heir);
  if (heir == nullptr || heir->draining) return void(plan_dirty = true);
  if (look.stuck == 0) return give(share, look.heir);
  share.stays_until = now + kStaysFor;
  options.note(LoopNote::kError, "partition " + std::to_string(share.id.value) + " stays here and does not go to " +
                                     look.heir + ": whoever took it could not serve the damaged runs above");
}

// False: it stays in this memory alone. Of one that is not here nothing is lost by a move.
bool Loop::State::save(Share& share, RunId run, const Error& damage) {
  const Run* known = share.core->find(run);
  if (known == nullptr || known->ended()) return true;
  const bool can = share.core->whole(run).has_value();
  options.note(LoopNote::kError, damage.what + (can ? ": written anew from memory"
                                                    : ": it is sound in memory, and cannot be written anew: it has "
                                                      "items of mapped nodes, or is too large"));
  if (can) share.to_write_anew.insert(run);
  return can;
}

// With what the turn has changed of them.
void Loop::State::write_anew(Share& share, PartitionCommit& part) {
  for (RunId run : std::exchange(share.to_write_anew, {})) {
    std::optional<RunWrite> all = share.core->whole(run);
    if (!all) continue;  // it has ended
    part.anew.push_back(std::move(*all));
    meter.wrote_anew();
  }
}

}  // namespace millrace
