#include "cli/app.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/exit_code.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

constexpr const char* kWorkflow =
    "name: insight\n"
    "inputs:\n"
    "  text: {type: string, required: true}\n"
    "nodes:\n"
    "  clean_data: {executor: noop}\n"
    "  statistics: {executor: noop, depends_on: [clean_data]}\n"
    "  join: {value: \"{{ nodes.clean_data }}\", depends_on: [statistics]}\n";
constexpr const char* kFlow =
    "name: flow\n"
    "inputs: {kind: string}\n"
    "nodes:\n"
    "  route:\n"
    "    branch:\n"
    "      cases:\n"
    "        - {when: \"{{ inputs.kind == 'a' }}\", to: [many, draft]}\n"
    "      default: other\n"
    "  many: {executor: noop, foreach: [1, 2]}\n"
    "  other: {executor: noop, when: \"{{ inputs.kind }}\"}\n"
    "  draft:\n"
    "    loop: {until: \"{{ nodes.review.ok }}\", max_rounds: 3}\n"
    "    nodes:\n"
    "      write: {executor: noop}\n"
    "      review: {executor: noop, depends_on: write}\n"
    "  end: {executor: noop, depends_on: [many, other, draft]}\n";
constexpr const char* kBroken =
    "name: broken\n"
    "nodes:\n"
    "  a: {executor: nop}\n"
    "  b: {executor: noop, depend_on: [a]}\n";

// One JSON value and a newline, nothing else.
Value the_json(const std::string& out) {
  Result<Value> value = Value::parse(out);
  EXPECT_TRUE(value.ok()) << out;
  EXPECT_TRUE(out.ends_with("\n"));
  return value.ok() ? *value : Value();
}

Value schema(const std::string& name) {
  Result<Value> value = Value::parse(read_text("docs/cli-schemas/" + name + ".json"));
  EXPECT_TRUE(value.ok()) << name;
  return value.ok() ? *value : Value();
}

struct AppTest : ::testing::Test {
  Cli cli;
  FakeCoordinator fake{[](const OperatorRequest& request) { return fixed_reply(request); }};
  std::string workflow = temp_file("insight.yaml", kWorkflow);

  int run(std::vector<std::string> words) {
    words.insert(words.end(), {"--coordinator", fake.endpoint()});
    return cli.run(words);
  }
};

TEST(ExitCodes, AreTheDocumentedOnes) {
  EXPECT_EQ(exit_code(Code::kInvalid), 2);
  EXPECT_EQ(exit_code(Code::kNotFound), 3);
  EXPECT_EQ(exit_code(Code::kTimeout), 4);
  EXPECT_EQ(exit_code(Code::kUnavailable), 5);
  EXPECT_EQ(exit_code(Code::kRefused), 6);
  EXPECT_EQ(exit_code(Code::kConflict), 7);
  EXPECT_EQ(exit_code(Code::kCancelled), 8);
  EXPECT_EQ(exit_code(Code::kFailed), 1);
  EXPECT_EQ(exit_code(RunState::kSucceeded), 0);
  EXPECT_EQ(exit_code(RunState::kDegraded), 0);
  EXPECT_EQ(exit_code(RunState::kFailed), 1);
  EXPECT_EQ(exit_code(RunState::kCancelled), 8);
}

TEST(Help, EveryVerbExplainsItselfAndEveryOptionHasItsLine) {
  Cli cli;
  for (const Verb& verb : all_verbs()) {
    EXPECT_EQ(cli.run({std::string(verb.name), "--help"}), 0) << verb.name;
    EXPECT_TRUE(cli.out.starts_with("Usage: millrace " + std::string(verb.name))) << cli.out;
    for (const Option& option : verb.syntax.options) {
      EXPECT_NE(cli.out.find("--" + std::string(option.name)), std::string::npos) << verb.name << " " << option.name;
      EXPECT_FALSE(option.help.empty()) << verb.name << " " << option.name;
    }
    EXPECT_EQ(cli.err, "") << verb.name;
  }
  EXPECT_EQ(cli.run({"--help"}), 0);
  for (const Verb& verb : all_verbs()) EXPECT_NE(cli.out.find("  " + std::string(verb.name) + " "), std::string::npos);
  EXPECT_EQ(cli.run({"help", "run"}), 0);
  EXPECT_TRUE(cli.out.starts_with("Usage: millrace run FILE"));
}

TEST(Help, LettersAndNamesOfAVerbAreNotUsedTwice) {
  for (const Verb& verb : all_verbs()) {
    std::string letters = "h";
    for (const Option& option : verb.syntax.options) {
      if (option.letter == 0) continue;
      EXPECT_EQ(letters.find(option.letter), std::string::npos) << verb.name << " -" << option.letter;
      letters += option.letter;
    }
  }
}

