// Fuzz: the readers of key files and allow-lists. The first byte chooses which. Whatever is accepted must survive
// another round, and a list must stay readable through changes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/io/allow_list.h"
#include "common/io/curve.h"

namespace {

using namespace millrace;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "keys_fuzz: %s\n", what);
  std::abort();
}

void fuzz_key_file(std::string_view text) {
  const Result<KeyFile> file = parse_key_file(text, "k");
  if (!file.ok()) return;
  require(is_key_name(file->key.name) && is_curve_key(file->key.public_key), "an odd key was taken");
  const Result<KeyFile> again = parse_key_file(key_file_text(*file), "k");
  require(again.ok() && again->key == file->key, "a key file changed");
  require(std::string_view(again->secret.text()) == file->secret.text(), "a secret changed");
}

void fuzz_allow_list(std::string_view text) {
  Result<AllowList> list = AllowList::parse(text, "l");
  if (!list.ok()) return;
  const Result<AllowList> again = AllowList::parse(list->text(), "l");
  require(again.ok() && again->keys() == list->keys(), "a list changed");
  const AllowedKey fresh{{"fresh", Role::kWorker, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"}, {"a", "b-*"}};
  const bool added = list->add(fresh, true).ok();
  require(!added || *list->find(fresh.key.public_key) == fresh, "an added key is not found");
  const Result<AllowList> changed = AllowList::parse(list->text(), "l");
  require(changed.ok() && changed->keys() == list->keys(), "a changed list cannot be read");
  for (const AllowedKey& key : std::vector<AllowedKey>(list->keys())) {
    may_have_id(key, text.substr(0, 20));
    list->remove(key.key.public_key);
    require(list->find(key.key.public_key) == nullptr, "a removed key is found");
  }
  require(list->keys().empty(), "keys are left");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) fuzz_key_file(text);
  else fuzz_allow_list(text);
  return 0;
}
