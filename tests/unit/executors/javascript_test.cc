#include <set>

#include "tests/unit/executors/harness.h"

namespace millrace::test {
namespace {

std::shared_ptr<const std::string> json(const char* text) { return std::make_shared<const std::string>(text); }

// What scripts mean is the same in both isolations: these run in both.
class Javascript : public ::testing::TestWithParam<const char*> {
 protected:
  Harness h;
  void SetUp() override {
    if (!has_node()) GTEST_SKIP() << "no node";
  }
  TaskContext task(const std::string& script, Value::Object more = {}) {
    more.emplace_back("script", script);
    more.emplace_back("isolation", GetParam());
    return h.context("javascript", Value(std::move(more)));
  }
  Outcome run(const std::string& script) { return h.run(task(script)); }
  std::string output(TaskContext context) {
    const Outcome outcome = h.run(std::move(context));
    EXPECT_TRUE(outcome.success) << outcome.error.message << "\n" << outcome.error.traceback;
    return std::string(outcome.output.json());
  }
  std::string output(const std::string& script) { return output(task(script)); }
};

class WarmJavascript : public Javascript {};  // isolation: none only

TEST_P(Javascript, InputsNodesAndRunAreVisible) {
  TaskContext context = task("output = [inputs, clean, nodes['a-b'], Object.keys(nodes), run.id]");
  context.inputs_json = json(R"({"text":"hi"})");
  context.nodes = {{"clean", json("[1,2]")}, {"a-b", json("\"f\"")}, {"class", json("3")}};
  const std::string run_id = to_string(context.attempt.run);
  EXPECT_EQ(output(std::move(context)), R"([{"text":"hi"},[1,2],"f",["clean","a-b","class"],")" + run_id + "\"]");
}

TEST_P(Javascript, TheOutputIsWhatMainReturnsElseOutputElseResult) {
  TaskContext context = task("async function main({n, up}) { await null; return n + up }\nconst output = 0");
  context.inputs_json = json(R"({"n":4})");
  context.nodes = {{"up", json("38")}};
  EXPECT_EQ(output(std::move(context)), "42");
  EXPECT_EQ(output("const output = 1; result = 2"), "1");
  EXPECT_EQ(output("let result = [undefined ?? null]"), "[null]");
  EXPECT_EQ(output("// nothing"), "null");
}

TEST_P(Javascript, WhatJsonCannotHoldIsNamedWithItsPlace) {
  const auto refusal = [&](const char* script) {
    const Outcome outcome = run(script);
    EXPECT_EQ(outcome.reason, Reason::kInvalidOutput);
    return outcome.error.message;
  };
  EXPECT_EQ(refusal("output = {a: [1, NaN]}"), "output[\"a\"][1] is NaN, which JSON cannot hold");
  EXPECT_EQ(refusal("output = new Map()"), "output is a Map, which JSON cannot hold");
  EXPECT_EQ(refusal("function main() { return () => 1 }"), "main() is a function, which JSON cannot hold");
  EXPECT_EQ(refusal("const a = []; a.push(a); output = a").substr(0, 9), "output[0]");
  EXPECT_EQ(output("output = 2n ** 63n"), "9223372036854775808");
}

TEST_P(Javascript, AnErrorShowsTheLineOfTheScript) {
  const Outcome outcome = run("function f(x) {\n  return x.y.z\n}\nf({})");
  EXPECT_EQ(outcome.error.message, "TypeError: Cannot read properties of undefined (reading 'z')");
  EXPECT_EQ(outcome.error.traceback,
            "the-node:2\n    return x.y.z\nTypeError: Cannot read properties of undefined (reading 'z')\n"
            "    at f (the-node:2:14)\n    at the-node:4:1\n");
  EXPECT_EQ(run("let x = 1\nlet y = ;").error.message, "SyntaxError: Unexpected token ';' (line 2)");
  EXPECT_EQ(run("throw 'text'").error.message, "Error: text");
  EXPECT_EQ(run("setTimeout(() => { throw new Error('late') }, 1)\nawait new Promise(r => setTimeout(r, 5000))")
                .error.message,
            "Error: late");
  EXPECT_EQ(run("Promise.reject(new Error('nobody waits'))\nawait new Promise(r => setTimeout(r, 5000))").error.message,
            "Error: nobody waits");
}

TEST_P(Javascript, EnvCwdAndExit) {
  EXPECT_EQ(output(task("output = [process.env.A, process.env.MILLRACE_NODE, process.cwd()]",
                        {{"env", object({{"A", 1}})}, {"cwd", "/usr"}})),
            R"(["1","the-node","/usr"])");
  EXPECT_EQ(output("process.exit(0)"), "null");
  EXPECT_EQ(run("process.exit(3)").error.message, "Exit: process.exit(3)");
  EXPECT_EQ(run("process.reallyExit(3)").error.message, "node exited with code 3 before the task had ended");
}

TEST_P(Javascript, OutputComesBeforeTheEndAndBelongsToItsTask) {
  const AttemptId first = h.start(task("console.log('one'.repeat(30000))"));
  const AttemptId second = h.start(task("console.log('two')"));
  h.wait(first);
  h.wait(second);
  EXPECT_EQ(h.recorder.of(first).out.size(), 90'001U);
  EXPECT_EQ(h.recorder.of(second).out, "two\n");
}

TEST_P(WarmJavascript, ATaskLeavesNothingToTheNext) {
  EXPECT_EQ(
      output("leak = 1; globalThis.more = 2; process.env.LEAK = '3'; process.chdir('/usr'); output = process.pid"),
      output("output = process.pid"));
  EXPECT_EQ(output("output = [typeof leak, typeof more, process.env.LEAK === undefined, process.cwd() === '/usr']"),
            R"(["undefined","undefined",true,false])");
}

TEST_P(WarmJavascript, AProcessWithSomethingLeftRunningIsNotUsedAgain) {
  const std::string pid = output("setInterval(() => {}, 1000); output = process.pid");
  EXPECT_TRUE(process_ends(std::stoi(pid)));
  EXPECT_NE(output("output = process.pid"), pid);
}

TEST_P(WarmJavascript, TasksShareAsManyProcessesAsThereAreSlots) {
  std::vector<AttemptId> attempts;
  for (int i = 0; i < 20; ++i) attempts.push_back(h.start(task("output = process.pid")));
  std::set<std::string> pids;
  for (const AttemptId& attempt : attempts) pids.insert(std::string(h.wait(attempt).output.json()));
  EXPECT_LE(pids.size(), 2U);
}

TEST_P(Javascript, AFileIsHandedOverAsAnArtifactWhateverItsSize) {
  for (const std::size_t size : {0UL, 1UL, 65'537UL, 1UL << 20, (3UL << 20) + 5}) {
    const AttemptId attempt = h.start(
        task("const b = Buffer.alloc(" + std::to_string(size) +
             ", 'abc'); require('fs').writeFileSync('f.bin', b); millrace.artifact('f.bin'); "
             "millrace.artifact('all', b, {name: 'other', contentType: 'a/b'}); millrace.artifact('text', 'tëxt')"));
    const Outcome outcome = h.wait(attempt);
    ASSERT_TRUE(outcome.success) << outcome.error.message << outcome.error.traceback;
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 3);
    auto& artifacts = h.recorder.of(attempt).artifacts;
    EXPECT_EQ(artifacts.size(), 3U);
    EXPECT_TRUE(artifacts["f.bin"].second == bytes) << size;
    EXPECT_EQ(artifacts["other"].first, "a/b");
    EXPECT_TRUE(artifacts["other"].second == bytes) << size;
    EXPECT_EQ(artifacts["text"], std::pair(std::string("text/plain"), std::string("tëxt")));
  }
}

TEST_P(Javascript, AnArtifactThatIsRefusedIsAnErrorOfTheTasks) {
  EXPECT_EQ(run("millrace.artifact('refused', 'x')").error.message, "Error: no such artifacts here");
  EXPECT_EQ(output("output = typeof millrace.artifact"), "\"function\"");
}

const Value kSources =
    object({{"job.js",
             "const words = require('./lib/words');\nconst {n} = require('./data');\n"
             "output = [words.of(inputs.text), n, require('path').basename('/a/b'), words.mine()]"},
            {"lib/words.js",
             "const {sep} = require('../sep.js');\nexports.of = (text) => text.split(sep);\n"
             "exports.mine = () => [__filename, module.id, require('../lib/words') === module.exports];\n"
             "exports.fails = () => {\n  return null.x;\n};\n"
             "exports.add = async ({up, inputs}) => up + inputs.n;"},
            {"sep.js", "exports.sep = ' ';"},
            {"data.json", "{\"n\": 5}"}});

TEST_P(Javascript, AFileAndTheModulesBesideItRunAsTheyCameWithTheWorkflow) {
  TaskContext context =
      h.context("javascript", object({{"file", "tasks/job.js"}, {"sources", kSources}, {"isolation", GetParam()}}));
  context.inputs_json = json(R"({"text":"a b"})");
  EXPECT_EQ(output(std::move(context)), R"([["a","b"],5,"b",["tasks/lib/words.js","lib/words.js",true]])");
}

TEST_P(Javascript, AFunctionOfAModuleIsCalledWithWhatIsVisible) {
  const auto call = [&](const std::string& function) {
    TaskContext context =
        h.context("javascript", object({{"function", function}, {"sources", kSources}, {"isolation", GetParam()}}));
    context.inputs_json = json(R"({"n":40})");
    context.nodes = {{"up", json("2")}};
    return context;
  };
  EXPECT_EQ(output(call("lib/words:add")), "42");
  EXPECT_EQ(h.run(call("lib/words:none")).error.message, "TypeError: lib/words:none is undefined, not a function");
  const Outcome outcome = h.run(call("lib/words:fails"));
  EXPECT_EQ(outcome.error.message, "TypeError: Cannot read properties of null (reading 'x')");
  EXPECT_EQ(outcome.error.traceback.substr(0, outcome.error.traceback.find("TypeError")),
            "lib/words.js:5\n    return null.x;\n")
      << outcome.error.traceback;
  EXPECT_EQ(h.run(call("no-colon")).error.message, "`function` is \"no-colon\"; expected module:function");
  const Outcome lost = h.run("javascript", object({{"file", "x.js"}, {"isolation", GetParam()}}));
  EXPECT_EQ(lost.reason, Reason::kInvalidInput);
  EXPECT_NE(lost.error.message.find("did not come with the workflow"), std::string::npos);
}

TEST_P(Javascript, TheObjectMillraceLogsAndTellsProgressAndLife) {
  const AttemptId attempt = h.start(
      task("millrace.log('a', 1); millrace.progress(1, 3, {step: 'x'}); millrace.progress(2, 3);\n"
           "await new Promise((r) => setTimeout(r, 100)); millrace.heartbeat(); millrace.progress(3, 3); output = 7"));
  const Outcome outcome = h.wait(attempt);
  ASSERT_TRUE(outcome.success) << outcome.error.message << outcome.error.traceback;
  EXPECT_EQ(h.recorder.of(attempt).out, "a 1\n");
  std::string told;
  for (const auto& [type, data] : h.recorder.of(attempt).news) {
    EXPECT_EQ(type, EventType::kTaskProgress);
    told += data.dump();
  }
  EXPECT_EQ(told, R"({"done":1,"total":3,"step":"x"}{"heartbeat":true}{"done":3,"total":3})");
  EXPECT_EQ(run("millrace.progress(NaN)").error.message,
            "TypeError: progress[\"done\"] is NaN, which JSON cannot hold");
}

TEST_P(Javascript, ASecretIsAskedOfTheWorkerWhichIsToldBeforeItIsUsed) {
  setenv("MILLRACE_SECRET_JAVASCRIPT_TEST", "hunter2", 1);
  const AttemptId attempt =
      h.start(task("const s = millrace.secret('JAVASCRIPT_TEST'); output = [s, millrace.secret('JAVASCRIPT_TEST')]"));
  EXPECT_EQ(h.wait(attempt).output.json(), R"(["hunter2","hunter2"])");
  EXPECT_EQ(h.recorder.of(attempt).secrets, (std::vector<std::string>{"hunter2", "hunter2"}));
  unsetenv("MILLRACE_SECRET_JAVASCRIPT_TEST");
  EXPECT_EQ(run("millrace.secret('JAVASCRIPT_TEST')").error.message,
            "Error: the secret 'JAVASCRIPT_TEST' is not known to this worker (looked for: "
            "MILLRACE_SECRET_JAVASCRIPT_TEST)");
}

TEST_P(Javascript, ANodeThatIsCalledMillraceIsSeenAsAnyOther) {
  TaskContext context = task("output = millrace");
  context.nodes = {{"millrace", json("[1]")}};
  EXPECT_EQ(output(std::move(context)), "[1]");
}

INSTANTIATE_TEST_SUITE_P(Both, Javascript, ::testing::Values("process", "none"));
INSTANTIATE_TEST_SUITE_P(Warm, WarmJavascript, ::testing::Values("none"));

}  // namespace
}  // namespace millrace::test