TEST(Usage, WhatIsUnknownIsRefusedWithAHint) {
  Cli cli;
  EXPECT_EQ(cli.run({"list", "--limt", "3"}), 2);
  EXPECT_NE(cli.err.find("did you mean '--limit'?"), std::string::npos) << cli.err;
  EXPECT_EQ(cli.err.find("unexpected argument"), std::string::npos) << cli.err;  // the 3 was meant for it
  EXPECT_EQ(cli.run({"lst"}), 2);
  EXPECT_NE(cli.err.find("did you mean 'list'?"), std::string::npos) << cli.err;
  EXPECT_EQ(cli.run({}), 2);
  EXPECT_EQ(cli.run({"list", "-o", "xml"}), 2);
  EXPECT_EQ(cli.run({"list", "--limit", "many"}), 2);
  EXPECT_EQ(cli.run({"list", "--limit", "0"}), 2);
  EXPECT_EQ(cli.run({"wait", "x", "--timeout", "60"}), 2);
  EXPECT_EQ(cli.run({"cancel"}), 2);
  EXPECT_EQ(
      cli.run({"run", temp_file("usage.yaml", kWorkflow), "-i", "text=x", "--slots", "2", "-c", "tcp://127.0.0.1:9"}),
      2);
  EXPECT_EQ(cli.run({"cancel", "a", "b"}), 2);
  EXPECT_EQ(cli.run({"completion", "tcsh"}), 2);
  EXPECT_EQ(cli.out, "");
}

TEST(Usage, WithJsonAMistakeIsOneJsonObjectToo) {
  Cli cli;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"list", "--limt", "3", "-o", "json"}, {"lst", "--output=json"}, {"run", "/nowhere.yaml", "-ojson"}}) {
    EXPECT_EQ(cli.run(words), 2);
    Value error = the_json(cli.out);
    EXPECT_EQ(schema_mismatch(schema("error"), error), "");
    EXPECT_EQ(error.find("error")->find("code")->as_string(), "invalid");
    EXPECT_EQ(cli.err, "");
  }
}

TEST(Usage, EveryMistakeIsToldAtOnce) {
  Cli cli;
  cli.run({"cancel", "--limt", "3", "-o", "json", "--timeout", "x"});
  EXPECT_EQ(the_json(cli.out).find("error")->find("details")->as_array().size(), 2U) << cli.out;
}

TEST(Usage, FlagsMayBeWrittenInEveryUsualWay) {
  static const Syntax syntax{{{"RUN", "", false, true, Completes::kNothing, {}}},
                             {{"follow", 'f', Takes::kNothing, "", ""},
                              {"output", 'o', Takes::kText, "F", ""},
                              {"wide", 'w', Takes::kNothing, "", ""}}};
  auto read = [](std::vector<std::string> words) { return read_arguments(syntax, "x", words).value(); };
  for (const Arguments& one : {read({"a", "-fw", "-ojson"}), read({"--follow", "a", "-w", "--output=json"}),
                               read({"-f", "-w", "-o", "json", "--", "a"})}) {
    EXPECT_TRUE(one.given("follow") && one.given("wide"));
    EXPECT_EQ(one.text("output"), "json");
    EXPECT_EQ(one.operand(0), "a");
  }
  EXPECT_EQ(read({"--", "--follow", "-"}).operands().size(), 2U);
  EXPECT_FALSE(read_arguments(syntax, "x", std::vector<std::string>{"--follow=yes"}).ok());
  EXPECT_FALSE(read_arguments(syntax, "x", std::vector<std::string>{"-o"}).ok());
}

TEST_F(AppTest, EveryVerbPrintsWhatItsGoldenShows) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"status", {"status", "abcd"}},
      {"wait", {"wait", "abcd", "--no-progress"}},
      {"list", {"list"}},
      {"workers", {"workers"}},
      {"cancel", {"cancel", "abcd"}},
      {"signal", {"signal", "abcd", "go", "-d", "{\"n\": 1}"}},
      {"approve", {"approve", "abcd", "ask", "--reject", "--role", "boss"}},
      {"pause", {"pause", "abcd"}},
      {"resume", {"resume", "abcd"}},
      {"pause_workflow", {"pause", "--workflow", "insight", "--reason", "the source is down"}},
      {"pause_list", {"pause", "--list"}},
      {"resume_queue", {"resume", "--queue", "gpu"}},
      {"retry", {"retry", "abcd"}},
      {"rerun", {"rerun", "abcd", "--with", "text=y"}},
      {"cancel_where", {"cancel", "--where", "workflow == 'insight'", "--yes"}},
      {"retry_where", {"retry", "--where", "status == 'failed'", "-y"}},
      {"pause_where", {"pause", "--where", "true", "--dry-run"}},
      {"drain", {"drain", "w1"}},
      {"coordinators", {"coordinators"}},
      {"coordinators_drain", {"coordinators", "drain", "c2"}},
      {"partitions", {"partitions"}},
      {"partitions_move", {"partitions", "move", "7", "--to", "c2"}},
      {"trigger_list", {"trigger", "list"}},
      {"trigger_fire", {"trigger", "fire", "insight/nightly"}},
      {"trigger_pause", {"trigger", "pause", "insight/nightly"}},
      {"trigger_resume", {"trigger", "resume", "insight/monthly"}},
      {"workflow_apply", {"workflow", "apply", workflow}},
      {"workflow_list", {"workflow", "list"}},
      {"workflow_show", {"workflow", "show", "insight@2"}},
      {"workflow_versions", {"workflow", "versions", "insight"}},
      {"workflow_diff", {"workflow", "diff", "insight@2", "insight@3"}},
      {"workflow_rollback", {"workflow", "rollback", "insight", "1"}},
      {"workflow_delete", {"workflow", "delete", "insight"}},
      {"submit_registered", {"submit", "insight@2", "-i", "text=x"}},
      {"events", {"events", "abcd"}},
      {"logs", {"logs", "abcd"}},
      {"artifacts", {"artifacts", "abcd"}},
      {"submit", {"submit", workflow, "-i", "text=x"}},
      {"run", {"run", workflow, "-i", "text=x", "--no-progress"}},
  };
  for (const auto& [name, words] : cases) {
    for (const char* format : {"table", "wide", "json", "jsonl", "yaml", "name"}) {
      std::vector<std::string> all = words;
      all.insert(all.end(), {"-o", format});
      EXPECT_EQ(run(all), 0) << name << " " << format << cli.err;
      expect_golden(name + "." + format, cli.out);
      if (std::string(format) == "json") the_json(cli.out);
    }
  }
}

