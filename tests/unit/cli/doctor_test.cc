#include "cli/doctor.h"

#include <gtest/gtest.h>

#include "cli/console.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

Time at(std::int64_t ms) { return from_us(1'790'000'000'000'000 + ms * 1000); }

CoordinatorHealth coordinator(const std::string& name, std::int64_t ms = 20) {
  CoordinatorHealth h;
  h.name = name;
  h.version = "0.1.0";
  h.endpoint = "tcp://" + name + ":5711";
  h.protocol = 1;
  h.function_version = 4;
  h.format = 1;
  h.now = at(ms);
  h.store_up = true;
  h.store.kind = "redis";
  h.store.version = "7.0.15";
  h.store.mode = "standalone";
  h.store.role = "master";
  h.store.answered = 420us;
  h.store.format = 1;
  h.store.function_version = 4;
  h.store.used_bytes = 1'234'567;
  h.store.eviction = "noeviction";
  h.store.appendonly = "yes";
  h.store.appendfsync = "everysec";
  h.partitions = 16;
  h.owned = 8;
  h.slots = 8;
  h.workers_ready = 2;
  h.limits = {{"runs", 3, 1'000'000}, {"tasks", 12, 50'000'000}, {"bytes", 2'048, 8'589'934'592}};
  h.audit = {512, 0, 0};
  return h;
}

Examination two() {
  Examination e;
  e.version = "0.1.0";
  e.asked = at(0);
  e.answered = at(40);
  e.health.coordinators = {coordinator("c1"), coordinator("c2", 25)};
  for (const char* name : {"c1", "c2"}) {
    CoordinatorView view;
    view.name = name;
    view.endpoint = std::string("tcp://") + name + ":5711";
    view.state = "ready";
    e.coordinators.coordinators.push_back(view);
  }
  for (std::uint32_t i = 0; i < 16; ++i) {
    PartitionView view;
    view.partition = i;
    view.owner = i % 2 == 0 ? "c1" : "c2";
    view.state = "serving";
    e.partitions.partitions.push_back(view);
  }
  WorkerView worker;
  worker.name = "w1";
  worker.version = "0.1.0";
  worker.state = "ready";
  e.workers.workers = {worker};
  return e;
}

std::vector<std::string> said_of(const Examination& e) {
  std::vector<std::string> said;
  for (const Finding& finding : findings_of(e))
    said.push_back(finding.severity + " " + finding.check + ": " + finding.message);
  return said;
}
using Said = std::vector<std::string>;

TEST(Doctor, OfAWellClusterSaysThatNothingIsWrong) {
  const Examination e = two();
  EXPECT_EQ(said_of(e), Said{});
  EXPECT_TRUE(is_well(findings_of(e)));
  EXPECT_EQ(doctor_text(e, {}, false), "nothing is wrong: 2 coordinators, 1 worker, 16 partitions\n");
}

TEST(Doctor, NamesCoordinatorsThatDoNotAnswer) {
  Examination e = two();
  e.health.coordinators.pop_back();
  EXPECT_EQ(said_of(e), Said{"error connectivity: coordinator 'c2' at tcp://c2:5711 does not answer the others"});
  e.coordinators.coordinators[1].state = "silent";
  EXPECT_EQ(said_of(e), Said{"error connectivity: coordinator 'c2' at tcp://c2:5711 is silent"});
  EXPECT_FALSE(is_well(findings_of(e)));
}

TEST(Doctor, ClocksAreHeldAgainstOursAndAgainstEachOther) {
  Examination e = two();
  e.health.coordinators[1].now = at(40 + 1'999);
  EXPECT_EQ(said_of(e), Said{}) << "as far as it could take";
  e.health.coordinators[1].now = at(7'200'040);
  EXPECT_EQ(said_of(e), (Said{"warning clock: the clock of coordinator 'c2' is 2h00m ahead of this machine's",
                              "warning clock: the clocks of coordinators 'c1' and 'c2' differ by 2h00m"}));
  e.health.coordinators[0].now = at(7'200'041);  // ours is wrong
  e.health.coordinators[1].now = at(7'200'040);
  EXPECT_EQ(said_of(e).size(), 2U);
}

TEST(Doctor, PartitionsOfNobodyAreErrors) {
  Examination e = two();
  e.partitions.partitions[3].state = "silent";
  e.partitions.partitions[4].state = "free";
  e.partitions.partitions[4].owner = "";
  EXPECT_EQ(said_of(e), (Said{"error audit: partition 3 belongs to 'c2', which is silent",
                              "error audit: partition 4 is nobody's"}));
}

TEST(Doctor, AnUpgradeUnderWayIsANoteUntilProtocolsDiffer) {
  Examination e = two();
  e.health.coordinators[1].version = "0.2.0";
  EXPECT_EQ(said_of(e), Said{"note versions: coordinators of versions 0.1.0, 0.2.0 run side by side"});
  EXPECT_TRUE(is_well(findings_of(e)));
  e.health.coordinators[1].protocol = 2;
  EXPECT_EQ(said_of(e)[0], "error versions: the coordinators speak different protocols");
  EXPECT_FALSE(is_well(findings_of(e)));
  e = two();
  e.workers.workers[0].version = "0.0.9";
  EXPECT_EQ(said_of(e), Said{"note versions: workers are of versions 0.0.9, the coordinators of 0.1.0"});
}

TEST(Doctor, WhatSeveralSayOfTheSameStoreIsSaidOnceAndTheWorstFirst) {
  Examination e = two();
  const Finding slow{"warning", "store", "redis", "Redis is slow", "look"};
  e.health.coordinators[0].findings = {slow};
  e.health.coordinators[1].findings = {slow, {"error", "capacity", "workers", "no worker", "start one"}};
  EXPECT_EQ(said_of(e), (Said{"error capacity: no worker", "warning store: Redis is slow"}));
  const std::vector<Finding> findings = findings_of(e);
  expect_golden("doctor.table", doctor_text(e, findings, false));
  const Value json = doctor_json(e, findings);
  expect_golden("doctor.json", json.dump_pretty() + "\n");
  Result<Value> schema = Value::parse(read_text("docs/cli-schemas/doctor.json"));
  ASSERT_TRUE(schema.ok());
  EXPECT_EQ(schema_mismatch(*schema, json), "");
}

}  // namespace
}  // namespace millrace
