// Agent::State: what an Agent knows. Private to agent.cc (inputs, starts, timers) and agent_talk.cc (messages).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/core/agent.h"
#include "worker/core/prefetch.h"
#include "worker/core/recent.h"

namespace millrace {

enum class Phase : std::uint8_t {
  kQueued,
  kRunning,
  kEnded,  // and not answered
};

// An attempt, from its assignment to the answer to its report.
struct Held {
  AttemptId id;
  LinkId link;
  Phase phase = Phase::kQueued;
  SlotClass slot_class = SlotClass::kCpu;
  bool killed = false;
  bool unwanted = false;      // refused while it ran: nothing is reported
  std::uint32_t hellos = 0;   // those of its link when it was assigned
  std::uint32_t reports = 0;  // sent
  std::uint64_t serial = 0;   // order of arrival
  Time arrived{};
  Time started{};
  Time reported{};
  Time report_again = kNever;
  Time repeat_look = kNever;  // its latest entry in to_repeat
  Time times_out = kNever;
  Duration timeout{};          // of the attempt; zero: none
  bool took_too_long = false;  // killed for that
  std::vector<UpstreamVersion> rests_on;
  std::uint32_t items = 0;                  // that it has
  std::shared_ptr<const NodeSpec> metered;  // its spec, where it takes resources
  Assignment assignment;                    // until it starts
  Outcome outcome;                          // once it has ended
};

// Order of starting: priority, then age, then arrival.
struct Waiting {
  std::int32_t priority = 0;
  Time age{};
  std::uint64_t serial = 0;
  Held* held = nullptr;
  explicit Waiting(Held& h) : priority(h.assignment.priority), age(h.assignment.age), serial(h.serial), held(&h) {}
  friend bool operator<(const Waiting& a, const Waiting& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    if (a.age != b.age) return a.age < b.age;
    return a.serial < b.serial;
  }
};

// What each message touches comes first: with many coordinators the links do not fit into the cache.
struct alignas(64) Link {
  bool up = false;
  bool stirred = false;  // among those that talk() looks at
  bool hello_due = false;
  bool welcome = false;   // the latest Hello was answered by a Welcome
  bool welcomed = false;  // one was, since the link came up
  bool ever_welcome = false;
  bool drain_told = false;
  bool doubted = false;      // another coordinator names it no more, and it has not spoken since
  std::uint32_t demand = 0;  // tasks that its coordinator has to run, as it last said
  std::uint32_t hellos = 0;
  std::uint32_t unanswered = 0;  // attempts that have ended
  Time hello_at = Time::min();
  Time heard = Time::min();
  Time up_since = Time::min();
  Time held_since = kNever;         // the oldest of to_report that is held back
  Time name_wanted_until = kNever;  // it was refused as in use: when to give up
  std::vector<AttemptId> to_start_telling;
  std::vector<AttemptId> to_give_back;
  std::vector<AttemptId> to_report;
  std::uint64_t hello_asked = kNothingAsked;  // the latest number of a SayHello, since the link came up
  std::string name;                           // of who welcomed us
  std::string refusal;                        // of the name, in its words
};

// What is looked at for all links at once, apart from the rest of them.
struct Stake {
  std::uint64_t weight = 0;  // of its demand; zero: it does not count
  Time due = kNever;         // it may have something to say then
  CreditUpdate credit;       // as last sent; zero: not since the latest Hello
};

// Who owns a partition, as coordinators have said.
struct Route {
  LinkId link;
  std::uint32_t epoch = 0;  // zero: nobody has spoken of it
};

struct Agent::State {
  explicit State(AgentOptions o)
      : options(std::move(o)),
        prefetch(options.hello.slots, options.prefetch_max),
        recent(kRecentMax),
        routes(kPartitionsMax) {
    for (const Resource& one : options.hello.resources) free[one.name] = one.amount;
  }

