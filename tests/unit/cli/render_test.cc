#include "cli/render.h"

#include <gtest/gtest.h>

#include "cli/run_output.h"
#include "cli/text.h"
#include "cli/views.h"
#include "common/spec/yaml_value.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

TEST(Text, NothingOfAUserReachesTheTerminalAsACommand) {
  EXPECT_EQ(printable("a\x1b[31mb\r\n\tc\x7f"), "a\\x1b[31mb\\r\\n\\tc\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");                                          // C1: a CSI of its own
  EXPECT_EQ(printable("\xe2\x80\xaegnp.exe"), "\\u202egnp.exe");  // right-to-left override
  EXPECT_EQ(printable("ok \xff"), "ok \xef\xbf\xbd");
  EXPECT_EQ(printable("Grüße 漢字 🎉"), "Grüße 漢字 🎉");
  EXPECT_EQ(printable_lines("a\n\tb\x1b"), "a\n\tb\\x1b");
}

TEST(Text, WidthIsColumnsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("Grüße"), 5U);
  EXPECT_EQ(display_width("漢字"), 4U);
  EXPECT_EQ(display_width("e\xcc\x81"), 1U);  // e and a combining acute
  EXPECT_EQ(display_width("🎉"), 2U);
  EXPECT_EQ(fitted("漢字漢字", 5), "漢字…");
  EXPECT_EQ(fitted("漢字漢字", 4), "漢…");
  EXPECT_EQ(fitted("abc", 3), "abc");
  EXPECT_EQ(padded("漢", 4), "漢  ");
  EXPECT_EQ(padded("7", 3, true), "  7");
}

