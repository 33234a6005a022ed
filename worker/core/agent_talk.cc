// What an Agent says at the end of a round.
#include <algorithm>
#include <cassert>

#include "worker/core/agent_state.h"

namespace millrace {
namespace {

constexpr std::size_t kReportsMax = 4096;  // of one message

std::size_t size_of(const AttemptReport& report) {
  const Outcome& outcome = report.outcome;
  return 64 + outcome.output.size() + outcome.error.message.size() + outcome.error.traceback.size() +
         8 * report.rests_on.size();
}

// Worth telling: more than a quarter away from what was told.
bool differs(std::uint32_t told, std::uint32_t now) {
  const std::uint32_t change = now > told ? now - told : told - now;
  return std::uint64_t{change} * 4 > told;
}

// A large report that was said over this line takes its time: repeated with each Hello it would be in its own way.
bool is_on_its_way(Time now, const Held& h) {
  return h.outcome.output.size() > kReportLarge && h.report_again != kNever && now < h.report_again;
}

// Moves the ids into a message, if there are any.
template <class Message>
void say_ids(LinkId id, std::vector<AttemptId>& ids, AgentEffects& out) {
  if (ids.empty()) return;
  out.messages.push_back({id, Message{std::move(ids)}});
  ids.clear();
}

}  // namespace

// When a link that stays silent is told Hello again.
Time Agent::State::silence_ends(const Link& l) const {
  const Duration patience = !l.welcome || l.unanswered > 0 ? kSilentAfter : kReconcileAfter;
  return std::min(std::max(l.hello_at, l.heard) + patience, std::max(l.hello_at, l.up_since) + kReconcileAtLeast);
}

Time Agent::State::due_of(const Link& l, const Stake& stake) const {
  Time due = l.name_wanted_until;
  if (!l.up) return due;
  if (l.held_since != kNever) due = std::min(due, l.held_since + prefetch.hold());
  if (stake.weight > 0) due = std::min(due, counts_until(l));
  return std::min(due, l.hello_due ? l.hello_at + kHelloEvery : silence_ends(l));
}

void Agent::State::talk(Time now, AgentEffects& out) {
  if (left) return;
  const std::uint32_t prefetched = prefetch.now();
  bool moved = prefetch.next() != prefetched;
  const bool due = now >= links_at;
  stir_due(now);
  for (const std::uint32_t i : stirred) moved |= weigh(now, i);
  if (moved && !draining) stir_shares();
  std::ranges::sort(stirred);
  speaking.clear();
  std::swap(speaking, stirred);
  for (const std::uint32_t i : speaking) {
    Link& l = links[i];
    l.stirred = false;
    talk_to(now, LinkId{i}, l, out);
    stakes[i].due = due_of(l, stakes[i]);
    links_at = std::min(links_at, stakes[i].due);
    if (!l.to_report.empty()) (void)link(LinkId{i});  // held back: until when depends on more than the time
  }
  if (due) links_at = stakes.empty() ? kNever : std::ranges::min(stakes, {}, &Stake::due).due;
  while (!to_be_long.empty() && !runs(to_be_long.front())) to_be_long.pop_front();
  while (!to_repeat.empty() && !unanswered(to_repeat.front())) to_repeat.pop_front();
  if (!draining || (!held.empty() && now < leave_by)) return;
  left = true;
  out.leave = true;
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    if (links[i].up) out.messages.push_back({LinkId{i}, WorkerBye{}});
  }
}

void Agent::State::talk_to(Time now, LinkId id, Link& l, AgentEffects& out) {
  if (!l.up) {  // the next Hello tells all there is to tell
    l.to_start_telling.clear();
    l.to_report.clear();
    return;
  }
  if (l.hello_due && now >= l.hello_at + kHelloEvery) say_hello(now, id, l, out);
  if (draining && !std::exchange(l.drain_told, true)) out.messages.push_back({id, WorkerDraining{}});
  say_ids<AttemptsReclaimed>(id, l.to_give_back, out);
  std::erase_if(l.to_start_telling, [&](const AttemptId& a) { return !runs({Time{}, a}); });
  say_ids<AttemptsStarted>(id, l.to_start_telling, out);
  if (!holds_reports(now, l)) say_reports(now, id, l, out);
  if (!draining) say_credit(id, l, out);
}

void Agent::State::say_hello(Time now, LinkId id, Link& l, AgentEffects& out) {
  std::vector<const Held*> all;
  for (const auto& [attempt, h] : held) {
    if (!h.unwanted) all.push_back(&h);
  }
  std::ranges::sort(all, {}, &Held::id);
  WorkerHello hello = options.hello;
  hello.draining = draining;
  hello.answers = l.hello_asked;
  hello.held.clear();
  l.to_report.clear();
  for (const Held* h : all) {
    hello.held.push_back({h->id, h->phase != Phase::kQueued, h->rests_on, h->items});
    if (h->phase == Phase::kEnded && h->link == id && !is_on_its_way(now, *h)) l.to_report.push_back(h->id);
  }
  for (std::size_t p = 0; p < routes.size(); ++p) {
    if (routes[p].epoch > 0) hello.epochs.push_back({PartitionId{static_cast<std::uint16_t>(p)}, routes[p].epoch});
  }
  l.held_since = Time::min();  // reports follow a Hello at once
  l.hello_due = false;
  l.welcome = false;
  l.hello_at = now;
  ++l.hellos;
  stakes[id.value].credit = {};
  out.messages.push_back({id, std::move(hello)});
}

