// `millrace doctor` on real clusters: well, and with what is wrong there.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

struct Told {
  int exit_code = -1;
  Value whole;
  bool has(const std::string& severity, const std::string& check, const std::string& words) const {
    for (const Value& problem : at(whole, {"problems"}).as_array()) {
      if (text_at(problem, {"severity"}) == severity && text_at(problem, {"check"}) == check &&
          text_at(problem, {"message"}).find(words) != std::string::npos)
        return true;
    }
    return false;
  }
};

Told doctor(const Cluster& cluster) {
  const Finished finished = cluster.cli({"doctor", "-o", "json"});
  Result<Value> value = Value::parse(finished.out);
  EXPECT_TRUE(value.ok()) << finished.out << finished.err;
  return {finished.exit_code, value.ok() ? *value : Value()};
}

TEST(Doctor, OfAWellClusterSaysSo) {
  Cluster cluster({.coordinators = 2});
  cluster.wait(cluster.submit(cluster.workflow("quick.yaml", kQuick)));
  Told told;
  ASSERT_TRUE(eventually(20s, [&] {
    told = doctor(cluster);
    return told.exit_code == 0 && at(told.whole, {"coordinators"}).as_array().size() == 2;
  })) << told.whole.dump_pretty();
  EXPECT_TRUE(at(told.whole, {"healthy"}).as_bool());
  EXPECT_EQ(at(told.whole, {"coordinators"}).as_array().size(), 2U);
  EXPECT_GT(number_at(at(told.whole, {"coordinators"}).as_array()[0], {"store", "used_bytes"}), 0);
  const Finished text = cluster.cli({"doctor"});
  EXPECT_NE(text.out.find("nothing is wrong: 2 coordinators, 2 workers, 16 partitions"), std::string::npos) << text.out;
}

TEST(Doctor, PartitionsThatChangeHandsAreNotWrong) {
  Cluster cluster({.coordinators = 2});
  const auto owns_some = [&] { return cluster.cli({"partitions"}).out.find("coordinator-2") != std::string::npos; };
  cluster.coordinator(1).kill();
  ASSERT_TRUE(eventually(20s, [&] { return !owns_some(); }));
  cluster.start_coordinator(1);  // it is given half of them
  int left = 20;                 // looks, from then on
  EXPECT_TRUE(eventually(30s, [&] {
    const Told told = doctor(cluster);
    EXPECT_FALSE(told.has("error", "audit", "served by nobody")) << told.whole.dump_pretty();
    left -= owns_some() ? 1 : 0;
    return left <= 0;
  }));
}

TEST(Doctor, NamesWhatIsWrongAndWhatToDo) {
  Cluster cluster({.workers = {}, .append = Append::kNo, .coordinators = 2});
  cluster.submit(cluster.workflow("quick.yaml", kQuick));
  Told told;
  EXPECT_TRUE(eventually(10s, [&] {
    told = doctor(cluster);
    return told.has("error", "capacity", "no worker takes any");
  })) << told.whole.dump_pretty();
  EXPECT_EQ(told.exit_code, 1);
  EXPECT_TRUE(told.has("error", "store", "Redis keeps no append-only file")) << told.whole.dump_pretty();
  cluster.coordinator(1).signal(SIGSTOP);
  EXPECT_TRUE(eventually(10s, [&] {
    told = doctor(cluster);
    return told.has("error", "connectivity", "coordinator-2");
  })) << told.whole.dump_pretty();
  cluster.coordinator(1).signal(SIGCONT);
  const Finished text = cluster.cli({"doctor"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_TRUE(text.out.starts_with("error ")) << text.out;
  EXPECT_NE(text.out.find("-> start millrace-worker"), std::string::npos) << text.out;
}

TEST(Doctor, FindsARedisThatIsGoneAndACoordinatorThatIsNot) {
  Cluster cluster({.workers = {}});
  cluster.redis().kill_now();
  Told told;
  EXPECT_TRUE(eventually(10s, [&] {
    told = doctor(cluster);
    return told.has("error", "connectivity", "has no connection to its store");
  })) << told.whole.dump_pretty();
  EXPECT_EQ(told.exit_code, 1);
  cluster.coordinator().kill();
  EXPECT_EQ(cluster.cli({"doctor", "--timeout", "500ms"}).exit_code, 5);
}

}  // namespace
}  // namespace millrace::test
