// Pauser: an operator who pauses the queue and the workflows of the simulation, lets them go on after a while, and
// again; when the faults are over all of them, until each has said so.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/model/pause.h"
#include "tests/sim/context.h"

namespace millrace::sim {

class Pauser {
 public:
  using Ask = std::function<void(int coordinator, RequestId, const OperatorRequest&)>;
  static constexpr std::uint64_t kNumber = 9'997;  // in the high half of its requests

  Pauser(Context& context, std::uint64_t seed, int coordinators, Ask ask);

  void start();
  void receive(RequestId request, const OperatorReply& reply);
  bool done() const { return over_.size() == names_.size(); }

 private:
  void act();  // something is paused, or goes on
  void end();  // all that has not gone on
  void ask(const OperatorRequest& request);

  Context& context_;
  Random random_;  // of its own: all else stays as the seed has it
  int coordinators_;
  Ask ask_;
  std::vector<PauseName> names_;
  std::shared_ptr<const std::string> definition_;  // of a workflow that clients have runs of without registering it
  std::string workflow_;
  std::uint64_t asked_ = 0;
  std::uint64_t first_of_end_ = 0;  // requests from when the faults were over
  Time until_{};                    // and what was asked for before them may have come
  std::set<PauseName> over_;        // that have said then that they go on
};

}  // namespace millrace::sim
