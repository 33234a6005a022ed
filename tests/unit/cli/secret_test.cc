// `millrace secret`: what it prints, what it writes, what it refuses, and that it never prints a value.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "common/vault/secret_file.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

constexpr const char* kValue = "hunter2-canary";

class Secret : public ::testing::Test {
 protected:
  Secret() {
    std::string pattern = (std::filesystem::temp_directory_path() / "millrace-secret-test-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    paths_ = SecretPaths::of(directory_ + "/secrets", "");
    cli_.environment["XDG_CONFIG_HOME"] = directory_ + "/home";
  }
  ~Secret() override { std::filesystem::remove_all(directory_); }

  int secret(std::vector<std::string> words) {
    words.insert(words.begin(), "secret");
    words.insert(words.end(), {"--secrets-file", paths_.file});
    const int code = cli_.run(words);
    EXPECT_EQ((cli_.out + cli_.err).find(kValue), std::string::npos) << "values are never printed";
    return code;
  }
  int set(const std::string& name, const std::string& value = std::string(kValue) + "\n") {
    return secret({"set", name, "--from-file", temp_file("value", value)});
  }
  std::string error_name() {
    const Result<Value> whole = Value::parse(cli_.out);
    const Value* error = whole.ok() ? whole->find("error") : nullptr;
    const Value* name = error == nullptr ? nullptr : error->find("name");
    return name == nullptr ? cli_.out : name->as_string();
  }
  const SecretBook::Entry* stored(const std::string& name) {
    book_ = read_secrets(paths_).value();
    return book_.find(name);
  }

  std::string directory_;
  SecretPaths paths_;
  SecretBook book_;
  Cli cli_;
};

TEST_F(Secret, EveryActionPrintsWhatItsGoldenShows) {
  const Value schema = Value::parse(read_text("docs/cli-schemas/secret.json")).value();
  for (const std::string format : {"table", "wide", "json", "jsonl", "yaml", "name"}) {
    auto golden = [&](const std::string& action) {
      EXPECT_EQ(cli_.code, 0) << action << " " << format << " " << cli_.err;
      std::string text = std::regex_replace(cli_.out, std::regex(directory_), "DIR");
      text = std::regex_replace(text, std::regex("[0-9-]{10}T[0-9:.]{15}Z"), "2026-01-31T12:00:00.000123Z");
      if (format == "yaml") text = std::regex_replace(text, std::regex("\"([0-9a-f]{16})\""), "$1");  // 12e4 needs them
      text = std::regex_replace(text, std::regex("[0-9a-f]{16}"), "0123456789abcdef");
      expect_golden("secret_" + action + "." + format, text);
      if (format == "json") { EXPECT_EQ(schema_mismatch(schema, Value::parse(cli_.out).value()), "") << cli_.out; }
    };
    secret({"init", "-o", format});
    golden("init");
    secret({"set", "TOKEN", "--from-file", temp_file("value", kValue), "-o", format});
    golden("set");
    set("DB_PASSWORD");
    secret({"list", "-o", format});
    golden("list");
    secret({"rm", "TOKEN", "DB_PASSWORD", "-o", format});
    golden("rm");
    std::filesystem::remove(paths_.file);
    std::filesystem::remove(paths_.key_file);
  }
}

TEST_F(Secret, OneNewlineAtItsEndIsNotPartOfAValue) {
  ASSERT_EQ(secret({"init"}), 0) << cli_.err;
  ASSERT_EQ(set("A", "one\n"), 0) << cli_.err;
  EXPECT_EQ(stored("A")->value, "one");
  ASSERT_EQ(set("A", "two\n\n"), 0) << cli_.err;
  EXPECT_EQ(stored("A")->value, "two\n");
  EXPECT_EQ(set("A", "\n"), 2) << "empty";
  EXPECT_EQ(stored("A")->value, "two\n");
}

TEST_F(Secret, AValueAsAnArgumentIsRefusedAndNotQuoted) {
  ASSERT_EQ(secret({"init"}), 0) << cli_.err;
  EXPECT_EQ(secret({"set", "TOKEN", kValue}), 2);
  EXPECT_NE(cli_.err.find("never as an argument"), std::string::npos) << cli_.err;
  EXPECT_EQ(secret({"set", std::string("TOKEN=") + "x"}), 2);
  EXPECT_TRUE(read_secrets(paths_)->entries().empty());
}

TEST_F(Secret, WhatIsNotThereIsNotFoundAndNothingIsChanged) {
  EXPECT_EQ(set("TOKEN"), 3);
  EXPECT_NE(cli_.err.find("`millrace secret init`"), std::string::npos) << cli_.err;
  EXPECT_EQ(secret({"list"}), 3);
  ASSERT_EQ(secret({"init"}), 0);
  ASSERT_EQ(set("TOKEN"), 0);
  EXPECT_EQ(secret({"rm", "TOKEN", "OTHER"}), 3);
  EXPECT_NE(stored("TOKEN"), nullptr);
  EXPECT_EQ(secret({"init", "-o", "json"}), 7);
  EXPECT_EQ(error_name(), "secrets_exist");
}

TEST_F(Secret, FilesAreFoundByOptionByEnvironmentAndInTheUsersDirectory) {
  ASSERT_EQ(cli_.run({"secret", "init", "-o", "json"}), 0) << cli_.err;
  EXPECT_TRUE(read_secrets(SecretPaths::of(directory_ + "/home/millrace/secrets", "")).ok());
  cli_.environment["MILLRACE_SECRETS_FILE"] = directory_ + "/b";
  cli_.environment["MILLRACE_SECRETS_KEY_FILE"] = directory_ + "/c/key";
  ASSERT_EQ(cli_.run({"secret", "init", "-o", "json"}), 0) << cli_.err;
  EXPECT_TRUE(read_secrets({directory_ + "/b", directory_ + "/c/key"}).ok());
  EXPECT_EQ(cli_.run({"secret", "list", "--secrets-key-file", directory_ + "/home/millrace/secrets.key", "-o", "json"}),
            2);
  EXPECT_EQ(error_name(), "key_mismatch");
}

TEST_F(Secret, MistakesAreUsageErrors) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"init", "x"}, {"set"}, {"set", "a-b"}, {"list", "x"}, {"rm"}, {"list", "--from-file", "x"}, {"frob"}, {}}) {
    EXPECT_EQ(secret(words), 2) << ::testing::PrintToString(words);
  }
}

TEST_F(Secret, RunUsesThemWithoutBeingTold) {
  const std::string file =
      temp_file("uses.yaml",
                "nodes:\n"
                "  a: {executor: shell, env: {T: '{{ secrets.TOKEN }}'}, script: 'printf \"<%s>\" \"$T\"; "
                "test \"$T\" = hunter2-canary'}\n"
                "outputs: {said: '{{ nodes.a.stdout }}'}\n");
  EXPECT_EQ(cli_.run({"run", file, "--no-progress"}), 1) << "there is no such secret";
  ASSERT_EQ(cli_.run({"secret", "init"}), 0) << cli_.err;
  ASSERT_EQ(cli_.run({"secret", "set", "TOKEN", "--from-file", temp_file("value", kValue)}), 0) << cli_.err;
  EXPECT_EQ(cli_.run({"run", file, "--no-progress"}), 0) << cli_.err;
  EXPECT_EQ(cli_.out, "said: \"<***>\"\n");
  EXPECT_EQ(cli_.run({"run", file, "--no-progress", "--secrets-file", directory_ + "/none"}), 3) << cli_.err;
}

}  // namespace
}  // namespace millrace
