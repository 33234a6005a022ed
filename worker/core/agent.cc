#include "worker/core/agent.h"

#include <algorithm>

#include "worker/core/agent_state.h"
#include "worker/core/limit_text.h"

namespace millrace {
namespace {

constexpr std::uint32_t kLinksMax = 4096;
constexpr std::size_t kPassedMax = 64;  // attempts that wait for resources and are looked past

template <class... Ts>
struct overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
overloaded(Ts...) -> overloaded<Ts...>;

std::size_t index(SlotClass slot_class) { return static_cast<std::size_t>(slot_class); }

SlotClass slot_class_of(const NodeSpec& spec) { return fields_of_executor(spec.executor).slot_class; }

std::vector<UpstreamVersion> versions(const std::vector<Binding>& bindings) {
  std::vector<UpstreamVersion> out;
  out.reserve(bindings.size());
  for (const Binding& binding : bindings) out.push_back({binding.task, binding.version});
  return out;
}

}  // namespace

Agent::Agent(AgentOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Agent::~Agent() = default;
Agent::Agent(Agent&&) noexcept = default;

void Agent::step(Time now, AgentInput input, AgentEffects& out) {
  State& s = *state_;
  std::visit(overloaded{
                 [&](LinkUp& in) {
                   Link& link = s.link(in.link);
                   link.up = true;
                   link.hello_due = true;
                   link.hello_at = Time::min();
                   link.hello_asked = kNothingAsked;
                   for (auto& [id, h] : s.held) {
                     if (h.link == in.link) h.report_again = h.repeat_look = kNever;  // its Hello brings it
                   }
                   link.welcomed = link.doubted = false;
                   link.name.clear();
                   link.up_since = now;
                 },
                 [&](LinkDown& in) { s.link(in.link).up = false; },
                 [&](CoordinatorSaid& in) { s.said(now, in.link, std::move(in.message), out); },
                 [&](TaskEnded& in) { s.ended(in.attempt, std::move(in.outcome), now); },
                 [&](TaskLogged& in) { s.logged(std::move(in), out); },
                 [&](TaskSaid& in) { s.said_of(std::move(in), out); },
                 [&](DrainRequested&) { s.drain(); },
                 [&](KillRequested&) { s.kill_all(now, out); },
                 [&](AgentTick&) { s.pass(now, out); },
             },
             input);
}

void Agent::start(Time now, AgentEffects& out) { state_->start(now, out); }

void Agent::flush(Time now, AgentEffects& out) {
  state_->start(now, out);
  state_->talk(now, out);
}

Time Agent::next_deadline() const {
  const State& s = *state_;
  if (s.left) return kNever;
  Time next = s.leave_by;
  if (!s.to_be_long.empty()) next = std::min(next, s.to_be_long.front().first);
  if (!s.to_repeat.empty()) next = std::min(next, s.to_repeat.front().first);
  if (!s.timeouts.empty()) next = std::min(next, s.timeouts.begin()->first);
  for (const std::uint32_t i : s.stirred) next = std::min(next, s.due_of(s.links[i], s.stakes[i]));
  return std::min(next, s.links_at);
}

std::uint32_t Agent::running() const { return state_->running[0] + state_->running[1]; }
std::uint32_t Agent::queued() const {
  return static_cast<std::uint32_t>(state_->waiting[0].size() + state_->waiting[1].size());
}

Link& Agent::State::link(LinkId id) {
  assert(id.value < kLinksMax);
  if (id.value >= links.size()) {
    links.resize(id.value + 1);
    stakes.resize(id.value + 1);
  }
  Link& link = links[id.value];
  if (!std::exchange(link.stirred, true)) stirred.push_back(id.value);
  return link;
}

void Agent::State::stir_due(Time now) {
  if (now < links_at) return;
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    if (now >= stakes[i].due) (void)link(LinkId{i});
  }
}

// ---------------------------------------------------------------- what coordinators say

// A worker that was killed and started again finds its name in use until its silence is noticed.
void Agent::State::refused(Time now, LinkId from, WorkerRefused&& refused, AgentEffects& out) {
  Link& l = link(from);
  if (refused.name != "id_in_use" || l.ever_welcome) {
    return give_up(from, std::move(refused.name), std::move(refused.message), out);
  }
  if (l.name_wanted_until == kNever) l.name_wanted_until = now + kNameFreeAfter;
  l.refusal = std::move(refused.message);
  l.hello_due = true;
  l.hello_at = now + kNameTryEvery - kHelloEvery;
}

void Agent::State::give_up(LinkId from, std::string name, std::string message, AgentEffects& out) {
  link(from).name_wanted_until = kNever;
  out.refused_for_good = true;
  out.refusal = std::move(name);
  out.refusal_message = std::move(message);
  // The others forget it at once, so that its next start finds the name free everywhere.
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    if (links[i].up && LinkId{i} != from) out.messages.push_back({LinkId{i}, WorkerBye{}});
  }
}

