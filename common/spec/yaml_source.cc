#include "common/spec/yaml_source.h"

#include <algorithm>
#include <cassert>

#include "common/spec/yaml_builder.h"

namespace millrace {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The first byte that YAML text must not have; npos: none. (The library takes some of them for the end of the text.)
std::size_t find_forbidden(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F) return i;
  }
  return std::string_view::npos;
}

// The first byte that is not UTF-8; npos: none.
std::size_t find_not_utf8(std::string_view text) {
  const std::string valid = to_valid_utf8(text);
  if (valid == text) return std::string_view::npos;
  const auto differ = std::ranges::mismatch(valid, text);
  return static_cast<std::size_t>(differ.in2 - text.begin());
}

std::vector<std::uint32_t> find_line_starts(std::string_view text) {
  std::vector<std::uint32_t> starts = {0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') starts.push_back(static_cast<std::uint32_t>(i + 1));
  }
  return starts;
}

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
  return at;
}

// One character of a scalar's text as it stands in the source: escapes and line ends take more than one byte.
std::size_t next_character(std::string_view source, std::size_t at, char quote) {
  if (source.substr(at, 2) == "\r\n") ++at;
  if (source[at] == '\n') return skip_blanks(source, at + 1);  // and the next line's indentation
  if (quote == '\'' && source.substr(at, 2) == "''") return at + 2;
  if (quote != '"' || source[at] != '\\' || at + 1 == source.size()) return at + 1;
  switch (source[at + 1]) {
    case 'x': return at + 4;
    case 'u': return at + 6;
    case 'U': return at + 10;
    default: return at + 2;
  }
}

Error refused(const std::string& file, Problem problem, std::string limit) {
  return Error{Code::kInvalid, file + ": 1 problem", {std::move(problem)}, std::move(limit)};
}

}  // namespace

Place YamlDocument::place(std::uint32_t offset) const {
  offset = std::min(offset, static_cast<std::uint32_t>(source_.size()));
  const auto after = std::ranges::upper_bound(line_starts_, offset);
  const auto line = static_cast<std::size_t>(after - line_starts_.begin());
  const std::string_view before(source_.data() + line_starts_[line - 1], offset - line_starts_[line - 1]);
  const auto characters = std::ranges::count_if(before, [](char c) { return !is_continuation(c); });
  return {static_cast<int>(line), static_cast<int>(characters) + 1};
}

std::uint32_t YamlDocument::offset_in(std::uint32_t scalar, std::size_t text_offset) const {
  const YamlNode& node = nodes_[scalar];
  // The n-th opening of the text is the n-th opening of its source.
  std::size_t opening = node.text.find("{{");
  if (opening == std::string::npos || opening > text_offset) return node.offset;
  std::size_t at = source_.find("{{", node.offset);
  for (std::size_t next = node.text.find("{{", opening + 2); next <= text_offset && next != std::string::npos;
       next = node.text.find("{{", opening + 2)) {
    opening = next;
    if (at != std::string::npos) at = source_.find("{{", at + 2);
  }
  if (at == std::string::npos) return node.offset;
  const char first = source_[node.offset];
  const char quote = first == '"' || first == '\'' ? first : '\0';
  for (; opening < text_offset && at < source_.size(); ++opening) at = next_character(source_, at, quote);
  return static_cast<std::uint32_t>(std::min(at, source_.size()));
}

Problem YamlDocument::problem_at(std::uint32_t offset, std::string message, std::string expected,
                                 std::string hint) const {
  const Place at = place(offset);
  return Problem{file_, at.line, at.column, std::move(message), std::move(expected), std::move(hint)};
}

Result<YamlDocument> YamlDocument::read(std::string_view text, std::string_view file, const YamlLimits& limits) {
  YamlDocument document;
  document.file_ = file;
  if (text.size() > limits.bytes_max) {
    return refused(document.file_,
                   {document.file_, 0, 0, "the text has " + std::to_string(text.size()) + " bytes",
                    "at most " + std::to_string(limits.bytes_max), ""},
                   "yaml_bytes_max");
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark
  document.source_ = text;
  document.line_starts_ = find_line_starts(text);
  const std::size_t forbidden = std::min(find_forbidden(text), find_not_utf8(text));
  if (forbidden != std::string_view::npos) {
    Problem problem = document.problem_at(static_cast<std::uint32_t>(forbidden), "a byte that must not be in YAML text",
                                          "UTF-8 without control characters");
    return refused(document.file_, std::move(problem), "");
  }
  if (std::optional<YamlRefusal> refusal = build_yaml(document, document.source_, limits)) {
    return refused(document.file_, std::move(refusal->problem), std::move(refusal->limit));
  }
  if (document.nodes_.empty()) document.nodes_.push_back({});  // an empty text is null
  return document;
}

}  // namespace millrace
