// What operators see over HTTP of real programs with a real Redis.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"
#include "tests/support/http_client.h"

namespace millrace::test {
namespace {

constexpr const char* kGated = R"yaml(
name: gated
inputs:
  gate: {type: string, required: true}
nodes:
)yaml";

std::string gated(int tasks) {
  std::string text = kGated;
  for (int i = 0; i < tasks; ++i) {
    text += "  t" + std::to_string(i) + ":\n    executor: shell\n    env: {GATE: \"{{ inputs.gate }}\"}\n" +
            "    script: while [ ! -e \"$GATE\" ]; do sleep 0.02; done\n";
  }
  return text;
}

// The latest one: a program that was started again has another.
std::string http_address(const Program& program) {
  std::string address;
  static constexpr std::string_view kKey = "\"http\":\"";
  eventually(10s, [&] {
    const std::string log = program.err();
    const std::size_t at = log.rfind(kKey);
    if (at == std::string::npos) return false;
    const std::size_t from = at + kKey.size();
    address = log.substr(from, log.find('"', from) - from);
    return true;
  });
  EXPECT_NE(address, "") << program.err();
  return address;
}

// A scrape in its parts: what Prometheus reads.
struct Scrape {
  std::map<std::string, double> series;      // "name{labels}"
  std::map<std::string, std::string> types;  // by family
  std::string problem;                       // the first thing that is not as the format has it

  explicit Scrape(const std::string& text) {
    std::istringstream lines(text);
    std::set<std::string> helped;
    for (std::string line; std::getline(lines, line) && problem.empty();) {
      std::istringstream words(line);
      std::string mark, kind, family, rest;
      words >> mark >> kind >> family >> rest;
      if (mark == "#" && kind == "HELP") {
        if (!helped.insert(family).second || rest.empty()) problem = line;
      } else if (mark == "#" && kind == "TYPE") {
        if (!types.emplace(family, rest).second || !helped.contains(family)) problem = line;
        if ((rest == "counter") != family.ends_with("_total")) problem = "only counters end with _total: " + line;
      } else {
        take(line);
      }
    }
    for (const auto& [family, type] : types) {
      if (type == "histogram" && problem.empty()) check_histogram(family);
    }
  }
  double at(const std::string& name) const {
    const auto found = series.find(name);
    EXPECT_NE(found, series.end()) << name;
    return found == series.end() ? std::nan("") : found->second;
  }
  double runs(const std::string& outcome) const { return at("millrace_runs_total{outcome=\"" + outcome + "\"}"); }
  double runs_in() const { return runs("accepted") + runs("restored"); }
  double runs_out() const {
    return runs("succeeded") + runs("degraded") + runs("failed") + runs("cancelled") + runs("handed_over") +
           at("millrace_runs_live");
  }

 private:
  void take(const std::string& line) {
    const std::size_t space = line.rfind(' ');
    std::size_t read = 0;
    const std::string name = line.substr(0, space);
    double value = 0;
    try {
      value = std::stod(line.substr(space + 1), &read);
    } catch (const std::exception&) { read = 0; }
    if (read == 0 || !series.emplace(name, value).second) problem = "no number, or twice: " + line;
    std::string family = name.substr(0, name.find('{'));
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      const std::string without = family.substr(0, family.size() - std::string_view(suffix).size());
      if (family.ends_with(suffix) && types.contains(without)) family = without;
    }
    if (!types.contains(family)) problem = "no TYPE before " + line;
    if (value < 0) problem = "below zero: " + line;
  }
  void check_histogram(const std::string& family) {
    for (const auto& [name, value] : series) {
      if (!name.starts_with(family + "_count")) continue;
      std::string labels = name.substr(family.size() + 6);  // {stage="x"} or nothing
      if (!labels.empty()) labels = labels.substr(1, labels.size() - 2) + ",";
      double most = 0;
      for (const auto& [bucket, count] : series) {
        if (!bucket.starts_with(family + "_bucket{" + labels + "le=")) continue;
        if (count > value) problem = "more in a bucket than in all: " + bucket;
        most = std::max(most, count);
      }
      if (most != value) problem = "the last bucket is not the count: " + name;
    }
  }
};

