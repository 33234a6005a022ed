// Scenarios of stream triggers: messages that were added to a Redis stream start runs.
#include <algorithm>
#include <chrono>

#include "bench/graphs.h"
#include "bench/scenarios.h"
#include "common/io/redis.h"
#include "common/wire/codec.h"

namespace millrace::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr const char* kWorkflow = "orders";
constexpr const char* kKey = "orders";
constexpr std::uint32_t kWarmMessages = 2'000;
constexpr std::uint32_t kAtOnce = 1'000;  // of one pipeline
constexpr double kWanted = 12'000;        // messages a second
constexpr Duration kPatience = 120s;

double since(Steady::time_point then) { return std::chrono::duration<double>(Steady::now() - then).count(); }
Error wrong(std::string what) { return {Code::kFailed, std::move(what), {}, ""}; }

// All messages wait in the stream when the clock starts: how fast are they taken, and how fast are their runs done?
class OfStream : public Scenario {
 public:
  OfStream(std::uint32_t messages, std::uint32_t batch) : messages_(messages), batch_(batch) {}

  void watch(const Cluster& cluster) override { redis_url_ = cluster.redis_url(); }

  Status prepare(RawClient& client) override {
    if (Status applied = apply(client); !applied.ok()) return applied;
    Measured ignored;
    return pass(client, kWarmMessages, ignored);
  }

  Status run(RawClient& client, Measured& out) override {
    if (Status passed = pass(client, messages_, out); !passed.ok()) return passed;
    out.tasks = messages_;
    out.runs = runs_of(messages_);
    out.figures["messages"] = messages_;
    out.figures["messages_per_run"] = batch_;
    out.figures["taken_of_12000"] = out.figures["taken_per_s"] / kWanted;
    return Done{};
  }

  // Each message has started exactly one run, or is in exactly one.
  Status check(RawClient& client, Measured&) override {
    Result<TriggerView> trigger = view(client);
    if (!trigger.ok()) return trigger.error();
    const std::uint64_t expected = runs_of(kWarmMessages) + runs_of(messages_);
    if (trigger->started != expected || trigger->failed != 0)
      return wrong(std::to_string(trigger->started) + " runs were started of " + std::to_string(expected) + ", " +
                   std::to_string(trigger->failed) + " failed: " + trigger->error);
    ListRuns list;
    list.workflow = kWorkflow;
    list.limit = 1'000;
    std::uint64_t found = 0;
    do {
      Result<OperatorReply> reply = client.call(list, 10s);
      if (!reply.ok()) return reply.error();
      const auto* page = std::get_if<ListReply>(&*reply);
      if (page == nullptr) return wrong("runs cannot be listed");
      for (const RunSummary& run : page->runs) {
        if (run.state != RunState::kSucceeded) return wrong("a run has not succeeded");
      }
      found += page->runs.size();
      list.page = page->next_page;
    } while (!list.page.empty());
    if (found != expected) return wrong(std::to_string(found) + " runs of " + std::to_string(expected));
    return Done{};
  }

 private:
  std::uint32_t runs_of(std::uint32_t messages) const { return messages / batch_; }

  Status apply(RawClient& client) {
    WorkflowSpec spec = single();
    spec.name = kWorkflow;
    spec.inputs.emplace_back().name = "order";
    TriggerSpec trigger;
    trigger.name = "placed";
    trigger.stream = StreamSpec{"bench", kKey, true};
    trigger.inputs = Value::Object{{"order", batch_ > 1 ? "{{ event.count }}" : "{{ event.payload.order }}"}};
    if (batch_ > 1) trigger.collect = {{}, {}, batch_, 1s};
    spec.triggers = {trigger};
    auto bytes = std::make_shared<const std::string>(encode_definition(spec));
    WorkflowRequest request;
    request.act = WorkflowAct::kApply;
    request.name = kWorkflow;
    request.definition = hash128(*bytes);
    request.definition_bytes = std::move(bytes);
    Result<OperatorReply> reply = client.call(request, 10s);
    if (!reply.ok()) return reply.error();
    if (const auto* error = std::get_if<ErrorReply>(&*reply)) return error->error;
    return Done{};
  }

