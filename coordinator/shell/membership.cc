#include "coordinator/shell/membership.h"

#include <algorithm>

namespace millrace {
namespace {

// Whether somebody who acts on what members say of themselves would act otherwise.
bool differs(const MemberRecord& a, const MemberRecord& b) {
  return a.nonce != b.nonce || a.endpoint != b.endpoint || a.events != b.events || a.draining != b.draining;
}

}  // namespace

const MemberRecord& Membership::beat() {
  ++self_.beat;
  return self_;
}

bool Membership::heard(Time now, const MembersAnswer& answer) {
  bool changed = !met_;
  met_ = true;
  twin_ = answer.before && answer.before->nonce != self_.nonce && self_.beat > 1;
  for (auto it = others_.begin(); it != others_.end();) {
    const bool there = std::ranges::binary_search(answer.members, it->first, {}, &MemberRecord::name);
    changed |= !there && it->second.state == State::kAlive;
    it = there ? std::next(it) : others_.erase(it);
  }
  for (const MemberRecord& record : answer.members) {
    if (record.name == self_.name) continue;
    auto [it, fresh] = others_.try_emplace(record.name, Member{record, State::kUnknown, now});
    Member& member = it->second;
    if (!fresh && (member.record.beat != record.beat || member.record.nonce != record.nonce)) {
      changed |= member.state != State::kAlive || differs(member.record, record);
      member = {record, State::kAlive, now};
    } else if (interrupted_) {
      member.since = now;
    } else if (member.state != State::kSilent && now >= member.since + kMemberSilentAfter) {
      changed |= member.state == State::kAlive;
      member.state = State::kSilent;
    }
  }
  interrupted_ = false;
  if (changed) {
    changed_at_ = now;
    ++changes_;
  }
  return changed;
}

void Membership::unheard() { interrupted_ = true; }

bool Membership::known() const {
  return met_ && std::ranges::none_of(others_, [](const auto& one) { return one.second.state == State::kUnknown; });
}

Time Membership::next_change() const {
  Time next = changed_at_ + kSettledAfter;
  for (const auto& [name, member] : others_) {
    if (member.state != State::kSilent) next = std::min(next, member.since + kMemberSilentAfter);
  }
  return next;
}

const Membership::Member* Membership::find(const std::string& name) const {
  auto it = others_.find(name);
  return it == others_.end() ? nullptr : &it->second;
}

const MemberRecord* Membership::alive(const std::string& name) const {
  if (name == self_.name) return &self_;
  const Member* member = find(name);
  return member != nullptr && member->state == State::kAlive ? &member->record : nullptr;
}

std::vector<const MemberRecord*> Membership::living() const {
  std::vector<const MemberRecord*> living = {&self_};
  for (const auto& [name, member] : others_) {
    if (member.state == State::kAlive) living.push_back(&member.record);
  }
  std::ranges::sort(living, {}, [](const MemberRecord* member) { return member->name; });
  return living;
}

std::vector<std::string> Membership::forgotten(Time now) const {
  std::vector<std::string> names;
  for (const auto& [name, member] : others_) {
    if (member.state == State::kSilent && now >= member.since + kMemberForgottenAfter) names.push_back(name);
  }
  return names;
}

}  // namespace millrace
