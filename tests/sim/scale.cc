#include "tests/sim/scale.h"

#include <cstdio>
#include <ctime>

#include "common/wire/codec.h"
#include "tests/sim/scale_cluster.h"

namespace millrace::sim {
namespace {

constexpr Duration kSlice = 10ms;  // beats of that share of the fleet go out together
constexpr Duration kSettle = 20s;  // until the partitions are where they belong
constexpr Duration kSayEvery = 10s;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::size_t resident_mebibytes() {
  std::size_t pages = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*u %zu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * 4096 / (1024 * 1024);
}

}  // namespace

void ScaleWorld::make_definition() {
  WorkflowSpec spec;
  spec.name = "chain";
  for (int i = 0; i < settings.tasks; ++i) {
    spec.ids.push_back("n" + std::to_string(i));
    NodeSpec node;
    node.executor = "noop";
    node.fields = Value::Object{};
    spec.specs.push_back(std::move(node));
    spec.upstream.offsets.push_back(static_cast<std::uint32_t>(spec.upstream.targets.size()));
    if (i > 0) spec.upstream.targets.push_back(static_cast<std::uint32_t>(i - 1));
  }
  spec.upstream.offsets.push_back(static_cast<std::uint32_t>(spec.upstream.targets.size()));
  bytes_ = std::make_shared<const std::string>(encode_definition(spec));
  hash_ = hash128(*bytes_);
}

void ScaleWorld::submit() {
  SubmitRun run;
  run.key = "k" + std::to_string(++submits_);
  run.definition = hash_;
  run.definition_bytes = bytes_;
  run.inputs = Payload::inline_json("{}");
  ++counts.submitted;
  nodes[random.below(nodes.size())]->receive(FromClient{RequestId{submits_}, std::move(run)});
}

// The beats of one share of the fleet, at every coordinator.
void ScaleWorld::beat() {
  constexpr auto kSlices = static_cast<int>(kBeatEvery / kSlice);
  FromBeats said;
  for (auto i = static_cast<std::size_t>(slice_); i < hands.size(); i += kSlices)
    said.beats.emplace_back(hands[i]->peer(true), hands[i]->beat());
  slice_ = (slice_ + 1) % kSlices;
  if (said.beats.empty()) return;
  for (auto& node : nodes) node->receive(said);
  counts.beats += nodes.size() * said.beats.size();
}

void ScaleWorld::say(const char* when) {
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%s: %llu submitted, %llu acknowledged, %llu ended, %llu refused; live %zu; %.1f s of CPU, %zu MiB; commits "
      "%llu, reads %llu, forwarded %llu, to workers %llu (news %llu), from workers %llu, beats %llu; half of the runs "
      "within %zu ms, 99 %% within %zu ms, 99.9 %% within %zu ms\n",
      when, number(counts.submitted), number(counts.acknowledged), number(counts.ended), number(counts.refused),
      live.size(), cpu_seconds() - cpu_begun_, resident_mebibytes(), number(counts.commits), number(counts.reads),
      number(counts.forwarded), number(counts.to_workers), number(counts.news), number(counts.from_workers),
      number(counts.beats), counts.end_to_end.milliseconds(500), counts.end_to_end.milliseconds(990),
      counts.end_to_end.milliseconds(999));
  std::fflush(stdout);
}

// Coordinators start one after the other, then workers.
void ScaleWorld::start_next() {
  const std::size_t number = started_++;
  if (number < nodes.size()) nodes[number]->start();
  else hands[number - nodes.size()]->start();
  if (started_ == nodes.size()) start_at_ = clock.at(first_ - kSettle / 2);
  else if (started_ == nodes.size() + hands.size()) start_at_ = {};
  else
    start_at_ =
        clock.after(started_ < nodes.size() ? Duration{5ms} : kSettle / 4 / static_cast<Duration::rep>(hands.size()));
}

// What happens next, whoever does it. False: nothing does any more.
bool ScaleWorld::step() {
  const Moment next = std::min(
      {start_at_, beat_at_, submit_at_, wire.next(), store_back.next(), tasks.next(), woken.next(), alarms.next()});
  if (next.when == kNever) return false;
  clock.set(next.when);
  if (next == woken.next()) {
    woken.take()->woken();
  } else if (next == wire.next()) {
    deliver(wire.take());
  } else if (next == store_back.next()) {
    FromStore answer = store_back.take();
    Node* node = answer.node;
    node->answered(std::move(answer));
  } else if (next == tasks.next()) {
    const TaskDone done = tasks.take();
    Outcome outcome;
    outcome.success = true;
    outcome.ran = std::chrono::milliseconds(settings.task_ms);
    done.hand->take(TaskEnded{done.attempt, std::move(outcome)});
  } else if (next == alarms.next()) {
    std::visit([](auto* who) { who->ring(); }, alarms.take());
  } else if (next == beat_at_) {
    beat();
    beat_at_ = clock.after(kSlice);
  } else if (next == submit_at_) {
    submit();
    submit_at_ = clock.after(Duration{60'000'000 / std::max(1, settings.runs_a_minute)});
    if (submit_at_.when >= last_) submit_at_ = {};
  } else {
    start_next();
  }
  return true;
}

void ScaleWorld::deliver(OnWire&& message) {
  if (auto* in = std::get_if<ToNode>(&message)) return in->node->receive(std::move(in->message));
  auto& out = std::get<ToHands>(message);
  for (Hand* hand : out.hands) hand->take(CoordinatorSaid{out.from, out.message});
  if (out.hand != nullptr) out.hand->take(CoordinatorSaid{out.from, std::move(out.message)});
}

std::string ScaleWorld::play() {
  cpu_begun_ = cpu_seconds();
  first_ = clock.now() + kSettle;
  last_ = first_ + std::chrono::seconds(settings.seconds);
  start_at_ = clock.at(clock.now());
  beat_at_ = clock.at(first_ - kSettle / 2);
  submit_at_ = clock.at(first_);
  Time said = first_;
  bool settled = false;
  while (clock.now() < last_ + 60s && step()) {
    if (!settled && clock.now() >= first_) {
      settled = true;
      say("settled");
      cpu_begun_ = cpu_seconds();
    }
    if (clock.now() < said + kSayEvery) continue;
    said = clock.now();
    say(("second " + std::to_string((said - first_) / 1s)).c_str());
    if (clock.now() >= last_ && live.empty() && counts.acknowledged == counts.submitted) break;
  }
  say("end");
  return what_is_wrong();
}

std::string ScaleWorld::what_is_wrong() const {
  if (counts.submitted == 0) return "nothing was submitted";
  if (counts.acknowledged != counts.submitted) return "not every submission was acknowledged";
  if (counts.ended != counts.submitted) return "not every run has ended well";
  if (counts.tasks != counts.submitted * static_cast<std::uint64_t>(settings.tasks))
    return "tasks are missing, or ran twice";
  std::uint64_t accepted = 0;
  for (const auto& node : nodes) {
    const LoopSnapshot counted = node->loop().snapshot();
    if (std::string broken = check_sums(counted); !broken.empty()) return "I10: " + broken;
    if (counted.workers_ready != hands.size()) return "a coordinator has lost a worker";
    accepted += counted.tally.accepted;
  }
  if (accepted != counts.submitted) return "I10: the coordinators count other runs than were submitted";
  return "";
}

std::string play_scale(const ScaleSettings& settings) {
  auto world = std::make_unique<ScaleWorld>(settings);
  return world->play();
}

}  // namespace millrace::sim
