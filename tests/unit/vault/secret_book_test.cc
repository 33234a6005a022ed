#include "common/vault/secret_book.h"

#include <gtest/gtest.h>

#include "common/model/secret.h"

namespace millrace {
namespace {

SecretBook book_of_two() {
  SecretBook book;
  EXPECT_TRUE(book.set("TOKEN", "hunter2", 17).ok());
  EXPECT_TRUE(book.set("DB_PASSWORD", "zwei\nZeilen ✓", 18).ok());
  return book;
}

std::string why(const Result<SecretBook>& book) { return book.ok() ? "" : book.error().name; }

TEST(SecretBook, ASealedBookOpensAsTheSameBookWithItsKeyOnly) {
  const SecretsKey key = SecretsKey::fresh();
  const SecretBook book = book_of_two();
  const std::string text = seal_secrets(book, key);
  const Result<SecretBook> again = open_secrets(text, key, "f");
  ASSERT_TRUE(again.ok()) << again.error().what;
  EXPECT_EQ(again->entries(), book.entries());
  EXPECT_EQ(why(open_secrets(text, SecretsKey::fresh(), "f")), "key_mismatch");
  const Result<SecretBook> none = open_secrets(seal_secrets({}, key), key, "f");
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->entries().empty());
}

TEST(SecretBook, WhatIsSealedShowsNeitherNamesNorValuesNorTheirLength) {
  const SecretsKey key = SecretsKey::fresh();
  const std::string text = seal_secrets(book_of_two(), key);
  for (const char* word : {"TOKEN", "hunter2", "DB_PASSWORD", "Zeilen"}) EXPECT_EQ(text.find(word), std::string::npos);
  EXPECT_EQ(text.size(), seal_secrets({}, key).size());
  EXPECT_NE(text, seal_secrets(book_of_two(), key)) << "no two are alike";
}

TEST(SecretBook, AChangeOfAnyCharacterIsNoticed) {
  const SecretsKey key = SecretsKey::fresh();
  const std::string text = seal_secrets(book_of_two(), key);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    if (text[i] == '\n' && i > text.find('\n')) continue;  // then it is one letter too many, which is looked at below
    EXPECT_FALSE(open_secrets(other, key, "f").ok()) << i;
  }
  for (std::size_t i = text.find('\n') + 1; i < text.find('\n') + 65; ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string other = text;
      other[i] = static_cast<char>(c);
      if (other[i] == text[i] || c == '\n' || c == '\r') continue;
      EXPECT_FALSE(open_secrets(other, key, "f").ok()) << i << " " << c;
    }
  }
  for (std::size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_FALSE(open_secrets(std::string_view(text).substr(0, size), key, "f").ok()) << size;
  }
  EXPECT_EQ(why(open_secrets(text + "AAAA", key, "f")), "secrets_file");
  EXPECT_EQ(why(open_secrets(text + "{}", key, "f")), "secrets_file");
  EXPECT_EQ(why(open_secrets("millrace-secrets 2 " + key.id() + "\n", key, "f")), "secrets_file");
  EXPECT_EQ(why(open_secrets(std::string(kSecretsTextMax + 1, 'A'), key, "f")), "secrets_file");
}

TEST(SecretBook, AKeySurvivesItsFileAndNothingElseIsTakenForOne) {
  const SecretsKey key = SecretsKey::fresh();
  const Result<SecretsKey> again = SecretsKey::parse(key.text(), "k");
  ASSERT_TRUE(again.ok()) << again.error().what;
  EXPECT_EQ(again->id(), key.id());
  EXPECT_TRUE(open_secrets(seal_secrets({}, key), *again, "f").ok());
  for (const std::string text :
       {"", "key AAAA", "millrace-secrets-key 2\nkey AAAA", "millrace-secrets-key 1\nkey AAAA\n",
        "millrace-secrets-key 1\n", "millrace-secrets-key 1\nkey x y\n", "hunter2 hunter2"}) {
    const Result<SecretsKey> bad = SecretsKey::parse(text, "k");
    ASSERT_FALSE(bad.ok()) << text;
    EXPECT_EQ(bad.error().name, "secrets_key_file");
    EXPECT_EQ(bad.error().what.find("hunter2"), std::string::npos) << bad.error().what;
  }
  EXPECT_FALSE(SecretsKey::parse(key.text() + key.text(), "k").ok()) << "one key a file";
}

TEST(SecretBook, NamesValuesAndTheirNumberAreBounded) {
  SecretBook book;
  EXPECT_EQ(book.set("a-b", "x", 0).error().what, "the secret 'a-b' has a name that no secret can have");
  EXPECT_EQ(book.set("A", "", 0).error().what, "the secret 'A' is empty");
  EXPECT_EQ(book.set("A", std::string(kSecretMax + 1, 'x'), 0).error().what, "the secret 'A' is longer than 64 KiB");
  EXPECT_EQ(book.set("A", "\xff", 0).error().what, "the secret 'A' is not text");
  EXPECT_TRUE(book.entries().empty());

  const std::string large(kSecretMax, 'x');
  int fit = 0;
  while (book.set("L" + std::to_string(fit), large, 0).ok()) ++fit;
  EXPECT_EQ(fit, 15) << "their names count as well";
  EXPECT_EQ(book.set("L99", large, 0).error().name, "secrets_full");
  EXPECT_TRUE(book.set("L0", "small", 0).ok()) << "another value of one that is there";
  EXPECT_TRUE(book.set("L99", large, 0).ok()) << "there is room again";
  EXPECT_TRUE(book.remove("L99"));
  EXPECT_FALSE(book.remove("L99"));
  const SecretsKey key = SecretsKey::fresh();
  const Result<SecretBook> again = open_secrets(seal_secrets(book, key), key, "f");
  ASSERT_TRUE(again.ok()) << again.error().what;
  EXPECT_EQ(again->entries(), book.entries());

  SecretBook many;
  for (std::size_t i = 0; i < kSecretsMax; ++i) ASSERT_TRUE(many.set("S" + std::to_string(i), "x", 0).ok());
  EXPECT_EQ(many.set("ONE_MORE", "x", 0).error().name, "secrets_full");
}

}  // namespace
}  // namespace millrace
