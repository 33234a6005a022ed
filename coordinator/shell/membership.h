// Membership: which coordinators there are, from what they publish in the store.
//
// Promises: another member lives while its record was seen to change within kMemberSilentAfter of our own clock, over a
// store that answered; time without the store counts for nobody. One that was seen once and has not changed yet is
// unknown for as long. We ourselves always live. Threads: one; owned by the loop. Times are handed in. Fails: never.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/shell/ports.h"

namespace millrace {

constexpr Duration kMeetEvery = 500ms;
constexpr Duration kMemberSilentAfter = 2s;
constexpr Duration kMemberForgottenAfter = 60s;  // of silence
constexpr Duration kSettledAfter = 2s;           // the living have not changed for so long: balance may move partitions

class Membership {
 public:
  enum class State : std::uint8_t { kUnknown, kAlive, kSilent };
  struct Member {
    MemberRecord record;
    State state = State::kUnknown;
    Time since{};  // when its record was last seen to change
  };

  explicit Membership(MemberRecord self) : self_(std::move(self)) {}

  const MemberRecord& self() const { return self_; }
  const MemberRecord& beat();                                 // ourselves, a beat later: to be published
  void publish(std::string durability, std::string weaker) {  // with the next beat
    self_.durability = std::move(durability);
    self_.weaker = std::move(weaker);
  }
  void drain() { self_.draining = true, ++changes_; }

  // The answer to it. Says whether the living, or what they say of themselves, have changed.
  bool heard(Time now, const MembersAnswer& answer);
  void unheard();  // the store could not be asked
  bool met() const { return met_; }
  bool known() const;  // nobody is unknown
  bool settled(Time now) const { return known() && now >= changed_at_ + kSettledAfter; }
  Time next_change() const;                // when silence or calm may begin; kNever without a reason
  bool has_twin() const { return twin_; }  // another process publishes itself under our name

  const Member* find(const std::string& name) const;         // not ourselves
  const MemberRecord* alive(const std::string& name) const;  // ourselves, too
  std::vector<const MemberRecord*> living() const;           // by name, with ourselves
  const std::map<std::string, Member>& others() const { return others_; }
  std::vector<std::string> forgotten(Time now) const;  // to be removed from the store
  std::uint64_t changes() const { return changes_; }   // grows when the living change

 private:
  MemberRecord self_;
  std::map<std::string, Member> others_;
  bool met_ = false;
  bool interrupted_ = false;
  bool twin_ = false;
  Time changed_at_{};
  std::uint64_t changes_ = 0;
};

}  // namespace millrace
