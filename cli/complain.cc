#include "cli/complain.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "cli/inputs.h"
#include "cli/text.h"
#include "common/spec/report.h"

namespace millrace {
namespace {

class Sources {
 public:
  std::optional<std::string> line(const Problem& problem) {
    if (problem.file.empty() || problem.line <= 0) return std::nullopt;
    auto [at, fresh] = files_.try_emplace(problem.file);
    if (fresh && problem.file != "-" && problem.file != "stdin") {
      if (Result<std::string> text = read_file(problem.file); text.ok()) at->second = split(*text);
    }
    auto index = static_cast<std::size_t>(problem.line - 1);
    if (index >= at->second.size()) return std::nullopt;
    return at->second[index];
  }

 private:
  static std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = std::min(text.find('\n', at), text.size());
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }

  std::map<std::string, std::vector<std::string>> files_;
};

// Columns count characters; what stands before the caret is shown as it is printed above it.
std::string caret_line(const std::string& source, int column) {
  std::size_t at = 0;
  for (int i = 1; i < column && at < source.size(); ++i) {
    ++at;
    while (at < source.size() && (static_cast<unsigned char>(source[at]) & 0xC0) == 0x80) ++at;
  }
  return std::string(display_width(printable(source.substr(0, at))), ' ') + "^";
}

}  // namespace

std::string complaint(const Error& error, bool with_source, bool colour) {
  std::string out = tinted("error:", Tint::kBad, colour) + " " + printable(error.what) + "\n";
  // A single problem without a place that the message tells already.
  bool told = error.details.size() == 1 && error.details[0].line == 0 &&
              error.what.find(error.details[0].message) != std::string::npos;
  Sources sources;
  for (const Problem& problem : error.details) {
    Problem shown = problem;
    if (told) shown.message.clear();
    std::string text = format(shown);
    if (told && text.starts_with("; ")) text.erase(0, 2);
    if (!text.empty()) out += "  " + printable(text) + "\n";
    std::optional<std::string> source = with_source ? sources.line(problem) : std::nullopt;
    if (!source) continue;
    std::string number = std::to_string(problem.line);
    out += "    " + tinted(number + " | ", Tint::kQuiet, colour) + printable(*source) + "\n";
    out += "    " + std::string(number.size() + 3, ' ') +
           tinted(caret_line(*source, problem.column), Tint::kBad, colour) + "\n";
  }
  return out;
}

}  // namespace millrace