void Agent::State::said(Time now, LinkId from, CoordinatorMessage&& message, AgentEffects& out) {
  Link& speaker = link(from);
  speaker.heard = now;
  speaker.doubted = false;
  std::visit(overloaded{
                 [&](WorkerWelcome& welcome) {
                   speaker.welcome = speaker.welcomed = speaker.ever_welcome = true;
                   speaker.name_wanted_until = kNever;
                   speaker.name = std::move(welcome.coordinator);
                   told(from, welcome.news);
                 },
                 [&](WorkerRefused& refusal) { refused(now, from, std::move(refusal), out); },
                 [&](AssignBatch& batch) {
                   for (Assignment& assignment : batch.assignments) assigned(now, from, std::move(assignment));
                 },
                 [&](CancelBatch& batch) {
                   for (const AttemptCancel& cancel : batch.cancels) {
                     cancelled(now, from, cancel);
                     auto it = speaks_for(from, cancel.attempt) ? held.find(cancel.attempt) : held.end();
                     if (it != held.end() && it->second.phase == Phase::kRunning) kill(it->second, cancel.reason, out);
                   }
                 },
                 [&](AnswerBatch& batch) {
                   for (const ReportAnswer& answer : batch.answers) answered(now, from, answer, out);
                 },
                 [&](Reclaim& wanted) {
                   for (const AttemptId& attempt : wanted.attempts) reclaim(from, attempt);
                 },
                 [&](ValueReply&) {},  // for the shell
                 [&](PartTaken&) {},   // likewise
                 [&](DrainWorker&) { drain(); },
                 [&](SayHello& say) {
                   speaker.hello_due = true;
                   if (say.number != 0) speaker.hello_asked = say.number;  // 0: not over this very line
                 },
                 [&](ClusterNews& news) { told(from, news); },
             },
             message);
}

// The owner of a partition, or who was so until we hear of a later one.
bool Agent::State::speaks_for(LinkId from, const AttemptId& attempt) const {
  const Route& route = routes[partition_of(attempt.run).value];
  return route.epoch == 0 || route.link == from;
}

// Those that another coordinator does not name any more.
void Agent::State::doubt_others(LinkId from, const std::vector<MemberAddress>& members) {
  std::vector<std::string_view> names;
  names.reserve(members.size());
  for (const MemberAddress& member : members) names.push_back(member.name);
  std::ranges::sort(names);
  for (std::uint32_t i = 0; i < links.size(); ++i) {
    const Link& other = links[i];
    if (other.name.empty() || other.name == links[from.value].name) continue;
    const bool doubted = !std::ranges::binary_search(names, std::string_view(other.name));
    if (doubted != other.doubted) link(LinkId{i}).doubted = doubted;
  }
}

// What is held of partitions that have a new owner is its from now on: reports go there.
void Agent::State::told(LinkId from, const ClusterNews& news) {
  link(from).demand = news.demand;
  if (!news.members.empty()) doubt_others(from, news.members);
  std::set<PartitionId> moved;
  for (const PartitionEpoch& owned : news.owned) {
    Route& route = routes[owned.partition.value];
    if (owned.epoch < route.epoch || owned.epoch == 0) continue;
    if (route.epoch == owned.epoch && route.link == from) continue;
    route = {from, owned.epoch};
    moved.insert(owned.partition);
  }
  if (moved.empty()) return;
  std::vector<AttemptId> unanswered;
  for (auto& [id, h] : held) {
    if (!moved.contains(partition_of(id.run))) continue;
    h.hellos = 0;  // the new epoch did not dispatch it: its report says what it rests on
    if (h.link == from) continue;
    if (h.phase == Phase::kEnded) {
      --link(h.link).unanswered;
      ++link(from).unanswered;
      unanswered.push_back(id);
    }
    h.link = from;
  }
  std::ranges::sort(unanswered);
  std::vector<AttemptId>& reports = link(from).to_report;
  reports.insert(reports.end(), unanswered.begin(), unanswered.end());
}

