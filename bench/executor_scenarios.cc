// The executors that people use, each with the least work there is, beside a pool of plain programs that do the same.
#include <algorithm>

#include "bench/endpoint.h"
#include "bench/graphs.h"
#include "bench/pool.h"
#include "bench/scenarios.h"

namespace millrace::bench {
namespace {

constexpr const char* kResult = "332833500";  // of every task: the sum of squares of 0 .. 999
constexpr std::uint32_t kPoolTasks = 200;     // a program costs tens of milliseconds: more say nothing more

struct Work {
  NodeSpec node;
  const char* result_at = nullptr;   // where in the output the result is; null: it is the output
  std::vector<std::string> program;  // that does the same
};

NodeSpec node_of(std::string executor, Value fields) {
  NodeSpec node;
  node.executor = std::move(executor);
  node.fields = std::move(fields);
  return node;
}

Work python(const Options& o, const std::string&) {
  return {node_of("python",
                  Value::Object{{"script", "output = sum(i * i for i in range(1000))\n"}, {"isolation", o.isolation}}),
          nullptr,
          {"python3", "-c", "print(sum(i * i for i in range(1000)))"}};
}

Work javascript(const Options& o, const std::string&) {
  const std::string sum = "let sum = 0; for (let i = 0; i < 1000; ++i) sum += i * i; ";
  return {node_of("javascript", Value::Object{{"script", sum + "output = sum"}, {"isolation", o.isolation}}),
          nullptr,
          {"node", "-e", sum + "console.log(sum)"}};
}

Work shell(const Options&, const std::string&) {
  const std::string script = std::string("echo ") + kResult;
  return {node_of("shell", Value::Object{{"script", script}, {"outputs", "json"}}), nullptr, {"sh", "-c", script}};
}

Work http(const Options&, const std::string& url) {
  return {node_of("http", Value::Object{{"url", url + "/result"}}), "body", {"curl", "-sS", url + "/result"}};
}

// The whole of what curl prints is a stream of events, of which awk takes the text.
Work llm(const Options&, const std::string& url) {
  const std::string ask =
      "curl -sS -H 'Content-Type: application/json' -d '{\"model\":\"bench\",\"stream\":true,"
      "\"messages\":[{\"role\":\"user\",\"content\":\"sum\"}]}' " +
      url + "/v1/chat/completions";
  return {node_of("llm", Value::Object{{"base_url", url + "/v1"}, {"model", "bench"}, {"prompt", "sum"}}),
          "text",
          {"sh", "-c", ask + R"( | awk -F '"content":"' 'NF > 1 { split($2, text, "\""); print text[1] }')"}};
}

class Executor : public Graph {
 public:
  Executor(Work work, const Options& o, std::unique_ptr<Endpoint> endpoint)
      : Graph(fan_of(work.node, o.tasks), {1, o.runs, 1}, fan_of(work.node, 64), {}),
        work_(std::move(work)),
        endpoint_(std::move(endpoint)) {}

  Status run(RawClient& client, Measured& out) override {
    const double before = endpoint_ ? endpoint_->cpu_s() : 0;
    Status done = Graph::run(client, out);
    if (endpoint_) out.figures["endpoint_us_per_task"] = (endpoint_->cpu_s() - before) * 1e6 / out.tasks;
    return done;
  }
  // Every result of the last run, read back node by node; then the programs.
  Status check(RawClient& client, Measured& out) override {
    Result<OperatorReply> reply = client.call(GetRun{{"@latest", "bench"}, 2'000'000}, 60s);
    if (!reply.ok()) return reply.error();
    auto* run = std::get_if<RunReply>(&*reply);
    if (run == nullptr || run->view.nodes.size() != tasks()) return failure("the run is not shown whole");
    for (std::uint32_t i = 0; i + 1 < tasks(); ++i) {  // the last one is the join
      if (Status right = look(run->view.nodes[i].output.json()); !right.ok()) return right;
    }
    return compare(out);
  }

 private:
  Status look(std::string_view json) const {
    Result<Value> output = Value::parse(json);
    const Value* found = !output.ok() ? nullptr : work_.result_at == nullptr ? &*output : output->find(work_.result_at);
    if (found != nullptr && (found->is_string() ? found->as_string() : found->dump()) == kResult) return Done{};
    return failure("a task gave " + std::string(json.substr(0, 200)));
  }
  Status compare(Measured& out) const {
    const std::uint32_t programs = std::min(kPoolTasks, tasks());
    Result<PoolMeasured> pool = run_pool(work_.program, kResult, programs);
    if (!pool.ok()) return pool.error();
    out.figures["pool.tasks_per_s"] = programs / pool->total_s;
    out.figures["pool.cpu_us_per_task"] = pool->cpu_s * 1e6 / programs;
    out.figures["times_pool"] = out.tasks / out.total_s / (programs / pool->total_s);
    return Done{};
  }

  Work work_;
  std::unique_ptr<Endpoint> endpoint_;  // outlives the cluster that asks it
};

template <Work (*work_of)(const Options&, const std::string&)>
std::unique_ptr<Scenario> make(const Options& o) {
  return std::make_unique<Executor>(work_of(o, ""), o, nullptr);
}

template <Work (*work_of)(const Options&, const std::string&)>
std::unique_ptr<Scenario> make_asking(const Options& o) {
  Result<std::unique_ptr<Endpoint>> endpoint = Endpoint::start(kResult);
  if (!endpoint.ok()) return nullptr;
  Work work = work_of(o, (*endpoint)->url());
  return std::make_unique<Executor>(std::move(work), o, std::move(*endpoint));
}

void adjust_asking(Options& o) {
  keep_all(o);
  o.cluster.worker_arguments = {"--allow-egress", "loopback"};
}

}  // namespace

const std::vector<ScenarioKind>& executor_scenarios() {
  static const std::vector<ScenarioKind> kinds = {
      {"python", "one run: a sum of squares of 1,000 integers in each task", 10'000, kToResult, make<python>, nullptr,
       true},
      {"javascript", "the same on Node.js", 10'000, kToResult, make<javascript>, nullptr, true},
      {"shell", "one run: a shell that prints a number in each task", 2'000, kToResult, make<shell>, nullptr, true},
      {"http", "one run: each task asks a web service on loopback", 10'000, kToResult, make_asking<http>, adjust_asking,
       true},
      {"llm", "one run: each task asks an endpoint that streams one token", 5'000, kToResult, make_asking<llm>,
       adjust_asking, true},
  };
  return kinds;
}

}  // namespace millrace::bench
