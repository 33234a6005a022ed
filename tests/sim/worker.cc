#include "tests/sim/worker.h"

#include "common/base/json_scan.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kWaitingMax = 50'000;
constexpr std::uint64_t kLicenses = 2;     // of each worker
constexpr std::uint32_t kPartBytes = 7;    // small ones, so that a value has several
constexpr Duration kValueAskedAgain = 2s;  // as the shell does

std::int64_t field(const NodeSpec& spec, std::string_view name) {
  const Value* value = spec.fields.find(name);
  return value != nullptr && value->is_int() ? value->as_int() : 0;
}

std::string text(const AttemptId& id) {
  return to_string(id.run) + "/" + std::to_string(id.task.value) + "#" + std::to_string(id.number) + "@" +
         std::to_string(id.epoch);
}

}  // namespace

WorkerProcess::WorkerProcess(Context& context, int number, std::uint32_t slots, int first, ToCoordinator send)
    : context_(context),
      number_(number),
      slots_(slots),
      first_(first),
      send_(std::move(send)),
      name_("w" + std::to_string(number)) {}

void WorkerProcess::later(Duration wait, std::function<void()> action) {
  context_.schedule.after(wait, [this, life = life_, action = std::move(action)] {
    if (life == life_) action();
  });
}

void WorkerProcess::start() {
  if (running()) return;
  ++life_;
  incarnation_ = context_.random.next();
  context_.note(name_ + " starts with " + std::to_string(slots_) + " slots");
  AgentOptions options;
  options.hello.incarnation = incarnation_;
  options.hello.name = name_;
  options.hello.slots = slots_;
  options.hello.executors = {"noop", "python", "shell"};
  options.hello.labels = {{"zone", number_ % 2 == 0 ? "a" : "b"}};
  options.hello.resources = {{"license", kLicenses}};
  options.prefetch_max = 16;
  agent_ = std::make_unique<Agent>(std::move(options));
  paused_until_ = Time{};
  tick_at_ = kNever;
  directory_ = std::make_unique<Directory>(std::vector{"c" + std::to_string(first_)});
  links_.clear();
  change_links(directory_->begin(context_.now()));
  beat();
}

// As the shell does: the addresses of coordinators are their names here.
void WorkerProcess::change_links(const std::vector<Directory::Change>& changes) {
  for (const Directory::Change& change : changes) {
    context_.note(name_ + (change.open ? " connects to " : " leaves ") + change.endpoint);
    if (change.open) {
      links_[change.link.value] = std::stoi(change.endpoint.substr(1));
      take(LinkUp{change.link});
    } else {
      links_.erase(change.link.value);
      take(LinkDown{change.link});
    }
  }
}

void WorkerProcess::crash() {
  if (!running()) return;
  context_.note(name_ + " crashes with " + std::to_string(tasks_.size()) + " running");
  ++life_;
  agent_.reset();
  tasks_.clear();
  waiting_.clear();
}

// It ends by itself and is started again a little later.
void WorkerProcess::gone(Duration back_after) {
  ++life_;
  agent_.reset();
  tasks_.clear();
  waiting_.clear();
  later(back_after, [this] { start(); });
}

void WorkerProcess::pause(Duration length) {
  if (!running()) return;
  context_.note(name_ + " stands still for " + std::to_string(length.count() / 1000) + " ms");
  paused_until_ = std::max(paused_until_, context_.now() + length);
  later(paused_until_ - context_.now(), [this] {
    if (context_.now() >= paused_until_) resume();
  });
}

void WorkerProcess::resume() {
  paused_until_ = Time{};
  while (running() && !waiting_.empty()) {
    AgentInput input = std::move(waiting_.front());
    waiting_.pop_front();
    step(std::move(input));
  }
}

void WorkerProcess::drain(Duration grace) {
  if (!running()) return;
  context_.note(name_ + " drains");
  take(DrainRequested{});
  later(grace, [this] { take(KillRequested{}); });
}

