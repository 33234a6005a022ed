#include "common/model/outcome.h"

namespace millrace {

std::string clip(std::string text, std::size_t bytes_max) {
  static constexpr std::string_view kMark = " ... [cut]";
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max > kMark.size() ? bytes_max - kMark.size() : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  text += kMark;
  return text;
}

bool Outcome::operator==(const Outcome& o) const {
  const bool same_items = items == o.items || (items != nullptr && o.items != nullptr && *items == *o.items);
  return success == o.success && reason == o.reason && error == o.error && output == o.output && waited == o.waited &&
         ran == o.ran && same_items;
}

}  // namespace millrace