ClusterOptions with_http(std::vector<std::string> more = {}) {
  ClusterOptions options;
  options.coordinator_options = {"--http", "127.0.0.1:0"};
  options.coordinator_options.insert(options.coordinator_options.end(), more.begin(), more.end());
  return options;
}

Scrape scraped(const std::string& address, const std::string& token = "") {
  const HttpResult got = http_get(address, "/metrics", token);
  EXPECT_EQ(got.status, 200) << got.body;
  Scrape scrape(got.body);
  EXPECT_EQ(scrape.problem, "");
  return scrape;
}

// ---------------------------------------------------------------- probes

TEST(OperatorHttpOfPrograms, WithoutRedisACoordinatorIsLiveAndNotReady) {
  Cluster cluster(with_http());
  const std::string http = http_address(cluster.coordinator());
  ASSERT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 200; }));

  cluster.redis().kill_now();

  EXPECT_TRUE(eventually(5s, [&] { return http_get(http, "/readyz").status == 503; }));
  EXPECT_NE(http_get(http, "/readyz").body.find("\"store\":false"), std::string::npos);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(http_get(http, "/livez").status, 200);
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_EQ(scraped(http).at("millrace_store_up"), 0);

  cluster.start_redis();

  EXPECT_TRUE(eventually(20s, [&] { return http_get(http, "/readyz").status == 200; })) << cluster.coordinator().err();
}

TEST(OperatorHttpOfPrograms, WithoutRedisACoordinatorStillEndsWhenItIsTold) {
  ClusterOptions options = with_http();
  options.workers = {};
  Cluster cluster(options);
  const std::string http = http_address(cluster.coordinator());
  ASSERT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 200; }));
  cluster.redis().kill_now();
  ASSERT_TRUE(
      eventually(10s, [&] { return cluster.coordinator().err().find("outcome is unknown") != std::string::npos; }));

  cluster.coordinator().signal(SIGTERM);

  EXPECT_EQ(cluster.coordinator().wait(10s), 0) << cluster.coordinator().err();
}

TEST(OperatorHttpOfPrograms, ARedisThatHangsIsNoReadinessEither) {
  Cluster cluster(with_http());
  const std::string http = http_address(cluster.coordinator());
  ASSERT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 200; }));

  cluster.redis().pause();

  EXPECT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 503; }));
  EXPECT_EQ(http_get(http, "/livez").status, 200);
  cluster.redis().resume();
  EXPECT_TRUE(eventually(20s, [&] { return http_get(http, "/readyz").status == 200; }));
}

TEST(OperatorHttpOfPrograms, AWorkerIsReadyOnceItIsWelcomeAndNotWhileItDrains) {
  Cluster cluster;
  Program& worker = cluster.start_worker("w3", {"--http", "127.0.0.1:0"});
  const std::string http = http_address(worker);
  EXPECT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 200; })) << worker.err();
  EXPECT_EQ(http_get(http, "/livez").status, 200);
  cluster.worker("w1").kill();
  cluster.worker("w2").kill();
  const std::string gate = cluster.scratch().file("gate");
  const std::string run = cluster.submit(cluster.workflow("gated", gated(1)), {"-i", "gate=" + gate});
  ASSERT_TRUE(eventually(30s, [&] { return scraped(http).at("millrace_worker_tasks_running") == 1; }));

  worker.signal(SIGTERM);

  EXPECT_TRUE(eventually(5s, [&] { return http_get(http, "/readyz").status == 503; }));
  EXPECT_EQ(http_get(http, "/livez").status, 200);
  EXPECT_EQ(scraped(http).at("millrace_worker_draining"), 1);
  cluster.scratch().write("gate", "");
  EXPECT_EQ(worker.wait(20s), 0) << worker.err();
}

// ---------------------------------------------------------------- metrics

