// AgentWorld: an Agent, a told clock and what the agent asked for, as lines of text.
//
// Attempts are written "a#2": the task of that letter, its attempt 2, of run 1 (epoch 1 unless epoch() says otherwise).
// Lines: "start a#1" "kill a#1 timeout" "leave" "refused id_in_use", and messages with their link before them:
// "0: hello held=a#1,b#1(queued)" "0: report a#1 ok" "0: report a#1 error on a@3" "0: reclaimed a#1" "0: started a#1"
// "0: credit cpu=2 io=0" "0: log a#1 text" "0: draining" "0: bye". One message is one line.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "worker/core/agent.h"

namespace millrace::test {

using Lines = std::vector<std::string>;

class AgentWorld {
 public:
  explicit AgentWorld(std::uint32_t slots = 1, std::uint32_t io_slots = 0, std::uint32_t prefetch_max = 1024,
                      Resources resources = {})
      : agent_(options(slots, io_slots, prefetch_max, std::move(resources))) {}

  // A link that is up, known and has been told its credit.
  AgentWorld& connected(std::uint32_t link = 0) {
    step(LinkUp{LinkId{link}});
    round();
    says(WorkerWelcome{WorkerId{1}, "c"}, link);
    lines_.clear();
    messages_.clear();
    return *this;
  }

