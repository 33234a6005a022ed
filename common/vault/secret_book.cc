#include "common/vault/secret_book.h"

#include <sodium.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "common/io/small_file.h"
#include "common/model/secret.h"

namespace millrace {
namespace {

constexpr std::string_view kTextWord = "millrace-secrets";
constexpr std::string_view kKeyWord = "millrace-secrets-key";
constexpr std::string_view kVersion = "1";
constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kPadding = 1024;
constexpr std::size_t kLine = 76;
constexpr std::size_t kIdBytes = 8;

using Bytes = std::vector<std::uint8_t>;

void need_sodium() {
  static const int begun = sodium_init();
  assert(begun >= 0);
}

struct Wiped {  // bytes that are overwritten when they end
  Bytes bytes;
  ~Wiped() { sodium_memzero(bytes.data(), bytes.size()); }
};

Error wrong(const std::string& path, const std::string& what, const char* name) {
  return {Code::kInvalid, path + ": " + what, {}, name};
}

std::string base64(const std::uint8_t* bytes, std::size_t size) {
  std::string text(sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes, size, sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the zero at its end
  return text;
}

// The bytes of all of `text`, line ends left out; nothing where it is not base64. libsodium takes bytes above 127 for
// letters: they are looked at before.
std::optional<Bytes> from_base64(std::string_view text) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
           c == '=' || c == '\n' || c == '\r';
  };
  if (!std::ranges::all_of(text, is_letter)) return std::nullopt;
  Bytes bytes(text.size() / 4 * 3 + 3);
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(bytes.data(), bytes.size(), text.data(), text.size(), "\r\n", &size, &end,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size())
    return std::nullopt;
  bytes.resize(size);
  return bytes;
}

// ---------------------------------------------------------------- the plain form
// A number of entries; each: length and text of the name, when it was set, length and text of the value.

void put(Bytes& out, std::uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}

void put(Bytes& out, std::string_view text) { out.insert(out.end(), text.begin(), text.end()); }

class Reader {
 public:
  explicit Reader(const Bytes& bytes) : rest_(reinterpret_cast<const char*>(bytes.data()), bytes.size()) {}
  std::uint64_t number(int bytes) {
    const std::string_view piece = text(static_cast<std::size_t>(bytes));
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < piece.size(); ++i)
      number |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(piece[i])) << (8 * i);
    return number;
  }
  std::string_view text(std::size_t size) {
    if (size > rest_.size()) {
      good_ = false;
      size = 0;
    }
    const std::string_view piece = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return piece;
  }
  bool good() const { return good_; }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

Wiped plain(const SecretBook& book) {
  Wiped out;
  std::size_t needed = 4 + kPadding;
  for (const auto& [name, entry] : book.entries()) needed += 13 + name.size() + entry.value.size();
  out.bytes.reserve(needed);  // so that growing leaves no copy behind
  put(out.bytes, book.entries().size(), 4);
  for (const auto& [name, entry] : book.entries()) {
    put(out.bytes, name.size(), 1);
    put(out.bytes, name);
    put(out.bytes, static_cast<std::uint64_t>(entry.set_us), 8);
    put(out.bytes, entry.value.size(), 4);
    put(out.bytes, entry.value);
  }
  const std::size_t size = out.bytes.size();
  out.bytes.resize(size + kPadding);
  std::size_t padded = 0;
  sodium_pad(&padded, out.bytes.data(), size, kPadding, out.bytes.size());
  out.bytes.resize(padded);
  return out;
}

std::optional<SecretBook> book_of(const Bytes& padded) {
  std::size_t size = 0;
  if (sodium_unpad(&size, padded.data(), padded.size(), kPadding) != 0) return std::nullopt;
  Wiped bytes{Bytes(padded.begin(), padded.begin() + static_cast<std::ptrdiff_t>(size))};
  Reader reader(bytes.bytes);
  SecretBook book;
  for (std::uint64_t left = reader.number(4); left > 0; --left) {
    const std::string_view name = reader.text(reader.number(1));
    const std::int64_t set_us = static_cast<std::int64_t>(reader.number(8));
    const std::string_view value = reader.text(reader.number(4));
    if (!reader.good() || book.find(name) != nullptr || !book.set(name, value, set_us).ok()) return std::nullopt;
  }
  if (!reader.good() || !reader.at_end()) return std::nullopt;
  return book;
}

}  // namespace

// ---------------------------------------------------------------- keys

SecretsKey SecretsKey::fresh() {
  need_sodium();
  SecretsKey key;
  crypto_aead_xchacha20poly1305_ietf_keygen(key.bytes_.data());
  key.name_it();
  return key;
}

SecretsKey::~SecretsKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

