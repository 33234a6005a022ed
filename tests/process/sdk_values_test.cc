// What workers written with the SDKs take in and hand over that is large or secret, against real coordinators.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/process/sdk_worker.h"

namespace millrace::test {
namespace {

class SdkValues : public Sdk {};

constexpr std::string_view kMake = R"yaml(
executors: [make, count]
inputs: {size: {type: integer, default: 5000000}}
nodes:
  make: {executor: make, with: {size: "{{ inputs.size }}"}}
  count: {executor: count, with: {text: "{{ nodes.make.text }}"}}
outputs:
  made: "{{ nodes.make.size }}"
  counted: "{{ nodes.count }}"
)yaml";

TEST_P(SdkValues, LargeValuesComeByReferenceAndSecretsStayUnseen) {
  Cluster cluster;
  Program worker = start(cluster, "p1", {{"MILLRACE_SECRET_API_KEY", "hush-hush-12345"}});
  ASSERT_TRUE(cluster.wait_for_workers(3)) << worker.err();
  const std::string file = cluster.workflow("measure", R"yaml(
executors: [measure]
inputs: {who: {type: string, default: "a <tester>"}}
nodes:
  big: {executor: shell, script: "head -c 300000 /dev/zero | tr '\\0' x"}
  begin: {set: {mark: y}}
  m:
    depends_on: begin
    executor: measure
    with: {text: "{{ vars.mark }}{{ nodes.big.stdout }}", key: "{{ secrets.API_KEY }}"}
outputs:
  m: "{{ nodes.m }}"
  run: "{{ run.id }}"
)yaml");

  const std::string run = cluster.submit(file);
  Value ended = cluster.wait(run);

  EXPECT_EQ(number_at(ended, {"outputs", "m", "length"}), 300001) << ended.dump().substr(0, 2000);
  EXPECT_EQ(text_at(ended, {"outputs", "m", "first"}), "x");
  EXPECT_EQ(text_at(ended, {"outputs", "m", "key"}), "***");
  EXPECT_EQ(text_at(ended, {"outputs", "m", "run"}), run);
  const Finished logs = cluster.cli({"logs", run, "m"});
  EXPECT_NE(logs.out.find("the key is ***"), std::string::npos) << logs.out;
  EXPECT_NE(logs.out.find("from a <tester>"), std::string::npos) << logs.out;
  EXPECT_EQ((ended.dump() + logs.out + worker.out() + worker.err()).find("hush-hush"), std::string::npos);
}

TEST_P(SdkValues, ALargeResultAndFilesGoInPartsAndComeBackAsTheyWere) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();

  const std::string run = cluster.submit(cluster.workflow("make", kMake));
  Value ended = cluster.wait(run);

  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump().substr(0, 2000) << worker.err();
  EXPECT_EQ(number_at(ended, {"outputs", "counted", "length"}), 5'000'000) << worker.err();
  EXPECT_EQ(number_at(ended, {"outputs", "counted", "sevens"}), 500'000);
  const Value listed = cluster.json({"artifacts", run});
  EXPECT_EQ(at(listed, {"artifacts"}).as_array().size(), 3U) << listed.dump();
  const std::string out = cluster.scratch().file("out");
  const Finished download = cluster.cli({"artifacts", run, "--download", out});
  ASSERT_EQ(download.exit_code, 0) << download.err;
  std::string digits;
  for (int i = 0; i < 500'000; ++i) digits += "0123456789";
  EXPECT_EQ(read_file(out + "/make/words.txt"), "a few words\n");
  EXPECT_TRUE(read_file(out + "/make/digits.bin") == digits);
  EXPECT_EQ(read_file(out + "/make/nothing"), "");
  const Finished check = cluster.cli({"store", "check", "--redis", cluster.redis().url(), "-o", "json"});
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
  EXPECT_EQ(problem_of_history(cluster.rows({"events", run})), "");
}

constexpr std::string_view kOrder = R"yaml(
executors: [order]
nodes:
  rows:
    foreach: {from: 0, to: 4000}
    executor: python
    isolation: none
    script: "output = {'n': index, 'text': 'x' * 1500}"
  seen: {executor: order, with: {rows: "{{ nodes.rows }}"}}
  some: {executor: order, with: {rows: "{{ nodes.rows[0:10] }}"}, depends_on: rows}
outputs:
  seen: "{{ nodes.seen }}"
  some: "{{ nodes.some }}"
)yaml";

TEST_P(SdkValues, TheLargeOutputOfAFanOutIsAListInOrder) {
  Cluster cluster;
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(3)) << worker.err();

  const Value ended = cluster.wait(cluster.submit(cluster.workflow("order", kOrder)));

  EXPECT_EQ(at(ended, {"outputs", "seen"}).dump(),
            R"({"count":4000,"ordered":true,"last":3999,"characters":6000000,"same":true})")
      << ended.dump().substr(0, 2000);
  EXPECT_EQ(at(ended, {"outputs", "some"}).dump(),
            R"({"count":10,"ordered":true,"last":9,"characters":15000,"same":false})");
}

