#include "common/io/curve.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/io/small_file.h"

namespace millrace {
namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = ::testing::TempDir() + "/millrace-keys-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Directory() { [[maybe_unused]] const int removed = std::system(("rm -rf " + path_).c_str()); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

KeyFile some_key(Role role = Role::kWorker) {
  CurveKeys keys = new_curve_keys();
  return {{"w1", role, keys.public_key}, keys.secret_key};
}

TEST(KeyFile, WhatIsWrittenIsReadAgainWithAndWithoutItsSecret) {
  for (const Role role : kRoles) {
    KeyFile key = some_key(role);
    Result<KeyFile> whole = parse_key_file(key_file_text(key), "k");
    ASSERT_TRUE(whole.ok()) << whole.error().what;
    EXPECT_EQ(whole->key, key.key);
    EXPECT_STREQ(whole->secret.text(), key.secret.text());

    key.secret = {};
    Result<KeyFile> open = parse_key_file(key_file_text(key), "k");
    ASSERT_TRUE(open.ok());
    EXPECT_EQ(open->key, key.key);
    EXPECT_TRUE(open->secret.empty());
  }
}

TEST(KeyFile, WhatIsWrongIsToldWithItsLineAndNeverWithItsText) {
  const KeyFile key = some_key();
  const std::string good = key_file_text(key);
  auto with = [&](const std::string& old, const std::string& fresh) {
    std::string text = good;
    text.replace(text.find(old), old.size(), fresh);
    return text;
  };
  const std::string secret = key.secret.text();
  const std::string other = new_curve_keys().public_key;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no line 'millrace-key'"},
      {with("millrace-key 1", "millrace-key 2"), "k:2: this version"},
      {with("name w1", "name ../w1"), "k:3: not a name"},
      {with("role worker", "role king"), "k:4: no such role"},
      {with("public ", "public x"), "k:5: not a public key"},
      {with("secret ", "secret x"), "k:6: not a secret key"},
      {with("secret ", "sekret "), "k:6: unknown word"},
      {with("name w1", "name w1\nname w2"), "k:4: the same again"},
      {with("name w1", "name w1 w2"), "k:3: a word and a value expected"},
      {with(key.key.public_key, other), "not a pair"},
      {good + std::string(10'000, '#'), "too large"},
  };
  for (const auto& [text, complaint] : cases) {
    const Result<KeyFile> read = parse_key_file(text, "k");
    ASSERT_FALSE(read.ok()) << complaint;
    EXPECT_EQ(read.error().code, Code::kInvalid);
    EXPECT_NE(read.error().what.find(complaint), std::string::npos) << read.error().what;
    EXPECT_EQ(read.error().what.find(secret), std::string::npos) << "a secret in an error";
    for (const Problem& problem : read.error().details) EXPECT_EQ(problem.message.find(secret), std::string::npos);
  }
}

TEST(KeyFile, AKeyIsFortyCharactersOfItsAlphabet) {
  const std::string key = new_curve_keys().public_key;
  EXPECT_TRUE(is_curve_key(key));
  EXPECT_FALSE(is_curve_key(key.substr(1)));
  EXPECT_FALSE(is_curve_key(key + "a"));
  for (const char bad : {' ', '"', '\\', ',', ';', '_', '~', '\x80', '\0'}) {
    std::string text = key;
    text[7] = bad;
    EXPECT_FALSE(is_curve_key(text)) << static_cast<int>(bad);
  }
  EXPECT_FALSE(is_curve_key("#####" + key.substr(5))) << "more than 32 bits in a group of five";
}

TEST(KeyFile, NamesAreSafeAsPartsOfAPath) {
  for (const char* good : {"a", "w1", "gpu-7.zone_a", "7"}) EXPECT_TRUE(is_key_name(good)) << good;
  for (const char* bad : {"", ".", "..", "-x", "_x", "a/b", "a b", "\xc3\xa4", "a\n"}) EXPECT_FALSE(is_key_name(bad));
  EXPECT_FALSE(is_key_name(std::string(65, 'a')));
}

TEST(KeyFile, ASecretIsGoneFromWhereItWasMovedFrom) {
  SecretKey first = some_key().secret;
  const std::string text = first.text();
  SecretKey second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT: a moved-from one is empty
  first = std::move(second);
  EXPECT_TRUE(second.empty());  // NOLINT
  EXPECT_EQ(first.text(), text);
}

TEST(KeyFile, ThePublicKeyOfACoordinatorIsAFileOrTheKeyItself) {
  Directory directory;
  KeyFile key = some_key(Role::kCoordinator);
  ASSERT_TRUE(write_private_file(directory.file("c.key"), key_file_text(key), false).ok());
  EXPECT_EQ(read_public_key(directory.file("c.key")).value(), key.key.public_key);
  EXPECT_EQ(read_public_key(key.key.public_key).value(), key.key.public_key);
  EXPECT_EQ(read_public_key(directory.file("nowhere")).error().code, Code::kNotFound);
}

TEST(KeyFile, APublicFileIsNoSecretKey) {
  Directory directory;
  KeyFile key = some_key();
  key.secret = {};
  ASSERT_TRUE(write_private_file(directory.file("w.pub"), key_file_text(key), false).ok());
  const Result<KeyFile> read = read_secret_key_file(directory.file("w.pub"));
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.error().what.find("no secret key"), std::string::npos) << read.error().what;
}

TEST(SmallFile, IsPrivateWholeAndOverwrittenOnlyWhereThatIsMeant) {
  Directory directory;
  const std::string path = directory.file("f");
  ASSERT_TRUE(write_private_file(path, "one", false).ok());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const FileMark before = mark_of(path);

  EXPECT_EQ(write_private_file(path, "two", false).error().code, Code::kConflict);
  EXPECT_EQ(read_small_file(path, 100).value(), "one");
  EXPECT_EQ(mark_of(path), before);

  ASSERT_TRUE(write_private_file(path, "two", true).ok());
  EXPECT_EQ(read_small_file(path, 100).value(), "two");
  EXPECT_NE(mark_of(path), before);
  EXPECT_EQ(read_small_file(path, 2).error().code, Code::kInvalid);
  EXPECT_EQ(read_small_file(directory.file("none"), 2).error().code, Code::kNotFound);
  EXPECT_FALSE(write_private_file(directory.file("no/where"), "x", true).ok());
  EXPECT_EQ(std::system(("test $(ls -A " + directory.file(".") + " | wc -l) = 1").c_str()), 0) << "something is left";
}

}  // namespace
}  // namespace millrace
