// `millrace store`: what it prints, finds, repairs, copies and refuses, against a Redis of its own.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "coordinator/shell/redis_keys.h"
#include "tests/unit/cli/support.h"
#include "tests/unit/store/store_world.h"

namespace millrace {
namespace {

using namespace test;

std::string read_file_here(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class StoreVerb : public ::testing::Test {
 protected:
  StoreVerb() {
    auto store = place_.connect_redis();
    EXPECT_TRUE(take(*store).taken);
    std::uint64_t number = 0;
    const std::string definition = "nodes: {}";
    for (std::uint32_t n = 1; n <= 3; ++n) {
      runs_.push_back(TestRun(run_id(n), 40));
      TestRun& run = runs_.back();
      run.info().definition = hash128(definition);
      Event accepted = run.event(EventType::kRunAccepted);
      TurnCommit turn = turn_of(++number, {run.accept()}, {accepted});
      turn.partitions[0].definitions = {{hash128(definition), std::make_shared<const std::string>(definition)}};
      EXPECT_EQ(result_of(commit(*store, turn)), CommitResult::kApplied);
      EXPECT_EQ(result_of(commit(*store, turn_of(++number, {run.succeed(0, 40)}))), CommitResult::kApplied);
    }
  }

  int store(std::vector<std::string> words, const std::string& url = "") {
    words.insert(words.begin(), "store");
    words.insert(words.end(), {"--redis", url.empty() ? place_.server().url() : url});
    return cli_.run(words);
  }
  void expect_shape() {
    Value schema = Value::parse(read_text("docs/cli-schemas/store.json")).value();
    EXPECT_EQ(schema_mismatch(schema, Value::parse(cli_.out).value()), "") << cli_.out;
  }
  std::string scrubbed(std::string text, const std::string& file = "") {
    const auto replace = [&](const std::string& what, const std::string& by) {
      for (std::size_t at = 0; !what.empty() && (at = text.find(what, at)) != std::string::npos; at += by.size())
        text.replace(at, what.size(), by);
    };
    replace(place_.server().url(), "redis://REDIS");
    replace(file, "FILE");
    return text;
  }
  void damage_run_two() { place_.raw({"HSET", run_key(run_id(2)), "4", "not what was written"}); }
  std::string file(const std::string& name) { return place_.server().directory() + "/" + name; }

  RedisPlace place_;
  std::vector<TestRun> runs_;
  Cli cli_;
};

TEST_F(StoreVerb, EveryActionPrintsWhatItsGoldenShows) {
  for (const std::string format : {"table", "wide", "json", "jsonl", "yaml", "name"}) {
    const auto golden = [&](const std::string& action, int code, const std::string& file = "") {
      EXPECT_EQ(cli_.code, code) << action << " " << format << " " << cli_.err;
      if (format == "json") expect_shape();
      expect_golden("store_" + action + "." + format, scrubbed(cli_.out, file));
    };
    store({"check", "-o", format});
    golden("check", 0);
  }
  damage_run_two();
  for (const std::string format : {"table", "wide", "json", "jsonl", "yaml", "name"}) {
    store({"check", "-o", format});
    EXPECT_EQ(cli_.code, 1);
    if (format == "json") expect_shape();
    expect_golden("store_check_damaged." + format, scrubbed(cli_.out));
  }
  EXPECT_EQ(store({"repair", "-o", "json"}), 0) << cli_.err;
  expect_shape();
  expect_golden("store_repair.json", scrubbed(cli_.out));
  EXPECT_EQ(store({"repair"}), 0);
  expect_golden("store_repair_nothing.table", scrubbed(cli_.out));
}

TEST_F(StoreVerb, EachKindOfDamageIsFoundWithItsPlaceAndRepairedWhereItCanBe) {
  const std::string active = partition_key(kPartition, "active");
  damage_run_two();
  place_.raw({"ZREM", active, to_string(run_id(1))});
  place_.raw({"ZADD", active, "5", to_string(run_id(9))});
  place_.raw({"HSET", partition_key(kPartition, "keys"), "broken", "entry"});
  EXPECT_EQ(store({"check", "-o", "json"}), 1);
  for (const std::string& said : {run_key(run_id(2)), "does not list run " + to_string(run_id(1)),
                                  "lists run " + to_string(run_id(9)), std::string("an idempotency key")})
    EXPECT_NE(cli_.out.find(said), std::string::npos) << said << "\n" << cli_.out;
  EXPECT_EQ(store({"repair"}), 0) << cli_.out << cli_.err;
  EXPECT_EQ(store({"check"}), 0) << cli_.out;
  EXPECT_EQ(place_.integer({"EXISTS", partition_key(kPartition, "damaged:") + to_string(run_id(2))}), 1)
      << "what cannot be read is set aside, not thrown away";
  EXPECT_FALSE(place_.raw({"ZSCORE", active, to_string(run_id(1))}).is_nil());
  EXPECT_EQ(place_.raw({"HGET", partition_key(kPartition, "owner"), "owner"}).text, "") << "free for whoever starts";
}

TEST_F(StoreVerb, DamagedEventsAndAMissingDefinitionAreFound) {
  const std::string events = partition_key(kPartition, "events");
  place_.raw({"XDEL", events, "1-1"});
  place_.raw({"XADD", events, "1-99", "e", "nothing"});
  place_.raw({"DEL", definition_key(kPartition, runs_[0].info().definition)});
  EXPECT_EQ(store({"check", "-o", "json"}), 1);
  for (const char* said :
       {"has no events of run", "entry 1-99", "is not there, and runs or a registered workflow need it", "at commit 6"})
    EXPECT_NE(cli_.out.find(said), std::string::npos) << said << "\n" << cli_.out;
}

TEST_F(StoreVerb, ABackupRestoresEverythingIntoAnEmptyStore) {
  const std::string copy = file("copy");
  ASSERT_EQ(store({"backup", copy, "-o", "json"}), 0) << cli_.err;
  expect_shape();
  RedisPlace other;
  ASSERT_EQ(store({"restore", copy, "-o", "json"}, other.server().url()), 0) << cli_.err;
  expect_shape();
  EXPECT_EQ(other.integer({"DBSIZE"}), place_.integer({"DBSIZE"}));
  EXPECT_EQ(store({"check"}, other.server().url()), 0) << cli_.out;
  auto restored = other.connect_redis();
  for (TestRun& run : runs_) expect_stored(*ask_for<RunAnswer>(*restored, LoadRun{run.info().run}).run, run);

  EXPECT_EQ(store({"restore", copy}, other.server().url()), 7) << "it is not empty";
  EXPECT_NE(cli_.err.find("not empty"), std::string::npos) << cli_.err;
  EXPECT_EQ(store({"restore", copy, "--force"}, other.server().url()), 0) << cli_.err;
}

TEST_F(StoreVerb, ABackupThatIsDamagedOrCutShortIsNotRestored) {
  const std::string copy = file("copy");
  ASSERT_EQ(store({"backup", copy}), 0) << cli_.err;
  const std::string whole = read_file_here(copy);
  RedisPlace other;
  for (const std::size_t at : {whole.size() / 3, whole.size() / 2}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    std::ofstream(copy, std::ios::binary) << changed;
    EXPECT_EQ(store({"restore", copy}, other.server().url()), 2);
    std::ofstream(copy, std::ios::binary) << whole.substr(0, at);
    EXPECT_EQ(store({"restore", copy}, other.server().url()), 2);
    EXPECT_NE(cli_.err.find("ends in the middle"), std::string::npos) << cli_.err;
    EXPECT_EQ(other.integer({"DBSIZE"}), 0);
  }
}

TEST_F(StoreVerb, WhatCannotBeIsNamed) {
  RedisPlace empty;
  EXPECT_EQ(store({"check"}, empty.server().url()), 3);
  EXPECT_NE(cli_.err.find("holds no Millrace cluster"), std::string::npos) << cli_.err;
  EXPECT_EQ(store({"check"}, "unix:///nowhere.sock"), 5);
  EXPECT_EQ(store({"backup"}), 2);
  EXPECT_EQ(store({"check", "--force"}), 2);
  EXPECT_EQ(store({"restore", "/nowhere"}), 3);
  EXPECT_EQ(store({"check"}, "rediss://host"), 2);
  EXPECT_NE(cli_.err.find("TLS"), std::string::npos) << cli_.err;
}

}  // namespace
}  // namespace millrace
