#include "cli/artifacts.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void put(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

// A run whose node `a` has handed these over, at a coordinator that gives them in parts.
struct ArtifactsTest : ::testing::Test {
  fs::path dir = fs::path(::testing::TempDir()) / ("artifacts-" + std::to_string(getpid()));
  std::map<std::string, std::string> kept;  // by name
  std::string node = "a";
  std::atomic<int> parts_left = 1'000'000;  // then it says nothing more
  std::atomic<int> parts_asked = 0;
  std::atomic<std::uint64_t> lowest_asked = ~std::uint64_t{0};
  std::atomic<bool> lies = false;
  std::unique_ptr<FakeCoordinator> fake;
  Cli cli;

  void SetUp() override { fs::remove_all(dir); }
  void TearDown() override {
    fake.reset();
    fs::remove_all(dir);
  }
  std::optional<OperatorReply> answer(const OperatorRequest& request) {
    if (const auto* wanted = std::get_if<GetValue>(&request)) {
      if (parts_left-- <= 0) return std::nullopt;
      ++parts_asked;
      lowest_asked = std::min<std::uint64_t>(lowest_asked, wanted->from);
      for (const auto& [name, text] : kept) {
        if (hash128(text) != wanted->hash) continue;
        std::string bytes = text.substr(wanted->from, wanted->max);
        if (lies && !bytes.empty()) bytes[0] ^= 1;
        return ValueFound{true, bytes, {text.size(), wanted->from, part_check(wanted->hash, wanted->from, bytes)}};
      }
      return ValueFound{};
    }
    RunView view = fixed_view(RunState::kSucceeded);
    view.nodes[1].artifacts = nullptr;
    std::vector<Artifact> all;
    for (const auto& [name, text] : kept) all.push_back({name, "", hash128(text), text.size()});
    view.nodes[0].id = node;
    view.nodes[0].artifacts = std::make_shared<const std::vector<Artifact>>(std::move(all));
    return RunReply{view};
  }
  int run(std::vector<std::string> more) {
    if (fake == nullptr)
      fake = std::make_unique<FakeCoordinator>([this](const OperatorRequest& request) { return answer(request); });
    std::vector<std::string> words = {"artifacts", "abcd", "--coordinator", fake->endpoint()};
    words.insert(words.end(), more.begin(), more.end());
    return cli.run(words);
  }
  int download(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--download", dir.string()});
    return run(std::move(more));
  }
  fs::path part_of(const std::string& name) {
    return dir / "a" / ("." + name + "." + to_string(hash128(kept[name])).substr(0, 8) + ".part");
  }
};

TEST_F(ArtifactsTest, WhatIsDownloadedIsTheFileThatWasHandedOver) {
  for (const std::size_t size : {0UL, 1UL, 65'535UL, 65'536UL, 65'537UL, 20UL << 20}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i % 251);
    kept["f" + std::to_string(size)] = std::move(text);
  }
  EXPECT_EQ(download(), 0) << cli.err;
  for (const auto& [name, text] : kept) EXPECT_TRUE(content(dir / "a" / name) == text) << name;
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(dir / "a")) files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, kept.size()) << "no parts are left";
  const int asked = parts_asked;
  EXPECT_EQ(download({"-o", "json"}), 0);
  EXPECT_EQ(parts_asked, asked) << "what is there is not fetched again";
  EXPECT_NE(cli.out.find("\"downloaded\": false"), std::string::npos) << cli.out;
}

TEST_F(ArtifactsTest, ADownloadThatBrokeOffGoesOnWhereItStopped) {
  kept["big"] = std::string(5 << 20, 'b');
  parts_left = 2;
  EXPECT_NE(download({"--timeout", "300ms"}), 0);
  EXPECT_FALSE(fs::exists(dir / "a" / "big")) << "half a file has no name";
  const auto had = fs::file_size(part_of("big"));
  EXPECT_GT(had, 0U);
  parts_left = 1'000;
  lowest_asked = ~std::uint64_t{0};
  EXPECT_EQ(download(), 0) << cli.err;
  EXPECT_EQ(lowest_asked, had);
  EXPECT_TRUE(content(dir / "a" / "big") == kept["big"]);
  EXPECT_FALSE(fs::exists(part_of("big")));
}

