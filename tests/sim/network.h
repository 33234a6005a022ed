// Network: carries messages between processes and promises nothing: under faults they are lost, repeated, delayed and
// overtaken, and pairs are cut off from each other for a while. Without faults they arrive once and in order.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "tests/sim/context.h"

namespace millrace::sim {

using Endpoint = int;  // coordinators from 0, workers from 100, clients from 200

class Network {
 public:
  explicit Network(Context& context) : context_(context) {}

  // Beats have a line of their own.
  void carry(Endpoint from, Endpoint to, const std::function<void()>& deliver, bool beat = false) {
    Random& random = context_.random;
    if (context_.now() < cut_until(from, to)) return;
    if (!context_.net_faults()) {
      Time& last = last_[{beat ? -1 - from : from, to}];
      last = std::max(last, context_.now() + random.between(100us, 400us) + (beat ? 0us : narrow(from, to)));
      return context_.schedule.at(last, deliver);
    }
    if (random.chance(loss_)) return;
    const int copies = random.chance(20) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      Duration delay = random.between(100us, 2ms);
      if (random.chance(60)) delay = random.between(2ms, 80ms);
      if (random.chance(5)) delay = random.between(80ms, 900ms);
      context_.schedule.after(delay, deliver);
    }
  }
  // One way: what `from` says does not reach `to`.
  void cut(Endpoint from, Endpoint to, Duration length) { cuts_[{from, to}] = context_.now() + length; }
  // For a while a line takes that much longer to bring what is said over it, as one does that bulk data fills.
  void narrow(Endpoint from, Endpoint to, Duration slower, Duration length) {
    narrow_[{from, to}] = {slower, context_.now() + length};
  }
  void heal() { cuts_.clear(), narrow_.clear(); }
  void loss(int per_thousand) { loss_ = per_thousand; }

 private:
  Time cut_until(Endpoint from, Endpoint to) const {
    auto it = cuts_.find({from, to});
    return it == cuts_.end() ? Time{} : it->second;
  }

  Duration narrow(Endpoint from, Endpoint to) const {
    auto it = narrow_.find({from, to});
    return it == narrow_.end() || context_.now() >= it->second.second ? 0us : it->second.first;
  }

  Context& context_;
  int loss_ = 20;
  std::map<std::pair<Endpoint, Endpoint>, Time> last_;
  std::map<std::pair<Endpoint, Endpoint>, Time> cuts_;
  std::map<std::pair<Endpoint, Endpoint>, std::pair<Duration, Time>> narrow_;
};

}  // namespace millrace::sim
