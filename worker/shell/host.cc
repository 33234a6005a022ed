#include "worker/shell/host.h"

#include <algorithm>
#include <utility>

#include "worker/core/limit_text.h"
#include "worker/executors/task_support.h"

namespace millrace {
namespace {

class FetchedValues final : public ValueSource {
 public:
  using Values = std::map<Hash128, SharedText>;
  explicit FetchedValues(const Values& values) : values_(values), besides_(values) {}
  FetchedValues(const Values& values, const Values& besides) : values_(values), besides_(besides) {}
  SharedText value(const Hash128& hash) const override {
    if (const auto it = values_.find(hash); it != values_.end()) return it->second;
    const auto it = besides_.find(hash);
    return it == besides_.end() ? nullptr : it->second;
  }

 private:
  const Values& values_;
  const Values& besides_;
};

}  // namespace

// Inputs are made in place: moving a variant made on the spot draws a false -Wmaybe-uninitialized from g++ 12 at -O2.
Host::Host(const ExecutorOptions& options, Reactor& reactor)
    : logs_([this](const AttemptId& attempt, LogStream stream, std::string text) {
        const auto items = item_runs_.find(attempt);
        std::optional<std::uint32_t> item;
        if (items != item_runs_.end()) item = items->second.run.next().index;
        inputs_.emplace_back(std::in_place_type<TaskLogged>,
                             TaskLogged{attempt, stream == LogStream::kStderr, std::move(text), item});
      }),
      executors_(options, reactor, *this) {}
Host::~Host() = default;

void Host::start(Time now, StartTask task) {
  now_ = now;
  const std::vector<Hash128> wanted = bindings_.references(task.assignment);
  const AttemptId attempt = task.assignment.attempt();
  WaitingTask waiting{std::move(task.assignment), {}, 0, task.link};
  if (wanted.empty() || !await_values(std::move(waiting), attempt, wanted)) launch(std::move(waiting));
}

// True: the task waits here until its values have come; else it has them.
bool Host::await_values(WaitingTask&& task, const AttemptId& attempt, const std::vector<Hash128>& wanted) {
  for (const Hash128& hash : wanted) {
    SharedText here = cache_.find(hash);
    if (here == nullptr) {
      ++task.missing;
      fetch(hash, task.link).wanted_by.push_back(attempt);
    }
    task.values[hash] = std::move(here);
  }
  if (task.missing == 0) return false;
  waiting_[attempt] = std::move(task);
  return true;
}

Host::Fetch& Host::fetch(const Hash128& hash, LinkId link) {
  auto [at, fresh] = fetches_.try_emplace(hash, Fetch{link, {}, kFetchAgain, {}, {}, {}, PartsIn(hash)});
  if (fresh) ask(hash, at->second);
  return at->second;
}

void Host::on_value_wanted(const AttemptId& attempt, const Hash128& hash, TakeValue then) {
  if (SharedText here = cache_.find(hash)) return then(std::move(here));
  const auto running = running_.find(attempt);
  if (running == running_.end()) return then(nullptr);
  fetch(hash, running->second.link).read_by.emplace_back(attempt, std::move(then));
}

void Host::value_came(Time now, ValueReply reply) {
  now_ = now;
  auto found = fetches_.find(reply.hash);
  if (found == fetches_.end()) return;
  if (!reply.found) return value_ended(reply.hash, nullptr, "is gone");
  Fetch& fetch = found->second;
  const PartsIn::Took took = fetch.parts.take(reply.place, reply.json);
  if (took == PartsIn::Took::kOther) return;  // asked for again in time
  if (took == PartsIn::Took::kDamaged) {
    if (std::exchange(fetch.damaged, true)) return value_ended(reply.hash, nullptr, "is damaged");
    fetch.text.clear();
    return ask(reply.hash, fetch);
  }
  if (fetch.text.empty()) fetch.text.reserve(std::max<std::size_t>(reply.place.size, reply.json.size()));
  fetch.text += reply.json;
  if (took == PartsIn::Took::kMore) {
    fetch.pace.came(now - fetch.asked);
    fetch.pause = kFetchAgain;
    return ask(reply.hash, fetch);
  }
  auto json = std::make_shared<const std::string>(std::move(fetch.text));
  cache_.put(reply.hash, json);
  value_ended(reply.hash, json, "");
}

void Host::ask(const Hash128& hash, Fetch& fetch) {
  fetch.asked = now_;
  fetch.again = now_ + fetch.pause;
  requests_.push_back({fetch.link, ValueRequest{hash, fetch.parts.from(), fetch.pace.bytes()}});
}

// It has come, or never will: null.
void Host::value_ended(const Hash128& hash, const SharedText& json, const char* problem) {
  auto found = fetches_.find(hash);
  const std::vector<AttemptId> wanted_by = std::move(found->second.wanted_by);
  const auto read_by = std::move(found->second.read_by);
  fetches_.erase(found);
  for (const auto& [attempt, then] : read_by) {
    if (running_.contains(attempt)) then(json);
  }
  for (const AttemptId& attempt : wanted_by) {
    auto it = waiting_.find(attempt);
    if (it == waiting_.end()) continue;
    it->second.values[hash] = json;
    if (json != nullptr && --it->second.missing > 0) continue;
    WaitingTask task = std::move(it->second);
    waiting_.erase(it);
    if (json != nullptr) launch(std::move(task));
    else if (!task.items) finish(attempt, Reason::kMissingValue, "the value " + to_string(hash) + " " + problem);
    else
      item_ended(attempt, item_runs_.at(attempt),
                 failed(Reason::kMissingValue, "the value " + to_string(hash) + " " + problem));
  }
}

void Host::part_taken(Time now, const PartTaken& taken) {
  now_ = now;
  uploads_.taken(now, taken);
}

void Host::launch(WaitingTask&& task) {
  const Assignment& assignment = task.assignment;
  const AttemptId attempt = assignment.attempt();
  if (task.items) {  // what the next one needs besides
    item_runs_.at(attempt).besides.merge(task.values);
    return to_begin_.push_back(attempt);
  }
  const std::string& name = assignment.node_spec->executor;
  Executor* executor = executors_.find(name);
  if (executor == nullptr) return finish(attempt, Reason::kRefused, "this worker has no executor `" + name + "`");
  if (const auto& items = assignment.items; items != nullptr) {
    SharedText json = items->values.is_reference() ? task.values.at(items->values.hash()) : items->values.json_text();
    ItemRun run(assignment, std::move(json), steady_us());
    item_runs_.emplace(attempt, Items{std::move(run), std::move(task.values), task.link});
    to_begin_.push_back(attempt);
    return;
  }
  for (;;) {
    std::vector<Hash128> missing;
    Result<TaskContext> context = bindings_.render(assignment, FetchedValues(task.values), missing);
    if (missing.empty()) {
      if (!context.ok()) return finish(attempt, Reason::kInvalidInput, context.error().what);
      return begin(attempt, {executor, task.link}, std::move(context).value());
    }
    if (await_values(std::move(task), attempt, missing)) return;
  }
}

void Host::begin(const AttemptId& attempt, Running running, TaskContext&& task) {
  running_[attempt] = running;
  for (const std::string& secret : task.secrets) masks_[attempt].add(secret);
  running.executor->start(std::move(task));
}

void Host::kill(const AttemptId& attempt, Reason why) {
  if (auto items = item_runs_.find(attempt); items != item_runs_.end()) items->second.run.kill(why);
  if (auto it = running_.find(attempt); it != running_.end()) return it->second.executor->kill(attempt, why);
  if (item_runs_.contains(attempt)) {  // between two of them
    if (waiting_.erase(attempt) > 0) to_begin_.push_back(attempt);
    return;
  }
  if (waiting_.erase(attempt) > 0 || uploads_.forget(attempt)) tell_end(attempt, killed(why));
}

// ---------------------------------------------------------------- items

bool Host::go_on(Time now) {
  static constexpr std::size_t kItemsAtOnce = 512;
  now_ = now;
  for (std::size_t begun = 0; begun < kItemsAtOnce && !to_begin_.empty(); ++begun) {
    const AttemptId attempt = to_begin_.front();
    to_begin_.pop_front();
    begin_item(attempt, item_runs_.at(attempt));
  }
  return !to_begin_.empty();
}

void Host::begin_item(const AttemptId& attempt, Items& items) {
  const std::int64_t now_us = steady_us();
  if (items.run.is_over(now_us)) {
    Outcome outcome = items.run.report(now_us);
    item_runs_.erase(attempt);
    return ended(attempt, std::move(outcome));
  }
  const Assignment& assignment = items.run.assignment();
  const ItemBinding item = items.run.next();
  std::vector<Hash128> missing;
  Result<TaskContext> task = bindings_.render(assignment, FetchedValues(items.values, items.besides), missing, &item);
  if (!missing.empty()) {
    WaitingTask more{assignment, {}, 0, items.link, true};
    if (!await_values(std::move(more), attempt, missing)) launch(std::move(more));
    return;
  }
  if (!task.ok()) return item_ended(attempt, items, failed(Reason::kInvalidInput, task.error().what));
  if (const Duration timeout = assignment.node_spec->timeout; timeout > Duration::zero())
    items.times_out = now_ + timeout;
  begin(attempt, {executors_.find(assignment.node_spec->executor), items.link}, std::move(task).value());
}

// Its next item is begun by go_on(): an executor that ends at once does not call itself.
void Host::item_ended(const AttemptId& attempt, Items& items, Outcome&& outcome) {
  items.times_out = kNever;
  if (std::exchange(items.took_too_long, false) && outcome.reason == Reason::kTimeout)
    outcome.error.message = too_long_text(items.run.assignment().node_spec->timeout);
  items.besides.clear();
  if (outcome.success) {
    const ItemBinding item = items.run.next();
    Result<Payload> kept = bindings_.collect(items.run.assignment(), item, std::move(outcome.output));
    if (kept.ok()) outcome.output = std::move(kept).value();
    else outcome = failed(Reason::kInvalidOutput, kept.error().what);
  }
  items.run.ended(std::move(outcome));
  if (std::optional<std::string> news = items.run.news(steady_us()))
    inputs_.emplace_back(std::in_place_type<TaskSaid>, TaskSaid{{attempt, EventType::kTaskProgress, std::move(*news)}});
  to_begin_.push_back(attempt);
}

void Host::kill_all(Reason why) {
  std::vector<AttemptId> all;
  for (const auto& [attempt, items] : item_runs_) {
    if (!running_.contains(attempt)) all.push_back(attempt);
  }
  for (const auto& [attempt, running] : running_) all.push_back(attempt);
  for (const auto& [attempt, task] : waiting_) {
    if (!task.items) all.push_back(attempt);
  }
  uploads_.add_attempts(all);
  for (const AttemptId& attempt : all) kill(attempt, why);
}

void Host::ended(const AttemptId& attempt, Outcome&& outcome) {
  std::vector<SpoolFile> files;
  if (const auto held = attachments_.find(attempt); held != attachments_.end()) {
    const bool given_up = outcome.reason == Reason::kCancelRequested || outcome.reason == Reason::kFailFast ||
                          outcome.reason == Reason::kLost;
    if (!given_up) outcome.artifacts = held->second.take(files);
    attachments_.erase(held);
  }
  if (!uploads_.begin(now_, attempt, outcome, std::move(files))) tell_end(attempt, std::move(outcome));
}

// Files of items would need a place of their own in what is kept of the node.
std::string Host::on_artifact(const AttemptId& attempt, const ArtifactPart& part) {
  if (!running_.contains(attempt)) return "the task has ended";
  if (item_runs_.contains(attempt)) return "items of a mapped node cannot hand over artifacts: use a node of its own";
  if (!uploads_.can_begin()) return "its coordinator is of an earlier version and keeps no artifacts";
  return attachments_[attempt].take_in(part);
}

void Host::tell_end(const AttemptId& attempt, Outcome&& outcome) {
  inputs_.emplace_back(std::in_place_type<TaskEnded>, TaskEnded{attempt, std::move(outcome)});
}

void Host::finish(const AttemptId& attempt, Reason reason, std::string message) {
  ended(attempt, failed(reason, clip(std::move(message), kErrorMessageMax)));
}

void Host::on_log(const AttemptId& attempt, LogStream stream, std::string_view bytes) {
  const auto mask = masks_.find(attempt);
  if (mask == masks_.end()) return logs_.add(now_, attempt, stream, bytes);
  const std::string text = mask->second.stream(static_cast<std::size_t>(stream), bytes);
  if (!text.empty()) logs_.add(now_, attempt, stream, text);
}

void Host::on_secret(const AttemptId& attempt, std::string_view secret) {
  if (running_.contains(attempt)) masks_[attempt].add(secret);
}

void Host::on_news(const AttemptId& attempt, EventType type, Value data) {
  std::string json = data.dump();
  if (const auto mask = masks_.find(attempt); mask != masks_.end()) json = mask->second.json(json);
  if (json.size() > kEventDataMax) return;
  inputs_.emplace_back(std::in_place_type<TaskSaid>, TaskSaid{{attempt, type, std::move(json)}});
}

// Takes the secrets out of what an attempt leaves, and forgets them.
void Host::mask(const AttemptId& attempt, Outcome& outcome) {
  const auto found = masks_.find(attempt);
  if (found == masks_.end()) return;
  Mask& mask = found->second;
  for (const LogStream stream : {LogStream::kStdout, LogStream::kStderr}) {
    const std::string rest = mask.flush(static_cast<std::size_t>(stream));
    if (!rest.empty()) logs_.add(now_, attempt, stream, rest);
  }
  outcome.error.message = mask.text(outcome.error.message);
  outcome.error.traceback = mask.text(outcome.error.traceback);
  if (outcome.output.is_inline()) outcome.output = Payload::inline_json(mask.json(outcome.output.json()));
  masks_.erase(found);
}

void Host::on_done(const AttemptId& attempt, Outcome outcome) {
  const auto it = running_.find(attempt);
  assert(it != running_.end());
  running_.erase(it);
  for (auto& [hash, fetch] : fetches_)
    std::erase_if(fetch.read_by, [&](const auto& reader) { return reader.first == attempt; });
  if (!masks_.empty()) mask(attempt, outcome);
  logs_.end(attempt);
  if (outcome.output.size() > kValueMax) {
    const Duration ran = outcome.ran;
    outcome = failed(Reason::kInvalidOutput, "the output is " + std::to_string(outcome.output.size()) +
                                                 " bytes of JSON; at most " + std::to_string(kValueMax) + " are kept");
    outcome.ran = ran;
  }
  outcome.error.message = clip(std::move(outcome.error.message), kErrorMessageMax);
  outcome.error.traceback = clip(std::move(outcome.error.traceback), kErrorTracebackMax);
  if (const auto items = item_runs_.find(attempt); items != item_runs_.end())
    return item_ended(attempt, items->second, std::move(outcome));
  ended(attempt, std::move(outcome));
}

void Host::pass(Time now) {
  now_ = now;
  logs_.pass(now);
  uploads_.pass(now);
  std::vector<AttemptId> late;
  for (auto& [attempt, items] : item_runs_) {
    if (items.times_out > now) continue;
    items.times_out = kNever;
    items.took_too_long = !items.run.is_killed();
    late.push_back(attempt);
  }
  for (const AttemptId& attempt : late) {
    if (auto it = running_.find(attempt); it != running_.end()) it->second.executor->kill(attempt, Reason::kTimeout);
  }
  for (auto it = fetches_.begin(); it != fetches_.end();) {
    auto& [hash, fetch] = *it;
    std::erase_if(fetch.wanted_by, [&](const AttemptId& attempt) { return !waiting_.contains(attempt); });
    if (fetch.wanted_by.empty() && fetch.read_by.empty()) {
      it = fetches_.erase(it);
      continue;
    }
    if (fetch.again <= now) {
      fetch.pause = std::min(fetch.pause * 2, kFetchAgainMax);
      ask(hash, fetch);
    }
    ++it;
  }
}

Time Host::next_deadline() const {
  Time next = std::min(logs_.next_deadline(), uploads_.next_deadline());
  for (const auto& [hash, fetch] : fetches_) next = std::min(next, fetch.again);
  for (const auto& [attempt, items] : item_runs_) next = std::min(next, items.times_out);
  return next;
}

void Host::take_inputs(std::vector<AgentInput>& inputs) {
  assert(inputs.empty());
  uploads_.take_done([this](const AttemptId& attempt, Outcome&& outcome) { tell_end(attempt, std::move(outcome)); });
  inputs.swap(inputs_);
}

void Host::take_requests(std::vector<ToCoordinator>& requests) {
  assert(requests.empty());
  uploads_.take_requests(requests_);
  requests.swap(requests_);
}

}  // namespace millrace