void Agent::State::assigned(Time now, LinkId from, Assignment&& assignment) {
  const AttemptId id = assignment.attempt();
  const Route& route = routes[partition_of(id.run).value];
  if (id.epoch < route.epoch) return;
  if (id.epoch != route.epoch || route.link != from)
    told(from, {{}, {{partition_of(id.run), id.epoch}}, link(from).demand});
  if (const auto fate = recent.find(id)) {
    if (*fate == Fate::kGivenBack) give_back(from, id);
    return;
  }
  if (auto it = held.find(id); it != held.end()) {
    if (it->second.phase == Phase::kEnded) link(it->second.link).to_report.push_back(id);
    return;
  }
  if (draining || held.size() >= kHeldMax || !has(*assignment.node_spec)) return give_back(from, id);
  Held& h = held[id];
  h.id = id;
  h.link = from;
  h.slot_class = slot_class_of(*assignment.node_spec);
  h.hellos = link(from).hellos;
  h.serial = ++serials;
  h.arrived = now;
  h.rests_on = versions(assignment.bindings);
  h.items = assignment.items != nullptr ? assignment.items->count : 0;
  h.assignment = std::move(assignment);
  waiting[index(h.slot_class)].insert(Waiting(h));
}

// What is queued, or never came, ends here; what runs is killed by the caller.
void Agent::State::cancelled(Time now, LinkId from, const AttemptCancel& cancel) {
  if (!speaks_for(from, cancel.attempt)) return;
  auto it = held.find(cancel.attempt);
  if (it == held.end()) {
    if (recent.find(cancel.attempt) == Fate::kGivenBack) return give_back(from, cancel.attempt);  // it was not told
    if (recent.find(cancel.attempt) || held.size() >= kHeldMax) return;
    Held& h = held[cancel.attempt];
    h.id = cancel.attempt;
    h.link = from;
    h.hellos = link(from).hellos;
    h.arrived = now;
    it = held.find(cancel.attempt);
  } else if (it->second.phase == Phase::kQueued) {
    waiting[index(it->second.slot_class)].erase(Waiting(it->second));
  } else {
    return;
  }
  Outcome outcome;
  outcome.reason = cancel.reason;
  outcome.error.message = "cancelled before it started";
  outcome.waited = now - it->second.arrived;
  end(it->second, std::move(outcome));
}

void Agent::State::answered(Time now, LinkId from, const ReportAnswer& answer, AgentEffects& out) {
  auto it = held.find(answer.attempt);
  if (it == held.end()) return;
  if (answer.answer == Answer::kRefused && !speaks_for(from, answer.attempt)) return;  // not its to refuse any more
  Held& h = it->second;
  switch (h.phase) {
    case Phase::kEnded:
      if (h.reports == 1) prefetch.answered(now - h.reported);  // of several, nobody knows which one was answered
      return forget(h, Fate::kAnswered);
    case Phase::kQueued:
      if (answer.answer == Answer::kRefused) forget(h, Fate::kAnswered);
      return;
    case Phase::kRunning:
      if (answer.answer != Answer::kRefused) return;
      h.unwanted = true;
      return kill(h, Reason::kCancelRequested, out);
  }
}

void Agent::State::reclaim(LinkId from, const AttemptId& attempt) {
  if (!speaks_for(from, attempt)) return;  // who owns it no more has nothing to do with it
  if (auto it = held.find(attempt); it != held.end()) {
    if (it->second.phase == Phase::kRunning) link(from).to_start_telling.push_back(attempt);
    if (it->second.phase != Phase::kQueued) return;
    forget(it->second, Fate::kGivenBack);
  } else if (recent.find(attempt) == Fate::kAnswered) {
    return;
  }
  give_back(from, attempt);
}

