#include "common/io/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace millrace {
namespace {

ConfigProgram program() {
  return {"millrace-thing",
          "Does things.",
          "1.2.3",
          {
              {.name = "listen", .default_value = "tcp://127.0.0.1:5710", .help = "where to listen", .repeated = true},
              {.name = "slots", .type = OptionType::kInteger, .default_value = "4", .help = "how many at once"},
              {.name = "beat", .type = OptionType::kDuration, .default_value = "1s", .help = "how often"},
              {.name = "inline-max", .type = OptionType::kSize, .default_value = "64KiB", .help = "inline limit"},
              {.name = "quiet", .type = OptionType::kBoolean, .default_value = "false", .help = "say less"},
              {.name = "label", .type = OptionType::kKeyValue, .help = "k=v", .repeated = true},
              {.name = "models", .type = OptionType::kKeyValue, .help = "nested", .repeated = true, .nested = true},
              {.name = "password", .help = "secret", .secret = true},
              {.name = "store", .default_value = "redis", .help = "which store", .choices = {"redis", "memory"}},
              {.name = "fault", .help = "for tests", .hidden = true},
          }};
}

class ConfigTest : public testing::Test {
 protected:
  ~ConfigTest() override {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ConfigOutcome read(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "millrace-thing");
    return read_config(program(), static_cast<int>(arguments.size()), arguments.data(), [this](const char* name) {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    });
  }
  const char* file(const std::string& text) {
    path_ = (std::filesystem::temp_directory_path() / ("mr-config-" + std::to_string(getpid()) + ".yaml")).string();
    std::ofstream(path_) << text;
    return path_.c_str();
  }
  std::map<std::string, std::string> environment_;
  std::string path_;
};

TEST_F(ConfigTest, AMemberOfANestedOptionMayBeAMappingAndIsHandedOnAsJson) {
  const ConfigOutcome outcome = read({"--config", file("models:\n  a: http://x/v1\n  b: {url: http://y, price: {in: "
                                                       "0.5, n: 3}, id: '7', on: true, of: [1, ~]}\n")});
  ASSERT_TRUE(outcome.config) << outcome.err;
  const std::map<std::string, std::string> wanted = {
      {"a", "http://x/v1"}, {"b", R"({"url":"http://y","price":{"in":0.5,"n":3},"id":"7","on":true,"of":[1,null]})"}};
  EXPECT_EQ(outcome.config->key_values("models"), wanted);
  EXPECT_NE(read({"--config", file("label: {a: {b: c}}\n")}).err.find("a single value expected"), std::string::npos);
}

TEST_F(ConfigTest, WithoutAnythingTheDefaultsHold) {
  const ConfigOutcome outcome = read({});
  ASSERT_TRUE(outcome.config) << outcome.err;
  EXPECT_EQ(outcome.config->list("listen"), std::vector<std::string>{"tcp://127.0.0.1:5710"});
  EXPECT_EQ(outcome.config->integer("slots"), 4);
  EXPECT_EQ(outcome.config->duration("beat"), 1s);
  EXPECT_EQ(outcome.config->size("inline-max"), 65'536U);
  EXPECT_FALSE(outcome.config->boolean("quiet"));
  EXPECT_EQ(outcome.config->text("password"), "");
  EXPECT_TRUE(outcome.config->key_values("label").empty());
  EXPECT_FALSE(outcome.config->given("slots"));
}

TEST_F(ConfigTest, AFlagBeatsTheEnvironmentBeatsTheFileBeatsTheDefault) {
  const char* path = file("slots: 10\n");
  EXPECT_EQ(read({"--config", path}).config->integer("slots"), 10);
  environment_["MILLRACE_SLOTS"] = "20";
  EXPECT_EQ(read({"--config", path}).config->integer("slots"), 20);
  const ConfigOutcome flag = read({"--config", path, "--slots", "30"});
  EXPECT_EQ(flag.config->integer("slots"), 30);
  EXPECT_TRUE(flag.config->given("slots"));
}

TEST_F(ConfigTest, TheFileMayBeNamedByTheEnvironment) {
  environment_["MILLRACE_CONFIG"] = file("beat: 250ms\ninline-max: 1MiB\n");
  const ConfigOutcome outcome = read({});
  ASSERT_TRUE(outcome.config) << outcome.err;
  EXPECT_EQ(outcome.config->duration("beat"), 250ms);
  EXPECT_EQ(outcome.config->size("inline-max"), 1'048'576U);
}

TEST_F(ConfigTest, RepeatedOptionsAreGathered) {
  using Labels = std::map<std::string, std::string>;
  const Labels wanted{{"zone", "a"}, {"gpu", "yes=no"}};
  EXPECT_EQ(read({"--label", "zone=b", "--label", "gpu=yes=no", "--label=zone=a"}).config->key_values("label"), wanted);
  environment_["MILLRACE_LABEL"] = "zone=a,gpu=yes=no";
  EXPECT_EQ(read({}).config->key_values("label"), wanted);
  environment_.clear();
  EXPECT_EQ(read({"--config", file("label: {zone: a, gpu: yes=no}\n")}).config->key_values("label"), wanted);
  EXPECT_EQ(read({"--config", file("label: [zone=a, gpu=yes=no]\n")}).config->key_values("label"), wanted);
}

TEST_F(ConfigTest, WhatIsUnknownIsRefusedWithExit2) {
  for (const std::vector<const char*>& arguments : std::vector<std::vector<const char*>>{
           {"--slotz", "3"}, {"stray"}, {"--slots"}, {"--slots", "1", "--slots", "2"}}) {
    const ConfigOutcome outcome = read(arguments);
    EXPECT_FALSE(outcome.config);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.err.find("--help"), std::string::npos);
  }
  EXPECT_NE(read({"--slotz", "3"}).err.find("--slotz"), std::string::npos);
}

TEST_F(ConfigTest, EveryProblemOfAFileIsToldWithItsPlace) {
  const char* path = file("slots: 3\nslotz: 4\nbeat: [1s, 2s]\nslots: 5\nstore: disk\n");
  const ConfigOutcome outcome = read({"--config", path});
  EXPECT_EQ(outcome.exit_code, 2);
  const std::string place = path;
  EXPECT_NE(outcome.err.find(place + ":2:1: unknown option \"slotz\""), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find(place + ":3:1"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find(place + ":4:1: \"slots\" stands twice"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find(place + ":5:1: store: one of redis, memory expected"), std::string::npos) << outcome.err;
}

TEST_F(ConfigTest, AFileThatIsMissingOrNotYamlIsRefused) {
  EXPECT_EQ(read({"--config", "/nowhere/x.yaml"}).exit_code, 2);
  EXPECT_EQ(read({"--config", file("a: [1\n")}).exit_code, 2);
  EXPECT_EQ(read({"--config", file("just words\n")}).exit_code, 2);
}

TEST_F(ConfigTest, ValuesMustFitTheirTypesWhereverTheyComeFrom) {
  EXPECT_EQ(read({"--slots", "many"}).exit_code, 2);
  EXPECT_EQ(read({"--beat", "10"}).exit_code, 2);
  EXPECT_EQ(read({"--label", "novalue"}).exit_code, 2);
  EXPECT_EQ(read({"--quiet=perhaps"}).exit_code, 2);
  environment_["MILLRACE_SLOTS"] = "few";
  const ConfigOutcome outcome = read({});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("MILLRACE_SLOTS: an integer expected, not \"few\""), std::string::npos) << outcome.err;
}

TEST_F(ConfigTest, BooleansAreFlagsWithAnOptionalValue) {
  EXPECT_TRUE(read({"--quiet"}).config->boolean("quiet"));
  EXPECT_FALSE(read({"--quiet=false"}).config->boolean("quiet"));
  environment_["MILLRACE_QUIET"] = "1";
  EXPECT_TRUE(read({}).config->boolean("quiet"));
  EXPECT_FALSE(read({"--quiet=no"}).config->boolean("quiet"));
}

TEST_F(ConfigTest, HelpIsCompleteButForWhatIsHidden) {
  const ConfigOutcome outcome = read({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_FALSE(outcome.config);
  for (const char* word : {"--listen", "--slots", "MILLRACE_INLINE_MAX", "default: 64KiB", "redis|memory", "--config",
                           "--print-config", "--version", "Does things."}) {
    EXPECT_NE(outcome.out.find(word), std::string::npos) << word << "\n" << outcome.out;
  }
  EXPECT_EQ(outcome.out.find("--fault"), std::string::npos);
}

TEST_F(ConfigTest, TheVersionIsPrinted) { EXPECT_EQ(read({"--version"}).out, "millrace-thing 1.2.3\n"); }

TEST_F(ConfigTest, PrintConfigTellsEveryValueItsSourceAndDefaultAndReadsBack) {
  environment_["MILLRACE_BEAT"] = "2s";
  const ConfigOutcome outcome = read({"--print-config", "--slots", "9", "--label", "a=b"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.out.find("slots: \"9\"  # from flag, default \"4\""), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("beat: \"2s\"  # from environment MILLRACE_BEAT"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("store: \"redis\"  # from default"), std::string::npos) << outcome.out;
  environment_.clear();
  const ConfigOutcome again = read({"--config", file(outcome.out)});
  ASSERT_TRUE(again.config) << again.err;
  EXPECT_EQ(again.config->integer("slots"), 9);
  EXPECT_EQ(again.config->key_values("label").at("a"), "b");
}

TEST_F(ConfigTest, SecretsAreNeverPrinted) {
  environment_["MILLRACE_PASSWORD"] = "hunter2";
  EXPECT_EQ(read({}).config->text("password"), "hunter2");
  EXPECT_EQ(read({"--print-config"}).out.find("hunter2"), std::string::npos);
  EXPECT_NE(read({"--print-config"}).out.find("********"), std::string::npos);
  environment_["MILLRACE_PASSWORD"] = "redis://me:hunt@er2@host:6379/0";
  EXPECT_NE(read({"--print-config"}).out.find("\"redis://********@host:6379/0\""), std::string::npos);
  environment_["MILLRACE_PASSWORD"] = "redis://host:6379/0";
  EXPECT_NE(read({"--print-config"}).out.find("\"redis://host:6379/0\""), std::string::npos);
}

}  // namespace
}  // namespace millrace