AttemptReport Agent::State::report(Time now, Held& h) {
  if (h.reports++ == 0) h.reported = now;
  AttemptReport report{h.id, h.outcome, {}};
  if (h.hellos != links[h.link.value].hellos) report.rests_on = h.rests_on;
  const bool large = size_of(report) > kReportLarge;
  h.report_again = now + kReportAgain * (large ? 1U << std::min(h.reports + 1, kReportDoublingsMax) : 1U);
  h.repeat_look = now + kReportAgain;
  to_repeat.push_back({h.repeat_look, h.id});
  return report;
}

// Only while a task waits for a slot here: it is then a full queue that the coordinator would fill, not an idle slot.
bool Agent::State::holds_reports(Time now, Link& l) const {
  const bool more_to_start = !waiting[0].empty() || !waiting[1].empty();
  if (l.to_report.empty() || draining || !more_to_start || l.to_report.size() >= kReportsHeld) {
    l.held_since = kNever;
    return false;
  }
  if (l.held_since == kNever) l.held_since = now;
  if (now < l.held_since + prefetch.hold()) return true;
  l.held_since = kNever;
  return false;
}

void Agent::State::say_reports(Time now, LinkId id, Link& l, AgentEffects& out) {
  if (l.to_report.empty()) return;
  AttemptReports batch;
  std::size_t bytes = 0;
  const auto close = [&] {
    out.messages.push_back({id, std::move(batch)});
    batch = {};
    bytes = 0;
  };
  batch.reports.reserve(std::min(l.to_report.size(), kReportsMax));
  for (const AttemptId& attempt : l.to_report) {
    auto it = held.find(attempt);
    if (it == held.end() || it->second.phase != Phase::kEnded) continue;  // answered meanwhile
    if (it->second.repeat_look == now + kReportAgain) continue;           // already in this round
    AttemptReport one = report(now, it->second);
    const std::size_t size = size_of(one);
    if (!batch.reports.empty() && (bytes + size > kReportBytes || batch.reports.size() == kReportsMax)) close();
    bytes += size;
    batch.reports.push_back(std::move(one));
  }
  l.to_report.clear();
  if (!batch.reports.empty()) close();
}

// A coordinator that does not answer is no reason to keep slots from the others.
Time Agent::State::counts_until(const Link& l) const {
  return l.welcomed ? l.heard + kReconcileAfter + kSilentAfter : l.up_since + kSilentAfter;
}

// Whether its weight has changed.
bool Agent::State::weigh(Time now, std::uint32_t link) {
  const Link& l = links[link];
  const bool counts = l.up && !l.doubted && now < counts_until(l);
  const std::uint64_t weight = counts ? std::uint64_t{l.demand} + 1 : 0;
  const std::uint64_t before = std::exchange(stakes[link].weight, weight);
  weights += weight - before;
  return weight != before;
}

// All there is, divided by what each coordinator has to run; at least one each.
CreditUpdate Agent::State::share_of(const Stake& stake) const {
  const std::uint64_t weight = std::max<std::uint64_t>(stake.weight, 1);
  const std::uint64_t sum = std::max(weights, weight);
  const auto share = [&](std::uint32_t all) {
    if (all == 0) return 0U;
    if (stake.weight == 0 && weights > 0) return 1U;
    if (all * weight < 2 * sum) return 1U;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(all * weight / sum, all));
  };
  return {share(options.hello.slots + prefetch.now()), share(options.hello.io_slots)};
}

// The weight of one is the share of all.
void Agent::State::stir_shares() {
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    const CreditUpdate& told = stakes[i].credit;
    if (told == CreditUpdate{} || links[i].stirred) continue;
    const CreditUpdate credit = share_of(stakes[i]);
    if (differs(told.cpu, credit.cpu) || differs(told.io, credit.io)) (void)link(LinkId{i});
  }
}

void Agent::State::say_credit(LinkId id, const Link& l, AgentEffects& out) {
  if (l.hellos == 0) return;
  CreditUpdate& told = stakes[id.value].credit;
  const CreditUpdate credit = share_of(stakes[id.value]);
  const bool fresh = told == CreditUpdate{};
  if (!fresh && !differs(told.cpu, credit.cpu) && !differs(told.io, credit.io)) return;
  told = credit;
  out.messages.push_back({id, credit});
}

}  // namespace millrace
