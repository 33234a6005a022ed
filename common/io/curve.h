// Curve: the keys with which peers of a cluster know each other, and the files that hold them.
//
// A key pair is a name, a role and two keys of CurveZMQ (Curve25519), each 40 characters of Z85. `NAME.key` holds both,
// `NAME.pub` the public one only:
//
//     # a comment
//     millrace-key 1
//     name w1
//     role worker
//     public rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7
//     secret JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6
//
// Promises: secrets are wiped from memory when their owner ends, are printed by nothing but key_file_text(), and no
// error quotes them. Files are bounded. Threads: plain values, any. Fails: kInvalid naming file and line; kNotFound for
// a file that is not there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

constexpr std::size_t kCurveKeyChars = 40;  // Z85 of 32 bytes

// What a key may do. Append only: words stand in files.
enum class Role : std::uint8_t {
  kWorker,       // run tasks
  kOperator,     // send requests, hear events
  kCoordinator,  // what operators may, and speak for a part of the cluster
};
constexpr Role kRoles[] = {Role::kWorker, Role::kOperator, Role::kCoordinator};
const char* to_string(Role role);
std::optional<Role> parse_role(std::string_view word);

// The text of a secret key; wiped when it ends.
class SecretKey {
 public:
  SecretKey() = default;
  explicit SecretKey(std::string_view z85);  // kCurveKeyChars of them
  ~SecretKey() { wipe(); }
  SecretKey(const SecretKey&) = default;
  SecretKey(SecretKey&& other) noexcept;
  SecretKey& operator=(const SecretKey& other) = default;
  SecretKey& operator=(SecretKey&& other) noexcept;
  const char* text() const { return text_.data(); }  // ends with a zero
  bool empty() const { return text_[0] == '\0'; }

 private:
  void wipe();
  std::array<char, kCurveKeyChars + 1> text_{};
};

struct CurveKeys {
  std::string public_key;
  SecretKey secret_key;
};

struct NamedKey {
  std::string name;
  Role role = Role::kWorker;
  std::string public_key;
  bool operator==(const NamedKey&) const = default;
};

struct KeyFile {
  NamedKey key;
  SecretKey secret;  // empty in a public file
};

CurveKeys new_curve_keys();
bool is_curve_key(std::string_view text);  // well-formed Z85 of 32 bytes
bool is_key_name(std::string_view text);   // 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit

Result<KeyFile> parse_key_file(std::string_view text, const std::string& path);
std::string key_file_text(const KeyFile& file);  // the caller wipes it where it holds a secret: see wipe()
Result<KeyFile> read_key_file(const std::string& path);

// For --curve-key: a file with a secret. Warns in the log where others of this machine can read it.
Result<KeyFile> read_secret_key_file(const std::string& path);
// For --curve-server-key: the public key of a file, or the key itself.
Result<std::string> read_public_key(const std::string& file_or_key);

void wipe(std::string& text);  // overwrites, then empties

}  // namespace millrace