TEST_F(AppTest, AFailedRunPrintsWhyAndExitsWithOne) {
  FakeCoordinator failing([](const OperatorRequest& request) { return fixed_reply(request, RunState::kFailed); });
  EXPECT_EQ(cli.run({"wait", "abcd", "-o", "json", "--coordinator", failing.endpoint()}), 1);
  expect_golden("wait_failed.json", cli.out);
  EXPECT_EQ(schema_mismatch(schema("run"), the_json(cli.out)), "");
  EXPECT_NE(cli.err.find("failed at statistics (attempt 2): error: ZeroDivisionError"), std::string::npos) << cli.err;
  EXPECT_EQ(cli.run({"status", "abcd", "--coordinator", failing.endpoint()}), 0);
  expect_golden("status_failed.table", cli.out);
}

TEST_F(AppTest, EveryLineOfALogSaysWhoseItIsUnlessItIsOfTheNodeThatWasAskedFor) {
  FakeCoordinator talking([](const OperatorRequest& request) -> std::optional<OperatorReply> {
    const auto* read = std::get_if<ReadLogs>(&request);
    if (read == nullptr) return fixed_reply(request);
    LogsReply reply{fixed_run(), {}, "c", true};
    if (read->since.empty()) reply.lines = {{"many[1]", 1, false, Time{}, "a\n\nb\n"}, {"many", 1, false, Time{}, "c"}};
    return reply;
  });
  ASSERT_EQ(cli.run({"logs", "abcd", "--coordinator", talking.endpoint()}), 0) << cli.err;
  EXPECT_EQ(cli.out, "many[1]#1 | a\nmany[1]#1 | \nmany[1]#1 | b\nmany#1 | c\n");
  ASSERT_EQ(cli.run({"logs", "abcd", "many", "--coordinator", talking.endpoint()}), 0) << cli.err;
  EXPECT_EQ(cli.out, "many[1]#1 | a\nmany[1]#1 | \nmany[1]#1 | b\nc\n");
}

TEST_F(AppTest, ExitCodesOfWaitAreThoseOfTheRun) {
  for (auto [state, code] : {std::pair(RunState::kSucceeded, 0),
                             {RunState::kDegraded, 0},
                             {RunState::kFailed, 1},
                             {RunState::kCancelled, 8}}) {
    FakeCoordinator ended([s = state](const OperatorRequest& request) { return fixed_reply(request, s); });
    EXPECT_EQ(cli.run({"wait", "abcd", "--coordinator", ended.endpoint()}), code) << to_string(state);
    EXPECT_EQ(cli.err.empty(), state == RunState::kSucceeded) << cli.err;
  }
}

TEST_F(AppTest, ErrorsOfTheCoordinatorHaveTheirExitCodes) {
  for (auto [error, code] : {std::pair(Code::kInvalid, 2),
                             {Code::kNotFound, 3},
                             {Code::kUnavailable, 5},
                             {Code::kRefused, 6},
                             {Code::kConflict, 7},
                             {Code::kCancelled, 8}}) {
    FakeCoordinator refusing([e = error](const OperatorRequest&) {
      return ErrorReply{Error{e, "because", {}, "rule"}};
    });
    EXPECT_EQ(cli.run({"cancel", "abcd", "-o", "json", "--coordinator", refusing.endpoint()}), code);
    EXPECT_EQ(the_json(cli.out).find("error")->find("message")->as_string(), "because");
  }
}

TEST_F(AppTest, WaitingTooLongIsFourAndNobodyThereIsFive) {
  FakeCoordinator running([](const OperatorRequest& request) -> std::optional<OperatorReply> {
    if (std::holds_alternative<WaitRun>(request)) return std::nullopt;
    return fixed_reply(request, RunState::kRunning);
  });
  EXPECT_EQ(cli.run({"wait", "abcd", "--timeout", "300ms", "--coordinator", running.endpoint()}), 4);
  EXPECT_EQ(cli.run({"list", "--timeout", "300ms", "--coordinator", "tcp://127.0.0.1:9"}), 5);
  EXPECT_NE(cli.err.find("no coordinator answers at tcp://127.0.0.1:9"), std::string::npos) << cli.err;
}

