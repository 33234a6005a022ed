#include "common/io/curve.h"

#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <zmq.hpp>

#include "common/io/log.h"
#include "common/io/small_file.h"

namespace millrace {
namespace {

constexpr std::size_t kKeyFileMax = 4096;
constexpr std::size_t kNameMax = 64;
constexpr std::string_view kFormat = "1";

Error wrong(const std::string& path, int line, const std::string& message, const std::string& expected) {
  const std::string where = line > 0 ? path + ":" + std::to_string(line) : path;
  return {Code::kInvalid, where + ": " + message, {{path, line, 0, message, expected, ""}}, "key_file"};
}

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// Takes in "WORD VALUE" of one line; a complaint where it is neither known nor right. Values are not quoted in
// complaints: they may be secrets.
std::optional<std::string> take_line(std::string_view word, std::string_view value, KeyFile& file, bool& format) {
  if (word == "millrace-key") {
    format = value == kFormat;
    return format ? std::nullopt : std::optional<std::string>("this version of key files is not known");
  }
  if (word == "name") {
    if (!is_key_name(value)) return "not a name";
    file.key.name = value;
  } else if (word == "role") {
    const std::optional<Role> role = parse_role(value);
    if (!role) return "no such role";
    file.key.role = *role;
  } else if (word == "public" || word == "secret") {
    if (!is_curve_key(value)) return "not a " + std::string(word) + " key";
    if (word == "public") file.key.public_key = value;
    else file.secret = SecretKey(value);
  } else {
    return "unknown word at the beginning of a line";
  }
  return std::nullopt;
}

}  // namespace

const char* to_string(Role role) {
  switch (role) {
    case Role::kWorker: return "worker";
    case Role::kOperator: return "operator";
    case Role::kCoordinator: return "coordinator";
  }
  return "?";
}

std::optional<Role> parse_role(std::string_view word) {
  for (const Role role : kRoles) {
    if (word == to_string(role)) return role;
  }
  return std::nullopt;
}

SecretKey::SecretKey(std::string_view z85) {
  assert(z85.size() == kCurveKeyChars);
  std::copy(z85.begin(), z85.end(), text_.begin());
}

SecretKey::SecretKey(SecretKey&& other) noexcept : text_(other.text_) { other.wipe(); }

SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
  if (this == &other) return *this;
  text_ = other.text_;
  other.wipe();
  return *this;
}

void SecretKey::wipe() { explicit_bzero(text_.data(), text_.size()); }

void wipe(std::string& text) {
  explicit_bzero(text.data(), text.size());
  text.clear();
}

CurveKeys new_curve_keys() {
  std::array<char, kCurveKeyChars + 1> public_text{};
  std::array<char, kCurveKeyChars + 1> secret_text{};
  [[maybe_unused]] const int made = zmq_curve_keypair(public_text.data(), secret_text.data());
  assert(made == 0 && "libzmq is built without CURVE");
  CurveKeys keys{public_text.data(), SecretKey({secret_text.data(), kCurveKeyChars})};
  explicit_bzero(secret_text.data(), secret_text.size());
  return keys;
}

bool is_curve_key(std::string_view text) {
  if (text.size() != kCurveKeyChars) return false;
  std::array<char, kCurveKeyChars + 1> copy{};
  std::copy(text.begin(), text.end(), copy.begin());
  std::array<std::uint8_t, 32> raw{};
  // libzmq's decoder takes characters outside of Z85's table for zeros: look at them first.
  static constexpr std::string_view kOthers = ".-:+=^!/*?&<>()[]{}@%$#";
  const bool in_table = std::ranges::all_of(
      text, [](char c) { return (is_word_char(c) && c != '_') || kOthers.find(c) != std::string_view::npos; });
  const bool good = in_table && zmq_z85_decode(raw.data(), copy.data()) != nullptr;
  explicit_bzero(copy.data(), copy.size());
  explicit_bzero(raw.data(), raw.size());
  return good;
}

bool is_key_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && std::ranges::all_of(text, is_word_char) &&
         std::string_view("._-").find(text[0]) == std::string_view::npos;
}

Result<KeyFile> parse_key_file(std::string_view text, const std::string& path) {
  KeyFile file;
  bool format = false;
  std::string seen;
  if (text.size() > kKeyFileMax)
    return wrong(path, 0, "too large for a key file", "a file of `millrace keys generate`");
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::vector<std::string_view> words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty() || words[0].starts_with('#')) continue;
    if (words.size() != 2) return wrong(path, number, "a word and a value expected", "name, role, public or secret");
    const std::string mark = "|" + std::string(words[0].substr(0, 16)) + "|";
    if (seen.find(mark) != std::string::npos) return wrong(path, number, "the same again", "each word once");
    seen += mark;
    if (const auto complaint = take_line(words[0], words[1], file, format)) {
      return wrong(path, number, *complaint, "a file of `millrace keys generate`");
    }
  }
  for (const char* word : {"millrace-key", "name", "role", "public"}) {
    if (seen.find("|" + std::string(word) + "|") == std::string::npos) {
      return wrong(path, 0, "not a key file: it has no line '" + std::string(word) + "'",
                   "a file of `millrace keys generate`");
    }
  }
  if (file.secret.empty()) return file;
  std::array<char, kCurveKeyChars + 1> derived{};
  if (zmq_curve_public(derived.data(), file.secret.text()) != 0 || file.key.public_key != derived.data()) {
    return wrong(path, 0, "the secret key and the public key are not a pair", "a file of `millrace keys generate`");
  }
  return file;
}

std::string key_file_text(const KeyFile& file) {
  std::string text;
  text.reserve(512);  // so that growing leaves no copy of a secret behind
  text += file.secret.empty() ? "# Millrace public key: `millrace keys authorize` lets its owner in.\n"
                              : "# Millrace SECRET key. Keep it private: whoever has it is its owner.\n";
  text += "millrace-key 1\nname " + file.key.name + "\nrole " + to_string(file.key.role) + "\npublic " +
          file.key.public_key + "\n";
  if (file.secret.empty()) return text;
  text += "secret ";
  text += file.secret.text();
  text += '\n';
  return text;
}

Result<KeyFile> read_key_file(const std::string& path) {
  Result<std::string> text = read_small_file(path, kKeyFileMax);
  if (!text.ok()) return text.error();
  Result<KeyFile> file = parse_key_file(*text, path);
  wipe(*text);
  return file;
}

Result<KeyFile> read_secret_key_file(const std::string& path) {
  Result<KeyFile> file = read_key_file(path);
  if (!file.ok()) return file;
  if (file->secret.empty()) return wrong(path, 0, "it holds no secret key", "the .key file, not the .pub file");
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    log_warn("the secret key can be read by everybody on this machine: chmod 600", {{"file", path}});
  }
  return file;
}

Result<std::string> read_public_key(const std::string& file_or_key) {
  struct stat info {};
  if (stat(file_or_key.c_str(), &info) != 0 && is_curve_key(file_or_key)) return file_or_key;
  Result<KeyFile> file = read_key_file(file_or_key);
  if (!file.ok()) return file.error();
  return std::move(file->key.public_key);
}

}  // namespace millrace
