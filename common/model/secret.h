// What a secret can be: a name (is_secret_name() of workflow.h) and a text of up to 64 KiB.
//
// Threads: any. Fails: kInvalid, named "secret"; errors name the secret and never quote its value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

constexpr std::size_t kSecretMax = 64 * 1024;  // bytes of a value

Error secret_error(Code code, std::string_view name, const std::string& what);  // "the secret 'NAME' WHAT"
Status check_secret_name(std::string_view name);
Status check_secret_value(std::string_view name, std::string_view value);  // not empty, not too long, text

}  // namespace millrace
