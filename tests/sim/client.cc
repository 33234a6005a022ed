#include "tests/sim/client.h"

#include <utility>

namespace millrace::sim {
namespace {

constexpr Duration kPatience = 2s;
constexpr std::uint64_t kAct = 0x8000'0000;  // in the number of a request that nobody waits for

}  // namespace

Client::Client(Context& context, int number, Order order, int coordinators, Ask ask)
    : context_(context), number_(number), order_(std::move(order)), coordinators_(coordinators), ask_(std::move(ask)) {
  coordinator_ = number % coordinators;
  key_ = order_.key;
  plan_ = order_.plan;
  definition_ = order_.definition;
}

void Client::start() {
  context_.checker.definition(order_.plan);
  for (const Again& again : order_.again) {
    if (again.plan != nullptr) context_.checker.definition(again.plan);
  }
  with_definition_ = context_.random.chance(700);
  context_.schedule.after(order_.submit_after, [this] { submit(with_definition_); });
  for (Duration after : order_.signals_after)
    context_.schedule.after(order_.submit_after + after, [this] { act_on_waits(); });
  if (order_.pause_after != Duration::zero()) {
    const Duration at = order_.submit_after + order_.pause_after;
    context_.schedule.after(at, [this] {
      if (run_ != RunId{}) act(PauseRun{RunName{to_string(run_), ""}, true});
    });
    context_.schedule.after(at + order_.pause_for, [this] { resume(); });
  }
  if (order_.cancel_after == Duration::zero()) return;
  context_.schedule.after(order_.submit_after + order_.cancel_after, [this] {
    cancel_due_ = true;
    if (run_ != RunId{} && !ended_) cancel();
  });
}

void Client::act(const OperatorRequest& request) {
  if (ended_) return;
  context_.note("client " + order_.key + " acts");
  const auto to = static_cast<int>(context_.random.below(static_cast<std::uint64_t>(coordinators_)));
  ask_(*this, to, RequestId{static_cast<std::uint64_t>(number_) << 32 | kAct | ++acts_}, request);
}

// Until the end: what paused it may come late.
void Client::resume() {
  if (ended_) return;
  if (run_ != RunId{}) act(PauseRun{RunName{to_string(run_), ""}, false});
  context_.schedule.after(3s, [this] { resume(); });
}

void Client::act_on_waits() {
  if (ended_ || run_ == RunId{}) return;
  const RunName name{to_string(run_), ""};
  const SignalRun signal{name, "go", Payload::inline_json("{\"sum\":5}"), context_.random.next() | 1, "sim"};
  act(signal);
  if (context_.random.chance(500)) act(signal);
  const auto node = static_cast<std::uint32_t>(context_.random.below(plan_->node_count()));
  act(DecideApproval{name, plan_->id(TaskIndex{node}), context_.random.chance(700), "", "", "sim"});
}

void Client::ask(const OperatorRequest& request) {
  const std::uint64_t number = ++asked_;
  static constexpr const char* kWords[] = {"submit", "get", "wait", "list", "cancel"};
  context_.note("client " + order_.key + " asks c" + std::to_string(coordinator_) + ": " + kWords[request.index()]);
  const RequestId id{static_cast<std::uint64_t>(number_) << 32 | number};
  ask_(*this, coordinator_, id, request);
  context_.schedule.after(kPatience + context_.random.between(0ms, 500ms), [this, number] {
    if (answered_ < number && asked_ == number) again(number);
  });
}

void Client::submit(bool with_definition) {
  with_definition_ = with_definition;
  const SubmitRun submit = submission();
  if (order_.twice) ask(submit);
  ask(submit);
}

SubmitRun Client::submission() const {
  SubmitRun submit;
  submit.key = key_;
  submit.wait = order_.wait;
  const Again* again = agains_ == 0 ? nullptr : &order_.again[agains_ - 1];
  if (again != nullptr) submit.resume = Resume{before_, again->scope, again->from, "the simulation says so"};
  if (again == nullptr || again->plan != nullptr) {
    submit.definition = plan_->definition();
    if (with_definition_) submit.definition_bytes = definition_;
  }
  if (again == nullptr) {
    submit.inputs = Payload::inline_json("{}");
    submit.priority = order_.priority;
    submit.deadline = order_.deadline;
  }
  return submit;
}

void Client::over() {
  if (agains_ == order_.again.size() || run_ == RunId{}) {
    ended_ = true;
    return;
  }
  const Again& again = order_.again[agains_++];
  before_ = std::exchange(run_, RunId{});
  key_before_ = std::exchange(key_, order_.key + "-again-" + std::to_string(agains_));
  if (again.plan != nullptr) plan_ = again.plan, definition_ = again.definition;
  begun_ = asked_;
  cancel_due_ = false;
  context_.checker.again(key_, {before_, again.scope, again.from, ""});
  context_.schedule.after(again.after, [this] { submit(with_definition_); });
}

// A refusal that is in order: the run that should be run again is gone, or there is nothing in it to run again.
bool Client::gives_up(const Error& error) const {
  if (error.code == Code::kNotFound)
    return context_.checker.deleted(key_) || (run_ == RunId{} && context_.checker.deleted(key_before_));
  return run_ == RunId{} && error.name == "nothing_to_run";
}

void Client::cancel() { ask(CancelRun{RunName{to_string(run_), ""}, "the simulation says so"}); }
void Client::wait() { ask(WaitRun{RunName{to_string(run_), ""}, 20'000}); }

// Nobody answered, or nobody could: what is next is asked of the next coordinator.
void Client::again(std::uint64_t asked) {
  if (ended_ || asked != asked_) return;
  coordinator_ = (coordinator_ + 1) % coordinators_;
  if (run_ == RunId{}) submit(with_definition_);
  else if (cancel_due_) cancel();
  else wait();
}

void Client::receive(RequestId request, const OperatorReply& reply) {
  const std::uint64_t number = request.value & 0xFFFF'FFFF;
  if ((number & kAct) != 0) return;  // refused as often as not
  if (number <= begun_) return;      // of a run before
  context_.checker.told(key_, reply);
  if (ended_) return;
  if (auto* error = std::get_if<ErrorReply>(&reply)) {
    if (gives_up(error->error)) {
      ended_ = true;
      return;
    }
    // A late answer to a retry that was asked for twice: the run that it is of was deleted between.
    if (error->error.code == Code::kNotFound && run_ != RunId{} && context_.checker.deleted(key_before_)) return;
    // What the store has lost of the run that is run again comes once more, and with it its end.
    const bool lost = context_.settings.loss && error->error.name == "run_live";
    if (error->error.code != Code::kUnavailable && !lost)
      context_.checker.fail("client " + order_.key + " was refused: " + error->error.what);
    const Duration pause = context_.random.between(100ms, 400ms);
    return context_.schedule.after(pause, [this, number] { again(number); });
  }
  // A late answer to a submission that was asked twice says nothing new, and what is asked now is still open.
  const bool late =
      run_ != RunId{} && (std::holds_alternative<NeedDefinition>(reply) || std::holds_alternative<SubmitReply>(reply));
  if (late) return;
  answered_ = std::max(answered_, number);
  if (std::holds_alternative<NeedDefinition>(reply)) {
    if (run_ == RunId{}) submit(true);  // otherwise it comes late
    return;
  }
  if (auto* run = std::get_if<RunReply>(&reply)) {
    run_ = run->view.info.run;
    if (!is_terminal(run->view.record.state))
      context_.checker.fail("client " + order_.key + " waited and was answered before the end");
    context_.note("client " + order_.key + " is told: " + std::string(to_string(run->view.record.state)));
    return over();
  }
  if (auto* submitted = std::get_if<SubmitReply>(&reply)) {
    run_ = submitted->run;
    context_.note("client " + order_.key + " has run " + to_string(run_));
    return cancel_due_ ? cancel() : wait();
  }
  if (std::holds_alternative<CancelReply>(reply)) {
    cancel_due_ = false;
    wait();
  }
}

std::string Client::what_is_missing() const {
  if (ended_) return "";
  return "client " + order_.key + (run_ == RunId{} ? " was never acknowledged" : " was never told the end");
}

}  // namespace millrace::sim
