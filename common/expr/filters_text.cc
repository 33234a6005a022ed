// Filters on strings. Case is that of the letters A to Z; other characters stay as they are.
#include <algorithm>
#include <utility>

#include "common/expr/filters.h"
#include "common/expr/operators.h"

namespace millrace::expr {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
// Bytes above 127 are parts of letters or signs we do not know: a word goes on through them.
bool in_word(char c) {
  return lower(c) != upper(c) || (c >= '0' && c <= '9') || c == '\'' || static_cast<unsigned char>(c) >= 0x80;
}

// The subject when it is a string that may be read; null when not, and the call has failed.
const std::string* text_of(Call& call) {
  const Value& v = call.on();
  if (!v.is_string()) {
    call.wrong("a string", v);
    return nullptr;
  }
  return call.m.scan(v.as_string().size()) ? &v.as_string() : nullptr;
}

template <class PerByte>
Held mapped(Call& call, PerByte per_byte) {
  const std::string* text = text_of(call);
  if (text == nullptr) return {};
  std::string out = *text;
  for (char& c : out) c = per_byte(c);
  return call.text(std::move(out));
}

Held f_lower(Call& call) { return mapped(call, lower); }
Held f_upper(Call& call) { return mapped(call, upper); }
Held f_title(Call& call) {
  return mapped(call,
                [inside = false](char c) mutable { return std::exchange(inside, in_word(c)) ? lower(c) : upper(c); });
}
Held f_capitalize(Call& call) {
  return mapped(call, [first = true](char c) mutable { return std::exchange(first, false) ? upper(c) : lower(c); });
}

Held f_trim(Call& call) {
  const std::string* text = text_of(call);
  if (text == nullptr) return {};
  const std::size_t first = text->find_first_not_of(kSpace);
  if (first == std::string::npos) return Value("");
  return call.text(text->substr(first, text->find_last_not_of(kSpace) - first + 1));
}

Held f_split(Call& call) {
  const std::string* text = text_of(call);
  const bool by_space = call.argument(0).is_null();
  if (text == nullptr || (!by_space && !call.text_argument(0))) return {};
  const std::string separator = by_space ? "" : call.argument(0).as_string();
  if (!by_space && separator.empty())
    return call.m.fail("`split` expected a separator that is not empty", "a separator");
  Value::Array parts;
  auto add = [&](std::string_view part) {
    if (call.m.steps(1) && call.m.bytes(sizeof(Value) + part.size())) parts.emplace_back(part);
    return !call.m.failed();
  };
  const std::string_view all = *text;
  std::size_t from = by_space ? all.find_first_not_of(kSpace) : 0;
  while (from != std::string_view::npos) {
    const std::size_t to = by_space ? all.find_first_of(kSpace, from) : find_text(all, separator, from);
    if (!add(all.substr(from, to - from))) return {};  // to may be npos: the rest
    if (to == std::string_view::npos) break;
    from = by_space ? all.find_first_not_of(kSpace, to) : to + separator.size();
  }
  return Value(std::move(parts));
}

Held f_replace(Call& call) {
  const std::string* text = text_of(call);
  if (text == nullptr || !call.text_argument(0) || !call.text_argument(1)) return {};
  const std::string& old = call.argument(0).as_string();
  const std::string& with = call.argument(1).as_string();
  if (old.empty()) return call.m.fail("`replace` expected a text to replace that is not empty", "a text");
  std::string out;
  std::size_t from = 0;
  for (std::size_t to = find_text(*text, old); to != std::string::npos; to = find_text(*text, old, from)) {
    if (!call.m.steps(1) || !call.m.bytes(to - from + with.size())) return {};
    out.append(*text, from, to - from).append(with);
    from = to + old.size();
  }
  if (!call.m.bytes(text->size() - from)) return {};
  return Value(out.append(*text, from));
}

Held f_startswith(Call& call) {
  const std::string* text = text_of(call);
  if (text == nullptr || !call.text_argument(0)) return {};
  return Value(text->starts_with(call.argument(0).as_string()));
}
Held f_endswith(Call& call) {
  const std::string* text = text_of(call);
  if (text == nullptr || !call.text_argument(0)) return {};
  return Value(text->ends_with(call.argument(0).as_string()));
}

}  // namespace

std::vector<Filter> text_filters() {
  return {
      {"lower", {}, 0, f_lower},
      {"upper", {}, 0, f_upper},
      {"title", {}, 0, f_title},
      {"capitalize", {}, 0, f_capitalize},
      {"trim", {}, 0, f_trim},
      {"split", {"separator"}, 0, f_split},
      {"replace", {"old", "new"}, 2, f_replace},
      {"startswith", {"prefix"}, 1, f_startswith},
      {"endswith", {"suffix"}, 1, f_endswith},
  };
}

}  // namespace millrace::expr
