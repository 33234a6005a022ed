// List references across processes: outputs of fan-outs that nobody holds whole.
#include <gtest/gtest.h>

#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

// Of a process, in MB: the most that it has held.
std::int64_t peak_mb(pid_t pid) {
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  const std::size_t found = status.find("VmHWM:");
  return found == std::string::npos ? -1 : std::stoll(status.substr(found + 6)) / 1024;
}

TEST(Lists, ThreeHundredMebibytesPassThroughPythonAndAnotherFanOutAndNobodyHoldsThem) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("large", R"yaml(
nodes:
  rows:
    foreach: {from: 0, to: 300}
    executor: python
    isolation: none
    script: |
      output = str(item).rjust(1024 * 1024)
  reader:
    depends_on: [rows]
    executor: python
    script: |
      import resource
      before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
      right = all(int(row) == index and len(row) == 1024 * 1024 for index, row in enumerate(rows))
      grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
      output = {"items": len(rows), "right": right, "last": int(rows[-1]), "grown_mb": grown // 1024}
  lengths:
    foreach: "{{ nodes.rows }}"
    collect: "{{ output.length }}"
    executor: python
    isolation: none
    script: |
      output = {"length": len(item) if int(item) == index else -1}
  whole:
    depends_on: [rows]
    executor: shell
    script: "echo $LAST"
    env: {LAST: "{{ nodes.rows[299] | trim }}"}
    outputs: text
outputs:
  rows: "{{ nodes.rows | length }}"
  reader: "{{ nodes.reader }}"
  lengths: "{{ nodes.lengths | sum }}"
  whole: "{{ nodes.whole | trim }}"
)yaml");

  const Value ended = cluster.wait(cluster.submit(file), 240s);

  EXPECT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump().substr(0, 2'000);
  EXPECT_EQ(number_at(ended, {"outputs", "rows"}), 300);
  EXPECT_EQ(number_at(ended, {"outputs", "reader", "items"}), 300);
  EXPECT_EQ(at(ended, {"outputs", "reader", "right"}), Value(true));
  EXPECT_EQ(number_at(ended, {"outputs", "reader", "last"}), 299);
  EXPECT_LT(number_at(ended, {"outputs", "reader", "grown_mb"}), 64);
  EXPECT_EQ(number_at(ended, {"outputs", "lengths"}), 300LL * 1024 * 1024);
  EXPECT_EQ(text_at(ended, {"outputs", "whole"}), "299");
  RecordProperty("coordinator_mb", static_cast<int>(peak_mb(cluster.coordinator().pid())));
  RecordProperty("worker_mb", static_cast<int>(peak_mb(cluster.worker("w1").pid())));
  EXPECT_LT(peak_mb(cluster.coordinator().pid()), 340) << "64 of them are values that it could put back";
  EXPECT_LT(peak_mb(cluster.worker("w1").pid()), 400) << "128 of them are values that it keeps";
}

TEST(Lists, TheCommandLineWritesALargeListInItsPlaceAndTellsPeopleHowMuchItIs) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("printed", R"yaml(
nodes:
  rows:
    foreach: {from: 0, to: 100}
    executor: python
    isolation: none
    script: |
      output = str(item).rjust(100 * 1024)
)yaml");
  const std::string run = cluster.submit(file);
  const Value ended = cluster.wait(run);
  ASSERT_EQ(text_at(ended, {"status"}), "succeeded") << ended.dump().substr(0, 2'000);

  const Value status = cluster.json({"status", run});
  for (const Value* rows : {&at(status, {"outputs", "rows"}), &at(status, {"nodes", "rows", "outputs"})}) {
    ASSERT_TRUE(rows->is_array()) << rows->dump().substr(0, 200);
    ASSERT_EQ(rows->as_array().size(), 100U);
    EXPECT_EQ(rows->as_array()[7], Value(std::string(100 * 1024 - 1, ' ') + "7"));
  }
  const Finished people = cluster.cli({"status", run});
  EXPECT_NE(people.out.find(" bytes, -o json writes them out)"), std::string::npos) << people.out.substr(0, 2'000);
  EXPECT_LT(people.out.size(), 10'000U);

  const Value again = cluster.json({"retry", run, "--from", "rows", "--wait"});
  EXPECT_EQ(text_at(again, {"status"}), "succeeded");
}

TEST(Lists, ARetrySharesAListAndTheStoreHasAllOfIt) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("shared", R"yaml(
nodes:
  rows:
    foreach: {from: 0, to: 40}
    executor: python
    isolation: none
    script: |
      output = str(item).rjust(50 * 1024)
  sum:
    depends_on: [rows]
    executor: python
    script: |
      output = sum(int(row) for row in rows)
outputs:
  sum: "{{ nodes.sum }}"
)yaml");
  const std::string run = cluster.submit(file);
  ASSERT_EQ(number_at(cluster.wait(run), {"outputs", "sum"}), 780);

  const Value again = cluster.json({"retry", run, "--from", "sum", "--wait"});
  EXPECT_EQ(number_at(again, {"outputs", "sum"}), 780);
  EXPECT_EQ(at(again, {"nodes", "rows", "shared"}), Value(true));
  const Finished check = cluster.cli({"store", "check", "--redis", cluster.redis().url()});
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
}

TEST(Lists, OtherExecutorsGetTheWholeUpToALimitAndSayWhatItIs) {
  Cluster cluster({.workers = {"w1"}});
  const std::string file = cluster.workflow("others", R"yaml(
nodes:
  rows:
    foreach: {from: 0, to: 30}
    executor: python
    isolation: none
    script: |
      output = str(item).rjust(100 * 1024)
  sized:
    depends_on: [rows]
    executor: shell
    stdin: "{{ nodes.rows }}"
    script: "wc -c"
    outputs: text
outputs:
  bytes: "{{ nodes.sized | trim | int }}"
)yaml");
  const Value ended = cluster.wait(cluster.submit(file));
  EXPECT_EQ(number_at(ended, {"outputs", "bytes"}), 30 * (100 * 1024 + 3) + 1) << ended.dump().substr(0, 2'000);
}

}  // namespace
}  // namespace millrace::test
