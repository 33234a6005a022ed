// Sources beside a workflow go with it: a worker elsewhere runs them, and they may be gone by then.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

namespace fs = std::filesystem;

TEST(Sources, RunOnAWorkerThatDoesNotHaveThem) {
  Cluster cluster({.workers = {"w1"}});
  const fs::path folder = fs::path(cluster.scratch().path()) / "elsewhere";
  fs::create_directories(folder / "tasks");
  fs::create_directories(folder / "tool");
  std::ofstream(folder / "tasks" / "clean.py") << "import words\noutput = words.of(inputs['text'])\n";
  std::ofstream(folder / "tasks" / "words.py") << "def of(text):\n    return text.lower().split()\n";
  std::ofstream(folder / "tasks" / "breaks.py") << "import words\n\n\nwords.of(5)\n";
  std::ofstream(folder / "tool" / "__init__.py") << "def count(clean):\n    return len(clean)\n";
  std::ofstream(folder / "flow.yaml") << R"yaml(
name: packed
inputs:
  text: {type: string, default: The Quick Fox}
fail_fast: false
nodes:
  go: {signal: go}
  clean: {executor: python, file: tasks/clean.py, depends_on: [go]}
  count: {executor: python, function: "tool:count", depends_on: [clean]}
  breaks: {executor: python, file: tasks/breaks.py, depends_on: [go]}
)yaml";
  const std::string run = cluster.submit((folder / "flow.yaml").string());
  const Finished applied = cluster.cli({"workflow", "apply", (folder / "flow.yaml").string()});
  ASSERT_EQ(applied.exit_code, 0) << applied.err;
  std::ofstream(folder / "tasks" / "words.py") << "def of(text):\n    return ['changed', 'since']\n";
  const Finished again = cluster.cli({"workflow", "apply", (folder / "flow.yaml").string(), "-o", "json"});
  EXPECT_NE(again.out.find("\"version\": 2"), std::string::npos) << "other sources, another version: " << again.out;
  fs::remove_all(folder);
  const std::string second = cluster.submit("packed@1");
  for (const std::string& one : {run, second}) {
    ASSERT_EQ(cluster.cli({"signal", one, "go"}).exit_code, 0);
    const Value ended = cluster.wait(one);
    EXPECT_EQ(at(ended, {"nodes", "clean", "outputs"}).dump(), R"(["the","quick","fox"])") << ended.dump_pretty();
    EXPECT_EQ(number_at(ended, {"nodes", "count", "outputs"}), 3);
    EXPECT_NE(
        text_at(ended, {"nodes", "breaks", "error", "traceback"})
            .find("File \"tasks/breaks.py\", line 4, in <module>\n    words.of(5)\n  File \"tasks/words.py\", line 2"),
        std::string::npos)
        << ended.dump_pretty();
  }
}

TEST(Sources, OfJavascriptRunOnAWorkerThatDoesNotHaveThem) {
  if (run_program({"sh", "-c", "command -v node"}).exit_code != 0) return;  // then workers do not offer it
  Cluster cluster({.workers = {"w1"}});
  const fs::path folder = fs::path(cluster.scratch().path()) / "elsewhere";
  fs::create_directories(folder / "tasks");
  std::ofstream(folder / "tasks" / "clean.js") << "output = require('./words').of(inputs.text);\n";
  std::ofstream(folder / "tasks" / "words.js") << "exports.of = (text) => text.toLowerCase().split(' ');\n";
  std::ofstream(folder / "tool.js") << "exports.count = async ({clean}) => clean.length;\n"
                                       "exports.breaks = () => {\n  throw new TypeError('no good');\n};\n";
  std::ofstream(folder / "flow.yaml") << R"yaml(
inputs:
  text: {type: string, default: The Quick Fox}
fail_fast: false
nodes:
  go: {signal: go}
  clean: {executor: javascript, file: tasks/clean.js, depends_on: [go]}
  count: {executor: javascript, function: "tool:count", depends_on: [clean]}
  breaks: {executor: javascript, function: "tool:breaks", isolation: none, depends_on: [go]}
)yaml";
  const std::string run = cluster.submit((folder / "flow.yaml").string());
  fs::remove_all(folder);
  ASSERT_EQ(cluster.cli({"signal", run, "go"}).exit_code, 0);
  const Value ended = cluster.wait(run);
  EXPECT_EQ(at(ended, {"nodes", "clean", "outputs"}).dump(), R"(["the","quick","fox"])") << ended.dump_pretty();
  EXPECT_EQ(number_at(ended, {"nodes", "count", "outputs"}), 3);
  EXPECT_EQ(text_at(ended, {"nodes", "breaks", "error", "message"}), "TypeError: no good");
  EXPECT_NE(text_at(ended, {"nodes", "breaks", "error", "traceback"}).find("tool.js:3\n    throw new TypeError"),
            std::string::npos)
      << ended.dump_pretty();
}

TEST(Sources, ThatAreMissingAreToldBeforeAnythingIsSubmitted) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("missing", "nodes:\n  a:\n    executor: python\n    file: none.py\n");
  for (const char* verb : {"submit", "validate", "run"}) {
    const Finished finished = cluster.cli({verb, file});
    EXPECT_EQ(finished.exit_code, 2) << verb << finished.out << finished.err;
    EXPECT_NE((finished.out + finished.err).find(":4:"), std::string::npos) << finished.out << finished.err;
    EXPECT_NE((finished.out + finished.err).find("cannot have none.py: there is no such file"), std::string::npos)
        << finished.out << finished.err;
  }
}

}  // namespace
}  // namespace millrace::test
