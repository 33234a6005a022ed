#include "common/spec/report.h"

#include <algorithm>
#include <cassert>
#include <tuple>
#include <utility>

namespace millrace {

std::string format(const Problem& problem) {
  std::string line;
  if (!problem.file.empty()) line += problem.file + ":";
  if (problem.line > 0) line += std::to_string(problem.line) + ":" + std::to_string(problem.column) + ":";
  if (!line.empty()) line += " ";
  line += problem.message;
  if (!problem.expected.empty()) line += "; expected " + problem.expected;
  if (!problem.hint.empty()) line += "; " + problem.hint;
  return line;
}

void Report::add(Problem problem) {
  if (!full() && std::ranges::find(problems_, problem) != problems_.end()) return;  // reached twice by an alias
  ++count_;
  if (!full()) problems_.push_back(std::move(problem));
}

Error Report::to_error(const std::string& what) && {
  assert(!empty());
  std::ranges::stable_sort(problems_, {}, [](const Problem& p) { return std::tuple(p.line, p.column); });
  std::string summary = what + ": " + std::to_string(count_) + (count_ == 1 ? " problem" : " problems");
  if (count_ > problems_.size()) summary += ", of which " + std::to_string(problems_.size()) + " are shown";
  return Error{Code::kInvalid, std::move(summary), std::move(problems_), ""};
}

}  // namespace millrace
