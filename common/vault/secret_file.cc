#include "common/vault/secret_file.h"

#include <sys/stat.h>

#include <utility>

#include "common/io/curve.h"
#include "common/io/log.h"

namespace millrace {
namespace {

Error with_way_out(Error error) {
  if (error.code == Code::kNotFound) error.what += "; `millrace secret init` makes a file of secrets and its key";
  return error;
}

Result<SecretsKey> read_key(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRWXO | S_IWGRP)) != 0)
    return Error{Code::kInvalid,
                 path + ": the key of secrets is open to others on this machine: chmod 600 " + path,
                 {},
                 "secrets_key_exposed"};
  Result<std::string> text = read_small_file(path, kSecretsKeyTextMax);
  if (!text.ok()) return with_way_out(text.error());
  Result<SecretsKey> key = SecretsKey::parse(*text, path);
  wipe(*text);
  return key;
}

Result<SecretBook> read_book(const std::string& path, const SecretsKey& key) {
  const Result<std::string> text = read_small_file(path, kSecretsTextMax);
  if (!text.ok()) return with_way_out(text.error());
  return open_secrets(*text, key, path);
}

}  // namespace

Result<SecretsKey> create_secrets(const SecretPaths& paths) {
  const DirectoryLock lock(paths.file);
  auto there = [](const std::string& path) {
    return Error{Code::kConflict, path + " is there already, and is not overwritten", {}, "secrets_exist"};
  };
  for (const std::string& path : {paths.file, paths.key_file}) {
    if (mark_of(path) != FileMark{}) return there(path);
  }
  SecretsKey key = SecretsKey::fresh();
  std::string text = key.text();
  Status written = write_private_file(paths.key_file, text, false);
  wipe(text);
  if (written.ok()) written = write_private_file(paths.file, seal_secrets({}, key), false);
  if (written.ok()) return key;
  return written.error().code == Code::kConflict ? there(paths.key_file) : written.error();
}

Result<SecretBook> read_secrets(const SecretPaths& paths) {
  const Result<SecretsKey> key = read_key(paths.key_file);
  if (!key.ok()) return key.error();
  return read_book(paths.file, *key);
}

Status change_secrets(const SecretPaths& paths, const std::function<Status(SecretBook&)>& change) {
  const DirectoryLock lock(paths.file);
  const Result<SecretsKey> key = read_key(paths.key_file);
  if (!key.ok()) return key.error();
  Result<SecretBook> book = read_book(paths.file, *key);
  if (!book.ok()) return book.error();
  if (Status changed = change(*book); !changed.ok()) return changed;
  return write_private_file(paths.file, seal_secrets(*book, *key), true);
}

Result<SecretFile> SecretFile::open(SecretPaths paths) {
  SecretFile file(std::move(paths));
  file.read_as_ = file.marks();
  Result<SecretBook> book = read_secrets(file.paths_);
  if (!book.ok()) return book.error();
  file.book_ = std::move(*book);
  return file;
}

std::optional<std::string> SecretFile::find(std::string_view name) {
  if (const Marks now = marks(); now != read_as_) {
    read_as_ = now;
    Result<SecretBook> book = read_secrets(paths_);
    if (book.ok()) book_ = std::move(*book);
    else log_warn("the file of secrets cannot be read; what it held before counts", {{"why", book.error().what}});
  }
  const SecretBook::Entry* entry = book_.find(name);
  if (entry == nullptr) return std::nullopt;
  return entry->value;
}

}  // namespace millrace