TEST(OperatorHttpOfPrograms, RunsAddUpOverEveryOutcomeAndARestart) {
  Cluster cluster(with_http());
  std::string http = http_address(cluster.coordinator());
  const std::string gate = cluster.scratch().file("gate");
  const std::string quick = cluster.workflow("quick", kQuick);
  for (int i = 0; i < 3; ++i) cluster.wait(cluster.submit(quick));
  cluster.wait(cluster.submit(cluster.workflow("failing", kFailing)));
  const std::string waits = cluster.submit(cluster.workflow("gated", gated(3)), {"-i", "gate=" + gate});
  const std::string ended = cluster.submit(cluster.workflow("gated", gated(3)), {"-i", "gate=" + gate});
  EXPECT_EQ(cluster.cli({"cancel", ended}).exit_code, 0);
  cluster.wait(ended);
  EXPECT_EQ(cluster.cli({"status", "aaaaaaaaaaaaa"}).exit_code, 3);

  Scrape before = scraped(http);
  EXPECT_EQ(before.runs("accepted"), 6);
  EXPECT_EQ(before.runs("succeeded"), 3);
  EXPECT_EQ(before.runs("failed"), 1);
  EXPECT_EQ(before.runs("cancelled"), 1);
  EXPECT_EQ(before.at("millrace_runs_live"), 1);
  EXPECT_EQ(before.runs_in(), before.runs_out());
  EXPECT_EQ(before.at("millrace_events_total{type=\"run_accepted\"}"), 6);
  EXPECT_EQ(before.at("millrace_stage_seconds_count{stage=\"submit_to_ack\"}"), 6);
  EXPECT_GE(before.at("millrace_stage_seconds_count{stage=\"commit\"}"), 6);
  EXPECT_GE(before.at("millrace_stage_seconds_count{stage=\"dispatch_to_end\"}"), 4);
  EXPECT_GE(before.at("millrace_refusals_total{reason=\"not_found\"}"), 1);
  EXPECT_EQ(before.at("millrace_demand"), 3);

  cluster.coordinator().kill();
  cluster.start_coordinator();
  ASSERT_TRUE(eventually(20s, [&] {  // its log follows that of the one before
    http = http_address(cluster.coordinator());
    return http_get(http, "/readyz").body.find("\"serving\":16") != std::string::npos;
  }));
  Scrape after = scraped(http);
  EXPECT_EQ(after.runs("accepted"), 0);
  EXPECT_EQ(after.runs("restored"), 1);
  EXPECT_EQ(after.runs_in(), after.runs_out());

  cluster.scratch().write("gate", "");
  cluster.wait(waits);
  // What was told less than 20 ms ago may be told again.
  EXPECT_TRUE(eventually(5s, [&] { return scraped(http).at("millrace_runs_live") == 0; }));
  after = scraped(http);
  EXPECT_EQ(after.runs("succeeded"), 1);
  EXPECT_EQ(after.at("millrace_runs_live"), 0);
  EXPECT_EQ(after.runs_in(), after.runs_out());
}

// The table of docs/operations.md: "| `name` | type | ...".
std::map<std::string, std::string> documented() {
  std::map<std::string, std::string> out;
  std::istringstream lines(read_file(source("docs/operations.md")));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string bar, name, bar2, type;
    words >> bar >> name >> bar2 >> type;
    const bool metric = name.starts_with("`millrace_") || name.starts_with("`process_");
    if (bar != "|" || !metric || !(type == "counter" || type == "gauge" || type == "histogram")) continue;
    out[name.substr(1, name.size() - 2)] = type;
  }
  return out;
}

TEST(OperatorHttpOfPrograms, EveryMetricStandsInTheDocumentsAndNoOther) {
  Cluster cluster(with_http());
  Program& worker = cluster.start_worker("w3", {"--http", "127.0.0.1:0"});
  EXPECT_EQ(cluster.cli({"status", "aaaaaaaaaaaaa"}).exit_code, 3) << "so that a refusal is counted";
  std::map<std::string, std::string> told;
  for (const std::string& http : {http_address(cluster.coordinator()), http_address(worker)}) {
    ASSERT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 200; }));
    for (const auto& [family, type] : scraped(http).types) told[family] = type;
  }

  EXPECT_EQ(told, documented());
}