void WorkerProcess::receive(int coordinator, PeerId peer, const CoordinatorMessage& message) {
  if (!knows(peer)) return;
  for (const auto& [link, number] : links_) {
    if (number != coordinator) continue;
    const LinkId id{link};
    if (const auto* value = std::get_if<ValueReply>(&message); value != nullptr && context_.now() >= paused_until_)
      value_came(*value);
    take(CoordinatorSaid{id, message});
    if (running()) change_links(directory_->heard(context_.now(), id, message));
    return;
  }
}

void WorkerProcess::take(AgentInput input) {
  if (!running()) return;
  if (context_.now() >= paused_until_) return step(std::move(input));
  if (waiting_.size() >= kWaitingMax) context_.checker.fail("I8: " + name_ + ": its queue of inputs grows");
  waiting_.push_back(std::move(input));
}

void WorkerProcess::step(AgentInput input) {
  AgentEffects out;
  agent_->step(context_.now(), std::move(input), out);
  agent_->flush(context_.now(), out);
  const std::uint64_t life = life_;
  perform(out);
  if (life == life_) tick();
}

void WorkerProcess::tick() {
  const Time next = agent_->next_deadline();
  if (next == kNever || next >= tick_at_) return;
  tick_at_ = std::max(next, context_.now() + 100us);
  later(tick_at_ - context_.now(), [this, when = tick_at_] {
    if (tick_at_ != when) return;
    tick_at_ = kNever;
    take(AgentTick{});
  });
}

