#include "worker/executors/noop.h"

#include <cmath>
#include <map>

#include "common/base/units.h"
#include "worker/executors/reactor.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

constexpr double kDelayMaxSeconds = 10.0 * 365 * 24 * 3600;

class NoopExecutor final : public Executor {
 public:
  NoopExecutor(Reactor& reactor, TaskObserver& observer) : reactor_(reactor), observer_(observer) {}
  ~NoopExecutor() override {
    for (const auto& [attempt, wait] : waiting_) reactor_.cancel(wait.timer);
  }

  void start(TaskContext task) override {
    const Value* delay = task.fields.find("delay");
    if (delay == nullptr || delay->is_null()) {
      Outcome outcome;
      outcome.success = true;
      observer_.on_done(task.attempt, std::move(outcome));
      return;
    }
    Result<Duration> duration = parse_delay(*delay);
    if (!duration) {
      observer_.on_done(task.attempt, failed(Reason::kInvalidInput, duration.error().what));
      return;
    }
    AttemptId attempt = task.attempt;
    TimerId timer = reactor_.after(*duration, [this, attempt] {
      Outcome outcome;
      outcome.success = true;
      finish(attempt, std::move(outcome));
    });
    waiting_[attempt] = Wait{timer, steady_us()};
  }

  void kill(const AttemptId& attempt, Reason why) override {
    auto found = waiting_.find(attempt);
    if (found == waiting_.end()) return;
    reactor_.cancel(found->second.timer);
    finish(attempt, killed(why));
  }

 private:
  struct Wait {
    TimerId timer;
    std::int64_t started_us = 0;
  };

  void finish(AttemptId attempt, Outcome outcome) {
    auto found = waiting_.find(attempt);
    outcome.ran = since(found->second.started_us);
    waiting_.erase(found);
    observer_.on_done(attempt, std::move(outcome));
  }

  Reactor& reactor_;
  TaskObserver& observer_;
  std::map<AttemptId, Wait> waiting_;
};

}  // namespace

Result<Duration> parse_delay(const Value& value) {
  if (value.is_number()) {
    double seconds = value.to_double();
    if (seconds >= 0 && seconds <= kDelayMaxSeconds) return Duration{std::llround(seconds * 1e6)};
  } else if (value.is_string()) {
    Result<Duration> duration = parse_duration(value.as_string());
    if (duration) return duration;
  }
  return Error{Code::kInvalid, "`delay` is " + value.dump() + "; expected seconds or a duration like 10ms", {}, ""};
}

std::unique_ptr<Executor> make_noop_executor(Reactor& reactor, TaskObserver& observer) {
  return std::make_unique<NoopExecutor>(reactor, observer);
}

}  // namespace millrace
