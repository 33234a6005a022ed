// `millrace run` without a cluster: real coordinator, worker and executors in this process.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "cli/client.h"
#include "cli/embedded.h"
#include "cli/session.h"
#include "cli/submission.h"
#include "common/io/log.h"
#include "common/wire/codec.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

Value run_object(const Cli& cli) {
  Result<Value> value = Value::parse(cli.out);
  EXPECT_TRUE(value.ok()) << cli.out << cli.err;
  return value.ok() ? *value : Value();
}

std::string status_of(const Value& run, const std::string& node) {
  const Value* found = run.find("nodes")->find(node);
  return found == nullptr ? "absent" : found->find("status")->as_string();
}

TEST(EmbeddedRun, RunsAWorkflowToItsOutputs) {
  Cli cli;
  std::string file = temp_file("shell.yaml",
                               "inputs:\n  who: {type: string, required: true}\n"
                               "nodes:\n"
                               "  greet: {executor: shell, script: 'echo \"hello $1\"', args: ['{{ inputs.who }}']}\n"
                               "  after: {executor: noop, depends_on: [greet]}\n"
                               "outputs:\n  text: '{{ nodes.greet.stdout }}'\n");
  EXPECT_EQ(cli.run({"run", file, "-i", "who=Ada; exit 1", "-o", "json", "--no-progress"}), 0) << cli.err;
  Value run = run_object(cli);
  EXPECT_EQ(run.find("outputs")->dump(), R"({"text":"hello Ada; exit 1"})");
  EXPECT_EQ(status_of(run, "after"), "succeeded");
  Value schema = Value::parse(read_text("docs/cli-schemas/run.json")).value();
  EXPECT_EQ(schema_mismatch(schema, run), "");
  EXPECT_EQ(cli.run({"run", file, "-i", "who=Ada", "--no-progress"}), 0);
  EXPECT_EQ(cli.out, "text: hello Ada\n");
  EXPECT_EQ(cli.err, "");
}

TEST(EmbeddedRun, ThatTakesLongIsNotTakenForASilentCoordinator) {
  Cli cli;
  std::string file = temp_file("long.yaml", "nodes: {a: {executor: noop, delay: 2500ms}}\n");
  EXPECT_EQ(cli.run({"run", file, "--no-progress"}), 0);
  EXPECT_EQ(cli.err, "");
}

TEST(EmbeddedRun, AFailureIsExitCodeOneAndSaysWhere) {
  Cli cli;
  std::string file =
      temp_file("fail.yaml",
                "fail_fast: false\nnodes:\n"
                "  bad: {executor: shell, script: 'exit 3', retry: {max_attempts: 2, backoff: {initial: 10ms}}}\n"
                "  below: {executor: noop, depends_on: [bad]}\n"
                "  beside: {executor: noop}\n");
  EXPECT_EQ(cli.run({"run", file, "-o", "json", "--no-progress"}), 1);
  Value run = run_object(cli);
  EXPECT_EQ(run.find("error")->find("node")->as_string(), "bad");
  EXPECT_EQ(run.find("nodes")->find("bad")->find("attempts")->as_int(), 2);
  EXPECT_EQ(status_of(run, "below"), "skipped");
  EXPECT_EQ(status_of(run, "beside"), "succeeded");
  EXPECT_NE(cli.err.find("failed at bad (attempt 2)"), std::string::npos) << cli.err;
}

TEST(EmbeddedRun, IgnoresTheEnvironmentsClusterAndSaysSo) {
  Cli cli;
  cli.environment["MILLRACE_COORDINATOR"] = "tcp://127.0.0.1:9";
  EXPECT_EQ(cli.run({"run", temp_file("noop.yaml", "nodes:\n  a: {executor: noop}\n"), "--no-progress"}), 0);
  EXPECT_EQ(cli.err,
            "note: MILLRACE_COORDINATOR is ignored: run works in this process unless --coordinator is given\n");
}

