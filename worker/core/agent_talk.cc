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
  return std::max(l.hello_at, l.heard) + patience;
}

void Agent::State::talk(Time now, AgentEffects& out) {
  if (left) return;
  prefetch.next();
  std::uint64_t weights = 0;
  for (const Link& l : links) weights += counts(now, l) ? std::uint64_t{l.demand} + 1 : 0;
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    const LinkId id{i};
    Link& l = links[i];
    if (!l.up) {  // the next Hello tells all there is to tell
      l.to_start_telling.clear();
      l.to_report.clear();
      continue;
    }
    if (l.hello_due && now >= l.hello_at + kHelloEvery) say_hello(now, id, l, out);
    if (draining && !std::exchange(l.drain_told, true)) out.messages.push_back({id, WorkerDraining{}});
    say_ids<AttemptsReclaimed>(id, l.to_give_back, out);
    std::erase_if(l.to_start_telling, [&](const AttemptId& a) { return !runs({Time{}, a}); });
    say_ids<AttemptsStarted>(id, l.to_start_telling, out);
    if (!holds_reports(now, l)) say_reports(now, id, l, out);
    if (!draining) say_credit(now, id, l, weights, out);
  }
  while (!to_be_long.empty() && !runs(to_be_long.front())) to_be_long.pop_front();
  while (!to_repeat.empty() && !unanswered(to_repeat.front())) to_repeat.pop_front();
  if (!draining || (!held.empty() && now < leave_by)) return;
  left = true;
  out.leave = true;
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    if (links[i].up) out.messages.push_back({LinkId{i}, WorkerBye{}});
  }
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
  l.credit = {};
  out.messages.push_back({id, std::move(hello)});
}

AttemptReport Agent::State::report(Time now, Held& h) {
  if (h.reports++ == 0) h.reported = now;
  AttemptReport report{h.id, h.outcome, {}};
  if (h.hellos != link(h.link).hellos) report.rests_on = h.rests_on;
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
bool Agent::State::counts(Time now, const Link& l) const {
  if (!l.up || l.doubted) return false;
  return l.welcomed ? now < l.heard + kReconcileAfter + kSilentAfter : now < l.up_since + kSilentAfter;
}

// All there is, divided by what each coordinator has to run; at least one each.
void Agent::State::say_credit(Time now, LinkId id, Link& l, std::uint64_t weights, AgentEffects& out) {
  if (l.hellos == 0) return;
  const bool counted = counts(now, l);
  const std::uint64_t weight = counted ? std::uint64_t{l.demand} + 1 : 1;
  const auto share = [&](std::uint32_t all) {
    if (all == 0) return 0U;
    if (!counted && weights > 0) return 1U;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(all * weight / std::max(weights, weight), 1, all));
  };
  const CreditUpdate credit{share(options.hello.slots + prefetch.now()), share(options.hello.io_slots)};
  const bool fresh = l.credit == CreditUpdate{};
  if (!fresh && !differs(l.credit.cpu, credit.cpu) && !differs(l.credit.io, credit.io)) return;
  l.credit = credit;
  out.messages.push_back({id, credit});
}

}  // namespace millrace