TEST_P(SdkValues, WhatIsOnItsWayOutlivesTheCoordinatorThatItBeganWith) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  const std::string run = cluster.submit(cluster.workflow("make", kMake), {"-i", "size=40000000"});
  const auto parts = [&] {
    return run_program({"redis-cli", "-s", cluster.redis().path(), "--scan", "--pattern", "mr:part:*"}).out;
  };
  ASSERT_TRUE(eventually(30s, [&] { return !parts().empty(); })) << worker.err();

  cluster.coordinator().kill();
  cluster.start_coordinator();

  Value ended = cluster.wait(run, 90s);
  EXPECT_EQ(number_at(ended, {"outputs", "counted", "length"}), 40'000'000)
      << ended.dump().substr(0, 2000) << worker.err();
  EXPECT_EQ(number_at(ended, {"nodes", "make", "attempts"}), 1) << worker.err();
  EXPECT_EQ(at(cluster.json({"artifacts", run}), {"artifacts"}).as_array().size(), 3U);
}

TEST_P(SdkValues, AnItemHandsOverNoFileAndAFileThatCannotBeSaysWhy) {
  Cluster cluster({.workers = {}});
  Program worker = start(cluster, "p1");
  const std::string file = cluster.workflow("file", R"yaml(
executors: [file]
fail_fast: false
nodes:
  each: {executor: file, foreach: [1], with: {name: a}}
  path: {executor: file, with: {name: ../a}}
)yaml");

  Value ended = cluster.wait(cluster.submit(file));

  EXPECT_NE(ended.dump().find("items of a mapped node cannot hand over artifacts"), std::string::npos) << ended.dump();
  EXPECT_NE(text_at(ended, {"nodes", "path", "error", "message"}).find("without a path"), std::string::npos)
      << ended.dump() << worker.err();
}

TEST_P(SdkValues, SecretsOfTheEncryptedFileAreReadWhenTheyAreNeededAndStayUnseen) {
  Cluster cluster({.workers = {}});
  const std::string file = cluster.scratch().file("secrets");
  const auto set = [&](const std::string& value) {
    return run_program(
               {"sh", "-c", "printf " + value + " | " + bin("millrace") + " secret set API_KEY --secrets-file " + file})
        .exit_code;
  };
  ASSERT_EQ(run_program({bin("millrace"), "secret", "init", "--secrets-file", file}).exit_code, 0);
  ASSERT_EQ(set("hush-hush-12345"), 0);
  Program worker = start(cluster, "p1", {{"MILLRACE_SECRETS_FILE", file}});
  ASSERT_TRUE(cluster.wait_for_workers(1)) << worker.err();
  const std::string text = R"yaml(
executors: [measure_key]
nodes:
  m: {executor: measure_key, with: {key: "{{ secrets.API_KEY }}"}}
)yaml";
  const std::string first = cluster.submit(cluster.workflow("key", text));
  Value ended = cluster.wait(first);
  EXPECT_EQ(at(ended, {"nodes", "m", "outputs"}).dump(), R"({"length":15,"key":"***","same":true})")
      << ended.dump() << worker.err();

  ASSERT_EQ(set("another-one"), 0);

  const std::string second = cluster.submit(cluster.workflow("key", text));
  Value after = cluster.wait(second);
  EXPECT_EQ(number_at(after, {"nodes", "m", "outputs", "length"}), 11) << after.dump();
  const std::string seen = ended.dump() + after.dump() + cluster.cli({"logs", first}).out +
                           cluster.cli({"logs", second}).out + worker.out() + worker.err() +
                           run_program({"redis-cli", "-s", cluster.redis().path(), "--scan"}).out;
  EXPECT_EQ(seen.find("hush-hush"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("another-one"), std::string::npos) << seen;
}

TEST_P(SdkValues, AFileOfSecretsThatCannotBeOpenedIsToldAtTheStart) {
  Cluster cluster({.workers = {}});
  const std::string file = cluster.scratch().file("secrets");
  ASSERT_EQ(run_program({bin("millrace"), "secret", "init", "--secrets-file", file}).exit_code, 0);
  ASSERT_EQ(chmod((file + ".key").c_str(), 0644), 0);
  Program exposed = start(cluster, "p1", {{"MILLRACE_SECRETS_FILE", file}});
  EXPECT_EQ(exposed.wait(20s), 1);
  EXPECT_NE(exposed.err().find("chmod 600 " + file + ".key"), std::string::npos) << exposed.err();

  ASSERT_EQ(run_program({bin("millrace"), "secret", "init", "--secrets-file", file + "2"}).exit_code, 0);
  Program other =
      start(cluster, "p2", {{"MILLRACE_SECRETS_FILE", file}, {"MILLRACE_SECRETS_KEY_FILE", file + "2.key"}});
  EXPECT_EQ(other.wait(20s), 1);
  EXPECT_NE(other.err().find("encrypted with another key"), std::string::npos) << other.err();
}

INSTANTIATE_TEST_SUITE_P(In, SdkValues, testing::Values("Python", "Node"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace millrace::test
