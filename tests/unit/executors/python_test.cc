#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "common/model/composed.h"
#include "tests/unit/executors/harness.h"
#include "worker/executors/runner_source.h"

namespace millrace::test {
namespace {

std::shared_ptr<const std::string> json(const char* text) { return std::make_shared<const std::string>(text); }

// What scripts mean is the same in both isolations: these run in both.
class Python : public ::testing::TestWithParam<const char*> {
 protected:
  Harness h;
  TaskContext task(const std::string& script, Value::Object more = {}) {
    more.emplace_back("script", script);
    more.emplace_back("isolation", GetParam());
    return h.context("python", Value(std::move(more)));
  }
  Outcome run(const std::string& script) { return h.run(task(script)); }
  std::string output(const std::string& script) { return output(task(script)); }
  std::string output(TaskContext context) {
    Outcome outcome = h.run(std::move(context));
    EXPECT_TRUE(outcome.success) << outcome.error.message << "\n" << outcome.error.traceback;
    return std::string(outcome.output.json());
  }
  std::string log_of(const std::string& script) {
    AttemptId attempt = h.start(task(script));
    h.wait(attempt);
    return h.recorder.of(attempt).out;
  }
  // The message with which a script's output is refused.
  std::string refusal(const std::string& script) {
    Outcome outcome = run(script);
    EXPECT_FALSE(outcome.success);
    EXPECT_EQ(outcome.reason, Reason::kInvalidOutput) << outcome.error.message;
    return outcome.error.message;
  }
};

class WarmPython : public Python {};      // isolation: none only
class IsolatedPython : public Python {};  // isolation: process only

// ---- what a script sees

TEST_P(Python, InputsNodesAndRunAreVisible) {
  TaskContext context = task("output = [inputs, clean_data, nodes['fetch-data'], sorted(nodes), run['id']]");
  context.inputs_json = json(R"({"text":"hi","n":3})");
  context.nodes = {{"clean_data", json("[1,2]")}, {"fetch-data", json("\"f\"")}};
  std::string run_id = to_string(context.attempt.run);
  EXPECT_EQ(output(std::move(context)),
            R"([{"text":"hi","n":3},[1,2],"f",["clean_data","fetch-data"],")" + run_id + "\"]");
}

// Of 3 + 2 + 1 elements; one part of each kind.
std::string list_in(Recorder& recorder) {
  const auto put = [&](const std::string& text) {
    recorder.values[hash128(text)] = std::make_shared<const std::string>(text);
    return hash128(text);
  };
  Composed list;
  list.add({Piece::Kind::kItems, "", put(R"([0,[1],"zwölf"])"), 3, 16});
  list.add({Piece::Kind::kText, "[3],null", {}, 2, 8});
  list.add({Piece::Kind::kItem, "", put(R"({"five":5})"), 1, 10});
  return list.store();
}

TEST_P(Python, AListReferenceIsASequenceWhosePartsComeAsTheyAreRead) {
  const auto seen = [&](const std::string& script) {
    TaskContext context = task(script);
    context.nodes = {{"rows", std::make_shared<const std::string>(list_in(h.recorder))}};
    const AttemptId attempt = context.attempt;
    const std::string json = output(std::move(context));
    return json + " " + std::to_string(h.recorder.of(attempt).values_wanted);
  };
  EXPECT_EQ(seen("output = len(rows)"), "6 0");
  EXPECT_EQ(seen("output = [rows[0], rows[-1], rows[3], rows[1:3]]"), R"([0,{"five":5},[3],[[1],"zwölf"]] 2)");
  EXPECT_EQ(seen("output = [x for x in nodes['rows']]"), R"([0,[1],"zwölf",[3],null,{"five":5}] 2)");
  EXPECT_EQ(seen("output = rows"), R"([0,[1],"zwölf",[3],null,{"five":5}] 2)") << "passed on, it is a list";
  EXPECT_EQ(seen("output = {'all': rows, 'in': [None in rows, 7 in rows]}"),
            R"({"all":[0,[1],"zwölf",[3],null,{"five":5}],"in":[true,false]} 2)");
  EXPECT_EQ(seen("output = [rows == list(rows), list(rows) == rows, rows != [], rows == 1, bool(rows), repr(rows)]"),
            R"([true,true,true,false,true,"<a list of 6 items, 37 bytes of JSON>"] 2)");
  EXPECT_EQ(seen("def main(rows): return rows.index('zwölf')"), "2 1");
  EXPECT_EQ(seen("try:\n  rows[6]\nexcept IndexError as e:\n  output = str(e)"), "\"list index out of range\" 0");
}

TEST_P(Python, APartOfAListThatIsGoneOrNotTheTasksIsAnErrorOfTheTasks) {
  TaskContext context = task("output = [x for x in rows]");
  context.nodes = {{"rows", std::make_shared<const std::string>(list_in(h.recorder))}};
  h.recorder.values.clear();
  EXPECT_EQ(h.run(std::move(context)).error.message, "LookupError: a part of the list is gone");

  TaskContext other = task("rows.pieces[0][1] = '00000000000000000000000000000007'\noutput = rows[0]");
  other.nodes = {{"rows", std::make_shared<const std::string>(list_in(h.recorder))}};
  h.recorder.values[Hash128{0, 7}] = json("[\"of somebody else\"]");
  EXPECT_EQ(h.run(std::move(other)).error.message, "LookupError: it is no part of a list that the task can see");
}

TEST_P(Python, ANodeWhoseIdIsNoVariableIsOnlyInNodes) {
  TaskContext context = task("output = [k for k in ('class', '1st', 'a-b', '__builtins__') if k in globals()]");
  context.nodes = {{"class", json("1")}, {"1st", json("2")}, {"a-b", json("3")}};
  EXPECT_EQ(output(std::move(context)), R"(["__builtins__"])");
}

TEST_P(Python, ANodeCannotReplaceTheBuiltins) {
  TaskContext context = task("output = len(nodes['__builtins__'])");
  context.nodes = {{"__builtins__", json("[1,2,3]")}};
  EXPECT_EQ(output(std::move(context)), "3");
}

TEST_P(Python, NumbersAndTextComeThroughExactly) {
  TaskContext context = task("output = inputs");
  const char* text = R"({"i":-9223372036854775808,"u":18446744073709551615,"f":0.1,"one":1.0,"s":"é\u0000😀","n":null})";
  context.inputs_json = json(text);
  EXPECT_EQ(output(std::move(context)), text);
}

// ---- where the output comes from

TEST_P(Python, OutputIsWhatMainReturnsThenOutputThenResultThenNull) {
  EXPECT_EQ(output("output = 1\nresult = 2\ndef main(): return 3"), "3");
  EXPECT_EQ(output("output = 1\nresult = 2"), "1");
  EXPECT_EQ(output("result = 2"), "2");
  EXPECT_EQ(output("x = 5"), "null");
  EXPECT_EQ(output(""), "null");
}

TEST_P(Python, ANameThatIsBoundToNoneCounts) {
  EXPECT_EQ(output("output = None\nresult = 2"), "null");
  EXPECT_EQ(output("output = 1\ndef main(): pass"), "null");
}

TEST_P(Python, MainsParametersAreFilledByNameNodeBeforeInputBeforeDefault) {
  TaskContext context = task("def main(a, b, c='default', *, d=4, **rest): return [a, b, c, d, rest]");
  context.inputs_json = json(R"({"a":"input","b":"input","x-y":1})");
  context.nodes = {{"a", json("\"node\"")}, {"e-f", json("2")}};
  EXPECT_EQ(output(std::move(context)), R"(["node","input","default",4,{"x-y":1,"e-f":2}])");
}

TEST_P(Python, MainMayAskForAllInputsNodesAndTheRun) {
  TaskContext context = task("def main(inputs, nodes, run): return [inputs, nodes, run['attempt']]");
  context.inputs_json = json(R"({"k":1})");
  EXPECT_EQ(output(std::move(context)), R"([{"k":1},{},1])");
}

TEST_P(Python, AParameterThatNothingFillsIsAnErrorThatNamesIt) {
  Outcome outcome = run("def main(tariff): return 1");
  EXPECT_EQ(outcome.reason, Reason::kError);
  EXPECT_EQ(outcome.error.message,
            "TypeError: main() has the parameter 'tariff', but there is no node or input of that name");
}

TEST_P(Python, MainMayBeAsynchronous) {
  EXPECT_EQ(output("import asyncio\nasync def main():\n  await asyncio.sleep(0)\n  return 'awaited'"), "\"awaited\"");
}

TEST_P(Python, MainMayBeDecorated) {
  TaskContext context = task(
      "import functools\ndef twice(f):\n  @functools.wraps(f)\n  def g(*a, **k): return f(*a, **k) * 2\n  return g\n"
      "@twice\ndef main(n): return n");
  context.inputs_json = json(R"({"n":21})");
  EXPECT_EQ(output(std::move(context)), "42");
}

TEST_P(Python, ANodeCalledMainIsNoFunction) {
  TaskContext context = task("output = main + 1");
  context.nodes = {{"main", json("1")}};
  EXPECT_EQ(output(std::move(context)), "2");
}

TEST_P(Python, TheScriptIsTheMainModule) {
  EXPECT_EQ(output("import sys\noutput = [__name__, sys.modules['__main__'].__dict__ is globals()]"),
            R"(["__main__",true])");
}

TEST_P(Python, ExitingWithZeroIsANormalEnd) {
  EXPECT_EQ(output("import sys\noutput = 1\nsys.exit()\noutput = 2"), "1");
  EXPECT_EQ(output("result = 7\nraise SystemExit(0)"), "7");
}

TEST_P(Python, ExitingWithAnythingElseIsAnError) {
  EXPECT_EQ(run("import sys\noutput = 1\nsys.exit(3)").error.message, "SystemExit: 3");
  EXPECT_EQ(run("raise SystemExit('no tariff')").error.message, "SystemExit: no tariff");
}

// ---- what is not JSON

TEST_P(Python, WhatIsNotJsonIsNamedByItsPath) {
  EXPECT_EQ(refusal("output = {'a': [1, 2, 3, {5}]}"), "output[\"a\"][3] is a set, which JSON cannot hold");
  EXPECT_EQ(refusal("result = b'x'"), "result is a bytes, which JSON cannot hold");
  EXPECT_EQ(refusal("def main(): return {'when': {'é': object()}}"),
            "main()[\"when\"][\"é\"] is an object, which JSON cannot hold");
  EXPECT_EQ(refusal("import datetime\noutput = [datetime.date(2024, 1, 1)]"),
            "output[0] is a datetime.date, which JSON cannot hold");
}

TEST_P(Python, KeysThatAreNotTextAreRefusedNotCoerced) {
  EXPECT_EQ(refusal("output = {'a': {1: 2}}"), "output[\"a\"] has the key 1, which is an int; keys must be strings");
  EXPECT_EQ(refusal("output = {None: 2}"), "output has the key None, which is a NoneType; keys must be strings");
}

TEST_P(Python, NumbersThatAreNotFiniteFailTheNode) {
  EXPECT_EQ(refusal("output = float('nan')"), "output is nan, which JSON cannot hold");
  EXPECT_EQ(refusal("output = [0.5, float('inf')]"), "output[1] is inf, which JSON cannot hold");
  EXPECT_EQ(refusal("output = {'x': (1, -1e999)}"), "output[\"x\"][1] is -inf, which JSON cannot hold");
}

TEST_P(Python, IntegersAreExactIn64BitsAndRefusedBeyond) {
  EXPECT_EQ(output("output = [-2**63, 2**64 - 1]"), "[-9223372036854775808,18446744073709551615]");
  EXPECT_EQ(refusal("output = 2**64"), "output is an integer beyond 64 bits");
  EXPECT_EQ(refusal("output = [1, -2**63 - 1]"), "output[1] is an integer beyond 64 bits");
}

TEST_P(Python, TuplesBecomeListsAndSubclassesTheirBase) {
  EXPECT_EQ(output("import collections, enum\n"
                   "class Level(enum.IntEnum):\n  HIGH = 3\n"
                   "output = [(1, (2,)), collections.OrderedDict(a=1), collections.Counter('aa'), Level.HIGH, True]"),
            R"([[1,[2]],{"a":1},{"a":2},3,true])");
}

TEST_P(Python, DeepAndCircularOutputIsRefusedAndWhatPassesCanBeRead) {
  EXPECT_NE(refusal("output = []\noutput.append(output)").find("is nested deeper than 190 levels"), std::string::npos);
  std::string deepest = output("output = 1\nfor _ in range(190): output = [output]");
  EXPECT_TRUE(Value::parse(deepest).ok());
  EXPECT_TRUE(Value::parse("{\"nodes\":{\"x\":" + deepest + "}}").ok());
  refusal("output = 1\nfor _ in range(191): output = [output]");
}

TEST_P(Python, TextThatIsNotUnicodeIsRefused) {
  EXPECT_EQ(refusal("output = '\\ud800'"), "output holds text with a lone surrogate, which is not UTF-8");
}

TEST_P(Python, AMegabyteOfOutputComesBackWhole) {
  std::string text = output("output = {'x' + str(i): 'y' * 100 for i in range(20000)}");
  EXPECT_GT(text.size(), 2'000'000U);
  EXPECT_EQ(Value::parse(text)->as_object().size(), 20000U);
}

TEST_P(Python, MegabytesOfInputGoInWhole) {
  TaskContext context = task("output = [len(inputs['text']), len(big)]");
  context.inputs_json = std::make_shared<const std::string>("{\"text\":\"" + std::string(3 << 20, 'x') + "\"}");
  context.nodes = {{"big", std::make_shared<const std::string>("\"" + std::string(5 << 20, 'y') + "\"")}};
  EXPECT_EQ(output(std::move(context)), "[3145728,5242880]");
}

// ---- errors

TEST_P(Python, ATracebackIsInTheScriptsOwnLinesAndHoldsNothingOfOurs) {
  Outcome outcome = run("def f(x):\n  return 1 / x\n\nf(0)\n");
  EXPECT_EQ(outcome.error.message, "ZeroDivisionError: division by zero");
  EXPECT_EQ(outcome.error.traceback,
            "Traceback (most recent call last):\n"
            "  File \"<the-node>\", line 4, in <module>\n    f(0)\n"
            "  File \"<the-node>\", line 2, in f\n    return 1 / x\n           ~~^~~\n"
            "ZeroDivisionError: division by zero\n");
}

TEST_P(Python, NodesWithTheSameScriptEachStandInTheirOwnTraceback) {
  for (const char* node : {"first", "second", "first"}) {
    TaskContext context = task("def f():\n  return [1 / 0 for _ in (1,)]\nf()\n");
    context.node = node;
    const std::string traceback = h.run(std::move(context)).error.traceback;
    EXPECT_NE(traceback.find("File \"<" + std::string(node) + ">\", line 3, in <module>\n    f()\n"), std::string::npos)
        << traceback;
    EXPECT_NE(traceback.find("File \"<" + std::string(node) + ">\", line 2, in <listcomp>\n    return [1 / 0"),
              std::string::npos)
        << traceback;
  }
}

TEST_P(Python, ATracebackOfAsynchronousMainBeginsInTheScript) {
  Outcome outcome = run("async def main():\n  raise KeyError('k')");
  EXPECT_EQ(outcome.error.traceback,
            "Traceback (most recent call last):\n  File \"<the-node>\", line 2, in main\n    raise KeyError('k')\n"
            "KeyError: 'k'\n");
}

TEST_P(Python, ASyntaxErrorShowsLineAndCaret) {
  Outcome outcome = run("x = 1\ny = = 2\n");
  EXPECT_EQ(outcome.reason, Reason::kError);
  EXPECT_EQ(outcome.error.message, "SyntaxError: invalid syntax (line 2)");
  EXPECT_EQ(outcome.error.traceback,
            "  File \"<the-node>\", line 2\n    y = = 2\n        ^\nSyntaxError: invalid syntax\n");
}

TEST_P(Python, AnErrorsMessageIsOneLineAndNamesTheModuleOfItsClass) {
  EXPECT_EQ(run("raise ValueError('first\\nsecond')").error.message, "ValueError: first");
  EXPECT_EQ(run("raise ValueError").error.message, "ValueError");
  EXPECT_EQ(run("import json\njson.loads('{')").error.message.substr(0, 29), "json.decoder.JSONDecodeError:");
  EXPECT_EQ(run("class Broken(Exception):\n  pass\nraise Broken('x')").error.message, "Broken: x");
}

TEST_P(Python, AnErrorWhoseTextCannotBePrintedIsStillAnError) {
  Outcome outcome = run("class Odd(Exception):\n  def __str__(self): raise RuntimeError\nraise Odd()");
  EXPECT_EQ(outcome.error.message, "Odd: <its text cannot be printed>");
}

TEST_P(Python, EndlessRecursionIsAnErrorOfBoundedSize) {
  Outcome outcome = run("def f(): f()\nf()");
  EXPECT_EQ(outcome.error.message, "RecursionError: maximum recursion depth exceeded");
  EXPECT_LT(outcome.error.traceback.size(), kErrorTracebackMax);
}

TEST_P(Python, RunningOutOfMemoryIsItsOwnReason) {
  EXPECT_EQ(run("x = bytearray(1 << 60)").reason, Reason::kOutOfMemory);
}

TEST_P(Python, FieldsOfTheWrongKindAreNamed) {
  TaskContext no_script = h.context("python", object({}));
  EXPECT_EQ(h.run(no_script).error.message, "`script` must be text");
  TaskContext jail = h.context("python", object({{"script", ""}, {"isolation", "jail"}}));
  Outcome outcome = h.run(jail);
  EXPECT_EQ(outcome.reason, Reason::kInvalidInput);
  EXPECT_EQ(outcome.error.message, "`isolation` is \"jail\"; expected process, namespaces, container or none");
}

// ---- surroundings

TEST_P(Python, StandardOutputAndErrorAreTheLogInFullBeforeTheEnd) {
  AttemptId attempt = h.start(
      task("import os, subprocess, sys\nprint('from python', flush=False)\nos.write(1, b'from the descriptor\\n')\n"
           "subprocess.run(['echo', 'from a child'])\nsys.stdout.write('no newline')\nsys.stderr.write('an error')"));
  EXPECT_TRUE(h.wait(attempt).success);
  EXPECT_EQ(h.recorder.of(attempt).out, "from python\nfrom the descriptor\nfrom a child\nno newline");
  EXPECT_EQ(h.recorder.of(attempt).err, "an error");
}

TEST_P(Python, OnlyTheFirstMegabyteOfALogIsKept) {
  AttemptId attempt = h.start(task("for _ in range(3000): print('x' * 999)\noutput = 'done'"));
  EXPECT_EQ(h.wait(attempt).output.json(), "\"done\"");
  EXPECT_EQ(h.recorder.of(attempt).out.size(), kStreamMax);
  EXPECT_EQ(log_of("print('next')"), "next\n");
}

TEST_P(Python, EnvAndCwdAreTheTasksOwnAndGoneAfterIt) {
  const char* script = "import os, sys\noutput = [os.environ.get('TARIFF'), os.getcwd() == '/usr', sys.argv]";
  TaskContext context = task(script, {{"env", object({{"TARIFF", 7}})}, {"cwd", "/usr"}});
  EXPECT_EQ(output(std::move(context)), R"(["7",true,["the-node"]])");
  EXPECT_EQ(output(script), R"([null,false,["the-node"]])");
}

TEST_P(Python, TheEnvironmentIsCleanAndNamesTheAttempt) {
  setenv("MILLRACE_TEST_SECRET", "hunter2", 1);
  Harness fresh;
  Outcome outcome = fresh.run("python", object({{"script",
                                                 "import os\noutput = ['MILLRACE_TEST_SECRET' in os.environ, "
                                                 "os.environ['MILLRACE_NODE'], os.environ['MILLRACE_ATTEMPT']]"},
                                                {"isolation", GetParam()}}));
  unsetenv("MILLRACE_TEST_SECRET");
  EXPECT_EQ(outcome.output.json(), R"([false,"the-node","1"])");
}

TEST_P(Python, AWrongCwdIsAnError) {
  TaskContext context = task("output = 1", {{"cwd", "/no/such/dir"}});
  EXPECT_EQ(h.run(context).error.message, "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/dir'");
}

TEST_P(Python, StdinIsEmpty) { EXPECT_EQ(output("import sys\noutput = sys.stdin.read()"), "\"\""); }

TEST_P(Python, TheTaskInheritsNoDescriptorOfTheWorker) {
  int leaky = open("/dev/null", O_RDONLY);
  Harness fresh;
  Outcome outcome = fresh.run("python", object({{"script",
                                                 "import os\nfds = set()\n"
                                                 "for fd in os.listdir('/proc/self/fd'):\n"
                                                 "  try: fds.add(os.readlink('/proc/self/fd/' + fd).split(':')[0])\n"
                                                 "  except OSError: pass\noutput = sorted(fds)"},
                                                {"isolation", GetParam()}}));
  close(leaky);
  std::string text(outcome.output.json());
  EXPECT_EQ(text.find("eventpoll"), std::string::npos) << text;
  EXPECT_EQ(text.find("pidfd"), std::string::npos) << text;
  EXPECT_EQ(Value::parse(text)->as_array().size(), 3U) << text;  // /dev/null, pipe, socket
}

TEST_P(Python, EveryTaskGetsFreshGlobals) {
  EXPECT_EQ(output("leak = 1\noutput = 'leak' in globals()"), "true");
  EXPECT_EQ(output("output = 'leak' in globals()"), "false");
}

TEST_P(Python, FilesThatAScriptLeftOpenAreWrittenWhenItsEndIsReported) {
  EXPECT_TRUE(run("f = open('left-open', 'w')\nf.write('all of it')").success);
  EXPECT_EQ(output("output = open('left-open').read()"), "\"all of it\"");
}

TEST_P(Python, LeavingByOsExitIsACrash) {
  Outcome outcome = run("import os\nprint('last words')\nos._exit(3)");
  EXPECT_EQ(outcome.reason, Reason::kCrashed);
  EXPECT_EQ(outcome.error.message, "the interpreter exited with code 3 before the task had ended");
}

TEST_P(Python, ASegmentationFaultIsACrashThatNamesTheSignal) {
  AttemptId attempt = h.start(task("import os, signal\nprint('last words')\nos.kill(os.getpid(), signal.SIGSEGV)"));
  Outcome outcome = h.wait(attempt);
  EXPECT_EQ(outcome.reason, Reason::kCrashed);
  EXPECT_EQ(outcome.error.message, "killed by signal 11 (SIGSEGV)");
  EXPECT_EQ(h.recorder.of(attempt).out, "last words\n");
  EXPECT_EQ(output("output = 'next'"), "\"next\"");
}

TEST_P(Python, ATaskThatClosesEveryDescriptorEndsAsACrash) {
  Outcome outcome = run("import os, time\nos.closerange(3, 1000)\ntime.sleep(1000)");
  EXPECT_EQ(outcome.reason, Reason::kCrashed);
}

TEST_P(Python, AScriptThatForksReportsOnce) {
  AttemptId attempt = h.start(task("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\noutput = pid > 0"));
  EXPECT_EQ(h.wait(attempt).output.json(), "true");
  h.run_for(100ms);
  EXPECT_EQ(h.recorder.of(attempt).outcomes.size(), 1U);
}

TEST_P(Python, WorkInChildProcessesIsPossible) {
  EXPECT_EQ(output("import multiprocessing\ndef double(x): return 2 * x\n"
                   "with multiprocessing.get_context('fork').Pool(2) as pool: output = pool.map(double, [1, 2, 3])"),
            "[2,4,6]");
}

TEST_P(Python, AKilledTaskKeepsWhatItPrinted) {
  AttemptId attempt = h.start(task("print('so far')\nwhile True: pass"));
  h.wait_for_output(attempt);
  h.kill("python", attempt, Reason::kTimeout);
  EXPECT_EQ(h.wait(attempt).reason, Reason::kTimeout);
  EXPECT_EQ(h.recorder.of(attempt).out, "so far\n");
}

TEST_P(Python, MoreTasksThanSlotsAllEnd) {
  std::vector<AttemptId> attempts;
  for (int i = 0; i < 40; ++i) attempts.push_back(h.start(task("output = " + std::to_string(i))));
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(h.wait(attempts[static_cast<std::size_t>(i)]).output.json(), std::to_string(i));
}

// The parent of a task's process is the zygote.
TEST_P(Python, WhenTheZygoteDiesItsTasksCrashAndLaterOnesRun) {
  AttemptId attempt = h.start(task("import os\nprint(os.getppid(), os.getpid())\nwhile True: pass"));
  std::string line = h.wait_for_output(attempt);
  pid_t zygote = std::stoi(line);
  pid_t interpreter = std::stoi(line.substr(line.find(' ')));
  ASSERT_EQ(::kill(zygote, SIGKILL), 0);
  Outcome outcome = h.wait(attempt);
  EXPECT_EQ(outcome.reason, Reason::kCrashed);
  EXPECT_EQ(outcome.error.message, "the python process died");
  EXPECT_TRUE(process_ends(interpreter));
  EXPECT_EQ(output("output = 'next'"), "\"next\"");
}

TEST_P(Python, AMissingInterpreterIsRefusedWithTheWayOut) {
  ExecutorOptions options;
  options.python = "python-that-is-not-there";
  Harness other(options);
  Outcome outcome = other.run("python", object({{"script", ""}, {"isolation", GetParam()}}));
  EXPECT_EQ(outcome.reason, Reason::kRefused);
  EXPECT_EQ(outcome.error.message,
            "python-that-is-not-there was not found in PATH; install Python 3.9 or newer (package python3), or name "
            "another interpreter in the worker's configuration");
}

TEST_P(Python, AnInterpreterThatDoesNotComeUpIsRefusedWithItsLastWords) {
  std::string fake = "/tmp/millrace-fake-python-" + std::to_string(getpid());
  std::ofstream(fake) << "#!/bin/sh\necho 'libpython is broken' >&2\nexit 1\n";
  std::filesystem::permissions(fake, std::filesystem::perms::owner_all);
  ExecutorOptions options;
  options.python = fake;
  Harness other(options);
  for (int i = 0; i < 2; ++i) {
    Outcome outcome = other.run("python", object({{"script", ""}, {"isolation", GetParam()}}));
    EXPECT_EQ(outcome.reason, Reason::kRefused);
    EXPECT_EQ(outcome.error.message, "python did not start: libpython is broken");
  }
  std::filesystem::remove(fake);
}

// ---- one isolation only

TEST_P(WarmPython, AnInterpreterServesTaskAfterTask) {
  std::string first = output("import os\noutput = os.getpid()");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(output("import os\noutput = os.getpid()"), first);
}

TEST_P(WarmPython, NoMoreInterpretersRunThanSlots) {
  std::vector<AttemptId> attempts;
  for (int i = 0; i < 12; ++i)
    attempts.push_back(h.start(task("import os, time\ntime.sleep(0.01)\noutput = os.getpid()")));
  std::set<std::string> pids;
  for (const AttemptId& attempt : attempts) pids.insert(std::string(h.wait(attempt).output.json()));
  EXPECT_EQ(pids.size(), 2U);
}

TEST_P(WarmPython, ATaskInTheQueueCanBeCancelled) {
  AttemptId first = h.start(task("while True: pass"));
  AttemptId second = h.start(task("while True: pass"));
  AttemptId queued = h.start(task("output = 1"));
  h.kill("python", queued, Reason::kCancelRequested);
  EXPECT_EQ(h.wait(queued).reason, Reason::kCancelRequested);
  AttemptId last = h.start(task("output = 2"));
  h.kill("python", first, Reason::kTimeout);
  h.kill("python", second, Reason::kTimeout);
  EXPECT_EQ(h.wait(last).output.json(), "2");
}

TEST_P(WarmPython, WhatATaskChangesInItsProcessIsUndone) {
  EXPECT_TRUE(run("import os, sys, signal\nos.chdir('/')\nos.environ['LEFT'] = '1'\ndel os.environ['HOME']\n"
                  "sys.path.insert(0, '/nowhere')\nsys.stdout = None\nsys.setrecursionlimit(77)\n"
                  "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.alarm(1)\noutput = os.getpid()")
                  .success);
  EXPECT_EQ(output("import os, sys, signal\nprint('still here')\n"
                   "output = [os.getcwd() == '/', os.environ.get('LEFT'), 'HOME' in os.environ, '/nowhere' in sys.path,"
                   " sys.getrecursionlimit() > 77, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,"
                   " signal.alarm(0)]"),
            "[false,null,true,false,true,true,0]");
}

TEST_P(WarmPython, ATaskThatLeavesAThreadCostsItsInterpreterAndNothingElse) {
  std::string first = output(
      "import os, threading, time\n"
      "threading.Thread(target=lambda: [time.sleep(0.01) or print('ghost') for _ in range(1000)]).start()\n"
      "output = os.getpid()");
  AttemptId next = h.start(task("import os, time\ntime.sleep(0.1)\noutput = os.getpid()"));
  EXPECT_NE(h.wait(next).output.json(), first);
  EXPECT_EQ(h.recorder.of(next).out, "");
  EXPECT_TRUE(process_ends(std::stoi(first)));
}

TEST_P(WarmPython, AKillHarmsNoNeighbour) {
  AttemptId doomed = h.start(task("while True: pass"));
  AttemptId neighbour = h.start(task("import time\ntime.sleep(0.5)\noutput = 'fine'"));
  h.run_for(100ms);
  h.kill("python", doomed, Reason::kTimeout);
  EXPECT_EQ(h.wait(doomed).reason, Reason::kTimeout);
  EXPECT_EQ(h.wait(neighbour).output.json(), "\"fine\"");
}

TEST_P(IsolatedPython, EveryTaskHasAProcessOfItsOwn) {
  EXPECT_NE(output("import os\noutput = os.getpid()"), output("import os\noutput = os.getpid()"));
}

TEST_P(IsolatedPython, WhatATaskDoesToModulesIsGoneWithIt) {
  EXPECT_TRUE(run("import json\njson.dumps = None\nimport builtins\nbuiltins.tariff = 1").success);
  EXPECT_EQ(output("import json\nimport builtins\noutput = [json.dumps(1), hasattr(builtins, 'tariff')]"),
            R"(["1",false])");
}

TEST_P(IsolatedPython, ExitHandlersRun) {
  EXPECT_EQ(log_of("import atexit\natexit.register(print, 'goodbye')\nprint('hello')"), "hello\ngoodbye\n");
}

TEST_P(IsolatedPython, AThreadThatIsLeftDoesNotDelayTheEnd) {
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(output("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\noutput = 1"),
            "1");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_P(IsolatedPython, ManyEndedTasksLeaveNoDescriptorAndNoZombie) {
  auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  output("output = 1");
  h.run_for(200ms);
  auto before = descriptors();
  std::string zygote = output("import os\noutput = os.getppid()");
  for (int i = 0; i < 30; ++i) output("import subprocess\nsubprocess.Popen(['sleep', '1000'])");
  h.run_for(500ms);
  EXPECT_EQ(descriptors(), before);
  auto children = [&] {
    std::ifstream file("/proc/" + zygote + "/task/" + zygote + "/children");
    return std::distance(std::istream_iterator<std::string>(file), std::istream_iterator<std::string>());
  };
  // Those of the last tasks may still be on their way out where the machine is busy; a zombie would stay.
  for (int tries = 0; tries < 100 && children() > 2; ++tries) h.run_for(100ms);
  EXPECT_LE(children(), 2) << "more than the standbys";
}

TEST(PythonRunner, IsEmbeddedByteForByte) {
  std::ifstream file(MILLRACE_SOURCE_DIR "/worker/executors/runners/python_runner.py");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(python_runner_source(), text);
}

std::string name_of(const ::testing::TestParamInfo<const char*>& info) { return info.param; }
// ---- how warm it is

TEST(PythonPool, CountsWhoFoundAnInterpreterAndWhoHadToWait) {
  Harness h;
  const ExecutorCounts& counts = h.executors.counts().find("python")->second;
  EXPECT_EQ(h.run("python", object({{"script", "output = 1"}})).output.json(), "1");
  EXPECT_EQ(counts.hits, 0U);
  EXPECT_EQ(counts.misses, 1U);
  std::uint64_t tasks = 1;
  for (; counts.hits == 0 && tasks < 100; ++tasks) {  // until one finds another that stands by
    h.run_for(50ms);
    EXPECT_EQ(h.run("python", object({{"script", "output = 2"}})).output.json(), "2");
  }
  EXPECT_EQ(counts.hits, 1U);
  EXPECT_EQ(counts.misses, tasks - 1);
  EXPECT_EQ(counts.start_up.count(), tasks);
  EXPECT_EQ(counts.starts, 1U);
  EXPECT_EQ(counts.restarts, 0U);
}

TEST(PythonPool, WhatATaskItselfTakesIsNotStartUp) {
  Harness h;
  const ExecutorCounts& counts = h.executors.counts().find("python")->second;
  const Outcome slept = h.run("python", object({{"script", "import time; time.sleep(1)"}}));
  ASSERT_EQ(counts.start_up.count(), 1U);
  EXPECT_LE(counts.start_up.sum(), slept.ran - 1s + 1ms) << "all but the second";
}

TEST(PythonPool, AZygoteThatDiedIsStartedAgainAndCounted) {
  Harness h;
  const ExecutorCounts& counts = h.executors.counts().find("python")->second;
  const Outcome parent =
      h.run("python", object({{"script", "import os; output = os.getppid()"}, {"isolation", "none"}}));
  kill(static_cast<pid_t>(std::stol(std::string(parent.output.json()))), SIGKILL);
  bool again = false;  // not before its end is noticed
  for (int tries = 0; !again && tries < 100; ++tries) {
    h.run_for(50ms);
    again = h.run("python", object({{"script", "output = 2"}, {"isolation", "none"}})).success;
  }
  EXPECT_TRUE(again);
  EXPECT_EQ(counts.starts, 2U);
  EXPECT_EQ(counts.restarts, 1U);
}

// ---- file, function, venv

TEST_P(Python, AFileIsRunAsAScriptAndImportsWhatWasPackedWithIt) {
  const auto fields = [&](const char* name, const std::string& value, Value sources) {
    return object({{name, value}, {"sources", std::move(sources)}, {"isolation", GetParam()}});
  };
  const std::string neighbour = "def twice(x):\n    return 2 * x\n\ndef breaks():\n    return 1 / 0\n";
  const Value sources = object({{"job.py", "import neighbour\ndef main(n=21):\n    return neighbour.twice(n)\n"},
                                {"fails.py", "import neighbour\n\nneighbour.breaks()\n"},
                                {"wrong.py", "x = 1\nx = = 2\n"},
                                {"neighbour.py", neighbour}});
  EXPECT_EQ(h.run("python", fields("file", "tasks/job.py", sources)).output.json(), "42");
  const Outcome fails = h.run("python", fields("file", "tasks/fails.py", sources));
  EXPECT_TRUE(
      fails.error.traceback.starts_with("Traceback (most recent call last):\n"
                                        "  File \"tasks/fails.py\", line 3, in <module>\n    neighbour.breaks()\n"
                                        "  File \"tasks/neighbour.py\", line 5, in breaks\n    return 1 / 0\n"))
      << "the places are those of the user's files: " << fails.error.traceback;
  EXPECT_EQ(h.run("python", fields("file", "wrong.py", sources)).error.message, "SyntaxError: invalid syntax (line 2)");
  TaskContext call = h.context("python", fields("function", "neighbour:twice", sources));
  call.inputs_json = json(R"({"x":4})");
  EXPECT_EQ(h.run(std::move(call)).output.json(), "8");
  const Value changed = object({{"job.py", "import neighbour\noutput = neighbour.twice(1)"},
                                {"neighbour.py", "def twice(x):\n    return [x, x]\n"}});
  EXPECT_EQ(h.run("python", fields("file", "tasks/job.py", changed)).output.json(), "[1,1]")
      << "another task's modules are not left behind";
  EXPECT_EQ(h.run("python", fields("function", "neighbour:twice", object({{"other.py", ""}}))).error.message,
            "ModuleNotFoundError: No module named 'neighbour'");
  EXPECT_EQ(h.run("python", fields("file", "tasks/none.py", sources)).error.message,
            "the source of `file` tasks/none.py did not come with the workflow: submit it again");
  EXPECT_EQ(h.run("python", fields("function", "neighbour", sources)).error.message,
            "`function` is \"neighbour\"; expected module:function");
}

TEST_P(Python, APackageIsPackedWithItsData) {
  const Value sources = object({{"pkg/__init__.py", "base = 40"},
                                {"pkg/deep/calc.py",
                                 "import json, pkgutil\nfrom pkg import base\nfrom .more import two\n"
                                 "def run():\n"
                                 "    known = json.loads(pkgutil.get_data('pkg', 'table.json'))\n"
                                 "    return [base + two, known, __file__]\n"},
                                {"pkg/deep/more.py", "two = 2"},
                                {"pkg/table.json", "{\"a\": 1}"}});
  const Outcome outcome =
      h.run("python", object({{"function", "pkg.deep.calc:run"}, {"sources", sources}, {"isolation", GetParam()}}));
  EXPECT_EQ(outcome.output.json(), R"([42,{"a":1},"pkg/deep/calc.py"])") << outcome.error.traceback;
}

TEST_P(Python, AVirtualEnvironmentBringsItsOwnInterpreter) {
  const std::string dir =
      std::filesystem::temp_directory_path().string() + "/millrace-venv-" + std::to_string(getpid());
  std::filesystem::create_directories(dir + "/bin");
  std::ofstream(dir + "/bin/python") << "#!/bin/sh\nVENV_MARK=here exec env PYTHONPATH=" + dir +
                                            "/lib python3 \"$@\"\n";
  chmod((dir + "/bin/python").c_str(), 0755);
  std::filesystem::create_directory(dir + "/lib");
  std::ofstream(dir + "/lib/only_there.py") << "answer = 42\n";
  const auto run_in = [&](const std::string& venv) {
    return h.run("python", object({{"script", "import only_there\noutput = only_there.answer"},
                                   {"venv", venv},
                                   {"isolation", GetParam()}}));
  };
  EXPECT_EQ(run_in(dir).output.json(), "42") << run_in(dir).error.message;
  EXPECT_FALSE(run_in("").success);
  const Outcome none = run_in("/no/such/venv");
  EXPECT_EQ(none.reason, Reason::kRefused);
  EXPECT_EQ(none.error.message,
            "`venv` /no/such/venv is no virtual environment of this worker: there is no /no/such/venv/bin/python");
  std::filesystem::remove_all(dir);
}

// ---- the module `millrace`

TEST_P(Python, ProgressIsNewsWhileTheTaskRuns) {
  const AttemptId attempt =
      h.start(task("import millrace, time\nmillrace.log('a', 1)\nmillrace.progress(1, 3, step='x')\n"
                   "time.sleep(0.5)\nmillrace.heartbeat()\nmillrace.progress(3, 3)\noutput = 7"));
  ASSERT_TRUE(h.run_until([&] { return !h.recorder.of(attempt).news.empty(); }));
  EXPECT_TRUE(h.recorder.of(attempt).outcomes.empty()) << "came only with the end";
  EXPECT_EQ(h.wait(attempt).output.json(), "7");
  std::string said;
  for (const auto& [type, data] : h.recorder.of(attempt).news) {
    EXPECT_EQ(type, EventType::kTaskProgress);
    said += data.dump();
  }
  EXPECT_EQ(said, R"({"done":1,"total":3,"step":"x"}{"heartbeat":true}{"done":3,"total":3})");
  EXPECT_EQ(h.recorder.of(attempt).out, "a 1\n");
}

TEST_P(Python, ASecretIsAskedOfTheWorkerWhichIsToldBeforeItIsUsed) {
  setenv("MILLRACE_SECRET_PYTHON_TEST", "hunter2", 1);
  const AttemptId attempt = h.start(task("import millrace\noutput = [millrace.secret('PYTHON_TEST')] * 2"));
  EXPECT_EQ(h.wait(attempt).output.json(), R"(["hunter2","hunter2"])");
  EXPECT_EQ(h.recorder.of(attempt).secrets, std::vector<std::string>{"hunter2"});
  unsetenv("MILLRACE_SECRET_PYTHON_TEST");
  EXPECT_EQ(
      run("import millrace\nmillrace.secret('PYTHON_TEST')").error.message,
      "LookupError: the secret 'PYTHON_TEST' is not known to this worker (looked for: MILLRACE_SECRET_PYTHON_TEST)");
  EXPECT_EQ(output("output = 1"), "1");
}

TEST_P(Python, AFloodOfProgressIsThinnedOut) {
  const AttemptId attempt =
      h.start(task("import millrace\nfor i in range(100000): millrace.progress(i, 1000000)\noutput = i"));
  EXPECT_EQ(h.wait(attempt).output.json(), "99999");
  EXPECT_LT(h.recorder.of(attempt).news.size(), 200U);
}

TEST_P(Python, AChildOfTheTaskCannotSpeakForIt) {
  EXPECT_EQ(
      output(
          "import millrace, os\npid = os.fork()\nif pid == 0:\n  try: millrace.progress(1, 2)\n  except RuntimeError: "
          "os._exit(3)\n  os._exit(0)\noutput = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"),
      "3");
}

TEST_P(Python, AFileIsHandedOverAsAnArtifactWhateverItsSize) {
  for (const std::size_t size : {0UL, 1UL, 65'535UL, 65'537UL, 1UL << 20, (3UL << 20) + 5}) {
    const std::string n = std::to_string(size);
    const AttemptId attempt =
        h.start(task("import millrace\nopen('plot.png', 'wb').write(bytes(i % 251 for i in range(" + n +
                     ")))\nmillrace.artifact('plot.png')\nmillrace.artifact('all', data=open('plot.png', 'rb'), "
                     "content_type='a/b')"));
    const Outcome outcome = h.wait(attempt);
    ASSERT_TRUE(outcome.success) << outcome.error.message;
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % 251);
    auto& artifacts = h.recorder.of(attempt).artifacts;
    EXPECT_EQ(artifacts.size(), 2U);
    EXPECT_EQ(artifacts["plot.png"].first, "image/png");
    EXPECT_TRUE(artifacts["plot.png"].second == bytes) << size;
    EXPECT_EQ(artifacts["all"].first, "a/b");
    EXPECT_TRUE(artifacts["all"].second == bytes) << size;
    EXPECT_EQ(h.recorder.of(attempt).logs_after_done, 0);
  }
}

TEST_P(Python, TextAndBytesBecomeArtifactsUnderAName) {
  const AttemptId attempt =
      h.start(task("import millrace\nmillrace.artifact('a', 'tëxt')\nmillrace.artifact('b.json', b'{}')\n"
                   "millrace.artifact('/some/where/c', data='x', name='d')\nmillrace.artifact('a', data='later')"));
  ASSERT_TRUE(h.wait(attempt).success);
  using Kept = std::map<std::string, std::pair<std::string, std::string>>;
  EXPECT_EQ(h.recorder.of(attempt).artifacts,
            (Kept{{"a", {"text/plain", "later"}}, {"b.json", {"application/json", "{}"}}, {"d", {"text/plain", "x"}}}));
}

TEST_P(Python, AnArtifactThatIsRefusedIsAnErrorOfTheTasks) {
  EXPECT_EQ(run("import millrace\nmillrace.artifact('refused', data='x')").error.message,
            "ValueError: no such artifacts here");
  EXPECT_EQ(run("import millrace\nmillrace.artifact('no-such-file')").error.message,
            "FileNotFoundError: [Errno 2] No such file or directory: 'no-such-file'");
  EXPECT_EQ(output("output = 1"), "1");
}

INSTANTIATE_TEST_SUITE_P(Isolation, Python, ::testing::Values("process", "none"), name_of);
INSTANTIATE_TEST_SUITE_P(Isolation, WarmPython, ::testing::Values("none"), name_of);
INSTANTIATE_TEST_SUITE_P(Isolation, IsolatedPython, ::testing::Values("process"), name_of);

}  // namespace
}  // namespace millrace::test
