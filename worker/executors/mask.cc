#include "worker/executors/mask.h"

#include <algorithm>

#include "worker/executors/encodings.h"

namespace millrace {
namespace {

constexpr std::string_view kMasked = "***";

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

}  // namespace

bool Mask::Word::fits(std::size_t at, char letter) const {
  const char own = text[at];
  int bits = 0x3F;
  if (at == 0) bits &= 0x3F >> head_bits;
  if (at + 1 == text.size()) bits &= 0x3F << tail_bits;
  if (bits == 0x3F) return own == letter;
  return base64_digit(letter) >= 0 && ((base64_digit(own) ^ base64_digit(letter)) & bits) == 0;
}

void Mask::add(std::string_view secret) {
  if (secret.empty()) return;
  std::string quoted;
  append_json_string(quoted, secret);
  // Of a longer text, base64 shows a secret in three ways; the first is also that of the secret alone.
  std::vector<Word> forms = {{std::string(secret)}, {quoted.substr(1, quoted.size() - 2)}, {percent_encoded(secret)}};
  if (secret.size() >= 6) {
    for (std::size_t shift = 0; shift < 3; ++shift) {
      const std::string encoded = base64(std::string(shift, 'x') + std::string(secret));
      const std::size_t end = ((shift + secret.size()) * 8 + 5) / 6;  // without its padding
      const std::size_t over = (shift + secret.size()) % 3;
      Word word{encoded.substr(shift, end - shift), static_cast<int>(2 * shift), over == 0 ? 0 : over == 1 ? 4 : 2};
      forms.push_back(word);
      std::ranges::replace(word.text, '+', '-');  // the letters of URLs
      std::ranges::replace(word.text, '/', '_');
      forms.push_back(std::move(word));
    }
  }
  for (Word& form : forms) {
    if (std::ranges::find(words_, form) == words_.end()) words_.push_back(std::move(form));
  }
  std::ranges::stable_sort(words_, std::ranges::greater{}, [](const Word& word) { return word.text.size(); });
}

bool Mask::holds(std::string_view text) const {
  return std::ranges::any_of(words_,
                             [&](const Word& word) { return text.find(word.core()) != std::string_view::npos; });
}

// The letters that a word shares go with it. Without them (a line was broken there) the rest of it goes all the same,
// unless the last one may still come.
std::string Mask::masked_text(std::string text, bool more) const {
  for (const Word& word : words_) {
    const std::string core = word.core();
    for (std::size_t at = text.find(core); at != std::string::npos; at = text.find(core, at + kMasked.size())) {
      std::size_t end = at + core.size();
      if (more && word.tail_bits > 0 && end == text.size()) break;
      if (word.tail_bits > 0 && end < text.size() && word.fits(word.text.size() - 1, text[end])) ++end;
      if (word.head_bits > 0 && at > 0 && word.fits(0, text[at - 1])) --at;
      text.replace(at, end - at, kMasked);
    }
  }
  return text;
}

std::string Mask::text(std::string_view text) const { return masked_text(std::string(text), false); }

Value Mask::masked(const Value& value) const {
  if (value.is_string()) return text(value.as_string());
  if (value.is_array()) {
    Value::Array items;
    for (const Value& item : value.as_array()) items.push_back(masked(item));
    return items;
  }
  if (value.is_object()) {
    Value::Object members;
    for (const auto& [name, member] : value.as_object()) members.emplace_back(text(name), masked(member));
    return members;
  }
  if (value.is_number() && holds(value.dump())) return kMasked;
  return value;
}

std::string Mask::json(std::string_view json) const {
  if (!holds(json)) return std::string(json);
  const Result<Value> parsed = Value::parse(json);
  return parsed.ok() ? masked(*parsed).dump() : text(json);
}

// The length of the longest end of the text that a word begins with.
std::size_t Mask::kept_back(std::string_view text) const {
  std::size_t most = 0;
  const auto ends_with = [&](const Word& word, std::size_t n) {
    std::size_t at = 0;
    while (at < n && word.fits(at, text[text.size() - n + at])) ++at;
    return at == n;
  };
  for (const Word& word : words_) {
    for (std::size_t n = std::min(word.text.size() - 1, text.size()); n > most; --n) {
      if (ends_with(word, n)) most = n;
    }
  }
  return most;
}

std::string Mask::stream(std::size_t which, std::string_view piece) {
  std::string out = masked_text(held_[which].append(piece), true);
  const std::size_t back = kept_back(out);
  held_[which] = out.substr(out.size() - back);
  out.resize(out.size() - back);
  return out;
}

std::string Mask::flush(std::size_t which) { return text(std::exchange(held_[which], {})); }

}  // namespace millrace