TEST(Text, DurationsAreShort) {
  EXPECT_EQ(human_duration(870us), "870us");
  EXPECT_EQ(human_duration(12'300us), "12.3ms");
  EXPECT_EQ(human_duration(4500ms), "4.5s");
  EXPECT_EQ(human_duration(999'960us), "1.0s");
  EXPECT_EQ(human_duration(125s), "2m05s");
  EXPECT_EQ(human_duration(3h + 4min), "3h04m");
  EXPECT_EQ(human_duration(51h), "2d03h");
  EXPECT_EQ(iso_time(from_us(1'767'225'600'000'123)), "2026-01-01T00:00:00.000123Z");
  EXPECT_EQ(iso_time(Time{}), "");
}

const std::vector<Column> kColumns = {
    {"NAME", [](const Value& row) { return cell_text(row, "name"); }},
    {"N", [](const Value& row) { return cell_text(row, "n"); }, false, true},
    {"MORE", [](const Value& row) { return cell_text(row, "more"); }, true},
};
std::vector<Value> rows() {
  return {Value::parse(R"({"name":"漢字","n":7,"more":"x"})").value(),
          Value::parse(R"({"name":"plain","n":12345})").value()};
}

TEST(Table, ColumnsAlignByWidthAndWhatIsAbsentIsADash) {
  EXPECT_EQ(render_table(kColumns, rows(), false, 0, false), "NAME       N\n漢字       7\nplain  12345\n");
  EXPECT_EQ(render_table(kColumns, rows(), true, 0, false), "NAME       N  MORE\n漢字       7  x\nplain  12345  -\n");
}

TEST(Table, FitsTheTerminal) {
  std::vector<Value> wide = {Value::Object{{"name", std::string(200, 'x')}, {"n", 1}}};
  std::string text = render_table(kColumns, wide, false, 40, false);
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    EXPECT_LE(display_width(text.substr(at, text.find('\n', at) - at)), 40U);
  }
  EXPECT_NE(text.find("…"), std::string::npos);
}

TEST(Table, ColoursAreOnlyThereWhenAskedFor) {
  std::vector<Column> status = {{"STATUS", [](const Value& row) { return cell_text(row, "s"); }, false, false, true}};
  std::vector<Value> one = {Value::Object{{"s", "failed"}}};
  EXPECT_EQ(render_table(status, one, false, 0, false), "STATUS\nfailed\n");
  EXPECT_EQ(render_table(status, one, false, 0, true), "\x1b[1mSTATUS\x1b[0m\n\x1b[31mfailed\x1b[0m\n");
}

TEST(Yaml, ReadsBackAsTheSameValue) {
  const char* documents[] = {
      R"({"a":1,"b":[1,[2,3],{"c":null}],"d":{},"e":[],"f":"two\nlines","g":"ends\n","h":"ends twice\n\n"})",
      R"({"yes":"no","n":"null","number":"12","date":"2026-01-01","dash":"- x","colon":"a: b","hash":"a #b","empty":""})",
      R"({"s":" lead","t":"trail ","quote":"\"","star":"*a","esc":"\u001b[31m","tab":"a\tb","crlf":"a\r\nb","u":"Grüße"})",
      R"([{"a":1,"b":2},{"c":[true,false]},"x",1.5,-3,"lead\n  deeper\n\nlast"])",
      R"("only text")",
      "12",
      "null",
      R"({"text":"\n starts with a line end"})"};
  for (const char* json : documents) {
    Value value = Value::parse(json).value();
    std::string yaml = to_yaml(value);
    Result<Value> back = parse_yaml_value(yaml, "x.yaml");
    ASSERT_TRUE(back.ok()) << yaml << back.error().what;
    EXPECT_EQ(*back, value) << yaml;
  }
}

TEST(Views, ARunWithTooManyNodesGivesTheirNumbers) {
  RunView view = fixed_view(RunState::kRunning);
  view.nodes.clear();
  view.record.ended = {};
  Value run = run_json(view, read_inline).value();
  EXPECT_TRUE(run.find("nodes")->is_null());
  EXPECT_EQ(run.find("nodes_summary")->dump(), R"({"total":3,"by_status":{"succeeded":3}})");
  EXPECT_EQ(run.find("elapsed_ms")->dump(), "5000.0");
}

TEST(Views, ErrorsAreNullOnlyWhereNothingWentWrong) {
  Value nodes = *run_json(fixed_view(RunState::kFailed), read_inline)->find("nodes");
  EXPECT_TRUE(nodes.find("clean_data")->find("error")->is_null());
  EXPECT_EQ(nodes.find("statistics")->find("error")->dump(),
            R"({"code":"error","message":"ZeroDivisionError: division by zero","node":"statistics","attempt":2,)"
            R"("traceback":"  line 2, in main\n"})");
  EXPECT_EQ(nodes.find("join")->find("error")->find("code")->as_string(), "upstream_failed");
}

TEST(Views, WhatWasPoisonedShowsWhichWorkersWentAwayAndHow) {
  RunView view = fixed_view(RunState::kFailed);
  NodeView& node = view.nodes[1];
  node.reason = Reason::kPoisoned;
  node.error = std::make_shared<const ErrorInfo>(
      ErrorInfo{"lost 2 times",
                "",
                {{1, "w1", from_us(1'000'000), from_us(3'500'000), "worker 'w1' went silent"},
                 {2, "w2", from_us(4'000'000), from_us(5'000'000), "its worker gave it up"}}});
  const Value run = run_json(view, read_inline).value();
  const Value* error = run.find("nodes")->find("statistics")->find("error");
  EXPECT_EQ(error->find("losses")->as_array().at(0).dump(),
            R"({"attempt":1,"worker":"w1","dispatched":"1970-01-01T00:00:01.000000Z",)"
            R"("lost":"1970-01-01T00:00:03.500000Z","how":"worker 'w1' went silent"})");
  const Value schema = Value::parse(read_text("docs/cli-schemas/run.json")).value();
  EXPECT_EQ(schema_mismatch(schema, run), "");
  const std::string text = render_run(view, RunStyle::kNodes, Format::kTable, Console{}, read_inline).value();
  EXPECT_NE(text.find("statistics is poisoned: it was not tried again after these attempts"), std::string::npos)
      << text;
  EXPECT_NE(
      text.find("#2  on w2  from 1970-01-01T00:00:04.000000Z  to 1970-01-01T00:00:05.000000Z  its worker gave it up"),
      std::string::npos)
      << text;
}

TEST(Views, RoundsThatDidNotComeAreLeftOutOfTheTable) {
  RunView view = fixed_view(RunState::kFailed);
  view.nodes[2].id = "loop/4/step";
  view.nodes[2].state = TaskState::kSkipped;
  view.nodes[2].reason = Reason::kUpstreamSkipped;
  const std::string text = render_run(view, RunStyle::kNodes, Format::kTable, Console{}, read_inline).value();
  EXPECT_EQ(text.find("loop/4/step"), std::string::npos) << text;
  EXPECT_NE(text.find("1 nodes of rounds that did not come are left out"), std::string::npos) << text;
}

TEST(Views, ADegradedRunSaysWhoseOutputIsAFallback) {
  RunView view = fixed_view(RunState::kSucceeded);
  view.record.state = RunState::kDegraded;
  view.nodes[1].reason = Reason::kFallback;
  const Value run = run_json(view, read_inline).value();
  EXPECT_EQ(run.find("nodes")->find("statistics")->find("fallback")->dump(), "true");
  EXPECT_EQ(run.find("nodes")->find("join")->find("fallback"), nullptr);
  const Value schema = Value::parse(read_text("docs/cli-schemas/run.json")).value();
  EXPECT_EQ(schema_mismatch(schema, run), "");
  EXPECT_EQ(run_remarks(view, false),
            "note: run " + to_string(fixed_run()) + " succeeded, but degraded: a fallback was used (statistics)\n");
  const std::string text = render_run(view, RunStyle::kNodes, Format::kTable, Console{}, read_inline).value();
  EXPECT_NE(text.find("FALLBACK"), std::string::npos) << text;
}

TEST(Views, WhatAnApprovalAsksAndWhichChildIsWaitedForStandInTheTable) {
  RunView view = fixed_view(RunState::kRunning);
  view.nodes[1].state = view.nodes[2].state = TaskState::kWaiting;
  view.nodes[1].wait_reason = WaitReason::kApproval;
  view.nodes[1].wait_text = "Release 2.1? (for owner), until 2026-01-31T08:00:00Z";
  view.nodes[2].wait_reason = WaitReason::kChild;
  view.nodes[2].child = "k3f7k3f7k3f7k";
  const std::string text = render_run(view, RunStyle::kNodes, Format::kTable, Console{}, read_inline).value();
  EXPECT_NE(text.find("\nwaits for approval (millrace approve RUN NODE):\n"
                      "  statistics: Release 2.1? (for owner), until 2026-01-31T08:00:00Z\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("child k3f7k3f7k3f7k"), std::string::npos) << text;
}

TEST(Views, AnErrorOfALimitCarriesItsName) {
  EXPECT_EQ(error_json(Error{Code::kRefused, "full", {}, "queue_full"}).dump(),
            R"({"error":{"code":"refused","message":"full","details":[],"name":"queue_full"}})");
}

}  // namespace
}  // namespace millrace
