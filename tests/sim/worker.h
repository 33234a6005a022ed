// WorkerProcess: hosts a real Agent with pretend executors. It can crash, start again under the same name, stand still,
// drain and leave.
//
// A pretend executor reads what to do in the node's fields: `ms` (how long), `fail` (tries with a number up to this
// fail), `hang` (likewise, they never end by themselves), `pad` (bytes of ballast in the output). Its output is
// {"sum": 1 + the sums of all upstream}.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "tests/sim/network.h"
#include "worker/core/agent.h"
#include "worker/core/directory.h"

namespace millrace::sim {

class WorkerProcess {
 public:
  using ToCoordinator = std::function<void(int coordinator, PeerId, const WorkerMessage&)>;

  // `first`: the coordinator whose address it was given; it learns the others.
  WorkerProcess(Context& context, int number, std::uint32_t slots, int first, ToCoordinator send);

  bool running() const { return agent_ != nullptr; }
  int number() const { return number_; }
  void start();
  void crash();
  void pause(Duration length);
  void resume();
  void drain(Duration grace);
  bool knows(PeerId peer) const {
    return running() && (peer.value == incarnation_ || peer.value == (incarnation_ ^ 1));
  }
  void receive(int coordinator, PeerId peer, const CoordinatorMessage& message);

 private:
  struct Task {
    Assignment assignment;
    bool ending = false;  // was killed, and will say so
    LinkId link;
    struct Coming {
      PartsIn parts;
      std::string text = {};
    };
    std::map<Hash128, Coming> missing = {};       // values that it waits for, and what has come of them
    std::map<Hash128, std::int64_t> values = {};  // the sums in those that are here
  };

  void change_links(const std::vector<Directory::Change>& changes);
  void take(AgentInput input);
  void step(AgentInput input);
  void perform(AgentEffects& out);
  void begin(const StartTask& start);
  void check_items(const Assignment& assignment);
  void ask_for_values(const AttemptId& attempt);
  void value_came(const ValueReply& reply);
  void ask_for_part(const Task& task, const Hash128& hash);
  void run(const Task& task);
  void end(const AttemptId& attempt, Outcome outcome);
  Outcome result(const Task& task) const;
  std::uint64_t sum_of(const Task& task) const;
  void items_result(const Task& task, std::uint64_t done, Outcome& outcome) const;
  void beat();
  void tick();
  void later(Duration wait, std::function<void()> action);  // unless this life is over
  void gone(Duration back_after);

  Context& context_;
  int number_;
  std::uint32_t slots_;
  int first_;
  ToCoordinator send_;
  std::string name_;
  std::uint64_t life_ = 0;
  std::uint64_t incarnation_ = 0;
  Time paused_until_{};
  Time tick_at_ = kNever;
  std::deque<AgentInput> waiting_;  // while it stands still
  std::map<AttemptId, Task> tasks_;
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<Directory> directory_;
  std::map<std::uint32_t, int> links_;  // coordinators by LinkId
};

}  // namespace millrace::sim
