// Report: collects the problems of one text, so that all of them can be shown at once.
//
// Promises: in the order of the text, without repeats, at most kShownMax (the count says how many there were).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace millrace {

// "insight.yaml:7:5: unknown key 'depend_on'; expected one of ...; did you mean 'depends_on'?"
std::string format(const Problem& problem);

class Report {
 public:
  static constexpr std::size_t kShownMax = 200;

  void add(Problem problem);
  bool empty() const { return count_ == 0; }
  bool full() const { return problems_.size() >= kShownMax; }  // a hint would not be seen: do not search for one
  // `what` names the text: "insight.yaml: 3 problems". There is at least one problem.
  Error to_error(const std::string& what) &&;

 private:
  std::vector<Problem> problems_;
  std::size_t count_ = 0;
};

}  // namespace millrace
