#include "coordinator/core/retention.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t kPartitions = 2;

Time at(std::int64_t seconds) { return from_us(seconds * 1'000'000); }

// Run `n` of a partition: accepted at second n, ended ten seconds later unless it lives.
RunRow row(std::uint16_t partition, std::uint32_t n, const std::string& workflow = "w", bool lives = false) {
  RunRow one;
  one.run = make_run_id(PartitionId{partition}, 1, n);
  one.tenant = "default";
  one.workflow = workflow;
  one.definition = hash128(workflow);
  one.accepted = at(n);
  if (!lives) one.ended = at(n + 10);
  one.epoch = 1;
  return one;
}

struct Sweeping {
  Retention retention;
  std::vector<std::vector<RunRow>> runs{kPartitions};
  std::vector<bool> ours = std::vector<bool>(kPartitions, true);
  std::size_t page = 3;

  explicit Sweeping(RetentionPolicy policy) : retention(policy, kPartitions) {}
  void add(RunRow one) { runs[partition_of(one.run).value].push_back(std::move(one)); }

  std::map<std::string, std::uint64_t> kept() const {
    std::map<std::string, std::uint64_t> sum;
    for (const auto& partition : runs) {
      for (const RunRow& one : partition) {
        if (one.ended != Time{}) ++sum[workflow_key(one.tenant, one.workflow)];
      }
    }
    return sum;
  }
  // One whole sweep, in pages, as a loop drives it: what was chosen is gone when the next page is asked for.
  std::vector<std::uint32_t> sweep(Time now, std::size_t at_most = 1'000) {
    std::vector<std::uint32_t> deleted;
    std::vector<std::vector<RunRow>> before = runs;
    retention.begin();
    for (int rounds = 0; retention.sweeping() && rounds < 1'000; ++rounds) {
      for (const auto& [partition, cursor] : retention.wanted()) {
        const std::size_t from = cursor.empty() ? 0 : std::stoul(cursor);
        const auto& all = before[partition.value];
        const std::size_t to = std::min(all.size(), from + page);
        retention.add(partition,
                      {all.begin() + static_cast<std::ptrdiff_t>(from), all.begin() + static_cast<std::ptrdiff_t>(to)},
                      to == all.size() ? "" : std::to_string(to));
      }
      Retention::Chosen chosen =
          retention.choose(now, at_most, {retention.excess(kept()), [this](PartitionId id) { return ours[id.value]; }});
      for (const RunRow& gone : chosen.deletes) {
        deleted.push_back(static_cast<std::uint32_t>(gone.run.value));
        std::erase(runs[partition_of(gone.run).value], gone);
      }
    }
    EXPECT_FALSE(retention.sweeping());
    return deleted;
  }
};

using Numbers = std::vector<std::uint32_t>;

TEST(Retention, OfAWorkflowTheNewestStayWhereverTheyAre) {
  Sweeping s({.age = Duration::zero(), .count = 4});
  for (std::uint32_t n = 1; n <= 10; ++n) s.add(row(n % 3 == 0 ? 1 : 0, n));
  EXPECT_EQ(s.sweep(at(1'000)), (Numbers{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(s.sweep(at(2'000)), Numbers{});
}

TEST(Retention, EachWorkflowIsCountedForItself) {
  Sweeping s({.age = Duration::zero(), .count = 2});
  for (std::uint32_t n = 1; n <= 8; ++n) s.add(row(0, n, n <= 2 ? "rare" : "often"));
  EXPECT_EQ(s.sweep(at(1'000)), (Numbers{3, 4, 5, 6}));
}

TEST(Retention, ARunThatLivesIsNeitherCountedNorDeleted) {
  Sweeping s({.age = 1s, .count = 1});
  s.add(row(0, 1, "w", true));
  s.add(row(0, 2));
  s.add(row(1, 3, "w", true));
  s.add(row(0, 4));
  EXPECT_EQ(s.sweep(at(100'000)), (Numbers{2, 4}));
}

TEST(Retention, ByAgeCountsTheTimeSinceTheEnd) {
  Sweeping s({.age = 100s, .count = 0});
  for (std::uint32_t n = 1; n <= 5; ++n) s.add(row(0, n));
  s.runs[0][1].ended = at(500);  // accepted early, ended late
  EXPECT_EQ(s.sweep(at(113)), (Numbers{1, 3}));
  EXPECT_EQ(s.sweep(at(113)), Numbers{});
  EXPECT_EQ(s.sweep(at(600)), (Numbers{2, 4, 5}));
}

TEST(Retention, RunsOfPartitionsOfOthersCountAndStay) {
  Sweeping s({.age = Duration::zero(), .count = 2});
  for (std::uint32_t n = 1; n <= 6; ++n) s.add(row(n % 2, n));
  s.ours[1] = false;                               // has 1, 3, 5
  EXPECT_EQ(s.sweep(at(1'000)), (Numbers{2, 4}));  // of the four that are too many
  s.ours[1] = true;
  EXPECT_EQ(s.sweep(at(1'000)), (Numbers{1, 3}));
}

TEST(Retention, WithoutLimitsNothingGoes) {
  Sweeping s({.age = Duration::zero(), .count = 0});
  for (std::uint32_t n = 1; n <= 6; ++n) s.add(row(0, n));
  EXPECT_TRUE(s.retention.policy().keeps_all());
  EXPECT_EQ(s.sweep(at(1'000'000)), Numbers{});
}

TEST(Retention, OneCallLooksAtABoundedNumberOfRuns) {
  Sweeping s({.age = Duration::zero(), .count = 1});
  for (std::uint32_t n = 1; n <= 50; ++n) s.add(row(0, n));
  s.page = 100;
  s.retention.begin();
  s.retention.add(PartitionId{0}, s.runs[0], "");
  s.retention.add(PartitionId{1}, {}, "");
  auto chosen = s.retention.choose(at(1'000), 7, {s.retention.excess(s.kept()), [](PartitionId) { return true; }});
  EXPECT_EQ(chosen.deletes.size(), 7U);
  EXPECT_EQ(chosen.passed, 7U);
  EXPECT_TRUE(s.retention.sweeping());
}

TEST(Kept, CountsWhatStoodThereAndWhatEndsSince) {
  Kept kept;
  RunInfo info;
  info.workflow = "w";
  info.definition = hash128("w");
  kept.accepted(info);
  kept.ended(info);
  RunRow before = row(0, 1);
  kept.found(before, 2);  // of epoch 1, ended under it
  RunRow restored = row(0, 2);
  restored.epoch = 2;  // came from epoch 1, ended under ours: told above
  kept.found(restored, 2);
  RunRow new_one = row(0, 3);
  new_one.run = make_run_id(PartitionId{0}, 2, 3);
  new_one.epoch = 2;  // all of it is ours
  kept.found(new_one, 2);
  kept.counted();
  const std::string key = workflow_key("default", "w");
  EXPECT_EQ(kept.by_workflow().at(key), 2U);
  EXPECT_FALSE(kept.deleted(before));  // 'restored' and our own still use the definition
  EXPECT_FALSE(kept.deleted(restored));
  EXPECT_TRUE(kept.uses(info.definition));
  EXPECT_TRUE(kept.deleted(new_one));
  EXPECT_FALSE(kept.uses(info.definition));
  EXPECT_EQ(kept.take_changed(), (std::vector<std::pair<std::string, std::uint64_t>>{{key, 0}}));
  EXPECT_FALSE(kept.changed());
}

}  // namespace
}  // namespace millrace
