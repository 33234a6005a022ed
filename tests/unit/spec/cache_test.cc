// Values that are kept, as nodes say it.
#include <gtest/gtest.h>

#include "common/spec/parse.h"

namespace millrace {
namespace {

FlowSpec flow_of(const std::string& node) {
  const Result<WorkflowSpec> spec = parse_workflow("nodes:\n  a: {" + node + "}\n", "f");
  EXPECT_TRUE(spec.ok()) << node << ": " << (spec.ok() ? "" : spec.error().details.at(0).message);
  return spec.ok() ? spec->specs[0].flow : FlowSpec{};
}

std::string problem_of(const std::string& node, const std::string& more = "") {
  const Result<WorkflowSpec> spec = parse_workflow("nodes:\n  a: {" + node + "}\n" + more, "f");
  return spec.ok() ? "" : spec.error().details.at(0).message;
}

TEST(Cache, HasAKeyAndATime) {
  EXPECT_EQ(flow_of("executor: noop, cache: {ttl: 1h}").cache, (CacheSpec{{}, 1h}));
  EXPECT_EQ(flow_of("executor: noop, cache: {key: '{{ run.workflow }}', ttl: 1h}").cache,
            (CacheSpec{Value("{{ run.workflow }}"), 1h}));
  EXPECT_EQ(flow_of("executor: noop, cache: {key: {a: '{{ run.id }}'}, ttl: 2d}").cache->key->dump(),
            R"({"a":"{{ run.id }}"})");
  EXPECT_EQ(problem_of("executor: noop, cache: {key: x}"), "'cache' of node 'a' has no 'ttl'");
  EXPECT_EQ(problem_of("executor: noop, cache: 1h"), "'cache' of node 'a' is the text '1h'");
  EXPECT_EQ(problem_of("executor: noop, cache: {ttl: 0s}"), "'ttl' in 'cache' of node 'a' is the text '0s'");
  EXPECT_EQ(problem_of("executor: noop, cache: {ttl: 1h, keep: 2h}"), "unknown key 'keep' in 'cache' of node 'a'");
  EXPECT_NE(problem_of("executor: noop, cache: {key: '{{ secrets.x }}', ttl: 1h}"), "");
}

TEST(Cache, MakesTheNodesOfItsKeyUpstream) {
  const Result<WorkflowSpec> spec = parse_workflow(
      "nodes:\n  a: {executor: noop}\n  b: {executor: noop, cache: {key: '{{ nodes.a.x }}', ttl: 1s}}\n", "f");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->upstream.of(1).size(), 1U);
}

TEST(Cache, MayStandInForAFailure) {
  EXPECT_TRUE(flow_of("executor: noop, cache: {ttl: 1h}, fallback: cached").fallback_cached);
  EXPECT_TRUE(flow_of("executor: noop, cache: {ttl: 1h}, fallback: {cached: true}").fallback_cached);
  EXPECT_FALSE(flow_of("executor: noop, cache: {ttl: 1h}, fallback: {cached: false}").fallback_cached);
  EXPECT_EQ(problem_of("executor: noop, fallback: cached"),
            "node 'a' falls back to what is cached, and has no 'cache'");
  EXPECT_EQ(problem_of("executor: noop, cache: {ttl: 1h}, fallback: {cached: true, value: 1}"),
            "'fallback' of node 'a' has more than one of 'value', 'node' and 'cached'");
  EXPECT_EQ(problem_of("executor: noop, cache: {ttl: 1h}, fallback: other"),
            "'fallback' of node 'a' is the text 'other'");
}

TEST(Cache, IsOfOneTaskThatWaitsForAllItSees) {
  EXPECT_EQ(problem_of("executor: noop, foreach: [1], cache: {key: '{{ item }} {{ index }}', ttl: 1h}"), "");
  EXPECT_NE(problem_of("executor: noop, cache: {key: '{{ item }}', ttl: 1h}"), "");
  EXPECT_EQ(problem_of("executor: noop, foreach: [1], collect: false, cache: {ttl: 1h}"),
            "node 'a' has a 'cache', and 'collect: false' says that nothing of its items is kept");
  EXPECT_EQ(problem_of("executor: noop, foreach: [1], cache: {ttl: 1h}, fallback: cached"), "");
  EXPECT_EQ(problem_of("value: 1, cache: {ttl: 1h}"), "unknown key 'cache' in node 'a', which has a 'value'");
  EXPECT_NE(problem_of("executor: workflow, workflow: w, cache: {ttl: 1h}"), "");
  const std::string before = "  b: {executor: noop}\n  c: {executor: noop}\n";
  EXPECT_EQ(problem_of("executor: noop, depends_on: [b, c], join: any, cache: {ttl: 1h}", before),
            "node 'a' has a 'cache' without a 'key', and does not wait for all that it sees");
  EXPECT_EQ(problem_of("executor: noop, depends_on: [b, c], join: any, cache: {key: 1, ttl: 1h}", before), "");
}

}  // namespace
}  // namespace millrace