  // agent.cc
  Link& link(LinkId id);  // to change it: talk() looks at it
  void stir_due(Time now);
  void assigned(Time now, LinkId from, Assignment&& assignment);
  void cancelled(Time now, LinkId from, const AttemptCancel& cancel);
  void answered(Time now, LinkId from, const ReportAnswer& answer, AgentEffects& out);
  void told(LinkId from, const ClusterNews& news);
  void doubt_others(LinkId from, const std::vector<MemberAddress>& members);
  bool speaks_for(LinkId from, const AttemptId& attempt) const;
  void reclaim(LinkId from, const AttemptId& attempt);
  void said(Time now, LinkId from, CoordinatorMessage&& message, AgentEffects& out);
  void refused(Time now, LinkId from, WorkerRefused&& refused, AgentEffects& out);
  void give_up(LinkId from, std::string name, std::string message, AgentEffects& out);
  void ended(const AttemptId& attempt, Outcome&& outcome, Time now);
  void logged(TaskLogged&& log, AgentEffects& out);
  void said_of(TaskSaid&& said, AgentEffects& out);
  void drain();
  void kill_all(Time now, AgentEffects& out);
  void kill(Held& held, Reason why, AgentEffects& out);
  void end(Held& held, Outcome&& outcome);
  void forget(Held& held, Fate fate);
  void give_back(LinkId to, const AttemptId& attempt);
  void start(Time now, AgentEffects& out);
  void start_one(Time now, Held& held, AgentEffects& out);
  bool has(const NodeSpec& spec) const;
  bool fits(const NodeSpec& spec);
  void take(const NodeSpec& spec);
  void give(const NodeSpec& spec);
  void pass(Time now, AgentEffects& out);
  bool runs(const std::pair<Time, AttemptId>& mark) const;
  bool unanswered(const std::pair<Time, AttemptId>& mark) const;
  std::uint32_t room(SlotClass slot_class) const;

  // agent_talk.cc
  Time silence_ends(const Link& link) const;
  void talk(Time now, AgentEffects& out);
  void say_hello(Time now, LinkId id, Link& link, AgentEffects& out);
  bool holds_reports(Time now, Link& link) const;
  void say_reports(Time now, LinkId id, Link& link, AgentEffects& out);
  void talk_to(Time now, LinkId id, Link& link, AgentEffects& out);
  Time counts_until(const Link& link) const;
  bool weigh(Time now, std::uint32_t link);
  CreditUpdate share_of(const Stake& stake) const;
  void stir_shares();
  void say_credit(LinkId id, const Link& link, AgentEffects& out);
  Time due_of(const Link& link, const Stake& stake) const;
  AttemptReport report(Time now, Held& held);

  AgentOptions options;
  Prefetch prefetch;
  Recent recent;
  std::vector<Route> routes;  // by partition: the highest epoch heard of, and who told
  std::vector<Link> links;    // by LinkId
  std::vector<Stake> stakes;  // likewise
  std::uint64_t weights = 0;  // of all of them
  // With many coordinators nearly all links are at rest: these are not. A link at rest is due at `links_at` at the
  // earliest; what has happened since can only have put that off.
  std::vector<std::uint32_t> stirred;
  std::vector<std::uint32_t> speaking;  // of talk(): reused
  Time links_at = kNever;
  std::unordered_map<AttemptId, Held, AttemptHash> held;
  std::array<std::set<Waiting>, 2> waiting;  // by SlotClass
  std::array<std::uint32_t, 2> running{};
  std::map<std::string, std::uint64_t> free;  // resources
  std::set<std::string> wanted;               // of one pass of start(): those that an earlier attempt waits for
  std::uint64_t serials = 0;
  std::deque<std::pair<Time, AttemptId>> to_be_long;  // due times ascend; entries of attempts that ended are skipped
  std::deque<std::pair<Time, AttemptId>> to_repeat;   // likewise, of attempts that were answered; looked at then
  std::set<std::pair<Time, AttemptId>> timeouts;
  bool draining = false;
  bool left = false;
  Time leave_by = kNever;
};

}  // namespace millrace
