#include "cli/follow.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "cli/event_feed.h"
#include "cli/text.h"

namespace millrace {
namespace {

using Clock = Client::Clock;

// The run's state is looked at now and then: should the late answer never come, and to draw a picture from it. Well
// within the client's patience (2 s), so that a run that takes long is not taken for a coordinator that is silent.
constexpr Duration kProbe = 1s;
constexpr std::uint32_t kNodesShown = 2'000;
constexpr Duration kTick = 100ms;
constexpr Duration kLastEvents = 2s;  // for the events that a run's end left behind

class Follower {
 public:
  Follower(Client& client, Progress& progress, const FollowOptions& options)
      : client_(client),
        progress_(progress),
        options_(options),
        name_{to_string(options.run), ""},
        next_probe_(Clock::now() + (progress.wants_snapshots() ? Duration::zero() : kProbe)) {
    if (progress.wants_every_event()) events_ = std::make_unique<RunEvents>(client, options.run, 0);
    wait_ = client_.ask(WaitRun{name_});
  }
  ~Follower() {
    for (Client::Number number : {wait_, probe_, cancel_}) client_.forget(number);
  }

  Result<RunView> run() {
    Clock::time_point begin = Clock::now();
    for (;;) {
      if (std::optional<Result<RunView>> end = step()) return std::move(*end);
      if (options_.timeout && Clock::now() - begin >= *options_.timeout) {
        return Error{
            Code::kTimeout, "run " + name_.text + " has not ended after " + human_duration(*options_.timeout), {}, ""};
      }
      Duration pause = std::min(kTick, std::max(remaining(begin), Duration(1ms)));
      client_.pump(pause);
    }
  }

 private:
  Duration remaining(Clock::time_point begin) const {
    if (!options_.timeout) return kTick;
    return *options_.timeout - std::chrono::duration_cast<Duration>(Clock::now() - begin);
  }

  std::optional<Result<RunView>> step() {
    if (options_.fault) {
      if (std::optional<Error> fault = options_.fault()) return std::move(*fault);
    }
    if (options_.interrupted && options_.interrupted() && cancel_ == 0) {
      progress_.aside("cancelling run " + name_.text + " (interrupt again to leave at once)");
      cancel_ = client_.ask(CancelRun{name_, "interrupted"});
    }
    say_silence();
    if (Status told = tell_events(); !told.ok()) return std::move(told).error();
    if (std::optional<Result<RunView>> end = look_at_answers()) return end;
    if (probe_ == 0 && Clock::now() >= next_probe_) {
      probe_ = client_.ask(GetRun{name_, progress_.wants_snapshots() ? kNodesShown : 0});
    }
    progress_.tick();
    return std::nullopt;
  }

  void say_silence() {
    if (client_.silent() == silent_) return;
    silent_ = client_.silent();
    progress_.aside(silent_ ? "note: the coordinator does not answer; still trying (the run is safe with it)"
                            : "note: the coordinator answers again");
  }

  Status tell_events() {
    if (events_ == nullptr) return Done{};
    Result<std::vector<Event>> events = events_->step();
    if (!events.ok()) return std::move(events).error();
    for (const Event& event : *events) progress_.event(event);
    return Done{};
  }

  std::optional<Result<RunView>> look_at_answers() {
    if (std::optional<OperatorReply> reply = client_.take(wait_)) {
      if (auto* run = std::get_if<RunReply>(&*reply)) return finish(std::move(run->view));
      if (auto* error = std::get_if<ErrorReply>(&*reply)) {
        if (!may_pass(error->error)) return std::move(error->error);
        wait_ = 0;  // its store is away for a while: the next probe asks again
      }
    }
    if (std::optional<OperatorReply> reply = probe_ == 0 ? std::nullopt : client_.take(probe_)) {
      probe_ = 0;
      next_probe_ = Clock::now() + kProbe;
      const auto* run = std::get_if<RunReply>(&*reply);
      if (run != nullptr) progress_.snapshot(run->view);
      // The run has ended but nobody told us, or nobody knows any more that we wait.
      if (wait_ == 0 || (run != nullptr && is_terminal(run->view.record.state))) {
        client_.forget(wait_);
        wait_ = client_.ask(WaitRun{name_});
      }
    }
    return std::nullopt;
  }

  Result<RunView> finish(RunView view) {
    Clock::time_point deadline = Clock::now() + kLastEvents;
    while (events_ != nullptr && !events_->ended() && Clock::now() < deadline) {
      if (!tell_events().ok()) break;
      if (!events_->ended()) client_.pump(20ms);
    }
    progress_.finish(view);
    return view;
  }

  Client& client_;
  Progress& progress_;
  const FollowOptions& options_;
  RunName name_;
  std::unique_ptr<RunEvents> events_;
  Client::Number wait_ = 0;
  Client::Number probe_ = 0;
  Client::Number cancel_ = 0;
  Clock::time_point next_probe_;
  bool silent_ = false;
};

}  // namespace

Result<RunView> follow(Client& client, Progress& progress, const FollowOptions& options) {
  return Follower(client, progress, options).run();
}

}  // namespace millrace