TEST_F(AppTest, CancellingARunThatEndedOtherwiseIsAConflict) {
  for (auto [state, code] : {std::pair(RunState::kCancelled, 0), {RunState::kSucceeded, 7}, {RunState::kFailed, 7}}) {
    FakeCoordinator ended([s = state](const OperatorRequest&) {
      return CancelReply{fixed_run(), s, s == RunState::kCancelled};
    });
    EXPECT_EQ(cli.run({"cancel", "abcd", "--coordinator", ended.endpoint()}), code) << to_string(state);
  }
}

TEST_F(AppTest, TheEnvironmentNamesTheClusterAndTheFlagWins) {
  cli.environment["MILLRACE_COORDINATOR"] = fake.endpoint();
  EXPECT_EQ(cli.run({"workers", "-o", "name"}), 0);
  EXPECT_EQ(cli.out, "w1\n");
  cli.environment["MILLRACE_COORDINATOR"] = "tcp://127.0.0.1:9";
  EXPECT_EQ(run({"workers", "-o", "name"}), 0);
}

TEST_F(AppTest, MovingAPartitionNeedsANumberAndACoordinator) {
  EXPECT_EQ(run({"partitions", "move", "seven", "--to", "c2"}), 2);
  EXPECT_EQ(run({"partitions", "move", "7"}), 2);
  EXPECT_EQ(run({"partitions", "--to", "c2"}), 2);
  EXPECT_EQ(run({"partitions", "shift", "7", "--to", "c2"}), 2);
  EXPECT_EQ(run({"coordinators", "drain"}), 2);
  EXPECT_EQ(fake.requests(), 0);
}

TEST_F(AppTest, ASignalBringsJsonAndNothingElse) {
  EXPECT_EQ(run({"signal", "abcd", "go", "-d", "{not json"}), 2);
  EXPECT_EQ(run({"signal", "abcd", "go", "-d", "@/nowhere.json"}), 2);
  EXPECT_EQ(fake.requests(), 0);
  EXPECT_EQ(run({"signal", "abcd", "go", "-d", "@" + temp_file("data.json", "[1]"), "-o", "name"}), 0);
  EXPECT_EQ(cli.out, to_string(fixed_run()) + "\n");
}

TEST_F(AppTest, TheShapesOfRegisteredWorkflowsHold) {
  const Value all = schema("workflow");
  const Value::Array& shapes = all.find("oneOf")->as_array();
  const char* actions[] = {"apply", "list", "show", "versions", "diff", "delete"};
  ASSERT_EQ(shapes.size(), std::size(actions));
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const std::string golden = read_text("tests/unit/cli/golden/workflow_" + std::string(actions[i]) + ".json");
    EXPECT_EQ(schema_mismatch(shapes[i], the_json(golden)), "") << actions[i];
  }
}

TEST_F(AppTest, TheShapesOfPausesHold) {
  const Value all = schema("pause");
  const Value::Array& shapes = all.find("oneOf")->as_array();
  const auto golden = [](const std::string& name) { return the_json(read_text("tests/unit/cli/golden/" + name)); };
  for (const char* name : {"pause_workflow.json", "resume_queue.json"})
    EXPECT_EQ(schema_mismatch(shapes.at(0), golden(name)), "") << name;
  EXPECT_EQ(schema_mismatch(shapes.at(1), golden("pause_list.json")), "");
}

TEST_F(AppTest, WhatIsPausedIsOneThingAtATime) {
  EXPECT_EQ(run({"pause", "abcd", "--queue", "gpu"}), 2);
  EXPECT_EQ(run({"pause", "--workflow", "insight", "--queue", "gpu"}), 2);
  EXPECT_EQ(run({"pause", "--where", "true", "--workflow", "insight"}), 2);
  EXPECT_EQ(run({"pause", "--queue", "gpu", "--tenant", "acme"}), 2);
  EXPECT_EQ(run({"pause", "abcd", "--tenant", "acme"}), 2);
  EXPECT_EQ(run({"resume", "--list"}), 2);
  EXPECT_EQ(run({"resume", "--queue", "gpu", "--dry-run"}), 2);
  EXPECT_EQ(fake.requests(), 0);
}

TEST_F(AppTest, AChildThatThisProcessDoesNotKnowIsToldBeforeAnythingStarts) {
  const std::string parent =
      temp_file("parent.yaml", "name: parent\nnodes: {c: {executor: workflow, workflow: flow}}\n");
  EXPECT_EQ(cli.run({"run", parent}), 2);
  EXPECT_NE(cli.err.find("node 'c' of workflow 'parent' runs the registered workflow 'flow'"), std::string::npos);
  EXPECT_NE(cli.err.find("--apply FILE"), std::string::npos) << cli.err;
  EXPECT_EQ(cli.run({"run", parent, "--apply", workflow}), 2) << "of another name";
  EXPECT_EQ(run({"run", parent, "--apply", workflow}), 2) << "on a cluster they are registered";
}