// ---------------------------------------------------------------- what tasks do

void Agent::State::ended(const AttemptId& attempt, Outcome&& outcome, Time now) {
  auto it = held.find(attempt);
  if (it == held.end() || it->second.phase != Phase::kRunning) return;
  Held& h = it->second;
  --running[index(h.slot_class)];
  if (h.metered != nullptr) give(*h.metered);
  if (h.times_out != kNever) timeouts.erase({h.times_out, h.id});
  if (!h.killed && h.slot_class == SlotClass::kCpu)
    prefetch.ran(outcome.ran > Duration::zero() ? outcome.ran : now - h.started);
  if (h.unwanted) return forget(h, Fate::kAnswered);
  if (h.took_too_long && outcome.reason == Reason::kTimeout) outcome.error.message = too_long_text(h.timeout);
  outcome.waited = h.started - h.arrived;
  end(h, std::move(outcome));
}

void Agent::State::logged(TaskLogged&& log, AgentEffects& out) {
  auto it = held.find(log.attempt);
  if (it == held.end() || it->second.unwanted || !link(it->second.link).up) return;
  out.messages.push_back({it->second.link, TaskLog{log.attempt, log.stderr_stream, std::move(log.text), log.item}});
}

void Agent::State::said_of(TaskSaid&& said, AgentEffects& out) {
  auto it = held.find(said.news.attempt);
  if (it == held.end() || it->second.unwanted || !link(it->second.link).up) return;
  out.messages.push_back({it->second.link, std::move(said.news)});
}

void Agent::State::end(Held& h, Outcome&& outcome) {
  Link& l = link(h.link);
  h.phase = Phase::kEnded;
  h.outcome = std::move(outcome);
  h.assignment = {};
  ++l.unanswered;
  l.to_report.push_back(h.id);
}

void Agent::State::forget(Held& h, Fate fate) {
  if (h.phase == Phase::kQueued) waiting[index(h.slot_class)].erase(Waiting(h));
  if (h.phase == Phase::kEnded) --link(h.link).unanswered;
  recent.add(h.id, fate);
  held.erase(AttemptId(h.id));
}

void Agent::State::give_back(LinkId to, const AttemptId& attempt) {
  recent.add(attempt, Fate::kGivenBack);
  link(to).to_give_back.push_back(attempt);
}

void Agent::State::kill(Held& h, Reason why, AgentEffects& out) {
  if (h.killed) return;
  h.killed = true;
  out.kills.push_back({h.id, why});
}

// ---------------------------------------------------------------- starting, draining, time

std::uint32_t Agent::State::room(SlotClass slot_class) const {
  const std::uint32_t most = slot_class == SlotClass::kCpu ? options.hello.slots : options.hello.io_slots;
  const std::uint32_t taken = running[index(slot_class)];
  return most > taken ? most - taken : 0;
}

void Agent::State::start(Time now, AgentEffects& out) {
  for (const SlotClass slot_class : {SlotClass::kCpu, SlotClass::kIo}) {
    std::set<Waiting>& queue = waiting[index(slot_class)];
    std::size_t passed = 0;
    wanted.clear();
    auto next = queue.begin();
    for (std::uint32_t room_left = room(slot_class); room_left > 0 && next != queue.end();) {
      Held& h = *next->held;
      if (!h.assignment.node_spec->resources.empty() && !fits(*h.assignment.node_spec)) {
        if (++passed > kPassedMax) break;
        ++next;
        continue;
      }
      next = queue.erase(next);
      start_one(now, h, out);
      --room_left;
    }
  }
}

// Whether it could ever run here.
bool Agent::State::has(const NodeSpec& spec) const {
  const Resources& all = options.hello.resources;
  return std::ranges::all_of(spec.resources, [&](const Resource& one) {
    const auto it = std::ranges::find(all, one.name, &Resource::name);
    return it != all.end() && one.amount <= it->amount;
  });
}

