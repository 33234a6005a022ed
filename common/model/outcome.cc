#include "common/model/outcome.h"

#include "common/base/value.h"

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
         ran == o.ran && same_items && same_artifacts(artifacts, o.artifacts);
}

std::string artifact_name_problem(std::string_view name) {
  if (name.empty() || name.size() > kArtifactNameMax)
    return "the name of an artifact has 1 to " + std::to_string(kArtifactNameMax) + " bytes";
  if (name == "." || name == "..") return "an artifact cannot be named \"" + std::string(name) + "\"";
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || c == '\\') return "the name of an artifact is that of a file, without a path";
    if (byte < 0x20 || byte == 0x7f) return "the name of an artifact has no control characters";
  }
  if (to_valid_utf8(name) != name) return "the name of an artifact is UTF-8";
  return "";
}

std::string artifact_type_problem(std::string_view type) {
  if (type.size() > kArtifactTypeMax)
    return "the content type of an artifact has at most " + std::to_string(kArtifactTypeMax) + " bytes";
  for (const char c : type) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e)
      return "the content type of an artifact is ASCII, like text/plain";
  }
  return "";
}

std::uint64_t bytes_of(const Artifacts& artifacts) {
  std::uint64_t bytes = 0;
  if (artifacts == nullptr) return bytes;
  for (const Artifact& one : *artifacts) bytes += one.size;
  return bytes;
}

bool same_artifacts(const Artifacts& a, const Artifacts& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

}  // namespace millrace
