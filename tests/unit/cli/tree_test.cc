#include "cli/tree.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cli/progress.h"
#include "cli/text.h"
#include "common/graph/dag.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

constexpr Time kStart = from_us(1'000'000'000);

WorkflowSpec diamond() {
  WorkflowSpec spec;
  spec.name = "diamond";
  spec.ids = {"a", "b", "c", "d"};
  spec.specs.resize(4);
  spec.upstream = make_adjacency(4, {{1, 0}, {2, 0}, {3, 1}, {3, 2}});
  return spec;
}

Event event(EventType type, const std::string& node, std::uint32_t attempt = 1) {
  Event e;
  e.run = fixed_run();
  e.type = type;
  e.node = node;
  e.attempt = attempt;
  return e;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

TEST(Tree, NodesHangBelowTheirDeepestUpstreamAndShowStateAndDuration) {
  Tree tree(fixed_run(), "diamond", kStart);
  tree.shape(diamond());
  tree.apply(event(EventType::kTaskRunning, "a"), kStart + 1s);
  tree.apply(event(EventType::kTaskSucceeded, "a"), kStart + 2s);
  tree.apply(event(EventType::kTaskRunning, "b"), kStart + 2s);
  tree.apply(event(EventType::kTaskRunning, "c", 2), kStart + 3s);
  expect_golden("tree.txt", joined(tree.lines(kStart + 4s, {80, 24}, false)));
}

TEST(Tree, MoreNodesThanAScreenAreSummarised) {
  WorkflowSpec wide;
  wide.name = "wide";
  wide.upstream = make_adjacency(100, {});
  wide.specs.resize(1);
  wide.spec_of.assign(100, 0);
  Tree tree(fixed_run(), "wide", kStart);
  tree.shape(wide);
  tree.apply(event(EventType::kTaskFailed, "n7"), kStart + 1s);
  tree.apply(event(EventType::kTaskRunning, "n8"), kStart + 1s);
  std::vector<std::string> lines = tree.lines(kStart + 2s, {80, 24}, false);
  EXPECT_LE(lines.size(), 24U);
  expect_golden("tree_summary.txt", joined(lines));
}

TEST(Tree, WhatEndedStaysEndedWhateverArrivesLate) {
  Tree tree(fixed_run(), "diamond", kStart);
  tree.shape(diamond());
  tree.apply(event(EventType::kTaskSucceeded, "a"), kStart + 1s);
  tree.apply(event(EventType::kTaskRunning, "a"), kStart + 2s);
  RunView old = fixed_view(RunState::kRunning);
  old.nodes = {old.nodes[0]};
  old.nodes[0].id = "a";
  old.nodes[0].state = TaskState::kRunning;
  tree.snapshot(old, kStart + 3s);
  std::string text = joined(tree.lines(kStart + 4s, {80, 24}, false));
  EXPECT_NE(text.find("✔ a         succeeded\n"), std::string::npos) << text;
}

TEST(Tree, LinesFitTheTerminalAndHoldNoControlCharacters) {
  Tree tree(fixed_run(), "evil\x1b[2J" + std::string(300, 'x'), kStart);
  tree.apply(event(EventType::kTaskFailed, "n\x1b[31m" + std::string(100, 'y')), kStart);
  for (const std::string& line : tree.lines(kStart + 1s, {40, 24}, false)) {
    EXPECT_LE(display_width(line), 40U) << line;
    EXPECT_EQ(line.find('\x1b'), std::string::npos) << line;
  }
  for (const std::string& line : tree.lines(kStart + 1s, {40, 24}, true)) {
    EXPECT_EQ(line.find("\x1b[31mn"), std::string::npos);
    EXPECT_EQ(line.find("\x1b[2J"), std::string::npos);
  }
}

TEST(Progress, ATerminalGetsATreeThatIsRedrawnInPlace) {
  std::string err;
  Console console;
  console.err = [&](std::string_view text) { err += text; };
  console.err_terminal = true;
  WorkflowSpec spec = diamond();
  auto progress = make_progress(ProgressKind::kAuto, console, fixed_run(), "diamond", &spec);
  progress->tick();
  std::size_t lines = static_cast<std::size_t>(std::count(err.begin(), err.end(), '\n'));
  progress->tick();  // within 100 ms: nothing
  EXPECT_EQ(static_cast<std::size_t>(std::count(err.begin(), err.end(), '\n')), lines);
  progress->finish(fixed_view(RunState::kSucceeded));
  EXPECT_NE(err.find("\x1b[" + std::to_string(lines) + "A"), std::string::npos);
}

TEST(Progress, ALineTellsWhenWhatAndWhy) {
  Event failed = event(EventType::kTaskRetrying, "a\x1b", 2);
  failed.reason = Reason::kTimeout;
  failed.time = from_us(1'767'225'600'123'000);
  EXPECT_EQ(progress_line(failed), "00:00:00.123  a\\x1b  retrying  attempt 2  timeout");
  EXPECT_EQ(progress_line(event(EventType::kTaskDispatched, "a")), "");
}

TEST(Progress, ARunThatFailsFastSaysOfWhichTaskAndWhy) {
  std::string err;
  Console console;
  console.err = [&](std::string_view text) { err += text; };
  auto progress = make_progress(ProgressKind::kAuto, console, fixed_run(), "diamond", nullptr);
  const auto tell = [&](EventType type, const char* node, Reason reason) {
    Event one = event(type, node);
    one.run = fixed_run();
    one.reason = reason;
    one.time = from_us(1'767'225'600'123'000);
    progress->event(one);
  };
  RunView view = fixed_view(RunState::kFailed);
  RunError error;
  error.code = "error";
  error.node = "a";
  view.record.error = std::make_shared<const RunError>(error);
  tell(EventType::kTaskFailed, "a", Reason::kError);
  tell(EventType::kTaskCancelled, "b", Reason::kFailFast);
  tell(EventType::kRunFailed, "", Reason::kFailFast);
  progress->finish(view);
  EXPECT_EQ(err,
            "00:00:00.123  a  failed  error\n"
            "00:00:00.123  b  cancelled  fail_fast\n"
            "00:00:00.123  run " +
                to_string(fixed_run()) + "  failed  a: error\n");
}

}  // namespace
}  // namespace millrace
