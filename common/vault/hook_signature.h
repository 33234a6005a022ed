// Who sends to a webhook: a signature over what was sent, or a bearer token.
//
// Promises: comparisons take the same time wherever what was given differs from what was expected. Threads: any.
// Fails: never; what cannot be read is not right.
#pragma once

#include <string>
#include <string_view>

namespace millrace {

// `given` is sha256=HEX, or HEX alone: HMAC-SHA256 of the body under the secret, in either case.
bool is_signature(std::string_view given, std::string_view body, std::string_view secret);
std::string hook_signature(std::string_view body, std::string_view secret);  // sha256=HEX

// `given` is the header Authorization: Bearer TOKEN.
bool is_bearer_token(std::string_view given, std::string_view token);

}  // namespace millrace
