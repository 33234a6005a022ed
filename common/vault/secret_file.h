// SecretFile: secrets in an encrypted file and the key file that opens it, on disk.
//
// Both have mode 0600, are replaced whole (a reader sees the old or the new one), and are read within bounds. A key
// file that others may read or write, or its group write, is refused: "secrets_key_exposed". (Its group may read it:
// that is how Kubernetes mounts files for a user of their own.)
//
// Threads: the functions any; a SecretFile one at a time. Fails: kNotFound with the way out where one of the files is
// not there; as SecretBook and SecretsKey do; kConflict, "secrets_exist", where create_secrets() would overwrite
// something.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/io/small_file.h"
#include "common/vault/secret_book.h"

namespace millrace {

struct SecretPaths {
  std::string file;
  std::string key_file;
  // A key file that is not named stands beside the file, as FILE.key.
  static SecretPaths of(const std::string& file, const std::string& key_file) {
    return {file, key_file.empty() && !file.empty() ? file + ".key" : key_file};
  }
};

Result<SecretsKey> create_secrets(const SecretPaths& paths);  // a fresh key and no secrets
Result<SecretBook> read_secrets(const SecretPaths& paths);
// Reads, changes and writes as one step, other processes held off. Nothing is written when `change` fails.
Status change_secrets(const SecretPaths& paths, const std::function<Status(SecretBook&)>& change);

// For who reads one secret now and then. What is changed on disk counts from the next find() on; while it cannot be
// read, a warning is logged once and what was read before counts.
class SecretFile {
 public:
  static Result<SecretFile> open(SecretPaths paths);
  std::optional<std::string> find(std::string_view name);
  const SecretPaths& paths() const { return paths_; }

 private:
  struct Marks {
    FileMark file, key_file;
    bool operator==(const Marks&) const = default;
  };
  explicit SecretFile(SecretPaths paths) : paths_(std::move(paths)) {}
  Marks marks() const { return {mark_of(paths_.file), mark_of(paths_.key_file)}; }

  SecretPaths paths_;
  Marks read_as_;
  SecretBook book_;
};

}  // namespace millrace
