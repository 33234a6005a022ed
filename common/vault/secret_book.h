// SecretBook: named secrets, and the encrypted text that keeps them in a file.
//
// The text is a line that says the version and which key it is for, and base64 of a nonce and of what
// XChaCha20-Poly1305 made of the secrets, padded so that its length tells little. The line is authenticated with the
// rest.
//
//     millrace-secrets 1 5f0c2d9a41b7e683
//     q83v...
//
// A key file is text as well: `millrace-secrets-key 1` and `key` with 32 bytes in base64.
//
// Promises: keys and values are wiped from memory when their owner ends; no error quotes them; open_secrets() of what
// seal_secrets() gave is the same book, and of a text that was changed in any place an error. Bounded by the constants.
// Threads: plain values, any. Fails: kInvalid with the file's name: "key_mismatch" where the text is for another key,
// "secrets_file" where it is damaged or of a version that is not known, "secrets_key_file" for a key; set() as
// check_secret_name() and check_secret_value() do, and kRefused, "secrets_full".
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

constexpr std::size_t kSecretsMax = 1024;                          // of one book
constexpr std::size_t kSecretsBytesMax = 1024 * 1024;              // their names and values together
constexpr std::size_t kSecretsTextMax = kSecretsBytesMax / 2 * 3;  // of a sealed book
constexpr std::size_t kSecretsKeyTextMax = 4096;

class SecretsKey {
 public:
  static constexpr std::size_t kBytes = 32;

  static SecretsKey fresh();
  static Result<SecretsKey> parse(std::string_view text, const std::string& path);
  ~SecretsKey();
  SecretsKey(const SecretsKey&) = default;
  SecretsKey& operator=(const SecretsKey&) = default;

  std::string text() const;                      // of a key file; the caller wipes it
  const std::string& id() const { return id_; }  // 16 digits that tell keys apart and say nothing about them
  const std::uint8_t* bytes() const { return bytes_.data(); }

 private:
  SecretsKey() = default;
  void name_it();
  std::array<std::uint8_t, kBytes> bytes_{};
  std::string id_;
};

class SecretBook {
 public:
  struct Entry {
    std::string value;
    std::int64_t set_us = 0;  // when, in microseconds of UTC
    bool operator==(const Entry&) const = default;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  SecretBook() = default;
  ~SecretBook();
  SecretBook(const SecretBook&) = default;
  SecretBook(SecretBook&&) = default;
  SecretBook& operator=(SecretBook&& other) noexcept;

  Status set(std::string_view name, std::string_view value, std::int64_t set_us);
  bool remove(std::string_view name);  // false: it was not there
  const Entry* find(std::string_view name) const;
  const Entries& entries() const { return entries_; }

 private:
  void wipe();
  Entries entries_;
  std::size_t bytes_ = 0;
};

std::string seal_secrets(const SecretBook& book, const SecretsKey& key);
Result<SecretBook> open_secrets(std::string_view text, const SecretsKey& key, const std::string& path);

}  // namespace millrace
