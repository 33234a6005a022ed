#include "worker/executors/mask.h"

#include <algorithm>

#include "worker/executors/encodings.h"

namespace millrace {
namespace {

constexpr std::string_view kMasked = "***";

void replace_all(std::string& text, const std::string& word) {
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + kMasked.size()))
    text.replace(at, word.size(), kMasked);
}

}  // namespace

void Mask::add(std::string_view secret) {
  if (secret.empty()) return;
  std::string quoted;
  append_json_string(quoted, secret);
  // Of a longer text, base64 shows a secret in three ways; the first is also that of the secret alone.
  std::vector<std::string> forms = {std::string(secret), quoted.substr(1, quoted.size() - 2), percent_encoded(secret)};
  if (secret.size() >= 6) {
    for (std::size_t shift = 0; shift < 3; ++shift) {
      const std::string encoded = base64(std::string(shift, 'x') + std::string(secret));
      const std::size_t begin = (shift * 4 + 2) / 3;  // what depends on nothing before the secret
      const std::size_t whole = (shift + secret.size()) / 3 * 4;
      if (whole > begin) forms.push_back(encoded.substr(begin, whole - begin));
    }
  }
  for (std::string& form : forms) {
    if (std::ranges::find(words_, form) == words_.end()) words_.push_back(std::move(form));
  }
  std::ranges::stable_sort(words_, std::ranges::greater{}, &std::string::size);
}

bool Mask::holds(std::string_view text) const {
  return std::ranges::any_of(words_,
                             [&](const std::string& word) { return text.find(word) != std::string_view::npos; });
}

std::string Mask::text(std::string_view text) const {
  std::string out(text);
  for (const std::string& word : words_) replace_all(out, word);
  return out;
}

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

// The length of the longest end of the text that a secret begins with.
std::size_t Mask::kept_back(std::string_view text) const {
  std::size_t most = 0;
  for (const std::string& word : words_) {
    for (std::size_t n = std::min(word.size() - 1, text.size()); n > most; --n) {
      if (text.ends_with(std::string_view(word).substr(0, n))) most = n;
    }
  }
  return most;
}

std::string Mask::stream(std::size_t which, std::string_view piece) {
  std::string out = text(held_[which].append(piece));
  const std::size_t back = kept_back(out);
  held_[which] = out.substr(out.size() - back);
  out.resize(out.size() - back);
  return out;
}

std::string Mask::flush(std::size_t which) { return std::exchange(held_[which], {}); }

}  // namespace millrace