TEST(OperatorHttpOfPrograms, PromtoolHasNothingToSay) {
  if (run_program({"sh", "-c", "command -v promtool"}).exit_code != 0)
    GTEST_SKIP() << "no promtool (Debian: prometheus)";
  Cluster cluster(with_http());
  Program& worker = cluster.start_worker("w3", {"--http", "127.0.0.1:0"});
  cluster.wait(cluster.submit(cluster.workflow("quick", kQuick)));
  for (const std::string& http : {http_address(cluster.coordinator()), http_address(worker)}) {
    const std::string file = cluster.scratch().write("metrics", http_get(http, "/metrics").body);

    Finished checked = run_program({"sh", "-c", "promtool check metrics < " + file});

    EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
    EXPECT_EQ(checked.out + checked.err, "");
  }
}

// ---------------------------------------------------------------- /v1/scale

TEST(OperatorHttpOfPrograms, ScaleFollowsWhatIsQueued) {
  ClusterOptions options = with_http();
  options.workers = {"w1"};
  Cluster cluster(options);
  const std::string http = http_address(cluster.coordinator());
  auto scale = [&] { return Value::parse(http_get(http, "/v1/scale").body).value(); };
  EXPECT_EQ(number_at(scale(), {"demand"}), 0);
  EXPECT_EQ(number_at(scale(), {"suggested_workers"}), 0);

  const std::string gate = cluster.scratch().file("gate");
  const std::string run = cluster.submit(cluster.workflow("gated", gated(10)), {"-i", "gate=" + gate});

  EXPECT_TRUE(eventually(10s, [&] { return number_at(scale(), {"running"}) == 2; })) << scale().dump();
  const Value queued = scale();
  EXPECT_EQ(number_at(queued, {"demand"}), 10) << queued.dump();
  EXPECT_EQ(number_at(queued, {"ready"}), 8);
  EXPECT_EQ(number_at(queued, {"slots"}), 2);
  EXPECT_EQ(number_at(queued, {"workers"}), 1);
  EXPECT_EQ(number_at(queued, {"suggested_workers"}), 5);

  cluster.scratch().write("gate", "");
  cluster.wait(run);
  EXPECT_TRUE(eventually(5s, [&] { return number_at(scale(), {"demand"}) == 0; })) << scale().dump();
}

// ---------------------------------------------------------------- who may ask

TEST(OperatorHttpOfPrograms, TheTokenGuardsEverythingButTheProbesAndLeaksNowhere) {
  static constexpr const char* kToken = "canary-token-0123456789";
  ScratchDirectory scratch;
  const std::string file = scratch.write("token", std::string(kToken) + "\n");
  Cluster cluster(with_http({"--http-token-file", file}));
  const std::string http = http_address(cluster.coordinator());
  EXPECT_TRUE(eventually(10s, [&] { return http_get(http, "/readyz").status == 200; }));
  EXPECT_EQ(http_get(http, "/livez").status, 200);
  for (const char* path : {"/metrics", "/v1/scale", "/other"}) {
    EXPECT_EQ(http_get(http, path).status, 401) << path;
    EXPECT_EQ(http_get(http, path, "canary-token-012345678x").status, 401) << path;
  }
  EXPECT_EQ(http_get(http, "/metrics", kToken).status, 200);
  EXPECT_EQ(http_get(http, "/v1/scale", kToken).status, 200);

  // The other way to give it: the environment, of which neither /proc nor a task sees anything.
  const std::string log = scratch.file("worker");
  Program worker = Program::start({bin("millrace-worker"), "--coordinator", cluster.address(), "--id", "w9", "--http",
                                   "127.0.0.1:0", "--label", "only=w9"},
                                  log, {{"MILLRACE_HTTP_TOKEN", kToken}});
  const std::string worker_http = http_address(worker);
  EXPECT_EQ(http_get(worker_http, "/metrics").status, 401);
  EXPECT_EQ(http_get(worker_http, "/metrics", kToken).status, 200);
  EXPECT_EQ(read_file("/proc/" + std::to_string(worker.pid()) + "/environ").find(kToken), std::string::npos);
  ASSERT_TRUE(cluster.wait_for_workers(3));
  cluster.worker("w1").kill();
  cluster.worker("w2").kill();
  const std::string tells = cluster.workflow(
      "tells", "nodes:\n  t: {executor: shell, script: env}\noutputs: {e: \"{{ nodes.t.stdout }}\"}\n");
  Value told = cluster.wait(cluster.submit(tells));
  EXPECT_EQ(text_at(told, {"status"}), "succeeded") << told.dump();
  EXPECT_EQ(told.dump().find(kToken), std::string::npos);
  EXPECT_EQ((cluster.coordinator().err() + worker.err()).find(kToken), std::string::npos);
  EXPECT_EQ(scraped(worker_http, kToken).at("millrace_worker_ends_total{outcome=\"succeeded\"}"), 1);
}

