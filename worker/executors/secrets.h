// Secrets: named values that this worker knows, read at the moment they are used. They never leave the worker but in
// what a task does with them.
//
// A secret NAME is the environment variable MILLRACE_SECRET_NAME of the worker, or a file called NAME in one of the
// directories (as Kubernetes and Docker mount them; one newline at its end is not part of it), or what the source knows
// (the encrypted file). The first that has it counts. Copies share the source. Threads: one at a time, where there is a
// source; else any. Fails: find() says where a name was looked for, never what was found.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/model/secret.h"

namespace millrace {

constexpr const char* kSecretPrefix = "MILLRACE_SECRET_";

struct SecretSource {
  std::string place;  // for errors: a path
  std::function<std::optional<std::string>(std::string_view name)> find;
};

class Secrets {
 public:
  explicit Secrets(std::vector<std::string> directories = {}, std::optional<SecretSource> source = {})
      : directories_(std::move(directories)), source_(std::move(source)) {}
  Result<std::string> find(std::string_view name) const;  // kNotFound, kInvalid (no name, too long, not text)

 private:
  std::vector<std::string> directories_;
  std::optional<SecretSource> source_;
};

}  // namespace millrace
