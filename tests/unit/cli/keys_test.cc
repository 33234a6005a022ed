// `millrace keys`: what it prints, what it writes, what it refuses.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "cli/session.h"
#include "common/io/allow_list.h"
#include "tests/unit/cli/support.h"

namespace millrace {
namespace {

// From the manual of ZeroMQ: nobody's.
constexpr const char* kKeyA = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
constexpr const char* kKeyB = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
constexpr const char* kKeyC = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

class Keys : public ::testing::Test {
 protected:
  Keys() {
    std::string pattern = (std::filesystem::temp_directory_path() / "millrace-keys-test-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
  }
  ~Keys() override { std::filesystem::remove_all(directory_); }

  int keys(std::vector<std::string> words) {
    words.insert(words.begin(), "keys");
    words.insert(words.end(), {"--dir", directory_});
    return cli_.run(words);
  }
  std::string file(const std::string& name) const { return directory_ + "/" + name; }
  Value printed() {
    Result<Value> value = Value::parse(cli_.out);
    EXPECT_TRUE(value.ok()) << cli_.out;
    return value.ok() ? *value : Value();
  }
  std::string error_name() {
    const Value whole = printed();
    const Value* error = whole.find("error");
    const Value* name = error == nullptr ? nullptr : error->find("name");
    return name == nullptr ? "" : name->as_string();
  }
  void expect_shape() {
    Value schema = Value::parse(read_text("docs/cli-schemas/keys.json")).value();
    EXPECT_EQ(schema_mismatch(schema, printed()), "") << cli_.out;
  }

  std::string directory_;
  Cli cli_;
};

TEST_F(Keys, EveryActionPrintsWhatItsGoldenShows) {
  for (const std::string format : {"table", "wide", "json", "jsonl", "yaml", "name"}) {
    auto golden = [&](const std::string& action) {
      EXPECT_EQ(cli_.code, 0) << action << " " << format << " " << cli_.err;
      std::string text = replaced(cli_.out, directory_, "DIR");
      if (action == "generate") {
        const std::string key = read_key_file(file("w1.pub")).value().key.public_key;
        if (format == "yaml") text = replaced(text, '"' + key + '"', kKeyA);  // some need the quotes, kKeyA does not
        text = replaced(text, key, kKeyA);
      }
      expect_golden("keys_" + action + "." + format, text);
      if (format == "json") expect_shape();
      std::filesystem::remove(file("w1.key"));
      std::filesystem::remove(file("w1.pub"));
    };
    keys({"generate", "w1", "-o", format});
    golden("generate");
    keys({"authorize", kKeyA, "--name", "w1", "--role", "worker", "--ids", "w1", "--ids", "gpu-*", "-o", format});
    golden("authorize");
    keys({"authorize", kKeyB, "--name", "alice", "--role", "operator"});
    keys({"authorize", kKeyC, "--name", "c1", "--role", "coordinator"});
    keys({"list", "-o", format});
    golden("list");
    keys({"revoke", "w1", kKeyB, "-o", format});
    golden("revoke");
    keys({"revoke", "c1"});
  }
}

TEST_F(Keys, AFreshKeyIsPrivateAPairAndNotMadeTwice) {
  ASSERT_EQ(keys({"generate", "w1", "--role", "operator"}), 0) << cli_.err;
  for (const char* name : {"w1.key", "w1.pub"}) {
    struct stat info {};
    ASSERT_EQ(stat(file(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << name;
  }
  KeyFile secret = read_secret_key_file(file("w1.key")).value();
  EXPECT_EQ(secret.key, read_key_file(file("w1.pub")).value().key);
  EXPECT_EQ(secret.key.role, Role::kOperator);
  EXPECT_EQ(cli_.out.find(secret.secret.text()), std::string::npos) << "secrets are not printed";

  EXPECT_EQ(keys({"generate", "w1", "-o", "json"}), 7);
  EXPECT_EQ(error_name(), "key_exists");
  std::filesystem::remove(file("w1.pub"));
  EXPECT_EQ(keys({"generate", "w1", "-o", "json"}), 7) << "the secret is still there";
  EXPECT_STREQ(read_secret_key_file(file("w1.key")).value().secret.text(), secret.secret.text());
}

TEST_F(Keys, AuthorizeTakesANameAFileOrAKeyAndTheRoleOfTheFile) {
  ASSERT_EQ(keys({"generate", "w1"}), 0);
  ASSERT_EQ(keys({"generate", "alice", "--role", "operator"}), 0);
  EXPECT_EQ(keys({"authorize", "w1", file("alice.pub")}), 0) << cli_.err;
  const AllowList list = AllowList::read(file("authorized")).value();
  ASSERT_EQ(list.keys().size(), 2U);
  EXPECT_EQ(list.keys()[0].key, read_key_file(file("w1.pub")).value().key);
  EXPECT_EQ(list.keys()[1].key.role, Role::kOperator);

  EXPECT_EQ(keys({"authorize", "w1"}), 0) << "again changes nothing";
  EXPECT_EQ(keys({"authorize", "nobody", "-o", "json"}), 3);
  EXPECT_EQ(keys({"authorize", kKeyA, "-o", "json"}), 2) << "a key by itself needs a name";
  EXPECT_EQ(keys({"authorize", kKeyA, "--name", "w1", "-o", "json"}), 7);
  EXPECT_EQ(error_name(), "name_taken");
  EXPECT_EQ(keys({"authorize", "alice", "--role", "coordinator", "-o", "json"}), 7);
  EXPECT_EQ(error_name(), "key_known");
  EXPECT_EQ(keys({"authorize", kKeyA, "--name", "w1", "--rotate"}), 0);
  EXPECT_EQ(keys({"revoke", file("w1.pub")}), 0) << cli_.err;
  EXPECT_EQ(AllowList::read(file("authorized")).value().find(kKeyA)->key.name, "w1");
}

TEST_F(Keys, RevokingWhatIsNotThereChangesNothing) {
  ASSERT_EQ(keys({"authorize", kKeyA, "--name", "w1", "--role", "worker"}), 0);
  EXPECT_EQ(keys({"revoke", "w1", "nobody"}), 3);
  EXPECT_EQ(AllowList::read(file("authorized")).value().keys().size(), 1U);
}

TEST_F(Keys, MistakesAreUsageErrors) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"generate"},
                                             {"generate", "a", "b"},
                                             {"generate", "../a"},
                                             {"generate", "a", "--role", "king"},
                                             {"generate", "a", "--rotate"},
                                             {"authorize"},
                                             {"authorize", kKeyA, "--name", "a", "--role", "operator", "--ids", "x"},
                                             {"authorize", kKeyA, "--name", "a/b", "--role", "worker"},
                                             {"authorize", kKeyA, kKeyB, "--name", "a"},
                                             {"authorize", kKeyA, "--name", "a", "--ids", "a b"},
                                             {"revoke"},
                                             {"list", "extra"},
                                             {"invent"}}) {
    EXPECT_EQ(keys(words), 2) << words[0] << " " << cli_.out;
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_EQ(keys({"list"}), 3) << "there is no list";
}

TEST_F(Keys, ABrokenListIsToldWithItsLineAndNotOverwritten) {
  const std::string broken = temp_file("authorized", "# ours\nworker w1 rubbish\n");
  EXPECT_EQ(cli_.run({"keys", "authorize", kKeyA, "--name", "a", "--role", "worker", "--curve-authorized", broken,
                      "--dir", directory_, "-o", "json"}),
            2);
  const Value whole = printed();
  const Value* error = whole.find("error");
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->find("details")->as_array()[0].find("line")->as_int(), 2);
  EXPECT_EQ(AllowList::read(broken).error().code, Code::kInvalid);
}

TEST(KeyOptions, EveryVerbThatTalksToAClusterHasThem) {
  for (const Verb& verb : all_verbs()) {
    std::set<std::string_view> names;
    for (const Option& option : verb.syntax.options) names.insert(option.name);
    for (const Option& option : key_options()) EXPECT_EQ(names.contains(option.name), names.contains("coordinator"));
  }
  Cli cli;
  EXPECT_EQ(cli.run({"list", "--curve-key", "k", "--coordinator", "tcp://127.0.0.1:9"}), 2);
  EXPECT_NE(cli.err.find("--curve-key needs --curve-server-key"), std::string::npos) << cli.err;
  cli.environment["MILLRACE_CURVE_SERVER_KEY"] = kKeyA;
  EXPECT_EQ(cli.run({"list", "--curve-key", "/nowhere/k", "--coordinator", "tcp://127.0.0.1:9"}), 2);
  EXPECT_NE(cli.err.find("/nowhere/k"), std::string::npos) << cli.err;
}

}  // namespace
}  // namespace millrace