// A task that says where it is and then sleeps.
struct Sleeper {
  std::string marker = temp_file("marker", "");
  std::string file = temp_file("sleep.yaml", "nodes:\n  a: {executor: shell, script: 'echo $$ > " + marker +
                                                 "; exec sleep 60'}\n  b: {executor: noop, depends_on: [a]}\n");
  pid_t pid() const {
    pid_t found = 0;
    std::ifstream(marker) >> found;
    return found;
  }
  bool gone() const {
    for (int i = 0; i < 200; ++i) {
      if (::kill(pid(), 0) != 0) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
};

TEST(EmbeddedRun, CtrlCCancelsTheRunAndEndsItsProcesses) {
  Cli cli;
  Sleeper sleeper;
  std::thread user([&] {
    while (sleeper.pid() == 0) std::this_thread::sleep_for(10ms);
    ::kill(::getpid(), SIGINT);
  });
  EXPECT_EQ(cli.run({"run", sleeper.file, "-o", "json", "--no-progress"}), 8) << cli.err;
  user.join();
  Value run = run_object(cli);
  EXPECT_EQ(run.find("status")->as_string(), "cancelled");
  EXPECT_EQ(status_of(run, "b"), "cancelled");
  EXPECT_TRUE(sleeper.gone());
}

TEST(EmbeddedRun, ItsTimeoutIsExitCodeFourAndLeavesNoProcess) {
  Cli cli;
  Sleeper sleeper;
  EXPECT_EQ(cli.run({"run", sleeper.file, "--timeout", "1s", "--no-progress"}), 4);
  ASSERT_NE(sleeper.pid(), 0);
  EXPECT_TRUE(sleeper.gone());
}

// Runs until two ids begin alike: some thousand, at random.
TEST(EmbeddedRun, APrefixOfSeveralRunsNamesNoneAndListsThem) {
  LogOptions quiet;
  quiet.level = LogLevel::kError;
  set_log(quiet);
  ZmqContext context;
  auto embedded = Embedded::start(context, {.slots = 1});
  ASSERT_TRUE(embedded.ok());
  Client client(context, {.endpoints = {Embedded::kEndpoint}});
  ASSERT_TRUE(client.connect().ok());
  Result<WorkflowSpec> spec = load_workflow(temp_file("one.yaml", "nodes: {a: {value: 1}}"));
  ASSERT_TRUE(spec.ok());
  SubmitRun request;
  request.tenant = "default";
  request.definition_bytes = std::make_shared<const std::string>(encode_definition(*spec));
  request.definition = hash128(*request.definition_bytes);
  request.inputs = Payload::inline_json("{}");
  std::map<std::string, std::string> by_prefix;
  std::string first;
  std::string second;
  for (int i = 0; second.empty(); ++i) {
    ASSERT_LT(i, 50'000);
    request.key = "k" + std::to_string(i);
    Result<SubmitReply> reply = submit(client, request, 10s);
    ASSERT_TRUE(reply.ok()) << reply.error().what;
    const std::string id = to_string(reply->run);
    auto [known, fresh] = by_prefix.emplace(id.substr(0, 4), id);
    if (!fresh) first = known->second, second = id;
  }

  Result<OperatorReply> reply = client.call(GetRun{{first.substr(0, 4), ""}, 0}, 10s);

  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, Code::kInvalid);  // exit code 2
  EXPECT_EQ(reply.error().name, "ambiguous");
  ASSERT_EQ(reply.error().details.size(), 2U);
  for (const std::string& id : {first, second}) {
    EXPECT_TRUE(std::ranges::any_of(reply.error().details, [&](const Problem& one) {
      return one.message.find(id) != std::string::npos;
    })) << id;
  }
  EXPECT_TRUE(client.call(GetRun{{first, ""}, 0}, 10s).ok());
}

}  // namespace
}  // namespace millrace
