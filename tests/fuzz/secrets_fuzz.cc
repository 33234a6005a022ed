// Fuzz: the readers of key files and files of secrets. The first byte chooses: a key file; a file of secrets as it
// comes, where nothing must be taken that this key did not seal; one that was sealed and then changed.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/vault/secret_book.h"

namespace {

using namespace millrace;

constexpr const char* kKey = "millrace-secrets-key 1\nkey AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "secrets_fuzz: %s\n", what);
  std::abort();
}

void fuzz_key_file(std::string_view text) {
  const Result<SecretsKey> key = SecretsKey::parse(text, "k");
  if (!key.ok()) return;
  const Result<SecretsKey> again = SecretsKey::parse(key->text(), "k");
  require(again.ok() && again->id() == key->id(), "a key changed");
}

void fuzz_sealed(std::string_view text, const SecretsKey& key) {
  // A file that is made by hand would have to be sealed with the key, which no input can be.
  require(!open_secrets(text, key, "f").ok(), "a forged file was taken");
}

// What is written in pieces of the input is read back; what is then changed at one place is not.
void fuzz_changed(std::string_view text, const SecretsKey& key) {
  SecretBook book;
  const std::string_view changes = text.substr(0, 3);
  for (std::size_t at = 3, number = 0; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    book.set("N" + std::to_string(number % 7), text.substr(at, end - at), static_cast<std::int64_t>(number)).ok();
    at = end + 1;
  }
  std::string sealed = seal_secrets(book, key);
  const Result<SecretBook> again = open_secrets(sealed, key, "f");
  require(again.ok() && again->entries() == book.entries(), "a book changed");
  if (changes.size() < 3) return;
  const std::size_t where =
      (static_cast<std::uint8_t>(changes[0]) * 256U + static_cast<std::uint8_t>(changes[1])) % sealed.size();
  // Line ends carry nothing; the last letters before the padding of base64 may be written in one way only.
  if (sealed[where] == changes[2] || sealed[where] == '\n' || changes[2] == '\n' || changes[2] == '\r') return;
  sealed[where] = changes[2];
  require(!open_secrets(sealed, key, "f").ok(), "a change was not noticed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const SecretsKey key = SecretsKey::parse(kKey, "k").value();
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 3 == 0) fuzz_key_file(text);
  else if (data[0] % 3 == 1) fuzz_sealed(text, key);
  else fuzz_changed(text, key);
  return 0;
}