TEST_F(AppTest, AWorkflowIsNamedInFull) {
  EXPECT_EQ(run({"workflow", "show", "insight@x"}), 2);
  EXPECT_EQ(run({"workflow", "show", "insight@0"}), 2);
  EXPECT_EQ(run({"workflow", "rollback", "insight"}), 2);
  EXPECT_EQ(run({"workflow", "rollback", "insight", "first"}), 2);
  EXPECT_EQ(run({"workflow", "apply"}), 2);
  EXPECT_EQ(run({"workflow", "apply", "no-such-file.yaml"}), 2);
  EXPECT_EQ(run({"workflow", "list", "insight"}), 2);
  EXPECT_EQ(run({"workflow", "list", "--force"}), 2);
  EXPECT_EQ(run({"submit", "no-such-file.yaml"}), 2);
  EXPECT_EQ(fake.requests(), 0);
}

TEST_F(AppTest, DocumentedShapesHold) {
  for (const char* verb : {"signal", "approve", "pause", "resume"})
    EXPECT_EQ(
        schema_mismatch(schema("act"), the_json(read_text("tests/unit/cli/golden/" + std::string(verb) + ".json"))), "")
        << verb;
  for (const char* verb : {"retry", "rerun"})
    EXPECT_EQ(
        schema_mismatch(schema("retry"), the_json(read_text("tests/unit/cli/golden/" + std::string(verb) + ".json"))),
        "");
  for (const char* verb : {"cancel_where", "retry_where", "pause_where"})
    EXPECT_EQ(
        schema_mismatch(schema("bulk"), the_json(read_text("tests/unit/cli/golden/" + std::string(verb) + ".json"))),
        "");
  for (const char* verb : {"list", "artifacts", "workers", "events", "submit", "run", "coordinators", "partitions"}) {
    Result<Value> golden = Value::parse(read_text("tests/unit/cli/golden/" + std::string(verb) + ".json"));
    ASSERT_TRUE(golden.ok()) << verb;
    EXPECT_EQ(schema_mismatch(schema(verb), *golden), "") << verb;
  }
}

TEST_F(AppTest, ARunObjectHasItsKeysInTheDocumentedOrder) {
  run({"run", workflow, "-i", "text=x", "--no-progress", "-o", "json"});
  auto keys = [](const Value& object) {
    std::string all;
    for (const auto& [key, value] : object.as_object()) all += key + " ";
    return all;
  };
  Value object = the_json(cli.out);
  EXPECT_EQ(keys(object), "run workflow status outputs error elapsed_ms trace_id labels nodes ");
  EXPECT_EQ(keys(*object.find("nodes")), "clean_data statistics join ");
  EXPECT_EQ(keys(*object.find("nodes")->find("join")), "status attempts queued_ms run_ms worker error outputs ");
  EXPECT_EQ(object.find("elapsed_ms")->dump(), "1234.567");
}

TEST_F(AppTest, SubmitSendsWhatWasAskedForAndTheBytesOnlyWhenNeeded) {
  std::vector<SubmitRun> seen;
  FakeCoordinator picky([&](const OperatorRequest& request) -> OperatorReply {
    seen.push_back(std::get<SubmitRun>(request));
    if (seen.size() == 1) return NeedDefinition{seen[0].definition};
    return SubmitReply{fixed_run(), true, seen[0].trace_id};
  });
  std::string trace = "0af7651916cd43dd8448eb211c80319c";
  EXPECT_EQ(cli.run({"submit", workflow, "-i", "text=hello", "--label", "a=b", "-l", "c=d", "--idempotency-key", "K",
                     "--traceparent", "00-" + trace + "-b7ad6b7169203331-01", "-o", "json", "--coordinator",
                     picky.endpoint()}),
            0)
      << cli.err;
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[1].key, "K");
  EXPECT_EQ(seen[1].inputs.json(), R"({"text":"hello"})");
  EXPECT_EQ(seen[1].labels, (Labels{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(seen[1].trace_id, trace);
  EXPECT_NE(seen[1].caller.find('@'), std::string::npos);
  EXPECT_EQ(seen[1].definition, hash128(*seen[1].definition_bytes));
  EXPECT_TRUE(the_json(cli.out).find("existing")->as_bool());
}

// The coordinator adds what a request says to the workflow's own: what is asked for is what counts.
TEST_F(AppTest, APriorityTakesThePlaceOfTheWorkflowsOwn) {
  std::string urgent = temp_file("urgent.yaml", "priority: 5\nnodes: {a: {executor: noop}}\n");
  std::vector<int> seen;
  FakeCoordinator taking([&](const OperatorRequest& request) -> OperatorReply {
    seen.push_back(std::get<SubmitRun>(request).priority);
    return SubmitReply{fixed_run(), false, "t"};
  });
  EXPECT_EQ(cli.run({"submit", urgent, "--coordinator", taking.endpoint()}), 0) << cli.err;
  EXPECT_EQ(cli.run({"submit", urgent, "--priority", "7", "--coordinator", taking.endpoint()}), 0) << cli.err;
  EXPECT_EQ(seen, (std::vector<int>{0, 2}));
}

TEST_F(AppTest, WithoutAKeyEverySubmissionHasItsOwn) {
  std::vector<std::string> keys;
  FakeCoordinator keeper([&](const OperatorRequest& request) -> OperatorReply {
    keys.push_back(std::get<SubmitRun>(request).key);
    return SubmitReply{fixed_run(), false, ""};
  });
  for (int i = 0; i < 2; ++i) cli.run({"submit", workflow, "-i", "text=x", "--coordinator", keeper.endpoint()});
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0].size(), 32U);
  EXPECT_NE(keys[0], keys[1]);
}

