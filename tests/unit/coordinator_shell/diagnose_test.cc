#include "coordinator/shell/diagnose.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace {
namespace {

CoordinatorHealth well() {
  CoordinatorHealth h;
  h.name = "c1";
  h.store_up = true;
  h.function_version = 4;
  h.format = 1;
  h.store.kind = "redis";
  h.store.role = "master";
  h.store.format = 1;
  h.store.function_version = 4;
  h.store.appendonly = "yes";
  h.store.appendfsync = "everysec";
  h.store.eviction = "noeviction";
  h.store.answered = 1ms;
  h.partitions = h.owned = 16;
  h.workers_ready = 2;
  h.slots = 8;
  h.limits = {{"runs", 79, 100}, {"tasks", 5, 1000}, {"bytes", 0, 0}};
  return h;
}

// "severity check: message" of each, in order.
std::vector<std::string> said_of(CoordinatorHealth h) {
  diagnose(h);
  std::vector<std::string> said;
  for (const Finding& finding : h.findings) {
    said.push_back(finding.severity + " " + finding.check + ": " + finding.message);
    EXPECT_FALSE(finding.action.empty()) << finding.message;
  }
  return said;
}
using Said = std::vector<std::string>;

TEST(Diagnose, OfAWellCoordinatorSaysNothing) { EXPECT_EQ(said_of(well()), Said{}); }

TEST(Diagnose, HoldsRedisAgainstWhatWasAskedOfIt) {
  CoordinatorHealth h = well();
  h.store.durability = "always";
  EXPECT_EQ(said_of(h), Said{"error store: --durability always was asked for, and Redis syncs its file 'everysec'"});
  h.store.appendfsync = "always";
  EXPECT_EQ(said_of(h), Said{});
  h.store.durability = "replicated";
  EXPECT_EQ(said_of(h), Said{"error store: --durability replicated was asked for, and Redis has no replica"});
  h.store.replicas = 1;
  EXPECT_EQ(said_of(h), Said{});
  h = well();
  h.store.appendonly = "no";
  EXPECT_EQ(said_of(h), Said{"warning store: Redis keeps no append-only file: its crash loses everything"});
  h.store.durability = "everysec";
  h.store.save = "3600 1";
  EXPECT_EQ(said_of(h),
            Said{"error store: Redis keeps no append-only file: its crash loses all since its last snapshot, "
                 "and --durability everysec was asked for"});
  h.store.durability = "memory";
  EXPECT_EQ(said_of(h), Said{}) << "as it was wanted";
}

TEST(Diagnose, SaysWhenRedisMayThrowAwayOrRefuseWhatItIsGiven) {
  CoordinatorHealth h = well();
  h.store.max_bytes = 100 << 20U;
  h.store.used_bytes = 85 << 20U;
  EXPECT_EQ(said_of(h), Said{"warning capacity: Redis uses 85 MiB of 100 MiB"});
  h.store.eviction = "allkeys-lru";
  EXPECT_EQ(said_of(h)[0],
            "error configuration: Redis may throw away state of runs when its memory is full (maxmemory-policy "
            "allkeys-lru)");
}

TEST(Diagnose, WithoutAStoreThatIsAllThatIsSaidOfIt) {
  CoordinatorHealth h = well();
  h.store_up = false;
  h.store = {};
  h.awaited = 3;
  EXPECT_EQ(said_of(h), (Said{"error connectivity: coordinator 'c1' has no connection to its store",
                              "error audit: 3 of 16 partitions are served by nobody that 'c1' knows of"}));
}

TEST(Diagnose, LimitsAreToldBeforeTheyAreReached) {
  CoordinatorHealth h = well();
  h.limits[0].used = 80;
  EXPECT_EQ(said_of(h), Said{"warning capacity: coordinator 'c1': 80 of 100 runs: submissions will be refused soon"});
  h.limits[0].used = 100;
  EXPECT_EQ(said_of(h),
            Said{"error capacity: coordinator 'c1': 100 of 100 runs: submissions are refused (queue_full)"});
}

TEST(Diagnose, WorkersAreWantedWhereTasksWait) {
  CoordinatorHealth h = well();
  h.workers_ready = 0;
  h.slots = 0;
  EXPECT_EQ(said_of(h), Said{"warning capacity: no worker takes tasks"});
  h.ready = 12;
  EXPECT_EQ(said_of(h), Said{"error capacity: 12 tasks are ready and no worker takes any"});
  h = well();
  h.ready = 900;
  h.workers_silent = 1;
  EXPECT_EQ(said_of(h),
            (Said{"warning capacity: 900 tasks wait for 8 slots", "warning connectivity: 1 workers are silent"}));
}

TEST(Diagnose, VersionsOfFunctionsAndOfWhatIsStoredMustFit) {
  CoordinatorHealth h = well();
  h.store.function_version = 3;
  EXPECT_EQ(said_of(h), Said{"error versions: the function library in Redis is version 3, version 4 is needed"});
  h.store.function_version = 5;  // of a newer coordinator: it knows what older ones say
  EXPECT_EQ(said_of(h), Said{});
  h.store.format = 2;
  EXPECT_EQ(said_of(h), Said{"error versions: the store was written by a newer Millrace: format 2"});
}

TEST(Diagnose, WhatTheAuditPutRightIsANoteAndWhatItCouldNotAnError) {
  CoordinatorHealth h = well();
  h.audit = {1'000, 2, 2};
  EXPECT_EQ(said_of(h),
            Said{"note audit: since coordinator 'c1' began: 2 things in nobody's hands, 2 of them put right"});
  h.audit.repaired = 1;
  EXPECT_TRUE(said_of(h)[0].starts_with("error audit"));
}

TEST(Diagnose, TheWorstComesFirst) {
  CoordinatorHealth h = well();
  h.audit = {1, 1, 1};
  h.limits[0].used = 90;
  h.store.role = "slave";
  h.store.answered = 80ms;
  std::vector<std::string> severities;
  for (const std::string& line : said_of(h)) severities.push_back(line.substr(0, line.find(' ')));
  EXPECT_EQ(severities, (Said{"error", "warning", "warning", "note"}));
}

}  // namespace
}  // namespace millrace
