#include "common/vault/secret_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace millrace {
namespace {

class SecretFiles : public ::testing::Test {
 protected:
  SecretFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "millrace-secret-file-test-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    paths_ = SecretPaths::of(directory_ + "/secrets", "");
  }
  ~SecretFiles() override { std::filesystem::remove_all(directory_); }

  Status set(const std::string& name, const std::string& value) {
    return change_secrets(paths_, [&](SecretBook& book) { return book.set(name, value, 1); });
  }
  static unsigned mode(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777U;
  }

  std::string directory_;
  SecretPaths paths_;
};

TEST_F(SecretFiles, AreMadeOnceAndPrivate) {
  EXPECT_EQ(paths_.key_file, directory_ + "/secrets.key");
  EXPECT_EQ(read_secrets(paths_).error().what,
            "read " + paths_.key_file +
                ": No such file or directory; `millrace secret init` makes a file of secrets and its key");
  ASSERT_TRUE(create_secrets(paths_).ok());
  ASSERT_TRUE(set("A", "x").ok());
  EXPECT_EQ(mode(paths_.file), 0600U);
  EXPECT_EQ(mode(paths_.key_file), 0600U);
  EXPECT_EQ(create_secrets(paths_).error().name, "secrets_exist");
  std::filesystem::remove(paths_.key_file);
  EXPECT_EQ(create_secrets(paths_).error().name, "secrets_exist") << "no other key can open what is there";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), std::filesystem::directory_iterator()), 1);
}

TEST_F(SecretFiles, AKeyThatOthersMayReadIsRefused) {
  ASSERT_TRUE(create_secrets(paths_).ok());
  for (const mode_t open : {0604, 0602, 0620, 0644}) {
    chmod(paths_.key_file.c_str(), open);
    EXPECT_EQ(read_secrets(paths_).error().name, "secrets_key_exposed") << std::oct << open;
    EXPECT_EQ(set("A", "x").error().name, "secrets_key_exposed");
  }
  chmod(paths_.key_file.c_str(), 0440);  // as Kubernetes mounts it
  EXPECT_TRUE(read_secrets(paths_).ok());
}

TEST_F(SecretFiles, AChangeThatFailsWritesNothing) {
  ASSERT_TRUE(create_secrets(paths_).ok());
  ASSERT_TRUE(set("A", "x").ok());
  const FileMark before = mark_of(paths_.file);
  EXPECT_FALSE(change_secrets(paths_, [](SecretBook& book) {
                 book.remove("A");
                 return book.set("b-c", "y", 1);
               }).ok());
  EXPECT_EQ(mark_of(paths_.file), before);
  EXPECT_NE(read_secrets(paths_)->find("A"), nullptr);
}

TEST_F(SecretFiles, AReaderSeesWhatChangesAndKeepsWhatItHasWhileAFileCannotBeRead) {
  ASSERT_TRUE(create_secrets(paths_).ok());
  ASSERT_TRUE(set("A", "first").ok());
  Result<SecretFile> file = SecretFile::open(paths_);
  ASSERT_TRUE(file.ok()) << file.error().what;
  EXPECT_EQ(file->find("A"), "first");
  EXPECT_EQ(file->find("B"), std::nullopt);

  ASSERT_TRUE(set("A", "second").ok());
  ASSERT_TRUE(set("B", "new").ok());
  EXPECT_EQ(file->find("A"), "second");
  EXPECT_EQ(file->find("B"), "new");

  std::string good = read_small_file(paths_.file, kSecretsTextMax).value();
  ASSERT_TRUE(write_private_file(paths_.file, good.substr(0, good.size() / 2), true).ok());
  EXPECT_EQ(file->find("A"), "second");
  ASSERT_TRUE(write_private_file(paths_.file, good, true).ok());
  ASSERT_TRUE(change_secrets(paths_, [](SecretBook& book) -> Status {
                book.remove("A");
                return Done{};
              }).ok());
  EXPECT_EQ(file->find("A"), std::nullopt) << "what was taken away is gone";
  EXPECT_EQ(SecretFile::open({paths_.file, directory_ + "/other.key"}).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace millrace
