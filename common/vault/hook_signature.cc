#include "common/vault/hook_signature.h"

#include <sodium.h>

#include <array>
#include <cctype>

namespace millrace {
namespace {

using Mac = std::array<unsigned char, crypto_auth_hmacsha256_BYTES>;
constexpr std::string_view kAlgorithm = "sha256=";
constexpr std::string_view kScheme = "bearer ";

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Mac mac_of(std::string_view body, std::string_view secret) {
  crypto_auth_hmacsha256_state state;
  Mac mac{};
  crypto_auth_hmacsha256_init(&state, bytes(secret), secret.size());
  crypto_auth_hmacsha256_update(&state, bytes(body), body.size());
  crypto_auth_hmacsha256_final(&state, mac.data());
  sodium_memzero(&state, sizeof state);
  return mac;
}

bool begins_with(std::string_view text, std::string_view begin) {
  if (text.size() < begin.size()) return false;
  for (std::size_t i = 0; i < begin.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i])) != begin[i]) return false;
  }
  return true;
}

}  // namespace

bool is_signature(std::string_view given, std::string_view body, std::string_view secret) {
  if (begins_with(given, kAlgorithm)) given.remove_prefix(kAlgorithm.size());
  Mac theirs{};
  std::size_t size = 0;
  if (given.size() != 2 * theirs.size() || secret.empty() ||
      sodium_hex2bin(theirs.data(), theirs.size(), given.data(), given.size(), nullptr, &size, nullptr) != 0 ||
      size != theirs.size())
    return false;
  const Mac ours = mac_of(body, secret);
  return sodium_memcmp(ours.data(), theirs.data(), ours.size()) == 0;
}

std::string hook_signature(std::string_view body, std::string_view secret) {
  const Mac mac = mac_of(body, secret);
  std::string hex(2 * mac.size() + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), mac.data(), mac.size());
  hex.pop_back();
  return std::string(kAlgorithm) + hex;
}

// Both are hashed first, so that neither their lengths nor where they differ show.
bool is_bearer_token(std::string_view given, std::string_view token) {
  if (!begins_with(given, kScheme) || token.empty()) return false;
  given.remove_prefix(kScheme.size());
  while (!given.empty() && given.front() == ' ') given.remove_prefix(1);
  static constexpr std::string_view kWhat = "bearer";
  const Mac theirs = mac_of(kWhat, given);
  const Mac ours = mac_of(kWhat, token);
  return sodium_memcmp(ours.data(), theirs.data(), ours.size()) == 0;
}

}  // namespace millrace
