#include <gtest/gtest.h>

#include <string>

#include "common/spec/parse.h"
#include "common/spec/report.h"
#include "common/zones/zones.h"

namespace millrace {
namespace {

Result<WorkflowSpec> parse(const std::string& triggers, const std::string& inputs = "") {
  return parse_workflow(inputs + "nodes: {a: {executor: noop}}\ntriggers:\n" + triggers, "w.yaml",
                        {zone_exists, zone_names});
}

TriggerSpec one(const std::string& triggers, const std::string& inputs = "") {
  const Result<WorkflowSpec> spec = parse(triggers, inputs);
  EXPECT_TRUE(spec.ok()) << (spec.ok() ? "" : format(spec.error().details.at(0)));
  return spec.ok() && !spec->triggers.empty() ? spec->triggers[0] : TriggerSpec{};
}

std::string problem(const std::string& triggers, const std::string& inputs = "") {
  const Result<WorkflowSpec> spec = parse(triggers, inputs);
  if (spec.ok()) return "none";
  std::string all;
  for (const Problem& one : spec.error().details) all += format(one) + "\n";
  return all;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Triggers, ShortAndLongFormOfAScheduleAreTheSame) {
  EXPECT_EQ(one("  t: {schedule: '0 2 * * *'}"), one("  t: {schedule: {cron: '0 2 * * *'}}"));
  const TriggerSpec plain = one("  t: {schedule: '@daily'}");
  EXPECT_EQ(plain.schedule.timezone, "UTC");
  EXPECT_EQ(plain.schedule.overlap, Overlap::kSkip);
  EXPECT_EQ(plain.schedule.catch_up, CatchUp::kOne);
}

TEST(Triggers, EveryKeyOfAScheduleIsRead) {
  const TriggerSpec read =
      one("  nightly:\n"
          "    schedule:\n"
          "      cron: 30 2 * * MON-FRI\n"
          "      timezone: Europe/Berlin\n"
          "      jitter: 5m\n"
          "      overlap: queue\n"
          "      catch_up: all\n"
          "      catch_up_limit: 7\n"
          "    inputs: {day: \"{{ event.local_time[:10] }}\", n: 3}\n",
          "inputs: {day: string, n: integer}\n");
  EXPECT_EQ(read.name, "nightly");
  EXPECT_EQ(read.schedule,
            (ScheduleSpec{"30 2 * * MON-FRI", "Europe/Berlin", 5min, Overlap::kQueue, CatchUp::kAll, 7}));
  EXPECT_EQ(read.inputs.dump(), R"({"day":"{{ event.local_time[:10] }}","n":3})");
}

TEST(Triggers, AWrongCronIsShownWithItsLineAndTheFieldThatIsWrong) {
  const std::string plain = problem("  t: {schedule: 0 25 * * *}");
  EXPECT_TRUE(plain.starts_with("w.yaml:3:17: '25' is not a hour of cron (in 'schedule' of trigger 't')")) << plain;
  EXPECT_TRUE(problem("  t: {schedule: '0 25 * * *'}").starts_with("w.yaml:3:17: '25' is not a hour of cron"));
  EXPECT_TRUE(has(problem("  t: {schedule: {cron: 0 0 30 2 *}}"), "never comes"));
}

TEST(Triggers, AnUnknownTimeZoneIsRefusedWithTheOneThatWasMeant) {
  const std::string said = problem("  t: {schedule: {cron: '@daily', timezone: Europe/Berlim}}");
  EXPECT_TRUE(said.starts_with("w.yaml:3:44:")) << said;
  EXPECT_TRUE(has(said, "did you mean 'Europe/Berlin'?")) << said;
  EXPECT_TRUE(has(problem("  t: {schedule: {cron: '@daily', timezone: /etc/passwd}}"), "a name of the time zone"));
}

TEST(Triggers, InputsAreHeldToTheDeclarations) {
  const std::string inputs = "inputs: {day: {type: string, required: true}, n: integer}\n";
  EXPECT_TRUE(has(problem("  t: {schedule: '@daily'}", inputs), "gives its runs no 'day', which is required"));
  EXPECT_TRUE(
      has(problem("  t: {schedule: '@daily', inputs: {day: x, m: 1}}", inputs), "names 'm', which the workflow"));
  EXPECT_TRUE(has(problem("  t: {schedule: '@daily', inputs: {day: x, n: one}}", inputs), "a value of type integer"));
  EXPECT_EQ(problem("  t: {schedule: '@daily', inputs: {day: x, n: '{{ event.time | length }}'}}", inputs), "none");
}

TEST(Triggers, ExpressionsSeeTheEventAndNothingElse) {
  const std::string inputs = "inputs: {x: any}\n";
  for (const char* root : {"inputs.x", "nodes.a", "secrets.k", "run.id"}) {
    const std::string said =
        problem("  t: {schedule: '@daily', inputs: {x: '{{ " + std::string(root) + " }}'}}", inputs);
    EXPECT_TRUE(has(said, "starts with event")) << said;
  }
  EXPECT_TRUE(has(problem("  t: {schedule: '@daily', inputs: {x: '{{ event. }}'}}", inputs), "w.yaml:4:"));
}

TEST(Triggers, ARunEndNamesAWorkflowAndPerhapsHowItEnds) {
  EXPECT_EQ(one("  t: {run_end: load}").run_end, (RunEndSpec{"load", {}}));
  const TriggerSpec read =
      one("  t:\n    run_end: {workflow: load, statuses: [failed, cancelled, failed]}\n"
          "    filter: \"{{ event.run.labels.team == 'search' }}\"\n");
  EXPECT_EQ(read.run_end, (RunEndSpec{"load", {RunState::kFailed, RunState::kCancelled}}));
  EXPECT_EQ(read.filter, "{{ event.run.labels.team == 'search' }}");
  EXPECT_TRUE(has(problem("  t: {run_end: w}"), "is the workflow itself"));
  EXPECT_TRUE(has(problem("  t: {run_end: {workflow: load, statuses: done}}"), "one of succeeded, degraded, failed"));
  EXPECT_TRUE(has(problem("  t: {run_end: load, schedule: '@daily'}"), "both 'run_end' and 'schedule'"));
  EXPECT_TRUE(has(problem("  t: {run_end: load, filter: 'x {{ event.run.status }}'}"), "one expression"));
  EXPECT_TRUE(has(problem("  t: {run_end: load, filter: '{{ inputs.x }}'}"), "starts with event"));
}

TEST(Triggers, OtherMistakesNameTheKeyAndTheWayOut) {
  EXPECT_TRUE(has(problem("  t: {scedule: '@daily'}"), "did you mean 'schedule'?"));
  EXPECT_TRUE(has(problem("  t: {inputs: {}}"), "has neither 'schedule' nor 'run_end'"));
  EXPECT_TRUE(has(problem("  t: {schedule: {timezone: UTC}}"), "has no 'cron'"));
  EXPECT_TRUE(has(problem("  t: {schedule: {cron: '@daily', catch_up_limit: 3}}"), "limits nothing"));
  EXPECT_TRUE(has(problem("  t: {schedule: {cron: '@daily', jitter: 25h}}"), "longer than a day"));
  EXPECT_TRUE(has(problem("  t: {schedule: {cron: '@daily', overlap: wait}}"), "one of skip, queue, allow, cancel"));
  std::string many;
  for (int i = 0; i < 65; ++i) many += "  t" + std::to_string(i) + ": {schedule: '@daily'}\n";
  EXPECT_TRUE(has(problem(many), "65 triggers"));
}

TEST(Triggers, EveryKeyOfAWebhookIsRead) {
  const TriggerSpec plain = one("  t: {webhook: SHOP}");
  EXPECT_EQ(plain.webhook, (WebhookSpec{"SHOP"}));
  EXPECT_EQ(plain, one("  t: {webhook: {secret: SHOP, auth: signature}}"));
  const TriggerSpec full =
      one("  t: {webhook: {secret: S, signature: X-Sig, delivery: X-Id, headers: [X-Kind, etag]}}");
  EXPECT_EQ(full.webhook, (WebhookSpec{"S", HookAuth::kSignature, "x-sig", "x-id", {"x-kind", "etag"}}));
  const TriggerSpec bearer = one("  t: {webhook: {secret: S, auth: bearer, delivery: body}}");
  EXPECT_EQ(bearer.webhook->auth, HookAuth::kBearer);
  EXPECT_EQ(bearer.webhook->delivery_header, "");
}

TEST(Triggers, AStreamIsReadAndHoldsNoAddress) {
  EXPECT_EQ(one("  t: {stream: {redis: shop, key: 'orders:{1}'}}").stream, (StreamSpec{"shop", "orders:{1}", false}));
  EXPECT_TRUE(one("  t: {stream: {redis: shop, key: k, start: begin}}").stream->from_begin);
  EXPECT_TRUE(has(problem("  t: {stream: {redis: 'redis://u:p@h', key: k}}"), "--stream-redis"));
  EXPECT_TRUE(has(problem("  t: {stream: {key: k}}"), "needs 'redis' and 'key'"));
}

TEST(Triggers, AKeyspaceIsRead) {
  EXPECT_EQ(one("  t: {keyspace: {redis: shop, pattern: 'cart:*', events: [expired]}}").keyspace,
            (KeyspaceSpec{"shop", "cart:*", {"expired"}}));
  EXPECT_TRUE(has(problem("  t: {keyspace: {redis: shop}}"), "needs 'redis' and 'pattern'"));
}

TEST(Triggers, WhatCollectsEventsIsRead) {
  EXPECT_EQ(one("  t: {webhook: S, debounce: 5s}").collect, (CollectSpec{5s, 50s}));
  EXPECT_EQ(one("  t: {run_end: load, debounce: {pause: 5s, longest: 7s}}").collect, (CollectSpec{5s, 7s}));
  EXPECT_EQ(one("  t: {webhook: S, batch: {max: 100, window: 2s}}").collect, (CollectSpec{{}, {}, 100, 2s}));
  EXPECT_FALSE(one("  t: {webhook: S}").collect.on());
}

TEST(Triggers, AWebhookNeedsASecretAndNeverShowsOne) {
  EXPECT_TRUE(has(problem("  t: {webhook: {auth: bearer}}"), "has no 'secret'"));
  EXPECT_TRUE(has(problem("  t: {webhook: {secret: S, headers: [Authorization]}}"), "which is a secret"));
  EXPECT_TRUE(has(problem("  t: {webhook: {secret: S, auth: bearer, signature: X}}"), "not looked at"));
  EXPECT_TRUE(has(problem("  t: {webhook: S, schedule: '@daily'}"), "both 'webhook' and 'schedule'"));
  EXPECT_TRUE(has(problem("  t: {schedule: '@daily', batch: {max: 2, window: 1s}}"), "a schedule has none"));
  EXPECT_TRUE(has(problem("  t: {webhook: S, debounce: 1s, batch: {max: 2, window: 1s}}"), "one of both"));
  EXPECT_TRUE(has(problem("  t: {webhook: S, debounce: {pause: 5s, longest: 1s}}"), "shorter than 'pause'"));
  EXPECT_TRUE(has(problem("  t: {webhook: S, debounce: 25h}"), "longer than a day"));
}

}  // namespace
}  // namespace millrace
