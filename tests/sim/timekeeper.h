// Timekeeper: an operator who registers a workflow that a trigger starts each minute, and one that each end of such a
// run starts, and pauses the first trigger when the faults are over; somebody who sends deliveries to two webhooks,
// each until it is acknowledged and some of them again; somebody who adds to a stream that two triggers follow; and the
// clock on the wall, which runs faster than the simulation and is set forwards and back.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/model/trigger.h"
#include "tests/sim/context.h"

namespace millrace::sim {

class Timekeeper {
 public:
  using Ask = std::function<void(int coordinator, RequestId, const OperatorRequest&)>;
  static constexpr std::uint64_t kNumber = 9'998;  // in the high half of its requests

  static constexpr char kSecret[] = "of the webhooks";

  Timekeeper(Context& context, std::uint64_t seed, int coordinators, Ask ask);

  void start();
  void receive(RequestId request, const OperatorReply& reply);
  // All has come, and the last batches have had the time to be fired: also by whoever takes their home over.
  bool done() const {
    if (context_.healed && healed_ == Time{}) healed_ = context_.now();
    return paused_ && acknowledged_.size() == kDeliveries && context_.entries.size() == kEntries && healed_ != Time{} &&
           context_.now() > std::max(latest_, healed_) + 2 * kWindow + 10s;
  }

 private:
  void ask();  // what has not been answered, of a coordinator by chance
  void set_clock();

  Context& context_;
  Random random_;  // of its own: all else stays as the seed has it
  int coordinators_;
  Ask ask_;
  struct Workflow {
    std::string name;
    std::shared_ptr<const std::string> definition;
    Hash128 hash;
    bool applied = false;
  };
  Workflow make(const std::string& name, const std::vector<TriggerSpec>& triggers);
  void deliver();
  void add_entries();
  static constexpr std::size_t kEntries = 24;
  static constexpr Duration kWindow = 2s;                    // of a batch
  mutable Time healed_{};                                    // since when nothing breaks any more
  Time latest_{};                                            // when something came last that a batch may wait for
  static constexpr std::uint64_t kDelivering = 1ULL << 31U;  // in the low half of its requests, above the delivery
  static constexpr std::size_t kDeliveries = 16;
  std::set<std::size_t> acknowledged_;
  std::vector<Workflow> workflows_;  // one after the other
  std::uint64_t asked_ = 0;
  bool paused_ = false;
};

}  // namespace millrace::sim