  Result<TriggerView> view(RawClient& client) {
    Result<OperatorReply> reply = client.call(ListTriggers{"default", kWorkflow}, 10s);
    if (!reply.ok()) return reply.error();
    const auto* all = std::get_if<TriggersReply>(&*reply);
    if (all == nullptr || all->triggers.size() != 1) return wrong("the trigger is not there");
    return all->triggers[0];
  }

  Result<std::uint64_t> live(RawClient& client) {
    Result<OperatorReply> reply = client.call(ListPartitions{}, 10s);
    if (!reply.ok()) return reply.error();
    const auto* all = std::get_if<PartitionsReply>(&*reply);
    if (all == nullptr) return wrong("partitions cannot be listed");
    std::uint64_t runs = 0;
    for (const PartitionView& one : all->partitions) runs += one.runs_live.value_or(0);
    return runs;
  }

  // The id of the last one. The trigger is paused meanwhile: they are all there when it begins.
  Result<std::string> add(std::uint32_t messages) {
    Result<std::unique_ptr<Redis>> redis = Redis::connect(*RedisUrl::parse(redis_url_), 5s);
    if (!redis.ok()) return redis.error();
    std::string last;
    for (std::uint32_t i = 0; i < messages; i += kAtOnce) {
      std::vector<RedisCommand> commands;
      for (std::uint32_t k = i; k < std::min(messages, i + kAtOnce); ++k)
        commands.push_back({"XADD", kKey, "*", "order", std::to_string(k), "customer", "c-" + std::to_string(k % 977),
                            "amount", "42.17"});
      Result<std::vector<RedisReply>> replies = (*redis)->commands(commands, 10s);
      if (!replies.ok()) return replies.error();
      last = replies->back().text;
    }
    return last;
  }

  Status tell(RawClient& client, TriggerAct act) {
    Result<OperatorReply> reply = client.call(TellTrigger{"default", kWorkflow, "placed", act, 0}, 10s);
    if (!reply.ok()) return reply.error();
    if (const auto* error = std::get_if<ErrorReply>(&*reply)) return error->error;
    return Done{};
  }

  Status pass(RawClient& client, std::uint32_t messages, Measured& out) {
    if (Status paused = tell(client, TriggerAct::kPause); !paused.ok()) return paused;
    const Result<std::string> last = add(messages);
    if (!last.ok()) return last.error();
    const auto began = Steady::now();
    if (Status resumed = tell(client, TriggerAct::kResume); !resumed.ok()) return resumed;
    double taken_s = 0;
    double idle_s = 0;  // since when no run has lived; looked at twice, as some may be on their way to be accepted
    for (int idle = 0; idle < 2;) {
      Result<TriggerView> trigger = view(client);
      if (!trigger.ok()) return trigger.error();
      if (trigger->offset == *last && taken_s == 0) taken_s = since(began);
      const Result<std::uint64_t> runs = live(client);
      if (!runs.ok()) return runs.error();
      if (taken_s == 0 || *runs > 0) idle = 0;
      else if (++idle == 1) idle_s = since(began);
      if (since(began) > std::chrono::duration<double>(kPatience).count())
        return Error{Code::kTimeout, "the messages were not taken and done in time: offset " + trigger->offset, {}, ""};
      client.wait(idle > 0 ? 100ms : 5ms);
    }
    out.total_s = idle_s;
    out.figures["taken_per_s"] = messages / taken_s;
    out.figures["done_per_s"] = messages / out.total_s;
    return Done{};
  }

  std::uint32_t messages_;
  std::uint32_t batch_;
  std::string redis_url_;
};

}  // namespace

std::unique_ptr<Scenario> make_stream(const Options& options) { return std::make_unique<OfStream>(options.tasks, 1); }
std::unique_ptr<Scenario> make_stream_batches(const Options& options) {
  return std::make_unique<OfStream>(options.tasks / 100 * 100, 100);
}
}  // namespace millrace::bench
