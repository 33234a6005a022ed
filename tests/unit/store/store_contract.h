// Store contract: what every implementation of the Store port holds, as a suite over the stores that there are. The
// tests stand in contract_*_test.cc, by theme.
//
// Promises: each test begins with an empty store. A Redis Cluster is started once a process.
#pragma once

#include "tests/support/redis_group.h"
#include "tests/unit/store/store_world.h"

namespace millrace::test {

class RedisClusterPlace : public Place {
 public:
  RedisClusterPlace() {
    for (std::size_t i = 0; i < 3; ++i) group().node(i).raw({"FLUSHALL", "SYNC"});
  }
  std::unique_ptr<Store> connect() override {
    RedisStoreOptions options;
    options.target = RedisTarget::parse(group().url()).value();
    auto store = RedisStore::open(options);
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().what);
    return store.ok() ? std::move(*store) : nullptr;
  }

 private:
  static ClusterGroup& group() {
    static ClusterGroup servers;
    static const std::string trouble = servers.start();
    EXPECT_EQ(trouble, "");
    return servers;
  }
};

class StoreContract : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string_view kind = GetParam();
    if (kind == "memory") place_ = std::make_unique<MemoryPlace>();
    else if (kind == "cluster") place_ = std::make_unique<RedisClusterPlace>();
    else place_ = std::make_unique<RedisPlace>();
    store_ = place_->connect();
    ASSERT_NE(store_, nullptr);
  }
  Store& store() { return *store_; }
  std::unique_ptr<Store> another() { return place_->connect(); }

  CommitResult commit_one(std::uint64_t number, std::vector<RunWrite> runs, std::vector<Event> events = {}) {
    return result_of(commit(store(), turn_of(number, std::move(runs), std::move(events))));
  }
  // Accepts a run in commit `number`.
  TestRun accepted(std::uint64_t number, std::uint32_t n, std::uint32_t tasks_total = 1) {
    TestRun run(run_id(n), tasks_total);
    EXPECT_EQ(commit_one(number, {run.accept()}), CommitResult::kApplied);
    return run;
  }
  std::vector<std::string> listed(const FindRuns& find) {
    std::vector<std::string> ids;
    FindRuns next = find;
    for (int pages = 0; pages < 100; ++pages) {
      RunsAnswer answer = ask_for<RunsAnswer>(store(), next);
      for (const RunSummary& run : answer.runs) ids.push_back(to_string(run.run));
      if (answer.next.empty()) return ids;
      next.query.page = answer.next;
    }
    ADD_FAILURE() << "paging does not end";
    return ids;
  }

 private:
  std::unique_ptr<Place> place_;
  std::unique_ptr<Store> store_;
};

}  // namespace millrace::test
