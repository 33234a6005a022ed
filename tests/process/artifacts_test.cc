// Large values and files on a real cluster: they come through whole, whatever dies on the way, and go with their run.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/process/workflows.h"
#include "tests/support/cluster.h"

namespace millrace::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles = R"yaml(
name: files
inputs:
  sizes: {type: array, default: [0, 1, 65535, 65536, 65537, 20971520]}
nodes:
  make:
    executor: python
    script: |
      import millrace
      for size in inputs["sizes"]:
          block = bytes(i * i % 251 for i in range(100003))
          millrace.artifact(f"f{size}", data=(block * (size // len(block) + 1))[:size])
      output = "made"
  page:
    depends_on: [make]
    executor: javascript
    script: |
      millrace.artifact("page.html", "<p>" + make + "</p>", {contentType: "text/html"});
      output = 1
)yaml";

constexpr const char* kLargeResult = R"yaml(
name: large
nodes:
  make:
    executor: python
    script: |
      output = "x" * 60000000
  measure:
    depends_on: [make]
    executor: python
    script: |
      output = len(make)
outputs:
  length: "{{ nodes.measure }}"
)yaml";

std::string bytes_of(std::size_t size) {
  std::string block(100'003, '\0');
  for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(i * i % 251);
  std::string all;
  while (all.size() < size) all += block;
  all.resize(size);
  return all;
}

std::string submitted(const Cluster& cluster, const std::string& file, const std::vector<std::string>& more = {}) {
  const std::string run = cluster.submit(file, more);
  const Value end = cluster.wait(run);
  EXPECT_EQ(text_at(end, {"status"}), "succeeded") << end.dump();
  return run;
}

std::string python_only() { return std::string(kFiles).substr(0, std::string(kFiles).find("  page:")); }
bool has_node_js() { return run_program({"sh", "-c", "command -v node"}).exit_code == 0; }

TEST(ArtifactsOnACluster, AreDownloadedAsTheyWereHandedOver) {
  const bool javascript = has_node_js();
  Cluster cluster;
  const std::string run = submitted(cluster, cluster.workflow("files.yaml", javascript ? kFiles : python_only()));
  const Value listed = cluster.json({"artifacts", run});
  ASSERT_EQ(at(listed, {"artifacts"}).as_array().size(), javascript ? 7U : 6U) << listed.dump();
  const std::string out = cluster.scratch().file("out");
  const Finished done = cluster.cli({"artifacts", run, "--download", out});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  for (const std::size_t size : {0UL, 1UL, 65'535UL, 65'536UL, 65'537UL, 20UL << 20})
    EXPECT_TRUE(read_file(out + "/make/f" + std::to_string(size)) == bytes_of(size)) << size;
  if (javascript) { EXPECT_EQ(read_file(out + "/page/page.html"), "<p>made</p>"); }
  const Finished check = cluster.cli({"store", "check", "--redis", cluster.redis().url(), "-o", "json"});
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
}

TEST(LargeInputsOnACluster, GoAheadOfTheSubmissionInPartsAndArriveWhole) {
  Cluster cluster({.coordinators = 2});
  const std::string inputs = cluster.scratch().file("inputs.json");
  std::string text;
  for (int i = 0; i < 1'200'000; ++i) text += "0123456789";
  std::ofstream(inputs) << "{\"text\":\"" << text << "\"}";
  const std::string file = cluster.workflow("inputs.yaml", R"yaml(
inputs:
  text: {type: string, required: true}
  more: {type: integer, default: 7}
nodes:
  measure: {executor: python, script: "output = [len(inputs['text']), inputs['text'].count('7'), inputs['more']]"}
)yaml");

  const std::string first = submitted(cluster, file, {"--inputs", inputs, "-k", "one"});
  const std::string again = submitted(cluster, file, {"--inputs", inputs, "-k", "one"});

  EXPECT_EQ(first, again) << "the same key with the same request";
  EXPECT_EQ(at(cluster.wait(first), {"nodes", "measure", "outputs"}).dump(), "[12000000,1200000,7]");
  std::ofstream(inputs) << "{\"text\":\"" << text << "?\"}";
  const Finished other = cluster.cli({"submit", file, "--inputs", inputs, "-k", "one"});
  EXPECT_EQ(other.exit_code, 7) << other.out << other.err;
  const Finished check = cluster.cli({"store", "check", "--redis", cluster.redis().url(), "-o", "json"});
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
}

TEST(ArtifactsOnACluster, ADownloadOutlivesTheCoordinatorThatItBeganWith) {
  Cluster cluster({.coordinators = 2});
  const std::size_t size = 150UL << 20;
  const std::string run =
      submitted(cluster, cluster.workflow("files.yaml", python_only()), {"-i", "sizes=[" + std::to_string(size) + "]"});
  const std::string out = cluster.scratch().file("out");
  Program download = cluster.start_cli({"artifacts", run, "--download", out}, "download");
  const std::string name = "f" + std::to_string(size);
  const bool began = eventually(20s, [&] {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(out + "/make", failure)) {
      if (entry.path().extension() == ".part" && entry.file_size(failure) > (2U << 20)) return true;
    }
    return false;
  });
  ASSERT_TRUE(began);
  EXPECT_FALSE(fs::exists(out + "/make/" + name)) << "half a file has no name";
  cluster.coordinator(0).kill();
  const auto code = download.wait(90s);
  ASSERT_TRUE(code.has_value());
  EXPECT_EQ(*code, 0);
  EXPECT_TRUE(read_file(out + "/make/" + name) == bytes_of(size));
}

TEST(ArtifactsOnACluster, GoWithTheLastRunThatNamesThem) {
  Cluster cluster({.coordinator_options = {"--retention-count", "1", "--value-grace", "1s"}});
  const std::string file = cluster.workflow("files.yaml", python_only());
  const auto blobs = [&] {
    return run_program({"redis-cli", "-s", cluster.redis().path(), "--scan", "--pattern", "mr:blob:*"}).out;
  };
  submitted(cluster, file, {"-i", "sizes=[10, 20]"});
  submitted(cluster, file, {"-i", "sizes=[20, 30]"});
  EXPECT_TRUE(eventually(40s, [&] {
    submitted(cluster, file, {"-i", "sizes=[20, 30]"});
    const std::string left = blobs();
    return std::ranges::count(left, '\n') == 2;
  })) << blobs();
  const std::vector<Value> rows = cluster.rows({"list", "--workflow", "files"});
  ASSERT_FALSE(rows.empty());
  const std::string out = cluster.scratch().file("out");
  EXPECT_EQ(cluster.cli({"artifacts", text_at(rows.front(), {"run"}), "--download", out}).exit_code, 0);
  EXPECT_TRUE(read_file(out + "/make/f30") == bytes_of(30));
}

TEST(LargeValues, OfSixtyMegabytesComeThroughWhileACoordinatorDies) {
  Cluster cluster({.coordinators = 2});
  const std::string run = cluster.submit(cluster.workflow("large.yaml", kLargeResult));
  ASSERT_TRUE(eventually(30s, [&] {
    return run_program({"redis-cli", "-s", cluster.redis().path(), "--scan", "--pattern", "mr:part:*"}).out != "" ||
           cluster.node_status(run, "make") == "succeeded";
  }));
  cluster.coordinator(0).kill();
  cluster.start_coordinator(0);
  const Value end = cluster.wait(run, 90s);
  EXPECT_EQ(text_at(end, {"status"}), "succeeded") << end.dump();
  EXPECT_EQ(number_at(end, {"outputs", "length"}), 60'000'000);
}

}  // namespace
}  // namespace millrace::test