struct Resumes : AppTest {
  std::vector<SubmitRun> seen;
  FakeCoordinator taking{[this](const OperatorRequest& request) {
    if (const auto* submit = std::get_if<SubmitRun>(&request)) seen.push_back(*submit);
    return fixed_reply(request, RunState::kFailed);
  }};
  int resume(std::vector<std::string> words) {
    words.insert(words.end(), {"--coordinator", taking.endpoint()});
    return cli.run(words);
  }
};

TEST_F(Resumes, ARetryNamesTheRunAndWhatToRunAgain) {
  EXPECT_EQ(resume({"retry", "abcd", "--reason", "it was the disk"}), 0) << cli.err;
  EXPECT_EQ(resume({"retry", "abcd", "--from", "join", "--from", "statistics", "-k", "K"}), 0) << cli.err;
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].resume, (Resume{fixed_run(), ResumeScope::kFailed, {}, "it was the disk"}));
  EXPECT_TRUE(seen[0].definition.is_zero()) << "its own definition";
  EXPECT_TRUE(seen[0].inputs.is_null()) << "and its own inputs";
  EXPECT_EQ(seen[0].key.size(), 32U);
  EXPECT_EQ(seen[1].resume, (Resume{fixed_run(), ResumeScope::kFrom, {"join", "statistics"}, ""}));
  EXPECT_EQ(seen[1].key, "K");
  EXPECT_EQ(resume({"retry", "abcd", "--from", "join", "--failed"}), 2);
  EXPECT_EQ(resume({"retry"}), 2);
  EXPECT_EQ(seen.size(), 2U);
}

TEST_F(Resumes, AChangedDefinitionIsShownBeforeItIsRun) {
  const std::string changed = temp_file("changed.yaml",
                                        "name: insight\n"
                                        "inputs: {text: {type: string, required: true}}\n"
                                        "nodes:\n"
                                        "  clean_data: {executor: noop}\n"
                                        "  statistics: {executor: noop, depends_on: [clean_data], timeout: 5s}\n"
                                        "  extra: {executor: noop, depends_on: [statistics]}\n");
  EXPECT_EQ(resume({"retry", "abcd", "-f", changed}), 0) << cli.err;
  EXPECT_NE(cli.err.find("+ node extra\n- node join\n~ node statistics: timeout\n"), std::string::npos) << cli.err;
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].definition, hash128(*seen[0].definition_bytes));
  EXPECT_EQ(resume({"retry", "abcd", "-f", changed, "-o", "json"}), 0) << cli.err;
  const Value difference = *the_json(cli.out).find("difference");
  EXPECT_EQ(difference.find("added")->dump(), R"(["extra"])");
  EXPECT_EQ(difference.find("changed")->dump(), R"([{"node":"statistics","keys":["timeout"]}])");
}

TEST_F(Resumes, ARerunGivesTheInputsThatChange) {
  EXPECT_EQ(resume({"rerun", "abcd"}), 0) << cli.err;
  EXPECT_EQ(resume({"rerun", "abcd", "--with", "text=other"}), 0) << cli.err;
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].resume->scope, ResumeScope::kAll);
  EXPECT_TRUE(seen[0].inputs.is_null());
  EXPECT_EQ(seen[1].inputs.json(), R"({"text":"other"})");
  EXPECT_EQ(resume({"rerun", "abcd", "--with", "txet=other"}), 2) << "no such input";
  EXPECT_EQ(seen.size(), 2U);
}

TEST_F(Resumes, ManyRunsAreActedOnOnlyWhenThatIsSure) {
  EXPECT_EQ(resume({"retry", "--where", "status == 'failed'"}), 2) << "nobody to ask";
  EXPECT_NE(cli.err.find("--yes"), std::string::npos) << cli.err;
  EXPECT_EQ(resume({"retry", "--where", "status == 'failed'", "--dry-run"}), 0);
  cli.terminal = true;
  cli.answer = "n";
  EXPECT_EQ(resume({"retry", "--where", "status == 'failed'"}), 0);
  EXPECT_NE(cli.asked.find("retry these 4 runs?"), std::string::npos) << cli.asked << "two pages of two";
  EXPECT_EQ(seen.size(), 0U);
  cli.answer = "y";
  EXPECT_EQ(resume({"retry", "--where", "status == 'failed'", "-k", "night"}), 0) << cli.err;
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].key, "night/" + to_string(fixed_run())) << "the same command again starts nothing anew";
  EXPECT_EQ(resume({"retry", "abcd", "--where", "true"}), 2);
  EXPECT_EQ(resume({"cancel", "abcd", "--dry-run"}), 2);
  EXPECT_EQ(resume({"pause"}), 2);
}

