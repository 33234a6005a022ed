// Scenarios that submit at a fixed rate: submit, load, burst.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/graphs.h"
#include "bench/open_loop.h"
#include "bench/scenarios.h"

namespace millrace::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr Duration kBacklogMax = 10s;
constexpr std::size_t kNewest = 1'000;  // runs that are waited for to see that the backlog is empty
constexpr double kKeepsUp = 0.95;       // acknowledged a second, as a share of what was sent
constexpr std::uint32_t kWarmRuns = 200;
constexpr std::uint32_t kCapacityInFlight = 64;
constexpr double kBurst = 10;  // times capacity

double since(Steady::time_point then) { return std::chrono::duration<double>(Steady::now() - then).count(); }
Nanos nanos(double seconds) { return Nanos(std::llround(seconds * 1e9)); }
Error not_sustained(std::string what) { return Error{Code::kFailed, std::move(what), {}, kNotSustained}; }

void add_latencies(Measured& out, const std::string& prefix, const OpenLoopResult& loop) {
  out.figures[prefix + "rate"] = static_cast<double>(loop.sent) / std::max(loop.sending_s, 1e-9);
  out.figures[prefix + "p50_ms"] = percentile(loop.latencies_ms, 0.5);
  out.figures[prefix + "p99_ms"] = percentile(loop.latencies_ms, 0.99);
  out.figures[prefix + "p999_ms"] = percentile(loop.latencies_ms, 0.999);
  out.figures[prefix + "client_late_p99_ms"] = percentile(loop.late_ms, 0.99);
}

// ---------------------------------------------------------------- submit

// Acknowledged submissions of one-task runs; all are executed, and the backlog is empty 10 s after the last.
class Submit : public Scenario {
 public:
  explicit Submit(const Options& o) : rate_(o.rate), length_(nanos(o.seconds)) {}

  Status prepare(RawClient& client) override {
    Measured ignored;
    return drive(client, single(), {1, kWarmRuns, 8}, ignored);
  }

  Status run(RawClient& client, Measured& out) override {
    Result<OpenLoopResult> loop = open_loop(client, single(), {rate_, length_, false, false});
    if (!loop.ok()) {
      if (loop.error().name == "queue_full") return not_sustained(loop.error().what);
      return loop.error();
    }
    Status ended = wait_for_newest(client, loop->runs, kNewest, kBacklogMax);
    if (!ended.ok() && ended.error().code == Code::kTimeout)
      return not_sustained("the backlog is not empty 10 s after the last acknowledgement");
    if (!ended.ok()) return ended;
    const double backlog_s = since(loop->sent_last);
    const double acknowledged = static_cast<double>(loop->accepted) / loop->answered_s;
    out.figures["rate"] = rate_;
    out.figures["seconds"] = std::chrono::duration<double>(length_).count();
    out.figures["acknowledged_per_s"] = acknowledged;
    out.figures["backlog_s"] = backlog_s;
    out.figures["client_late_p99_ms"] = percentile(loop->late_ms, 0.99);
    out.tasks = out.runs = static_cast<std::uint32_t>(loop->accepted);
    out.total_s = loop->sending_s + backlog_s;
    out.latencies_ms = std::move(loop->latencies_ms);
    runs_ = std::move(loop->runs);
    if (acknowledged < kKeepsUp * rate_)
      return not_sustained("acknowledged " + std::to_string(std::llround(acknowledged)) + " a second of " +
                           std::to_string(std::llround(rate_)));
    if (backlog_s > std::chrono::duration<double>(kBacklogMax).count())
      return not_sustained("the backlog took " + std::to_string(backlog_s) + " s to empty");
    return Done{};
  }

  Status check(RawClient& client, Measured&) override {
    std::size_t live = 0;
    Status executed = check_all_executed(client, runs_, kWarmRuns, live);
    if (executed.ok() && live > 0) return not_sustained(std::to_string(live) + " runs have not ended");
    return executed;
  }

 private:
  double rate_;
  Nanos length_;
  std::vector<RunId> runs_;
};

// ---------------------------------------------------------------- load and burst

class OfRuns : public Scenario {
 public:
  explicit OfRuns(const Options& o)
      : spec_(o.of == "single" ? single() : diamond()), capacity_(o.rate), length_(nanos(o.seconds)) {}