void WorkerProcess::perform(AgentEffects& out) {
  for (const KillTask& kill : out.kills) {
    auto it = tasks_.find(kill.attempt);
    if (it == tasks_.end() || it->second.ending) continue;
    it->second.ending = true;
    Outcome outcome;
    outcome.reason = kill.why;
    outcome.error.message = "killed";
    if (const Assignment& killed = it->second.assignment; killed.items != nullptr) {  // what had ended before counts
      const std::uint64_t done = context_.random.below(killed.items->count + 1);
      items_result(it->second, it->second.missing.empty() ? done : 0, outcome);
      if (outcome.items->done == killed.items->count) {
        outcome.success = true;
        outcome.reason = Reason::kNone;
        outcome.error = {};
      }
    }
    const Duration takes = context_.random.between(1ms, 20ms);
    later(takes, [this, attempt = kill.attempt, outcome] { end(attempt, outcome); });
  }
  for (const StartTask& start : out.starts) begin(start);
  for (const millrace::ToCoordinator& said : out.messages) {
    if (auto link = links_.find(said.link.value); link != links_.end())
      send_(link->second, PeerId{incarnation_}, said.message);
  }
  if (agent_->queued() > 2'000) context_.checker.fail("I8: " + name_ + ": its queue of attempts grows");
  if (out.refused_for_good) {
    context_.note(name_ + " is refused: " + out.refusal);
    gone(1500ms);
  } else if (out.leave) {
    context_.note(name_ + " leaves");
    if (!tasks_.empty()) context_.note(name_ + " leaves " + std::to_string(tasks_.size()) + " running");
    gone(800ms);
  }
}

void WorkerProcess::begin(const StartTask& start) {
  const Assignment& assignment = start.assignment;
  const AttemptId attempt = assignment.attempt();
  context_.note(name_ + " starts " + text(attempt));
  context_.checker.started(assignment);
  Task& task = tasks_[attempt] = Task{assignment, false, start.link};
  std::uint64_t licenses = 0;
  for (const auto& [id, task] : tasks_) {
    for (const Resource& one : task.assignment.node_spec->resources) licenses += one.amount;
  }
  if (licenses > kLicenses) context_.checker.fail("resources: " + name_ + " runs more than its licenses are for");
  if (tasks_.size() > slots_) context_.checker.fail("slots: " + name_ + " runs more attempts than it has slots");
  check_items(assignment);
  for (const Binding& binding : assignment.bindings) {
    if (!binding.value.is_reference()) continue;
    if (const auto sum = sum_in(binding.value, context_.cluster)) task.values[binding.value.hash()] = *sum;
    else task.missing.emplace(binding.value.hash(), Task::Coming{PartsIn(binding.value.hash())});
  }
  if (task.missing.empty()) run(task);
  else ask_for_values(attempt);
}

// What it is given of a list that a node before it gave is what stands there.
void WorkerProcess::check_items(const Assignment& assignment) {
  if (assignment.items == nullptr || !assignment.node_spec->flow.foreach->over.is_string()) return;
  const auto list = whole_in(assignment.bindings.front().value, context_.cluster);
  const auto given = whole_in(assignment.items->values, context_.cluster);
  if (!list || !given) return;          // not in the store any more: its run is over
  if (!list->starts_with('[')) return;  // what stands for a failure
  ElementCursor all(*list);
  ElementCursor some(*given);
  std::string_view there;
  std::string_view here;
  for (std::uint32_t i = 0; i < assignment.items->first; ++i) all.next(there);
  for (std::uint32_t i = 0; i < assignment.items->count; ++i) {
    if (!all.next(there) || !some.next(here) || there != here)
      return context_.checker.fail("items: " + text(assignment.attempt()) + " has other items than its list");
  }
}

// Its coordinator has what the store has. Nearly always that is there, and takes no message here.
void WorkerProcess::ask_for_values(const AttemptId& attempt) {
  auto it = tasks_.find(attempt);
  if (it == tasks_.end() || it->second.ending || it->second.missing.empty()) return;
  for (const auto& [hash, coming] : it->second.missing) {
    context_.note(name_ + " asks for a value of " + text(attempt));
    ask_for_part(it->second, hash);
  }
  later(kValueAskedAgain, [this, attempt] { ask_for_values(attempt); });
}

void WorkerProcess::ask_for_part(const Task& task, const Hash128& hash) {
  const auto link = links_.find(task.link.value);
  if (link == links_.end()) return;
  send_(link->second, PeerId{incarnation_}, ValueRequest{hash, task.missing.at(hash).parts.from(), kPartBytes});
}

void WorkerProcess::value_came(const ValueReply& reply) {
  std::vector<AttemptId> waited;
  for (auto& [attempt, task] : tasks_) {
    if (!task.ending && task.missing.contains(reply.hash)) waited.push_back(attempt);
  }
  for (const AttemptId& attempt : waited) {
    Task& task = tasks_.at(attempt);
    if (!reply.found) {
      Outcome outcome;
      outcome.reason = Reason::kMissingValue;
      outcome.error.message = "a value is gone";
      task.ending = true;
      later(1ms, [this, attempt, outcome] { end(attempt, outcome); });
      continue;
    }
    Task::Coming& coming = task.missing.at(reply.hash);
    const PartsIn::Took took = coming.parts.take(reply.place, reply.json);
    if (took == PartsIn::Took::kDamaged) context_.checker.fail("value: what came is not what its hash says");
    if (took != PartsIn::Took::kMore && took != PartsIn::Took::kWhole) continue;
    coming.text += reply.json;
    if (took == PartsIn::Took::kMore) {
      ask_for_part(task, reply.hash);
      continue;
    }
    task.values[reply.hash] = sum_in(Payload::inline_json(coming.text), context_.cluster).value_or(-1);
    task.missing.erase(reply.hash);
    if (task.missing.empty()) run(task);
  }
}

void WorkerProcess::run(const Task& task) {
  const Assignment& assignment = task.assignment;
  const AttemptId attempt = assignment.attempt();
  if (attempt.number <= static_cast<std::uint32_t>(field(*assignment.node_spec, "hang"))) return;
  const std::uint32_t items = assignment.items != nullptr ? assignment.items->count : 1;
  const Duration takes =
      items * std::chrono::milliseconds(field(*assignment.node_spec, "ms")) + context_.random.between(0us, 500us);
  later(takes, [this, attempt] {
    auto it = tasks_.find(attempt);
    if (it != tasks_.end() && !it->second.ending) end(attempt, result(it->second));
  });
}

void WorkerProcess::end(const AttemptId& attempt, Outcome outcome) {
  context_.note(name_ + " ends " + text(attempt) +
                (outcome.success ? "" : " " + std::string(to_string(outcome.reason))));
  tasks_.erase(attempt);
  context_.checker.ended(attempt);
  take(TaskEnded{attempt, std::move(outcome)});
}

std::uint64_t WorkerProcess::sum_of(const Task& task) const {
  std::uint64_t sum = 1;
  for (const Binding& binding : task.assignment.bindings) {
    if (binding.value.is_null()) continue;  // skipped, or not ended yet
    if (binding.value.is_reference()) {
      const auto here = task.values.find(binding.value.hash());
      sum += static_cast<std::uint64_t>(here == task.values.end() ? -1 : here->second);
      continue;
    }
    const std::string_view json = binding.value.json();
    if (json.starts_with("{\"chosen\"") || json.starts_with("{\"approved\"")) continue;  // a branch, a decision
    sum += static_cast<std::uint64_t>(sum_in(binding.value, context_.cluster).value_or(-1));
  }
  return sum % 1'000'003;
}

// Item i gives sum + i; every third fails as often as the node is told to, or every other half second.
void WorkerProcess::items_result(const Task& task, std::uint64_t done, Outcome& outcome) const {
  const Assignment& assignment = task.assignment;
  auto items = std::make_shared<ItemsOutcome>();
  items->count = assignment.items->count;
  items->done = static_cast<std::uint32_t>(done);
  const std::uint64_t sum = sum_of(task);
  const bool in_the_mood = field(*assignment.node_spec, "moody") == 0 || to_us(context_.now()) / 500'000 % 2 == 0;
  std::string outputs = "[";
  for (std::uint32_t i = 0; i < done; ++i) {
    const std::uint32_t item = assignment.items->first + i;
    if (i > 0) outputs += ',';
    const bool told = assignment.number <= static_cast<std::uint32_t>(field(*assignment.node_spec, "fail"));
    if (item % 3 == 1 && (told || !in_the_mood)) {
      items->failures.push_back({i, Reason::kError, {"it was told to fail", ""}});
      outputs += "null";
    } else {
      outputs += std::to_string(sum + item);
    }
  }
  if (done > 0) outcome.output = Payload::inline_json(outputs + "]");
  outcome.items = std::move(items);
}

Outcome WorkerProcess::result(const Task& task) const {
  const Assignment& assignment = task.assignment;
  Outcome outcome;
  if (assignment.items != nullptr) {  // now and then its time is over before it is through
    const std::uint32_t count = assignment.items->count;
    const bool all = assignment.number % 3 != 0;
    outcome.success = true;
    outcome.ran = count * std::chrono::milliseconds(field(*assignment.node_spec, "ms"));
    items_result(task, all ? count : (count + 1) / 2, outcome);
    return outcome;
  }
  outcome.ran = std::chrono::milliseconds(field(*assignment.node_spec, "ms"));
  if (assignment.number <= static_cast<std::uint32_t>(field(*assignment.node_spec, "fail"))) {
    outcome.reason = Reason::kError;
    outcome.error.message = "it was told to fail";
    return outcome;
  }
  std::string json = R"({"sum":)" + std::to_string(sum_of(task));
  if (const std::int64_t pad = field(*assignment.node_spec, "pad"); pad > 0)
    json += R"(,"pad":")" + std::string(static_cast<std::size_t>(pad), 'x') + '"';
  outcome.success = true;
  outcome.output = Payload::inline_json(json + "}");
  return outcome;
}

// Beats go over a connection of their own.
void WorkerProcess::beat() {
  if (context_.now() >= paused_until_) {
    WorkerBeat beat{incarnation_, agent_->running(), agent_->queued()};
    for (const auto& [link, coordinator] : links_) send_(coordinator, PeerId{incarnation_ ^ 1}, beat);
    change_links(directory_->pass(context_.now()));
  }
  later(kBeatEvery, [this] { beat(); });
}

}  // namespace millrace::sim