  struct Task {
    std::string name;
    std::int32_t priority = 0;
    Duration age{};
    Duration timeout{};
    std::string executor = "noop";
    std::vector<UpstreamVersion> upstream = {};
    Resources resources = {};
  };
  Assignment assignment(const Task& task) const {
    const AttemptId id = attempt(task.name);
    auto context = std::make_shared<RunContext>();
    context->run = id.run;
    context->epoch = id.epoch;
    auto spec = std::make_shared<NodeSpec>();
    spec->executor = task.executor;
    spec->timeout = task.timeout;
    spec->resources = task.resources;
    Assignment a;
    a.context = context;
    a.task = id.task;
    a.number = id.number;
    a.node_spec = spec;
    a.node = task.name.substr(0, 1);
    a.priority = task.priority;
    a.age = Time{task.age};
    for (const UpstreamVersion& up : task.upstream) {
      a.bindings.push_back({up.task, up.version, {}});
      a.names.push_back(std::string(1, static_cast<char>('a' + up.task.value)));
    }
    return a;
  }
  void assign_task(const Task& task, std::uint32_t link = 0) { says(AssignBatch{{assignment(task)}}, link); }
  void assign(const std::string& names, std::uint32_t link = 0) {  // "a#1 b#1"
    AssignBatch batch;
    for (const std::string& name : split(names)) batch.assignments.push_back(assignment(Task{name}));
    says(std::move(batch), link);
  }
  void cancel(const std::string& name, Reason why = Reason::kCancelRequested, std::uint32_t link = 0) {
    says(CancelBatch{{{attempt(name), why}}}, link);
  }
  void reclaim(const std::string& name, std::uint32_t link = 0) { says(Reclaim{{attempt(name)}}, link); }
  void answer(const std::string& name, Answer answer = Answer::kRecorded, std::uint32_t link = 0) {
    says(AnswerBatch{{{attempt(name), answer, ""}}}, link);
  }
  void ends(const std::string& name, Duration ran = 1ms, Reason reason = Reason::kNone) {
    Outcome outcome;
    outcome.success = reason == Reason::kNone;
    outcome.reason = reason;
    outcome.ran = ran;
    if (reason == Reason::kTimeout) outcome.error.message = "timed out";
    step(TaskEnded{attempt(name), outcome});
  }
  void says(CoordinatorMessage message, std::uint32_t link = 0) {
    step(CoordinatorSaid{LinkId{link}, std::move(message)});
  }
  void step(AgentInput input) {
    AgentEffects out;
    agent_.step(now_, std::move(input), out);
    take_in(out);
  }
  void round() {
    AgentEffects out;
    agent_.flush(now_, out);
    take_in(out);
  }
  // Lets time pass, waking the agent where it asked to be woken, as a shell does.
  void pass(Duration duration) {
    const Time until = now_ + duration;
    for (int wakes = 0; agent_.next_deadline() <= until; ++wakes) {
      ASSERT_LT(wakes, 100'000) << "the agent asks to be woken for nothing";
      now_ = std::max(now_, agent_.next_deadline());
      step(AgentTick{});
      round();
    }
    now_ = until;
  }
  void epoch(std::uint32_t epoch) { epoch_ = epoch; }

  // What was asked for since the last call; ends the round first.
  Lines took() {
    round();
    return std::exchange(lines_, {});
  }
  std::vector<ToCoordinator> messages() {  // since the last call, as they are
    round();
    return std::exchange(messages_, {});
  }
  Agent& agent() { return agent_; }
  Time now() const { return now_; }

  AttemptId attempt(const std::string& name) const {
    return {make_run_id(PartitionId{3}, 1, 1), TaskIndex{static_cast<std::uint32_t>(name[0] - 'a')}, epoch_,
            static_cast<std::uint32_t>(std::stoul(name.substr(2)))};
  }

 private:
  static AgentOptions options(std::uint32_t slots, std::uint32_t io_slots, std::uint32_t prefetch_max,
                              Resources resources) {
    AgentOptions options;
    options.hello.name = "w";
    options.hello.slots = slots;
    options.hello.io_slots = io_slots;
    options.hello.resources = std::move(resources);
    options.prefetch_max = prefetch_max;
    return options;
  }
  static Lines split(const std::string& text) {
    Lines words;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return words;
  }
  static std::string name(const AttemptId& id) {
    return std::string(1, static_cast<char>('a' + id.task.value)) + "#" + std::to_string(id.number);
  }
  static std::string names(const std::vector<AttemptId>& ids) {
    std::string out;
    for (const AttemptId& id : ids) out += " " + name(id);
    return out;
  }
  static std::string on(const std::vector<UpstreamVersion>& versions) {
    std::string out;
    for (const UpstreamVersion& v : versions) {
      out += " on " + std::string(1, static_cast<char>('a' + v.task.value)) + "@" + std::to_string(v.version);
    }
    return out;
  }
  static std::string print(const WorkerMessage& message) {
    struct Printer {
      std::string operator()(const WorkerHello& m) const {
        std::string out = "hello held=";
        for (const HeldAttempt& h : m.held) {
          out += (&h == m.held.data() ? "" : ",") + name(h.attempt) + (h.started ? "" : "(queued)") + on(h.rests_on);
        }
        if (m.answers != kNothingAsked) out += " answers=" + std::to_string(m.answers);
        return out + (m.draining ? " draining" : "");
      }
      std::string operator()(const WorkerBeat&) const { return "beat"; }
      std::string operator()(const CreditUpdate& m) const {
        return "credit cpu=" + std::to_string(m.cpu) + " io=" + std::to_string(m.io);
      }
      std::string operator()(const AttemptsStarted& m) const { return "started" + names(m.attempts); }
      std::string operator()(const AttemptReports& m) const {
        std::string out = "report";
        for (const AttemptReport& r : m.reports) {
          out += " " + name(r.attempt) + " " + (r.outcome.success ? "ok" : std::string(to_string(r.outcome.reason))) +
                 on(r.rests_on);
        }
        return out;
      }
      std::string operator()(const AttemptsReclaimed& m) const { return "reclaimed" + names(m.attempts); }
      std::string operator()(const TaskLog& m) const { return "log " + name(m.attempt) + " " + m.text; }
      std::string operator()(const ValueRequest&) const { return "value"; }
      std::string operator()(const PutPart&) const { return "part"; }
      std::string operator()(const WorkerDraining&) const { return "draining"; }
      std::string operator()(const WorkerBye&) const { return "bye"; }
      std::string operator()(const TaskNews& m) const { return "news " + name(m.attempt) + " " + m.json; }
    };
    return std::visit(Printer{}, message);
  }
  void take_in(AgentEffects& out) {
    for (const StartTask& start : out.starts) lines_.push_back("start " + name(start.assignment.attempt()));
    for (const KillTask& kill : out.kills) {
      lines_.push_back("kill " + name(kill.attempt) + " " + std::string(to_string(kill.why)));
    }
    for (ToCoordinator& m : out.messages) {
      lines_.push_back(std::to_string(m.link.value) + ": " + print(m.message));
      messages_.push_back(std::move(m));
    }
    if (out.leave) lines_.push_back("leave");
    if (out.refused_for_good) lines_.push_back("refused " + out.refusal);
  }

  Agent agent_;
  Time now_ = from_us(1'000'000'000);
  std::uint32_t epoch_ = 1;
  Lines lines_;
  std::vector<ToCoordinator> messages_;
};

}  // namespace millrace::test