// Whether it could start now; if not, what it lacks is kept for it.
bool Agent::State::fits(const NodeSpec& spec) {
  std::vector<const std::string*> lacks;
  bool waits = false;
  for (const Resource& one : spec.resources) {
    if (one.amount > free[one.name]) lacks.push_back(&one.name);
    waits |= wanted.contains(one.name);
  }
  for (const std::string* name : lacks) wanted.insert(*name);
  return lacks.empty() && !waits;
}

void Agent::State::take(const NodeSpec& spec) {
  for (const Resource& one : spec.resources) free[one.name] -= one.amount;
}

void Agent::State::give(const NodeSpec& spec) {
  for (const Resource& one : spec.resources) free[one.name] += one.amount;
}

void Agent::State::start_one(Time now, Held& h, AgentEffects& out) {
  h.phase = Phase::kRunning;
  h.started = now;
  ++running[index(h.slot_class)];
  if (const Duration timeout = h.assignment.node_spec->timeout; timeout > Duration::zero() && h.items == 0) {
    h.timeout = timeout;
    h.times_out = now + timeout;
    timeouts.insert({h.times_out, h.id});
  }
  to_be_long.push_back({now + kStartedAfter, h.id});
  if (!h.assignment.node_spec->resources.empty()) {
    h.metered = h.assignment.node_spec;
    take(*h.metered);
  }
  out.starts.push_back({std::move(h.assignment), h.link});
}

void Agent::State::drain() {
  if (draining) return;
  draining = true;
  for (std::uint32_t i = 0; i < links.size(); ++i) (void)link(LinkId{i});
  std::vector<Held*> unstarted;
  for (const auto& queue : waiting) {
    for (const Waiting& entry : queue) unstarted.push_back(entry.held);
  }
  for (Held* h : unstarted) {
    const LinkId to = h->link;
    const AttemptId id = h->id;
    forget(*h, Fate::kGivenBack);
    give_back(to, id);
  }
}

void Agent::State::kill_all(Time now, AgentEffects& out) {
  drain();
  leave_by = std::min(leave_by, now + kLeaveAfterKill);
  std::vector<Held*> alive;
  for (auto& [id, h] : held) {
    if (h.phase == Phase::kRunning) alive.push_back(&h);
  }
  std::ranges::sort(alive, {}, &Held::serial);
  for (Held* h : alive) kill(*h, Reason::kLost, out);
}

bool Agent::State::runs(const std::pair<Time, AttemptId>& mark) const {
  auto it = held.find(mark.second);
  return it != held.end() && it->second.phase == Phase::kRunning;
}

bool Agent::State::unanswered(const std::pair<Time, AttemptId>& mark) const {
  auto it = held.find(mark.second);
  return it != held.end() && it->second.phase == Phase::kEnded && it->second.repeat_look == mark.first;
}

void Agent::State::pass(Time now, AgentEffects& out) {
  for (; !to_be_long.empty() && to_be_long.front().first <= now; to_be_long.pop_front()) {
    if (!runs(to_be_long.front())) continue;
    const Held& h = held.find(to_be_long.front().second)->second;
    if (h.slot_class == SlotClass::kCpu) prefetch.ran(now - h.started);
    link(h.link).to_start_telling.push_back(h.id);
  }
  for (; !to_repeat.empty() && to_repeat.front().first <= now; to_repeat.pop_front()) {
    if (!unanswered(to_repeat.front())) continue;
    Held& h = held.find(to_repeat.front().second)->second;
    if (now >= h.report_again) {
      link(h.link).to_report.push_back(h.id);
    } else {
      h.repeat_look = now + kReportAgain;
      to_repeat.push_back({h.repeat_look, h.id});
    }
  }
  while (!timeouts.empty() && timeouts.begin()->first <= now) {
    Held& h = held.find(timeouts.begin()->second)->second;
    timeouts.erase(timeouts.begin());
    h.times_out = kNever;
    h.took_too_long = !h.killed;
    kill(h, Reason::kTimeout, out);
  }
  stir_due(now);
  std::ranges::sort(stirred);
  for (const std::uint32_t i : stirred) {
    Link& l = links[i];
    if (l.up && now >= silence_ends(l)) l.hello_due = true;
    if (now >= l.name_wanted_until) give_up(LinkId{i}, "id_in_use", std::move(l.refusal), out);
  }
}

}  // namespace millrace
