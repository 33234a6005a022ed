#include "common/model/secret.h"

#include "common/base/value.h"
#include "common/model/workflow.h"

namespace millrace {

Error secret_error(Code code, std::string_view name, const std::string& what) {
  return Error{code, "the secret '" + std::string(name.substr(0, kSecretNameMax)) + "' " + what, {}, "secret"};
}

Status check_secret_name(std::string_view name) {
  if (is_secret_name(name)) return Done{};
  return secret_error(Code::kInvalid, name, "has a name that no secret can have");
}

Status check_secret_value(std::string_view name, std::string_view value) {
  if (value.empty()) return secret_error(Code::kInvalid, name, "is empty");
  if (value.size() > kSecretMax) return secret_error(Code::kInvalid, name, "is longer than 64 KiB");
  if (to_valid_utf8(value) != value || value.find('\0') != std::string_view::npos)
    return secret_error(Code::kInvalid, name, "is not text");
  return Done{};
}

}  // namespace millrace
