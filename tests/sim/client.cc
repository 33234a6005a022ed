#include "tests/sim/client.h"

namespace millrace::sim {
namespace {

constexpr Duration kPatience = 2s;
constexpr std::uint64_t kAct = 0x8000'0000;  // in the number of a request that nobody waits for

}  // namespace

Client::Client(Context& context, int number, Order order, int coordinators, Ask ask)
    : context_(context), number_(number), order_(std::move(order)), coordinators_(coordinators), ask_(std::move(ask)) {
  coordinator_ = number % coordinators;
}

void Client::start() {
  context_.checker.definition(order_.plan);
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
  const auto node = static_cast<std::uint32_t>(context_.random.below(order_.plan->node_count()));
  act(DecideApproval{name, order_.plan->id(TaskIndex{node}), context_.random.chance(700), "", "", "sim"});
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
  SubmitRun submit;
  submit.key = order_.key;
  submit.definition = order_.plan->definition();
  if (with_definition) submit.definition_bytes = order_.definition;
  submit.inputs = Payload::inline_json("{}");
  submit.priority = order_.priority;
  submit.wait = order_.wait;
  if (order_.twice) ask(submit);
  ask(submit);
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
  context_.checker.told(order_.key, reply);
  if (ended_) return;
  if (auto* error = std::get_if<ErrorReply>(&reply)) {
    if (error->error.code == Code::kNotFound &&
        context_.checker.deleted(order_.key)) {  // it has ended, and was not kept
      ended_ = true;
      return;
    }
    if (error->error.code != Code::kUnavailable)
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
    ended_ = is_terminal(run->view.record.state);
    if (!ended_) context_.checker.fail("client " + order_.key + " waited and was answered before the end");
    context_.note("client " + order_.key + " is told: " + std::string(to_string(run->view.record.state)));
    return;
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
