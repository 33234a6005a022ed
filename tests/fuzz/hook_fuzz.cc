// Fuzz: what comes to webhooks. The input is a path with its query, a signature and a body, with line ends between:
// what is read of the path is what can be written into one again, and only the signature of the body is right.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/vault/hook_signature.h"
#include "common/wire/codec.h"
#include "coordinator/shell/hooks.h"

namespace {

using namespace millrace;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "hook_fuzz: %s\n", what);
  std::abort();
}

std::string_view line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view one = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return one;
}

std::string escaped(const std::string& name) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : name) {
    out += '%';
    out += kHex[static_cast<unsigned char>(c) >> 4U];
    out += kHex[static_cast<unsigned char>(c) & 15U];
  }
  return out;
}

void fuzz_path(const HttpRequest& request) {
  const Result<HookDelivery> read = read_delivery(request);
  if (!read.ok()) {
    require(hook_answer(read.error()).status >= 400, "an error that is none");
    return;
  }
  HttpRequest again{Hooks::kUnder + escaped(read->workflow) + "/" + escaped(read->trigger),
                    "tenant=" + escaped(read->tenant)};
  const Result<HookDelivery> same = read_delivery(again);
  require(
      same.ok() && same->workflow == read->workflow && same->trigger == read->trigger && same->tenant == read->tenant,
      "a path changed");
  const auto wire = decode_request(encode_request(7, *read, 1));
  require(wire.ok(), "a delivery does not travel");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view path = line(text);
  const std::string signature(line(text));
  const std::size_t question = std::min(path.find('?'), path.size());
  HttpRequest request{std::string(path.substr(0, question)),
                      std::string(path.substr(std::min(question + 1, path.size())))};
  request.body = text;
  request.headers = {{"x-hub-signature-256", signature}};
  fuzz_path(request);
  const bool right = is_signature(signature, text, "secret");
  require(!right || signature.size() >= 64, "a signature that is too short");
  require(is_signature(hook_signature(text, "secret"), text, "secret"), "a signature that is right was refused");
  require(!is_signature(hook_signature(text, "another"), text, "secret"), "a signature of another was taken");
  require(!is_bearer_token(signature, "a token that no input has by chance"), "a token was guessed");
  return 0;
}