void SecretsKey::name_it() {
  static_assert(kBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  std::array<std::uint8_t, crypto_generichash_BYTES> hash{};
  crypto_generichash(hash.data(), hash.size(), bytes_.data(), bytes_.size(),
                     reinterpret_cast<const std::uint8_t*>(kKeyWord.data()), kKeyWord.size());
  std::array<char, 2 * kIdBytes + 1> digits{};
  sodium_bin2hex(digits.data(), digits.size(), hash.data(), kIdBytes);
  id_ = digits.data();
}

Result<SecretsKey> SecretsKey::parse(std::string_view text, const std::string& path) {
  need_sodium();
  auto bad = [&](const std::string& what) {
    return wrong(path, what + "; expected a file of `millrace secret init`", "secrets_key_file");
  };
  if (text.size() > kSecretsKeyTextMax) return bad("too large for a key file");
  bool format = false, known = false;
  SecretsKey key;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::vector<std::string_view> words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty() || words[0].starts_with('#')) continue;
    if (words.size() != 2) return bad("not a key of secrets");
    if (words[0] == kKeyWord && !format) {
      if (words[1] != kVersion) return bad("a version of key files that is not known");
      format = true;
    } else if (words[0] == "key" && format && !known) {
      std::optional<Bytes> bytes = from_base64(words[1]);
      if (bytes && bytes->size() == kBytes) {
        std::memcpy(key.bytes_.data(), bytes->data(), kBytes);
        known = true;
      }
      if (bytes) sodium_memzero(bytes->data(), bytes->size());
      if (!known) return bad("not a key of secrets");
    } else {
      return bad("not a key of secrets");
    }
  }
  if (!known) return bad("not a key of secrets");
  key.name_it();
  return key;
}

std::string SecretsKey::text() const {
  std::string text;
  text.reserve(512);
  text += "# Millrace key of secrets. Keep it private: whoever has it can read the secrets that it encrypts.\n";
  text += std::string(kKeyWord) + " " + std::string(kVersion) + "\nkey ";
  std::string key = base64(bytes_.data(), bytes_.size());
  text += key;
  text += '\n';
  sodium_memzero(key.data(), key.size());
  return text;
}

// ---------------------------------------------------------------- books

SecretBook::~SecretBook() { wipe(); }

SecretBook& SecretBook::operator=(SecretBook&& other) noexcept {
  wipe();
  entries_ = std::move(other.entries_);
  bytes_ = std::exchange(other.bytes_, 0);
  other.entries_.clear();
  return *this;
}

void SecretBook::wipe() {
  for (auto& [name, entry] : entries_) sodium_memzero(entry.value.data(), entry.value.size());
  entries_.clear();
  bytes_ = 0;
}

Status SecretBook::set(std::string_view name, std::string_view value, std::int64_t set_us) {
  if (Status named = check_secret_name(name); !named.ok()) return named;
  if (Status good = check_secret_value(name, value); !good.ok()) return good;
  const Entry* before = find(name);
  const std::size_t bytes =
      bytes_ + value.size() + (before == nullptr ? name.size() : 0) - (before == nullptr ? 0 : before->value.size());
  if (bytes > kSecretsBytesMax || (before == nullptr && entries_.size() == kSecretsMax))
    return Error{Code::kRefused,
                 "the secret '" + std::string(name) + "' does not fit: at most " + std::to_string(kSecretsMax) +
                     " secrets of 1 MiB together stand in a file",
                 {},
                 "secrets_full"};
  remove(name);
  entries_.emplace(std::string(name), Entry{std::string(value), set_us});
  bytes_ = bytes;
  return Done{};
}

bool SecretBook::remove(std::string_view name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return false;
  bytes_ -= found->first.size() + found->second.value.size();
  sodium_memzero(found->second.value.data(), found->second.value.size());
  entries_.erase(found);
  return true;
}

const SecretBook::Entry* SecretBook::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string seal_secrets(const SecretBook& book, const SecretsKey& key) {
  need_sodium();
  const std::string head = std::string(kTextWord) + " " + std::string(kVersion) + " " + key.id();
  const Wiped open = plain(book);
  Bytes sealed(kNonce + open.bytes.size() + kTag);
  randombytes_buf(sealed.data(), kNonce);
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data() + kNonce, nullptr, open.bytes.data(), open.bytes.size(),
                                             reinterpret_cast<const std::uint8_t*>(head.data()), head.size(), nullptr,
                                             sealed.data(), key.bytes());
  const std::string letters = base64(sealed.data(), sealed.size());
  std::string text = head + "\n";
  for (std::size_t at = 0; at < letters.size(); at += kLine) text += letters.substr(at, kLine) + "\n";
  return text;
}

Result<SecretBook> open_secrets(std::string_view text, const SecretsKey& key, const std::string& path) {
  need_sodium();
  auto bad = [&](const std::string& what) { return wrong(path, what, "secrets_file"); };
  if (text.size() > kSecretsTextMax) return bad("larger than a file of secrets can be");
  const std::string_view head = text.substr(0, text.find('\n'));
  const std::vector<std::string_view> words = words_of(head);
  if (words.size() != 3 || words[0] != kTextWord)
    return bad("not a file of secrets (`millrace secret init` makes one)");
  if (words[1] != kVersion) return bad("written by a version of Millrace whose files of secrets are not known here");
  if (words[2] != key.id())
    return wrong(path, "its secrets are encrypted with another key: not " + key.id(), "key_mismatch");
  const std::optional<Bytes> sealed = from_base64(text.substr(head.size()));
  if (!sealed || sealed->size() < kNonce + kTag) return bad("damaged: it is cut short or was changed by hand");
  Wiped open{Bytes(sealed->size() - kNonce - kTag)};
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          open.bytes.data(), nullptr, nullptr, sealed->data() + kNonce, sealed->size() - kNonce,
          reinterpret_cast<const std::uint8_t*>(head.data()), head.size(), sealed->data(), key.bytes()) != 0)
    return bad("damaged: what it holds is not what was written");
  std::optional<SecretBook> book = book_of(open.bytes);
  if (!book) return bad("damaged: it does not hold secrets");
  return std::move(*book);
}

}  // namespace millrace