TEST(OperatorHttpOfPrograms, BeyondLoopbackItListensOnlyWithATokenOrWhereThatIsSaid) {
  ScratchDirectory scratch;
  const std::vector<std::string> coordinator = {bin("millrace-coordinator"), "--store",  "memory",           "--listen",
                                                "tcp://127.0.0.1:0",         "--events", "tcp://127.0.0.1:0"};
  const std::vector<std::string> worker = {bin("millrace-worker"), "--coordinator",
                                           "tcp://127.0.0.1:" + std::to_string(free_port())};
  int number = 0;
  for (std::vector<std::string> words : {coordinator, worker}) {
    const std::string log = "log-" + std::to_string(++number);
    words.insert(words.end(), {"--http", "0.0.0.0:0"});
    Finished refused = run_program(words, {}, 10s);
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_NE(refused.err.find("--http-token-file"), std::string::npos) << refused.err;

    words.push_back("--insecure-listen");
    Program warned = Program::start(words, scratch.file(log + "-warned"));
    const std::string port = http_address(warned);
    EXPECT_EQ(http_get("127.0.0.1" + port.substr(port.rfind(':')), "/metrics").status, 200);
    EXPECT_NE(warned.err().find("--insecure-listen"), std::string::npos) << warned.err();
    warned.kill();

    words.back() = "--http-token-file=" + scratch.write("token", "0123456789abcdef");
    Program guarded = Program::start(words, scratch.file(log + "-guarded"));
    const std::string address = http_address(guarded);
    EXPECT_EQ(http_get("127.0.0.1" + address.substr(address.rfind(':')), "/metrics").status, 401);
  }
}

TEST(OperatorHttpOfPrograms, TheTokenIsNoArgument) {
  for (const char* program : {"millrace-coordinator", "millrace-worker"}) {
    Finished given = run_program({bin(program), "--http-token", "secret"});
    EXPECT_EQ(given.exit_code, 2) << given.out;
  }
}

// ---------------------------------------------------------------- bad clients

TEST(OperatorHttpOfPrograms, ClientsThatSayNothingOrRubbishHarmNobody) {
  Cluster cluster(with_http());
  const std::string http = http_address(cluster.coordinator());
  std::list<HttpClient> silent;
  for (int i = 0; i < 300; ++i) silent.emplace_back(http);
  for (int i = 0; i < 50; ++i) silent.emplace_back(http).send("GET /metrics HTTP/1.1\r\nX: ");
  std::list<HttpClient> rude;
  for (int i = 0; i < 50; ++i) rude.emplace_back(http).send(std::string(100'000, '\xff'));

  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(http_get(http, "/livez").status, 200);
  EXPECT_EQ(http_get(http, "/readyz").status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
  EXPECT_EQ(text_at(cluster.wait(cluster.submit(cluster.workflow("quick", kQuick))), {"status"}), "succeeded");
  Scrape scrape = scraped(http);
  EXPECT_LE(scrape.at("millrace_http_connections"), 128);
  EXPECT_GE(scrape.at("millrace_http_evicted_total"), 100);
  EXPECT_LT(scrape.at("process_resident_memory_bytes"), 300e6);
}

}  // namespace
}  // namespace millrace::test