  // Measures the capacity: runs a second with 64 in flight. `--rate` says it instead.
  Status prepare(RawClient& client) override {
    const std::uint32_t tasks = spec_.node_count();
    Measured closed;
    if (Status warmed = drive(client, spec_, {tasks, kWarmRuns, 8}, closed); !warmed.ok()) return warmed;
    others_ += kWarmRuns;
    if (capacity_ > 0) return Done{};
    const std::uint32_t runs = 10'000;
    closed = {};
    Status driven = drive(client, spec_, {tasks, runs, kCapacityInFlight}, closed);
    if (driven.ok()) capacity_ = runs / closed.total_s;
    others_ += runs;
    return driven;
  }
  Status check(RawClient& client, Measured&) override {
    std::size_t live = 0;
    Status executed = check_all_executed(client, runs_, others_, live);
    if (executed.ok() && live > 0) return failure(std::to_string(live) + " runs have not ended");
    return executed;
  }

 protected:
  Result<OpenLoopResult> at(RawClient& client, double share, Nanos length, bool may_be_refused, Measured& out) {
    auto loop = open_loop(client, spec_, {share * capacity_, length, true, may_be_refused});
    if (!loop.ok()) return loop;
    runs_.insert(runs_.end(), loop->runs.begin(), loop->runs.end());
    out.runs += static_cast<std::uint32_t>(loop->accepted);
    out.tasks += static_cast<std::uint32_t>(loop->accepted) * spec_.node_count();
    out.total_s += loop->answered_s;
    out.figures["capacity_runs_per_s"] = capacity_;
    return loop;
  }
  Nanos length() const { return length_; }

 private:
  WorkflowSpec spec_;
  double capacity_;
  Nanos length_;
  std::size_t others_ = 0;
  std::vector<RunId> runs_;
};

// Arrivals at half and at four fifths of capacity. The common figures are those of the latter.
class Load : public OfRuns {
 public:
  using OfRuns::OfRuns;
  Status run(RawClient& client, Measured& out) override {
    for (auto [name, share] : {std::pair{"at_50.", 0.5}, std::pair{"at_80.", 0.8}}) {
      auto loop = at(client, share, length(), false, out);
      if (!loop.ok()) return loop.error();
      add_latencies(out, name, *loop);
      out.latencies_ms = std::move(loop->latencies_ms);
    }
    return Done{};
  }
};

// Half of capacity, then ten times capacity for a moment, then half again. What is not admitted is refused by name, and
// what is admitted ends. The common figures are those after the burst.
class Burst : public OfRuns {
 public:
  using OfRuns::OfRuns;
  Status run(RawClient& client, Measured& out) override {
    auto before = at(client, 0.5, length(), true, out);
    if (!before.ok()) return before.error();
    auto burst = at(client, kBurst, 1s, true, out);
    if (!burst.ok()) return burst.error();
    if (burst->accepted + burst->refused != burst->sent) return failure("a submission is neither admitted nor refused");
    out.figures["burst.offered_per_s"] = static_cast<double>(burst->sent) / burst->sending_s;
    out.figures["burst.accepted"] = static_cast<double>(burst->accepted);
    out.figures["burst.refused"] = static_cast<double>(burst->refused);
    out.figures["burst.p99_ms"] = percentile(burst->latencies_ms, 0.99);
    out.figures["burst.recovery_s"] = burst->answered_s - burst->sending_s;
    auto after = at(client, 0.5, length(), true, out);
    if (!after.ok()) return after.error();
    add_latencies(out, "before.", *before);
    add_latencies(out, "after.", *after);
    out.figures["before.refused"] = static_cast<double>(before->refused);  // a small queue on a machine that stalls
    out.figures["after.refused"] = static_cast<double>(after->refused);
    out.latencies_ms = std::move(after->latencies_ms);
    return Done{};
  }
};

}  // namespace

std::unique_ptr<Scenario> make_submit(const Options& o) { return std::make_unique<Submit>(o); }
std::unique_ptr<Scenario> make_load(const Options& o) { return std::make_unique<Load>(o); }
std::unique_ptr<Scenario> make_burst(const Options& o) { return std::make_unique<Burst>(o); }

}  // namespace millrace::bench
