// Secrets: named values that this worker knows, read at the moment they are used. They never leave the worker but in
// what a task does with them.
//
// A secret NAME is the environment variable MILLRACE_SECRET_NAME of the worker, or a file called NAME in one of the
// directories (as Kubernetes and Docker mount them; one newline at its end is not part of it). The first that has it
// counts. Threads: any. Fails: find() says where a name was looked for, never what was found.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace millrace {

constexpr std::size_t kSecretMax = 64 * 1024;
constexpr const char* kSecretPrefix = "MILLRACE_SECRET_";

class Secrets {
 public:
  explicit Secrets(std::vector<std::string> directories = {}) : directories_(std::move(directories)) {}
  Result<std::string> find(std::string_view name) const;  // kNotFound, kInvalid (no name, too long, not text)

 private:
  std::vector<std::string> directories_;
};

}  // namespace millrace
