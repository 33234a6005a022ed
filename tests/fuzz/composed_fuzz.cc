// What a value is put together from, as bytes: whatever they are, they are read or refused, what is read is stored as
// the same, and its elements and its whole are had from any texts.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/model/composed.h"

using namespace millrace;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr std::string_view kMarks[] = {"", "#millrace list 1\n", "#millrace value 1\n"};
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string stored = std::string(kMarks[data[0] % 3]) + std::string(bytes.substr(0, bytes.find('\0')));
  const std::string text(bytes.substr(std::min(bytes.find('\0'), bytes.size())));  // of every piece
  const auto find = [&](const Hash128& hash) { return hash.low % 4 == 0 ? nullptr : &text; };
  (void)whole_of(stored, find, 1 << 20);
  const Result<Composed> what = Composed::parse(stored);
  if (!what.ok()) return 0;
  const Result<Composed> again = Composed::parse(what->store());
  if (!again.ok() || *again != *what) std::abort();
  std::uint64_t counted = 0;
  for (const Piece& piece : what->pieces) {
    if (piece.first != counted) std::abort();
    counted += piece.count;
  }
  if (!what->list || what->count == 0) return 0;
  ListReader reader(*what, find);
  for (const std::uint64_t index : {std::uint64_t{0}, what->count / 2, what->count - 1}) (void)reader.element(index);
  return 0;
}
