// Nodes that wait, as they are written.
#include <gtest/gtest.h>

#include "common/spec/parse.h"

namespace millrace {
namespace {

WaitSpec wait_of(const std::string& node) {
  const Result<WorkflowSpec> spec = parse_workflow("nodes:\n  a: {" + node + "}\n", "f");
  EXPECT_TRUE(spec.ok()) << node << ": " << (spec.ok() ? "" : spec.error().details.at(0).message);
  return spec.ok() && spec->specs[0].flow.wait ? *spec->specs[0].flow.wait : WaitSpec{};
}

std::string problem_of(const std::string& node) {
  const Result<WorkflowSpec> spec = parse_workflow("nodes:\n  a: {" + node + "}\n", "f");
  return spec.ok() ? "" : spec.error().details.at(0).message;
}

TEST(Wait, ForALengthOrUntilAMoment) {
  EXPECT_EQ(wait_of("wait: 10s"), wait_of("wait: {for: 10s}"));
  EXPECT_EQ(wait_of("wait: {for: 10s}").limit, Value("10s"));
  EXPECT_FALSE(wait_of("wait: {for: 10s}").until);
  EXPECT_TRUE(wait_of("wait: {until: '2026-01-31T08:00:00Z'}").until);
  EXPECT_EQ(wait_of("wait: {until: 2026-01-31T08:00:00+01:00}").limit, Value("2026-01-31T08:00:00+01:00"));
  EXPECT_EQ(wait_of("wait: {for: '{{ run.id }}'}").limit, Value("{{ run.id }}"));
  EXPECT_EQ(problem_of("wait: {for: 10}"), "'for' in 'wait' of node 'a' is the number 10");
  EXPECT_EQ(problem_of("wait: {until: 10s}"), "'until' in 'wait' of node 'a' is the text '10s'");
  EXPECT_EQ(problem_of("wait: {}"), "'wait' of node 'a' has neither 'for' nor 'until'");
  EXPECT_EQ(problem_of("wait: {for: 1s, until: '2026-01-31T08:00:00Z'}"),
            "'wait' of node 'a' has both 'for' and 'until'");
  EXPECT_NE(problem_of("wait: {for: '{{ secrets.x }}'}"), "");
  EXPECT_NE(problem_of("wait: 1s, retry: {}"), "");
}

TEST(Wait, ForASignal) {
  EXPECT_EQ(wait_of("signal: go").signal, "go");
  EXPECT_EQ(wait_of("signal: go, timeout: 5m, default: {x: 1}"),
            wait_of("signal: {name: go, timeout: 5m, default: {x: 1}}"));
  EXPECT_EQ(wait_of("signal: go, timeout: 5m, default: {x: 1}").limit, Value("5m"));
  EXPECT_EQ(wait_of("signal: go, timeout: 5m, default: {x: 1}").otherwise->dump(), R"({"x":1})");
  EXPECT_NE(problem_of("signal: {timeout: 5m}"), "");
  EXPECT_NE(problem_of("signal: 'a b'"), "");
  EXPECT_NE(problem_of("signal: [go]"), "");
}

TEST(Wait, ForAnApproval) {
  EXPECT_EQ(wait_of("approval: {}").kind, WaitKind::kApproval);
  EXPECT_EQ(wait_of("approval:").kind, WaitKind::kApproval);
  const WaitSpec wait =
      wait_of("approval: {roles: [boss, owner], deadline: 2d, default: reject, message: 'sure, {{ run.id }}?'}");
  EXPECT_EQ(wait.roles, (std::vector<std::string>{"boss", "owner"}));
  EXPECT_EQ(wait.limit, Value("2d"));
  EXPECT_EQ(wait.decides, ApprovalDefault::kReject);
  EXPECT_EQ(wait.message, Value("sure, {{ run.id }}?"));
  EXPECT_EQ(wait_of("approval: {roles: boss}").roles.size(), 1U);
  EXPECT_NE(problem_of("approval: {default: approve}").find("decides nothing without a 'deadline'"), std::string::npos);
  EXPECT_NE(problem_of("approval: {deadline: 2d, default: maybe}"), "");
  EXPECT_NE(problem_of("approval: {role: boss}"), "");
}

TEST(Retry, SaysWhichFailuresAreTriedAgainAndHowMuchWaitsVary) {
  const auto retry_of = [](const std::string& text) {
    const Result<WorkflowSpec> spec = parse_workflow("nodes: {a: {executor: noop, retry: {" + text + "}}}", "f");
    EXPECT_TRUE(spec.ok()) << text;
    return spec.ok() ? spec->specs[0].retry : RetryPolicy{};
  };
  EXPECT_EQ(retry_of("on: timeout").on, std::vector<std::string>{"timeout"});
  EXPECT_EQ(retry_of("on: [oom, '*try again*']").on, (std::vector<std::string>{"oom", "*try again*"}));
  EXPECT_TRUE(retry_of("max_attempts: 3").on.empty());
  EXPECT_EQ(retry_of("backoff: {initial: 1s, jitter: 0.5}").backoff.jitter, 0.5);
  EXPECT_EQ(retry_of("backoff: {initial: 1s}").backoff.jitter, 0.1);
}

TEST(Limits, AreThoseOfAnAttemptOfANodeAndOfARun) {
  const auto spec = [](const std::string& text) { return parse_workflow(text, "f"); };
  const Result<WorkflowSpec> both = spec(
      "deadline: 2h\ntimeout: 1h\nnodes: {a: {executor: noop, timeout: {attempt: 10s, node: 5m}}, b: {executor: noop, "
      "timeout: 3s}}");
  ASSERT_TRUE(both.ok()) << both.error().details.at(0).message;
  EXPECT_EQ(both->specs[0].timeout, 10s);
  EXPECT_EQ(both->specs[0].limit, 5min);
  EXPECT_EQ(both->specs[1].timeout, 3s);
  EXPECT_EQ(both->specs[1].limit, Duration{});
  EXPECT_EQ(both->deadline, (Deadline{Time{}, 2h}));
  EXPECT_EQ(spec("deadline: 1970-01-01T00:00:01Z\nnodes: {a: {executor: noop}}")->deadline, (Deadline{Time{1s}, {}}));
  const auto problem = [&](const std::string& text) {
    const Result<WorkflowSpec> read = spec(text);
    return read.ok() ? "" : read.error().details.at(0).message;
  };
  EXPECT_EQ(problem("nodes: {a: {executor: noop, timeout: {attempt: 10s, node: 5s}}}"),
            "'timeout' of node 'a' gives one attempt longer than the node");
  EXPECT_EQ(problem("nodes: {a: {executor: noop, timeout: {}}}"), "'timeout' of node 'a' is empty");
  EXPECT_NE(problem("nodes: {a: {executor: noop, timeout: {run: 5s}}}").find("unknown key 'run'"), std::string::npos);
  EXPECT_NE(problem("deadline: soon\nnodes: {a: {executor: noop}}"), "");
}

}  // namespace
}  // namespace millrace