TEST_F(AppTest, InputsThatDoNotFitNeverReachTheCluster) {
  EXPECT_EQ(run({"submit", workflow, "-i", "txt=x", "-o", "json"}), 2);
  EXPECT_EQ(the_json(cli.out).find("error")->find("details")->as_array().size(), 2U) << cli.out;
  EXPECT_EQ(fake.requests(), 0);
}

TEST_F(AppTest, ProgressGoesToStandardErrorOneLineAChange) {
  EXPECT_EQ(run({"run", workflow, "-i", "text=x", "-o", "name"}), 0);
  EXPECT_EQ(cli.out, to_string(fixed_run()) + "\n");
  expect_golden("progress.lines", cli.err);
}

TEST_F(AppTest, GraphAndValidatePrintWhatTheirGoldensShow) {
  for (const char* format : {"table", "wide", "json", "jsonl", "yaml", "name", "dot", "mermaid"}) {
    EXPECT_EQ(cli.run({"graph", workflow, "-o", format}), 0) << cli.err;
    expect_golden("graph." + std::string(format), cli.out);
  }
  const std::string flow = temp_file("flow.yaml", kFlow);
  for (const char* format : {"table", "wide", "json", "dot", "mermaid"}) {
    EXPECT_EQ(cli.run({"graph", flow, "-o", format}), 0) << cli.err;
    expect_golden("graph_flow." + std::string(format), cli.out);
  }
  for (const char* golden : {"graph.json", "graph_flow.json"})
    EXPECT_EQ(schema_mismatch(schema("graph"), the_json(read_text("tests/unit/cli/golden/" + std::string(golden)))),
              "");
  EXPECT_EQ(cli.run({"validate", workflow}), 0);
  EXPECT_NE(cli.out.find("insight"), std::string::npos);
  EXPECT_EQ(cli.run({"validate", workflow, "-o", "json"}), 0);
  EXPECT_EQ(schema_mismatch(schema("validate"), the_json(cli.out)), "");
}

TEST_F(AppTest, WhatTriggersPrintHasTheDocumentedShape) {
  const Value shapes = schema("trigger");
  const auto golden = [](const std::string& name) {
    return Value::parse(read_text("tests/unit/cli/golden/trigger_" + name + ".json")).value();
  };
  EXPECT_EQ(schema_mismatch(shapes.find("oneOf")->as_array().at(0), golden("list")), "");
  EXPECT_EQ(schema_mismatch(shapes.find("oneOf")->as_array().at(1), golden("fire")), "");
  for (const char* name : {"pause", "resume"})
    EXPECT_EQ(schema_mismatch(shapes.find("oneOf")->as_array().at(2), golden(name)), "") << name;
}

TEST_F(AppTest, ATriggerIsNamedWithItsWorkflowUnlessThatHasOne) {
  EXPECT_EQ(run({"trigger", "fire", "insight"}), 2);
  EXPECT_NE(cli.err.find("insight/monthly"), std::string::npos) << cli.err;
  EXPECT_EQ(run({"trigger", "pause", "insight/weekly"}), 3);
  EXPECT_EQ(run({"trigger", "pause"}), 2);
  EXPECT_EQ(run({"trigger", "stop", "insight/nightly"}), 2);
}

TEST_F(AppTest, ABackfillNamesARangeAndAWorkflowThatHasTriggers) {
  EXPECT_EQ(run({"schedule", "backfill", "insight"}), 2);
  EXPECT_EQ(run({"schedule", "backfill", "insight", "2026-01-01..2026-02-01"}), 2);  // it has no triggers
  EXPECT_NE(cli.err.find("has no triggers with a schedule"), std::string::npos) << cli.err;
  EXPECT_EQ(run({"schedule", "backfill", "insight", "2026-01-01..2026-02-01", "-n", "3"}), 2);
  EXPECT_EQ(run({"schedule", "next", workflow, "--dry-run"}), 2);
}

TEST(ScheduleNext, TellsTheFiringsOfAFileAsItsGoldenShows) {
  Cli cli;
  const std::string file = temp_file("nightly.yaml",
                                     "inputs: {day: string, n: {type: integer, default: 7}}\n"
                                     "nodes: {a: {executor: noop}}\n"
                                     "triggers:\n"
                                     "  nightly:\n"
                                     "    schedule: {cron: 30 2 * * *, timezone: Europe/Berlin, jitter: 10m}\n"
                                     "    inputs: {day: \"{{ event.local_time[:10] }}\"}\n"
                                     "  weekly: {schedule: '@weekly'}\n");
  const std::vector<std::string> words = {"schedule", "next", file, "--after", "2026-10-24T00:00:00Z", "-n", "4"};
  for (const char* format : {"table", "wide", "json", "jsonl", "yaml", "name"}) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"-o", format});
    EXPECT_EQ(cli.run(all), 0) << cli.err;
    expect_golden("schedule_next." + std::string(format), cli.out);
    if (std::string(format) != "json") continue;
    EXPECT_EQ(schema_mismatch(schema("schedule").find("oneOf")->as_array().at(0), the_json(cli.out)), "");
  }
  EXPECT_EQ(cli.run({"schedule", "next", file, "--trigger", "weekly", "-n", "1", "-o", "json"}), 0);
  EXPECT_EQ(the_json(cli.out).find("firings")->as_array().size(), 1U);
}

