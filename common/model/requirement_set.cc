#include "common/model/requirement_set.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr std::size_t kLineMax = 4096;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

// The longest beginning of letters, digits and `more`, taken off the text.
std::string_view take(std::string_view& text, std::string_view more) {
  std::size_t size = 0;
  while (size < text.size() && (is_letter_or_digit(text[size]) || more.find(text[size]) != std::string_view::npos))
    ++size;
  const std::string_view taken = text.substr(0, size);
  text.remove_prefix(size);
  return taken;
}

bool is_name(std::string_view text) {
  return !text.empty() && is_letter_or_digit(text.front()) && is_letter_or_digit(text.back());
}

bool take_extras(std::string_view& rest) {
  if (!rest.starts_with('[')) return true;
  do {
    rest.remove_prefix(1);
    rest = trimmed(rest);
    if (!is_name(take(rest, "._-"))) return false;
    rest = trimmed(rest);
  } while (rest.starts_with(','));
  if (!rest.starts_with(']')) return false;
  rest.remove_prefix(1);
  rest = trimmed(rest);
  return true;
}

bool are_hashes(std::string_view rest) {
  static constexpr std::string_view kOption = "--hash=";
  while (!rest.empty()) {
    if (!rest.starts_with(kOption)) return false;
    rest.remove_prefix(kOption.size());
    if (take(rest, "").empty() || !rest.starts_with(':')) return false;
    rest.remove_prefix(1);
    if (take(rest, "").empty() || (!rest.empty() && rest.front() != ' ' && rest.front() != '\t')) return false;
    rest = trimmed(rest);
  }
  return true;
}

Error not_pinned(std::string_view line) {
  return Error{Code::kInvalid,
               "\"" + std::string(line.substr(0, 80)) + "\" is no pinned package; expected NAME==VERSION",
               {},
               "requirements"};
}

Result<RequirementSet> settled(RequirementSet set) {
  std::ranges::sort(set);
  set.erase(std::unique(set.begin(), set.end()), set.end());
  std::size_t bytes = 0;
  for (const std::string& line : set) bytes += line.size();
  if (set.empty()) return Error{Code::kInvalid, "there is no package in it", {}, "requirements"};
  if (set.size() > kRequirementsMax || bytes > kRequirementsBytesMax)
    return Error{Code::kInvalid, "at most 200 packages and 64 KiB", {}, "requirements"};
  return set;
}

}  // namespace

bool is_pinned_requirement(std::string_view line) {
  if (line.size() > kLineMax || line != trimmed(line)) return false;
  if (std::ranges::any_of(line, [](char c) { return c != '\t' && (c < ' ' || c > '~'); })) return false;
  if (!is_name(take(line, "._-"))) return false;
  line = trimmed(line);
  if (!take_extras(line) || !line.starts_with("==") || line.starts_with("===")) return false;
  line.remove_prefix(2);
  line = trimmed(line);
  if (take(line, ".!+_-").empty()) return false;
  if (!line.empty() && line.front() != ' ' && line.front() != '\t' && line.front() != ';') return false;
  line = trimmed(line);
  if (line.starts_with(';')) {
    const std::size_t options = std::min(line.find("--"), line.size());
    if (trimmed(line.substr(1, options - 1)).empty()) return false;
    line.remove_prefix(options);
  }
  return are_hashes(line);
}

Result<RequirementSet> read_requirements(const Value& list) {
  if (!list.is_array()) return Error{Code::kInvalid, "it is no list of texts", {}, "requirements"};
  RequirementSet set;
  for (const Value& item : list.as_array()) {
    if (!item.is_string()) return not_pinned(item.dump());
    const std::string_view line = trimmed(item.as_string());
    if (!is_pinned_requirement(line)) return not_pinned(line);
    set.emplace_back(line);
  }
  return settled(std::move(set));
}

Result<RequirementSet> parse_requirements_file(std::string_view text, const std::string& path) {
  auto in_file = [&](Error error, int line) {
    error.what = path + (line > 0 ? ":" + std::to_string(line) : std::string()) + ": " + error.what;
    return error;
  };
  if (text.size() > kRequirementsBytesMax)
    return in_file(Error{Code::kInvalid, "larger than 64 KiB", {}, "requirements"}, 0);
  RequirementSet set;
  std::string whole;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#')) continue;
    line = trimmed(line.substr(0, std::min(line.find(" #"), line.size())));
    const bool goes_on = line.ends_with('\\') && !text.empty();
    if (line.ends_with('\\')) line.remove_suffix(1);
    line = trimmed(line);
    if (!whole.empty() && !line.empty()) whole += ' ';
    whole += line;
    if (goes_on || whole.empty()) continue;
    if (!is_pinned_requirement(whole)) return in_file(not_pinned(whole), number);
    set.push_back(std::move(whole));
    whole.clear();
  }
  Result<RequirementSet> all = settled(std::move(set));
  return all.ok() ? all : Result<RequirementSet>(in_file(all.error(), 0));
}

}  // namespace millrace