TEST_F(ArtifactsTest, APartOfSomethingElseIsFoundOutAndFetchedAnew) {
  kept["f"] = std::string(700'000, 'f');
  fs::create_directories(dir / "a");
  put(part_of("f"), "not of this file");
  EXPECT_EQ(download(), 0) << cli.err;
  EXPECT_TRUE(content(dir / "a" / "f") == kept["f"]);
}

TEST_F(ArtifactsTest, WhatArrivesDamagedIsNoFile) {
  kept["f"] = "some text";
  lies = true;
  EXPECT_EQ(download(), 1);
  EXPECT_NE(cli.err.find("is damaged in the store"), std::string::npos) << cli.err;
  EXPECT_FALSE(fs::exists(dir / "a" / "f"));
}

TEST_F(ArtifactsTest, AnotherFileInTheWayStaysUnlessForced) {
  kept["f"] = "theirs";
  fs::create_directories(dir / "a");
  put(dir / "a" / "f", "mine");
  EXPECT_EQ(download(), 7);
  EXPECT_NE(cli.err.find("--force overwrites it"), std::string::npos) << cli.err;
  EXPECT_EQ(content(dir / "a" / "f"), "mine");
  EXPECT_EQ(download({"--force"}), 0);
  EXPECT_EQ(content(dir / "a" / "f"), "theirs");
}

TEST_F(ArtifactsTest, ALinkInTheWayIsReplacedAndNotFollowed) {
  kept["f"] = "theirs";
  fs::create_directories(dir / "a");
  put(dir / "outside", "mine");
  fs::create_symlink(dir / "outside", dir / "a" / "f");
  EXPECT_EQ(download(), 7);
  EXPECT_EQ(download({"--force"}), 0) << cli.err;
  EXPECT_EQ(content(dir / "outside"), "mine");
  EXPECT_EQ(content(dir / "a" / "f"), "theirs");
}

TEST_F(ArtifactsTest, NothingIsWrittenOutsideTheDirectory) {
  kept["f"] = "x";
  for (const char* name : {"..", "../..", "a/../../b", "/etc", ""}) {
    node = name;
    EXPECT_EQ(download(), 6) << name;
    EXPECT_NE(cli.err.find("no plain one"), std::string::npos) << cli.err;
  }
  EXPECT_FALSE(fs::exists(dir));
  node = "group/inner";
  EXPECT_EQ(download(), 0) << cli.err;
  EXPECT_EQ(content(dir / "group" / "inner" / "f"), "x");
}

TEST_F(ArtifactsTest, OnlyThoseThatAreNamedAreBroughtAndAnUnknownNameIsAnError) {
  kept = {{"one", "1"}, {"two", "2"}, {"three", "3"}};
  EXPECT_EQ(download({"one", "a/two"}), 0) << cli.err;
  EXPECT_TRUE(fs::exists(dir / "a" / "one") && fs::exists(dir / "a" / "two"));
  EXPECT_FALSE(fs::exists(dir / "a" / "three"));
  EXPECT_EQ(run({"four"}), 3);
  EXPECT_NE(cli.err.find("there is: a/one, a/three, a/two"), std::string::npos) << cli.err;
  EXPECT_EQ(run({"--force"}), 2);
}

TEST_F(ArtifactsTest, OneThatIsGoneSaysSo) {
  kept["f"] = "text";
  answer(GetRun{});
  fake = std::make_unique<FakeCoordinator>([this](const OperatorRequest& request) -> std::optional<OperatorReply> {
    if (std::holds_alternative<GetValue>(request)) return ValueFound{};
    return answer(request);
  });
  EXPECT_EQ(download(), 3);
  EXPECT_NE(cli.err.find("artifact a/f: value "), std::string::npos) << cli.err;
}

}  // namespace
}  // namespace millrace