TEST(ScheduleNext, MistakesAreToldWithTheirExitCodes) {
  Cli cli;
  const std::string file = temp_file("untimed.yaml", "nodes: {a: {executor: noop}}\n");
  EXPECT_EQ(cli.run({"schedule", "next", file}), 2);
  EXPECT_NE(cli.err.find("has no triggers with a schedule"), std::string::npos) << cli.err;
  const std::string timed =
      temp_file("timed.yaml", "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: '@daily'}}\n");
  EXPECT_EQ(cli.run({"schedule", "next", timed, "--trigger", "u"}), 3);
  EXPECT_EQ(cli.run({"schedule", "next", timed, "-n", "0"}), 2);
  EXPECT_EQ(cli.run({"schedule", "next", timed, "--after", "yesterday"}), 2);
  EXPECT_NE(cli.err.find("RFC 3339"), std::string::npos) << cli.err;
  EXPECT_EQ(cli.run({"schedule", "then", timed}), 2);
  const std::string zone =
      temp_file("zone.yaml",
                "nodes: {a: {executor: noop}}\ntriggers: {t: {schedule: {cron: '@daily', timezone: Europe/Berln}}}\n");
  EXPECT_EQ(cli.run({"validate", zone}), 2);
  EXPECT_NE(cli.err.find("did you mean 'Europe/Berlin'?"), std::string::npos) << cli.err;
}

TEST_F(AppTest, ValidateTellsEveryProblemOfEveryFileAndExitsWithTwo) {
  std::string broken = temp_file("broken.yaml", kBroken);
  EXPECT_EQ(cli.run({"validate", broken, workflow, broken, "-o", "json"}), 2);
  Value result = the_json(cli.out);
  EXPECT_EQ(schema_mismatch(schema("validate"), result), "");
  std::string folder = broken.substr(0, broken.rfind('/') + 1);
  std::string shown = cli.out;
  for (std::size_t at; (at = shown.find(folder)) != std::string::npos;) shown.erase(at, folder.size());
  expect_golden("validate.json", shown);
  EXPECT_FALSE(result.find("valid")->as_bool());
  const Value::Array& details = result.find("error")->find("details")->as_array();
  ASSERT_EQ(details.size(), 4U) << cli.out;
  EXPECT_EQ(details[0].find("line")->as_int(), 3);
  EXPECT_EQ(details[1].find("line")->as_int(), 4);
  cli.terminal = true;
  EXPECT_EQ(cli.run({"validate", broken}), 2);
  EXPECT_NE(cli.err.find("    3 |   a: {executor: nop}\n                        ^\n"), std::string::npos) << cli.err;
}

TEST(Completion, TheBashScriptIsSourcedCleanlyAndCompletes) {
  Cli cli;
  ASSERT_EQ(cli.run({"completion", "bash"}), 0);
  std::string script = temp_file("completion.bash", cli.out);
  auto completes = [&](const std::string& words, int index, const std::string& expected) {
    std::string check = "set -eu; source " + script + "; COMP_WORDS=(" + words +
                        "); COMP_CWORD=" + std::to_string(index) + "; _millrace; [[ \" ${COMPREPLY[*]} \" == *\" " +
                        expected + " \"* ]]";
    std::string command = "bash -c '" + check + "'";
    return std::system(command.c_str()) == 0;
  };
  EXPECT_TRUE(completes("millrace va", 1, "validate"));
  EXPECT_TRUE(completes("millrace list --st", 2, "--status"));
  EXPECT_TRUE(completes("millrace list --status f", 3, "failed"));
  EXPECT_TRUE(completes("millrace graph -o mer", 3, "mermaid"));
  EXPECT_TRUE(completes("millrace completion z", 2, "zsh"));
  EXPECT_TRUE(completes("millrace partitions m", 2, "move"));
  EXPECT_TRUE(completes("millrace coordinators d", 2, "drain"));
  EXPECT_FALSE(completes("millrace list --status f", 3, "succeeded"));
}

TEST(Completion, ZshAndFishKnowEveryOption) {
  Cli cli;
  for (const char* shell : {"zsh", "fish"}) {
    ASSERT_EQ(cli.run({"completion", shell}), 0);
    std::string dashes = std::string(shell) == "zsh" ? "--" : "-l ";
    for (const Verb& verb : all_verbs()) {
      for (const Option& option : verb.syntax.options) {
        EXPECT_NE(cli.out.find(dashes + std::string(option.name)), std::string::npos) << shell << " " << option.name;
      }
    }
  }
}

TEST(Version, IsOneJsonObject) {
  Cli cli;
  EXPECT_EQ(cli.run({"version", "-o", "json"}), 0);
  Value version = the_json(cli.out);
  EXPECT_TRUE(version.find("version")->is_string());
  EXPECT_EQ(version.find("protocol")->as_int(), 1);
  EXPECT_EQ(cli.run({"--version"}), 0);
  EXPECT_TRUE(cli.out.starts_with("millrace ")) << cli.out;
}

}  // namespace
}  // namespace millrace
